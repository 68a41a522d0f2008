"""What the sentences about shuffle, batch and repeat say holds for any number of items, batch size and seed."""

from __future__ import annotations

import json
from itertools import permutations
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from seqsum.experiments import orders
from seqsum.experiments.__main__ import main
from seqsum.experiments.orders import SENTENCES, Item, read

SHUFFLE_FIRST = [("shuffle", "batch", "repeat"), ("shuffle", "repeat", "batch")]
BATCH_FIRST = [("batch", "shuffle", "repeat"), ("batch", "repeat", "shuffle")]
sizes = {"count": some.integers(1, 30), "batch_size": some.integers(1, 8), "seed": some.integers(0, 999)}


def epochs_of(batches):
    return [{item.epoch for item in batch} for batch in batches]


def numbers_of(batches):
    return [[item.number for item in batch] for batch in batches]


@pytest.mark.parametrize("steps", list(permutations(("shuffle", "batch", "repeat"))))
@settings(max_examples=20)
@given(**sizes)
def test_every_order_gives_each_number_twice(steps, count, batch_size, seed):
    batches = read(steps, count, batch_size, seed)
    assert sorted(item for batch in batches for item in batch) == [(n, e) for n in range(count) for e in (1, 2)]
    assert max(map(len, batches)) <= batch_size


@pytest.mark.parametrize("steps", [*SHUFFLE_FIRST, ("batch", "shuffle", "repeat")])
@settings(max_examples=20)
@given(**sizes)
def test_repeated_last_or_after_the_shuffle_an_epoch_has_each_number_once(steps, count, batch_size, seed):
    numbers = [number for batch in numbers_of(read(steps, count, batch_size, seed)) for number in batch]
    assert sorted(numbers[:count]) == sorted(numbers[count:]) == list(range(count))


@pytest.mark.parametrize("steps", [*BATCH_FIRST, ("shuffle", "batch", "repeat")])
@settings(max_examples=20)
@given(**sizes)
def test_batched_before_it_is_repeated_no_batch_has_numbers_of_both_epochs(steps, count, batch_size, seed):
    assert all(len(epochs) == 1 for epochs in epochs_of(read(steps, count, batch_size, seed)))


@pytest.mark.parametrize("steps", BATCH_FIRST)
@settings(max_examples=20)
@given(**sizes)
def test_batched_before_the_shuffle_numbers_stay_together(steps, count, batch_size, seed):
    in_order = [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]
    assert sorted(numbers_of(read(steps, count, batch_size, seed))) == sorted(in_order * 2)


def test_batched_after_the_repeat_one_batch_has_numbers_of_both_epochs():
    assert epochs_of(read(("shuffle", "repeat", "batch"), 10, 4, 0)) == [{1}, {1}, {1, 2}, {2}, {2}]
    assert sorted(map(sorted, epochs_of(read(("repeat", "batch", "shuffle"), 10, 4, 0)))) == [
        [1],
        [1],
        [1, 2],
        [2],
        [2],
    ]


def test_shuffled_after_the_repeat_numbers_come_twice_before_others_have_come_once():
    for steps in (("repeat", "shuffle", "batch"), ("repeat", "batch", "shuffle"), ("batch", "repeat", "shuffle")):
        found = [number for batch in numbers_of(read(steps, 10, 4, 0)) for number in batch][:10]
        assert len(set(found)) < 10
    assert any(len(set(batch)) < len(batch) for batch in numbers_of(read(("repeat", "shuffle", "batch"), 10, 4, 0)))


def test_a_row_tells_what_came_twice_what_is_missing_and_which_batches_are_of_both_epochs(monkeypatch):
    batches = [[Item(2, 1), Item(0, 1)], [Item(2, 2), Item(3, 1)], [Item(1, 2), Item(0, 2)], [Item(3, 2), Item(1, 1)]]
    monkeypatch.setattr(orders, "read", lambda *_: batches)
    assert orders.row(("repeat", "shuffle", "batch"), SimpleNamespace(numbers=4, batch_size=2, seed=0)) == {
        "order": "repeat, shuffle, batch",
        "batches": "[2 0] [2 3] [1 0] [3 1]",
        "twice in the first 4": "2",
        "missing in the first 4": "1",
        "batches of both epochs": "2 4",
    }


def test_the_table_has_all_orders_with_their_sentences(tmp_path, capfd):
    main(["orders", f"--output={tmp_path}"])
    rows = json.loads((tmp_path / "orders.json").read_text())["rows"]
    assert {row["order"]: row["in a sentence"] for row in rows} == SENTENCES
    (row,) = [row for row in rows if row["order"] == "shuffle, repeat, batch"]
    assert (row["twice in the first 10"], row["missing in the first 10"], row["batches of both epochs"]) == (
        "–",
        "–",
        "3",
    )
    printed = capfd.readouterr().out
    assert all(f"{order}: {sentence}." in printed for order, sentence in SENTENCES.items())
    with pytest.raises(SystemExit):
        main(["orders", "--batch-size=0"])
    assert "`--batch-size` (=0) must be at least 1" in capfd.readouterr().err
