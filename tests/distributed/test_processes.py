"""Two and four processes compute what one computes, each launched once for all these tests."""

from __future__ import annotations

import re

import pytest
import torch

from tests.distributed import job
from tests.distributed.launching import run_in_processes

BATCH_SIZE = 84  # of all processes together: of 85 sequences, one is left for the last batch


@pytest.fixture(scope="module")
def alone():
    """One process, with batches as large as those of all processes together."""
    return job.compute(BATCH_SIZE)


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def together(request, tmp_path_factory):
    """What each of several processes saw."""
    return run_in_processes(request.param, tmp_path_factory.mktemp("processes"), job.compute, BATCH_SIZE)


def digits_of(used, epoch):
    """The digits of an epoch's batches, in one list."""
    steps = len(used) // job.EPOCHS
    return torch.cat([rows.flatten() for rows in used[epoch * steps : (epoch + 1) * steps]]).tolist()


@pytest.mark.parametrize("what", ["even", "range"])
@pytest.mark.parametrize("epoch", range(job.EPOCHS))
def test_every_digit_that_one_process_uses_is_used_exactly_once_an_epoch(alone, together, what, epoch):
    used = [digit for process in together for digit in digits_of(process[what]["used"], epoch)]
    assert len(set(used)) == len(used)
    assert sorted(used) == sorted(digits_of(alone[what]["used"], epoch))
    assert job.TRAIN - len(used) < 8


@pytest.mark.parametrize("what", ["reviews", "pairs"])
@pytest.mark.parametrize("epoch", range(job.EPOCHS))
def test_every_text_is_used_exactly_once_an_epoch_by_processes_too(alone, together, what, epoch):
    used = [text for process in together for text in digits_of(process[what]["used"], epoch)]
    assert sorted(used) == sorted(digits_of(alone[what]["used"], epoch)) == list(range(len(used)))
    assert len(used) > 1_700


def test_processes_without_a_row_take_part_in_the_last_batch(together):
    sizes = [len(process["even"]["used"][1]) for process in together]
    assert sizes == [1] + [0] * (len(together) - 1)


def test_all_processes_draw_the_same_length_for_a_batch(alone, together):
    lengths = [rows.shape[1] for rows in alone["range"]["used"]]
    assert len(set(lengths)) > 2
    for process in together:
        assert [rows.shape[1] for rows in process["range"]["used"]] == lengths


@pytest.mark.parametrize("what", ["even", "range", "accumulated", "reviews", "pairs"])
def test_gradients_of_a_global_batch_are_those_of_one_process(alone, together, what):
    """Uneven and empty shares, masks and warps included; float32."""
    expected = alone[what]["gradients"]
    for process in together:
        for ours, theirs in zip(process[what]["gradients"], expected, strict=True):
            for gradient, other in zip(ours, theirs, strict=True):
                torch.testing.assert_close(gradient, other, rtol=1e-4, atol=2e-6 * max(1.0, other.abs().max().item()))


@pytest.mark.parametrize("what", ["even", "range", "accumulated", "reviews", "pairs"])
def test_the_loss_of_a_global_batch_is_that_of_one_process(alone, together, what):
    for process in together:
        assert process[what]["losses"] == pytest.approx(alone[what]["losses"], rel=1e-5)


@pytest.mark.parametrize("what", ["evaluation", "masked evaluation"])
def test_validation_and_test_metrics_are_exactly_those_of_one_process(alone, together, what):
    assert len(alone[what]["metrics"]) == 8
    for process in together:
        assert process[what]["metrics"] == alone[what]["metrics"]


def test_metrics_by_step_are_those_of_one_process(alone, together):
    for process in together:
        for name, values in process["evaluation"]["by_step"].items():
            assert torch.equal(values, alone["evaluation"]["by_step"][name])


def test_processes_end_a_training_with_the_same_weights_and_metrics(together):
    first, *others = (process["learning"] for process in together)
    assert len(first["metrics"]) > 8
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first["weights"], other["weights"], strict=True))
        for name, value in first["metrics"].items():
            if name not in ("train/step_loss",):
                assert torch.equal(value, other["metrics"][name]), name


def test_a_nan_in_one_process_stops_all_at_the_same_step_and_batch(alone, together):
    assert "The loss is NaN or infinite at step 4 (epoch 2, batch 1)" in alone["spoilt"]
    said = re.sub(r" First in .*?\.(?= Last good)", "", alone["spoilt"])  # others don't look where it comes from
    assert len(said) < len(alone["spoilt"])
    assert [process["spoilt"] for process in together] == [said] * len(together)


def test_digits_are_drawn_by_the_first_process_alone(together):
    first, *others = (process["drawn"] for process in together)
    assert first == 2 * together[0]["made"]  # train and test, for each DataModule
    assert others == [0] * len(others)
