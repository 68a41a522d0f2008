"""The next sample: squared error at every step, and what is shown of curves that are continued."""

import pytest
import torch
from torch.nn import functional as F

from seqsum.data import SineCurves, unlabelled
from seqsum.data.sine_curves import sine
from seqsum.objectives import Evaluation, NextSample, Prediction, next_sample_shown
from seqsum.objectives.next_sample_shown import GIVEN
from tests.drawn import draw_nothing
from tests.objectives.batches import labelled


def test_loss_and_metrics_are_torch_s():
    torch.manual_seed(0)
    outputs, targets = torch.randn(4, 7, 1, requires_grad=True), torch.randn(4, 7)
    objective = NextSample()
    loss = objective.loss(outputs, labelled(targets))
    torch.testing.assert_close(loss.float(), F.mse_loss(outputs[..., 0], targets))
    metrics = objective.metrics()
    metrics.update(outputs[:1], targets[:1])
    metrics.update(outputs[1:], targets[1:])
    found = metrics.compute()
    torch.testing.assert_close(found["mse"], loss.detach().float())
    torch.testing.assert_close(found["mae"], F.l1_loss(outputs.detach()[..., 0], targets))
    loss.backward()
    assert (outputs.grad != 0).all()


def test_masked_steps_do_not_count():
    outputs, targets = torch.zeros(1, 3, 1), torch.tensor([[1.0, 2.0, 100.0]])
    mask = torch.tensor([[True, True, False]])
    assert NextSample().loss(outputs, labelled(targets, mask)) == pytest.approx(2.5)


def test_a_horizon_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"`horizon` \(=0\) must be at least 1"):
        NextSample(horizon=0)


class Counts(torch.nn.Module):
    """Predicts that each sample is one more than that before it."""

    def run(self, inputs, state=None, *, mask=None):
        return inputs + 1, ()


@pytest.mark.parametrize(("split", "name"), [("val", "continuations"), ("test", "test_continuations")])
def test_curves_from_the_shortest_period_to_the_longest_go_on_where_they_end(monkeypatch, split, name):
    draw_nothing(monkeypatch, next_sample_shown, "plot_continuations")
    batch = unlabelled(torch.zeros(1, 1, 1))
    evaluation = Evaluation(split, Counts(), SineCurves(periods=(8.0, 40.0)), batch, [batch], [])
    given = NextSample(horizon=3).figures(evaluation)[name].given
    assert given.truth.shape == (4, GIVEN + 3)
    assert torch.equal(given.given, given.truth[:, :GIVEN])
    torch.testing.assert_close(given.continued["network"], given.given[:, -1:] + torch.arange(1, 4))
    assert given.titles == [f"period {period} steps" for period in ("8.0", "10.9", "17.1", "40.0")]
    expected = sine(torch.tensor([1 / 8, 1 / 40]), torch.tensor([0, 0.75]), GIVEN + 3)
    torch.testing.assert_close(given.truth[[0, -1]], expected)


def test_a_users_curve_goes_on_from_its_last_sample_in_the_figure_and_in_the_file(monkeypatch):
    draw_nothing(monkeypatch, next_sample_shown, "plot_continuations")
    batch, objective = unlabelled(torch.tensor([[[0.5], [0.25], [-0.75]]])), NextSample(horizon=2)
    shown = objective.show(Prediction(Counts(), SineCurves(), [batch], [objective.predict(Counts(), batch)]))
    given = shown.figures["continuation"].given
    assert given.given.tolist() == [[0.5, 0.25, -0.75]]
    assert given.continued["network"].tolist() == [[0.25, 1.25]]
    assert shown.files["continuation.csv"] == "step,sample\n4,0.25\n5,1.25\n"
    assert shown.lines == ["Continued 3 samples by 2."]
