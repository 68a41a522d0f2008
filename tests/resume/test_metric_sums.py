"""The state of an unfinished epoch's metrics is saved and loaded, whatever its form."""

from types import SimpleNamespace

import pytest
import torch
from torchmetrics import MaxMetric, MeanMetric, Metric, SpearmanCorrCoef

from seqsum.objectives import metrics
from seqsum.objectives.metrics import WeightedMean, gather_padded
from seqsum.resume import metric_sums
from seqsum.resume.metric_sums import load_sums


def saved(metric: Metric, monkeypatch):
    monkeypatch.setattr(metric_sums, "training_metrics", lambda module: [("it", metric)])
    return metric_sums.metric_sums(SimpleNamespace())["it"]


@pytest.mark.filterwarnings("ignore:Metric `SpearmanCorrcoef` will save all")
@pytest.mark.parametrize("kind", [SpearmanCorrCoef, MaxMetric, MeanMetric])
def test_a_metric_goes_on_where_it_was(kind, monkeypatch):
    draw = torch.Generator().manual_seed(0)
    pairs = [torch.rand(2, 6, generator=draw) for _ in range(4)]
    given = [tuple(pair) if kind is SpearmanCorrCoef else (pair[0],) for pair in pairs]
    whole, first, second, other = (kind() for _ in range(4))
    for batch in given:
        whole.update(*batch)
    for batch in given[:2]:
        first.update(*batch)
    states = saved(first, monkeypatch)
    load_sums(second, states, first_process=True)
    load_sums(other, states, first_process=False)
    for batch in given[2:]:
        second.update(*batch)
    torch.testing.assert_close(second.compute(), whole.compute())
    if kind is MaxMetric:  # all processes have it
        assert other.compute() == first.compute()
    else:
        assert all(state == [] or state.sum() == 0 for state in other.metric_state.values())


def test_sums_by_step_of_processes_with_longer_and_shorter_sequences_are_gathered(monkeypatch):
    gathered = [torch.tensor([1.0, 2, 3]), torch.tensor([4.0]), torch.zeros(0)]
    monkeypatch.setattr(metrics, "gather_all_tensors", lambda sums, group: gathered)
    assert torch.stack(gather_padded(gathered[1])).tolist() == [[1, 2, 3], [4, 0, 0], [0, 0, 0]]
    assert WeightedMean().dist_sync_fn is gather_padded
