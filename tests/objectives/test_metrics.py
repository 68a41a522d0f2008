"""Sums that grow in place, compared with sums over all batches at once."""

import pytest
import torch

from seqsum.objectives import StepMean, WeightedMean
from seqsum.objectives.metrics import gather_padded


class Score(StepMean):
    """Scores a step by its first output."""

    def score(self, outputs, targets):
        return outputs[..., 0] + 0 * targets


def batches(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, length, 2, generator=generator) for length in lengths]


def test_batches_of_all_lengths_add_up_by_step():
    metric, given = Score(), batches(2, 5, 3, 5, 1)
    for outputs in given:
        metric.update(outputs, outputs[..., 1])
    for step in range(5):
        column = torch.cat([outputs[:, step, 0] for outputs in given if outputs.shape[1] > step]).double()
        assert metric.total[step].item() == pytest.approx(column.sum().item(), rel=1e-12)
        assert metric.count[step].item() == len(column)
    assert metric.compute().item() == pytest.approx(metric.total.sum().item() / metric.count.sum().item())


def test_a_process_that_has_seen_nothing_sends_what_the_others_can_read(monkeypatch):
    sent = []
    monkeypatch.setattr("seqsum.objectives.metrics.gather_all_tensors", lambda sums, group: sent.append(sums) or [sums])
    seen, unseen = WeightedMean(), WeightedMean()
    seen.update(torch.tensor(0.5), 3)
    for metric in (seen, unseen):
        gather_padded(metric.total)
    assert sent[0].dtype == sent[1].dtype == torch.float64


def test_sums_stay_in_their_tensors_once_they_have_room():
    metric, (short, long) = Score(), batches(2, 3)
    metric.update(long, long[..., 1])
    place = metric.total, metric.count
    metric.update(short, short[..., 1])
    metric.update(long, long[..., 1])
    assert metric.total is place[0]
    assert metric.count is place[1]
    assert metric.total.dtype == metric.count.dtype == torch.float64
    assert metric.count.tolist() == [12, 12, 8]


def test_a_metric_goes_on_in_the_tensors_it_is_given():
    """Also after a reset and after being replaced by sums of fewer steps; more steps than there is room don't fit."""
    metric, (short, long) = Score(), batches(2, 3)
    metric.update(long, long[..., 1])
    place = metric.total, metric.count
    metric.reset()
    assert metric.fits(place)
    metric.keep_in(place)
    assert metric.total is place[0]
    assert (metric.total.tolist(), metric.count.tolist()) == ([0, 0, 0], [0, 0, 0])
    metric.total, metric.count = torch.tensor([5.0, 6.0]), torch.tensor([1.0, 2.0])
    metric.keep_in(place)
    assert metric.count is place[1]
    assert (metric.total.tolist(), metric.count.tolist()) == ([5, 6, 0], [1, 2, 0])
    metric.update(short, short[..., 1])
    assert metric.count.tolist() == [5, 6, 0]
    metric.make_room(4)
    assert metric.count.tolist() == [5, 6, 0, 0]
    assert not metric.fits(place)


def test_a_mean_of_losses_goes_on_in_the_tensors_it_is_given():
    metric = WeightedMean()
    metric.update(torch.tensor(2.0), 3)
    place = metric.total, metric.count
    metric.reset()
    metric.keep_in(place)
    metric.update(torch.tensor(4.0), torch.tensor(5))
    metric.update(torch.tensor(1.0), 10)
    assert metric.total is place[0]
    assert (metric.total.item(), metric.count.item()) == (30, 15)
    assert metric.compute().item() == 2


def test_updates_that_were_made_elsewhere_count():
    metric = WeightedMean()
    metric.update(torch.tensor(2.0), 1)
    assert metric.compute().item() == 2
    metric.total.add_(4)
    metric.count.add_(1)
    metric.set_updates(metric.update_count + 1)
    assert metric.update_count == 2
    assert metric.compute().item() == 3  # and not what was computed before


def test_sums_of_an_evaluation_can_be_added_to_outside_of_it():
    metric, (outputs,) = Score(), batches(2)
    with torch.inference_mode():
        metric.update(outputs, outputs[..., 1])
        metric.update(outputs, outputs[..., 1])
    metric.update(outputs, outputs[..., 1])
    assert metric.count.tolist() == [12, 12]
