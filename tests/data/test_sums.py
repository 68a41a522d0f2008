from __future__ import annotations

from collections import Counter

import pytest
import torch

from seqsum.data.sums import batch_lengths, deal, increments, read_digits, running_targets, scan_targets, signs

OPERATIONS = ["alternating", "sum"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("shape", [(1,), (7,), (1, 1), (5, 1), (1, 12), (6, 9), (2, 3, 500)])
def test_running_targets_equal_the_scan(shape, operation):
    labels = torch.randint(10, shape, generator=generator())
    targets = running_targets(labels, operation)
    assert targets.dtype == torch.float32
    assert torch.equal(targets, scan_targets(labels, operation))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_running_targets_of_a_transposed_view_equal_the_scan(operation):
    labels = torch.randint(10, (4, 6), generator=generator()).T
    assert torch.equal(running_targets(labels, operation), scan_targets(labels, operation))


@pytest.mark.parametrize("operation", ["product", "Sum", ""])
def test_another_operation_is_refused(operation):
    digits = torch.tensor([[1, 2, 3]])
    for function in (running_targets, scan_targets, read_digits, lambda _, operation: signs(3, operation)):
        with pytest.raises(ValueError, match=rf"`operation` \(='{operation}'\) must be one of 'alternating', 'sum'"):
            function(digits, operation)


@pytest.mark.parametrize("targets_of", [running_targets, scan_targets])
@pytest.mark.parametrize(
    ("operation", "expected"),
    [("alternating", [[3, -2, 0, -8], [9, 0, 7, 6]]), ("sum", [[3, 8, 10, 18], [9, 18, 25, 26]])],
)
def test_targets_of_a_sum_done_by_hand(targets_of, operation, expected):
    labels = torch.tensor([[3, 5, 2, 8], [9, 9, 7, 1]])
    assert targets_of(labels, operation).tolist() == expected


def test_the_default_operation_alternates():
    labels = torch.tensor([[4, 7, 6]])
    assert running_targets(labels).tolist() == scan_targets(labels).tolist() == [[4, -3, 3]]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("length", [1, 2, 9])
def test_increments_of_running_targets_are_the_signed_digits(length, operation):
    labels = torch.randint(10, (5, length), generator=generator())
    assert torch.equal(increments(running_targets(labels, operation)), labels * signs(length, operation))


@pytest.mark.parametrize("operation", ["sum", "alternating"])
@pytest.mark.parametrize("length", [1, 6])
def test_digits_are_read_from_running_sums_that_are_a_little_off(length, operation):
    labels = torch.randint(0, 10, (5, length), generator=generator(length))
    sums = running_targets(labels, operation) + 0.4 * torch.rand(5, length, generator=generator(1)) - 0.2
    assert torch.equal(read_digits(sums, operation), labels.float())
    assert torch.equal(read_digits(sums[0], operation), labels[0].float())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_digits_are_read_across_masked_steps(operation):
    mask = torch.rand(5, 9, generator=generator(1)) < 0.6
    labels = torch.randint(0, 10, (5, 9), generator=generator()) * mask
    sums = running_targets(labels, operation) * mask
    assert torch.equal(read_digits(sums, operation, mask)[mask], labels[mask].float())


def test_a_step_the_wrong_way_is_no_digit():
    assert read_digits(torch.tensor([3.0, 5, 16]), "alternating").tolist() == [3, -2, 11]


def test_increments_invert_cumsum():
    steps = torch.randn(4, 11, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(increments(steps.cumsum(dim=-1)), steps)


@pytest.mark.parametrize(
    ("count", "lengths", "rows", "sizes"),
    [
        (100, [4] * 5, 5, [5, 5, 5, 5, 5]),  # nothing left over
        (103, [4] * 6, 5, [5, 5, 5, 5, 5, 0]),  # three left over, no sequence for the last table
        (38, [4, 4], 5, [5, 4]),  # the last table is short
        (200, [3, 7, 1, 5], 10, [10, 10, 10, 10]),  # ragged, digits to spare
        (50, [3, 7], 10, [10, 2]),  # ragged and short
        (9, [9], 1, [1]),
        (8, [9], 1, [0]),
    ],
)
def test_deal_gives_each_table_its_size_and_no_digit_twice(count, lengths, rows, sizes):
    tables = deal(count, lengths, rows, generator())
    assert [tuple(table.shape) for table in tables] == list(zip(sizes, lengths, strict=True))
    dealt = torch.cat([table.flatten() for table in tables]).tolist()
    assert len(set(dealt)) == len(dealt)
    assert set(dealt) <= set(range(count))


def test_deal_shuffles_all_digits():
    (table,) = deal(400, [4], 100, generator())
    assert table.flatten().sort().values.tolist() == list(range(400))
    assert (table.flatten() == torch.arange(400)).sum() < 20  # hardly any digit in its place


def test_deal_follows_the_seed():
    first, same, other = (deal(60, [3, 5], 7, generator(seed)) for seed in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_deal_leaves_other_digits_over_each_time():
    left_over = {frozenset(range(22)) - set(deal(22, [4], 5, generator(seed))[0].flatten().tolist()) for seed in (0, 1)}
    assert [len(digits) for digits in left_over] == [2, 2]


RANGES = [
    (600, 4, 4, 16),
    (601, 1, 1, 7),
    (605, 2, 9, 16),
    (55_000, 2, 10, 128),
    (10, 3, 7, 4),
    (5, 5, 5, 1),
    (29, 5, 9, 2),
    (23, 2, 4, 4),  # three left over when a batch of fours is due
    (1_000, 3, 3, 1_000),
]


@pytest.mark.parametrize(("count", "shortest", "longest", "rows"), RANGES)
def test_batch_lengths_are_spread_evenly_over_the_range(count, shortest, longest, rows):
    lengths = batch_lengths(count, shortest, longest, rows)
    often = Counter(dict.fromkeys(range(shortest, longest + 1), 0))
    often.update(lengths)
    assert len(often) == longest - shortest + 1
    assert max(often.values()) - min(often.values()) <= 1


@pytest.mark.parametrize(("count", "shortest", "longest", "rows"), RANGES)
def test_batch_lengths_use_up_the_digits_without_an_empty_batch(count, shortest, longest, rows):
    tables = deal(count, batch_lengths(count, shortest, longest, rows), rows, generator())
    assert count - sum(table.numel() for table in tables) < longest
    assert [len(table) for table in tables[:-1]] == [rows] * (len(tables) - 1)
    assert len(tables[-1]) > 0


def test_batch_lengths_of_a_range_counted_by_hand():
    # 4·(2 + 3 + 4) = 36, then four sequences of 2, then one of 3; one digit is left over
    assert batch_lengths(48, 2, 4, rows=4) == [2, 3, 4, 2, 3]
