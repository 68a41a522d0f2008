"""The table of a test has a row for each step, unless there are too many."""

import pytest

from seqsum.callbacks.results import print_table


@pytest.mark.parametrize(("length", "expected"), [
    (0, []), (1, [1]), (32, list(range(1, 33))), (33, list(range(2, 33, 2))), (100, list(range(4, 101, 4))),
])  # fmt: skip
def test_long_sequences_have_every_so_many_steps_in_the_table(length, expected, capsys):
    by_step = [None, *(0.001 * step for step in range(2, length + 1))][:length]
    print_table(
        {"experiment": "sine", "dataset": "curves", "test": {"test/mse": 0.5}, "test_by_step": {"mse": by_step}}
    )
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row[1].strip() for row in rows] == [*(str(step) for step in expected), "all"]
    assert [row[2].strip() for row in rows[:-1]] == ["–" if step == 1 else f"{0.001 * step:.4f}" for step in expected]


def test_metrics_that_have_no_steps_stand_below_the_table(capsys):
    print_table(
        {
            **{"experiment": "mine", "dataset": "digits", "test_by_step": {"mae": [0.5]}},
            "test": {"test/mae": 0.5, "test/loss": 0.25, "test/bleu": 0.125},
        }
    )
    printed = capsys.readouterr().out
    assert "test/bleu 0.1250" in printed
    assert "test/loss" not in printed
