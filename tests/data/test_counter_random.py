from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from seqsum.data.counter_random import DRAWS, random_bits, random_uniform
from seqsum.data.index_tables import IndexBatches

WRAP = 1 << 64
SEEDS = [0, 1234567, 2**32 - 1, 2**63 - 1, -1]


def splitmix(seed: int, count: int) -> list[int]:
    """The generator as in its paper, one number after the other, in Python's integers."""
    numbers = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % WRAP
        mixed = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 % WRAP
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % WRAP
        numbers.append(mixed ^ mixed >> 31)
    return numbers


def unsigned(bits: Tensor) -> list[int]:
    return [number % WRAP for number in bits.tolist()]


# The generator -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "published"),  # as in Rosetta Code and the tests of many libraries
    [
        (
            1234567,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423,
                4593380528125082431,
                16408922859458223821,
            ],
        ),
        (
            0,
            [
                0xE220A8397B1DCDAF,
                0x6E789E6AA1B965F4,
                0x06C45D188009454F,
                0xF88BB8A8724C81EC,
                0x1B39896A51A8749B,
            ],
        ),
    ],
)
def test_bits_are_the_published_ones(seed, published):
    assert unsigned(random_bits(seed, torch.arange(1, 6))) == published


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 3, 7, 8, 33, 1_000])  # whole vectors, and remainders
def test_bits_are_those_of_a_sequential_generator(seed, count):
    assert unsigned(random_bits(seed, torch.arange(1, count + 1))) == splitmix(seed, count)


def test_close_multiples_of_gamma_are_as_far_apart_as_is_said():
    # by a theorem of Lagrange the closest are multiples by denominators of the continued fraction
    gamma, denominators, (x, y) = 0x9E3779B97F4A7C15, [0, 1], (WRAP, 0x9E3779B97F4A7C15)
    while denominators[-1] < 2.9e9:
        x, y, quotient = y, x % y, x // y
        denominators.append(quotient * denominators[-1] + denominators[-2])
    below = [multiple for multiple in denominators[1:] if multiple < 2.9e9]
    assert below[-1] > 2**30
    assert all(2**32 < multiple * gamma % WRAP < WRAP - 2**32 for multiple in below)


# Uniform numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_numbers_are_the_highest_24_bits(seed):
    rows = torch.tensor([5, 0, 70_000])
    numbers = random_uniform(seed, rows, 3)
    assert numbers.dtype == torch.float32
    for row, drawn in zip(rows.tolist(), numbers.tolist(), strict=True):
        bits = unsigned(random_bits(seed, torch.arange(64 * row + 1, 64 * row + 4)))
        assert drawn == [((number >> 40) - (1 << 24 if number >> 63 else 0)) / (1 << 23) for number in bits]


def test_rows_are_drawn_in_any_order_and_part():
    whole = random_uniform(7, torch.arange(100), 38)
    some = torch.tensor([99, 3, 3, 41])
    assert torch.equal(random_uniform(7, some, 38), whole[some])
    assert torch.equal(random_uniform(7, torch.arange(100)[1::3], 6), whole[1::3, :6])
    assert random_uniform(7, some[:0], 6).shape == (0, 6)


def test_no_two_counters_of_neighbouring_rows_and_seeds_give_the_same_bits():
    counters = torch.arange(1_000).unsqueeze(1) * DRAWS + torch.arange(DRAWS)
    bits = torch.stack([random_bits(seed, counters) for seed in range(20)])
    assert len(bits.unique()) == bits.numel()
    numbers = random_uniform(3, torch.arange(200), DRAWS)
    assert len(numbers.unique()) > 0.999 * numbers.numel()  # of 24 bits, a few are equal by chance


def test_more_draws_than_counters_are_refused():
    assert random_uniform(0, torch.arange(2), DRAWS).shape == (2, DRAWS)
    with pytest.raises(ValueError, match=rf"`draws` \(={DRAWS + 1}\) must be at most {DRAWS}"):
        random_uniform(0, torch.arange(2), DRAWS + 1)


# Statistics: always the same with these seeds, so five standard deviations are not chance -----------


def of_neighbouring_seeds() -> Tensor:
    """Draw numbers for 64 seeds, rows and draws: `(seeds, rows, draws)`."""
    return torch.stack([random_uniform(seed, torch.arange(64), 64) for seed in range(64)])


def of_a_training() -> Tensor:
    """Draw the numbers of all batches of three seeds and three epochs of seven steps: `(batches, rows, draws)`."""
    seeds = []
    for seed in range(3):
        batches = IndexBatches("train", 112, (1, 1), 16, seed)
        for epoch in range(3):
            batches.set_epoch(epoch)
            seeds += [batch.seed for batch in batches]
    return torch.stack([random_uniform(seed, torch.arange(64), 38) for seed in seeds])


SOURCES = [of_neighbouring_seeds, of_a_training]
AXES = pytest.mark.parametrize("axis", [0, 1, 2], ids=["seeds", "rows", "draws"])


def chi_squared(counts: Tensor) -> float:
    """Return how many standard deviations χ² is above its mean for even counts."""
    freedom = counts.numel() - 1
    expected = counts.sum() / counts.numel()
    return float(((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("source", SOURCES)
def test_numbers_fill_their_range_evenly(source):
    numbers = source()
    assert -1 <= numbers.min() < -0.9999
    assert 0.9999 < numbers.max() < 1
    assert abs(chi_squared(numbers.histc(256, -1, 1))) < 5
    assert abs(numbers.mean()) < 5 / math.sqrt(3 * numbers.numel())


@AXES
@pytest.mark.parametrize("source", SOURCES)
def test_numbers_are_uncorrelated(source, axis):
    slices = source().movedim(axis, 0).flatten(1)
    beside = slices.corrcoef() - torch.eye(len(slices))
    assert beside.abs().max() < 5 / math.sqrt(slices.shape[1])


@AXES
@pytest.mark.parametrize("source", SOURCES)
def test_pairs_of_neighbours_fill_the_square_evenly(source, axis):
    cells = ((source().movedim(axis, 0) + 1) * 8).long()  # 16 in each direction
    pairs = 16 * cells[:-1] + cells[1:]
    assert abs(chi_squared(pairs.flatten().bincount(minlength=256))) < 5


@pytest.mark.parametrize("axis", [0, 1], ids=["seeds", "counters"])
def test_each_bit_flips_between_neighbours_half_the_time(axis):
    bits = torch.stack([random_bits(seed, torch.arange(200)) for seed in range(200)]).movedim(axis, 0)
    flips = bits[1:] ^ bits[:-1]
    for numbers in (bits, flips):
        shares = ((numbers.unsqueeze(-1) >> torch.arange(64)) & 1).double().mean(dim=(0, 1))
        assert (shares - 0.5).abs().max() < 5 * 0.5 / math.sqrt(numbers.numel())


# Devices -------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_gpu_draws_the_same_bits(seed):
    rows = torch.arange(5_000)
    assert torch.equal(random_uniform(seed, rows.cuda(), 38).cpu(), random_uniform(seed, rows, 38))
    counters = torch.arange(-10_000, 10_000)
    assert torch.equal(random_bits(seed, counters.cuda()).cpu(), random_bits(seed, counters))
