"""TensorBoard gets the right figures and histograms at the right times, and the training stays the same."""

from __future__ import annotations

import math
import random
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor, nn

from seqsum import RecurrentCell
from seqsum.callbacks import Pictures, RunRecord, Scalars, TestReport, intervals
from seqsum.callbacks.histograms import add_histograms
from seqsum.data import DigitSums
from seqsum.diagnosis import Diagnosis, FiniteLoss
from seqsum.objectives import running_sum_shown
from tests.callbacks.conftest import events

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`"),
]


class LightUnit(RecurrentCell):
    """A user's own cell, without gate names."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)
        self.recall = nn.Linear(hidden_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(projected + self.recall(state[0]))
        return hidden, [hidden]


@pytest.fixture
def drawn(monkeypatch):
    """Record the arguments of each call of `plot_all`, and draw nothing."""
    calls = []

    def record(*arguments):
        calls.append(arguments)
        return {"nothing": Figure(figsize=(0.1, 0.1))}

    monkeypatch.setattr(running_sum_shown, "plot_all", record)
    return calls


def test_figures_and_histograms_of_each_epoch(make_run, tmp_path):
    trainer, module, data = make_run([Pictures(1, 1)], TensorBoardLogger(tmp_path))
    trainer.fit(module, data)
    found = events(trainer.logger.log_dir)
    names = ("sums", "errors", "predictions", "confusion", "gates_l0", "number_line")
    assert set(found.Tags()["images"]) == {f"figures/{name}" for name in names}
    for name in names:
        assert [image.step for image in found.Images(f"figures/{name}")] == [0, 3, 6], "before, and after both epochs"
    histograms = set(found.Tags()["histograms"])
    weights = [name for name, _ in module.network.named_parameters()]
    gates = ("input_gate", "forget_gate", "cell_update", "output_gate", "hidden", "cell_state")
    assert histograms == {f"{group}/{name}" for group in ("weights", "gradients") for name in weights} | {
        f"activations/{name}" for name in ("outputs", *(f"{gate}_l0" for gate in gates))
    }
    assert [histogram.step for histogram in found.Histograms("weights/head.weight")] == [0, 3, 6]
    assert [histogram.step for histogram in found.Histograms("gradients/head.weight")] == [2, 5], "of the last steps"
    last = found.Histograms("weights/recurrence.cells.0.weight_hh")[-1].histogram_value
    assert last.num == 4 * 8 * 8
    assert last.max == pytest.approx(module.network.recurrence.cells[0].weight_hh.max().item())


def test_an_epoch_that_was_resumed_within_is_shown_too(make_run, tmp_path):
    class StopWithin(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 4:
                trainer.save_checkpoint(tmp_path / "within.ckpt")
                raise RuntimeError("interrupted")

    trainer, module, data = make_run([Pictures(1, 1), StopWithin()], TensorBoardLogger(tmp_path))
    with pytest.raises(RuntimeError, match="interrupted"):
        trainer.fit(module, data)
    trainer, module, data = make_run([Pictures(1, 1)], TensorBoardLogger(tmp_path))
    trainer.fit(module, data, ckpt_path=tmp_path / "within.ckpt")
    found = events(trainer.logger.log_dir)
    assert [image.step for image in found.Images("figures/sums")] == [6]
    assert [histogram.step for histogram in found.Histograms("weights/head.weight")] == [6]
    assert [histogram.step for histogram in found.Histograms("gradients/head.weight")] == [5]


def test_same_sequences_each_time_and_all_predictions(make_run, tmp_path, drawn):
    trainer, module, data = make_run([Pictures(1, 0)], TensorBoardLogger(tmp_path))
    trainer.fit(module, data)
    assert len(drawn) == 3
    for images, recorded, predictions, targets, operation, mask in drawn:
        assert torch.equal(images, drawn[0][0])
        assert torch.equal(targets, drawn[0][3])
        assert images.shape == (8, 4, 28, 28)
        assert recorded["input_gate_l0"].shape == recorded["outputs"].shape == (8, 4, 8)
        assert predictions.shape == targets.shape == (16, 4), "of both batches"
        assert (operation, mask) == ("alternating", None)
    with torch.inference_mode():
        batches = [data.gather(batch) for batch, _ in zip(data.val_dataloader(), range(2), strict=False)]
        outputs = torch.cat([module.eval()(batch) for batch in batches]).squeeze(-1)
        assert torch.allclose(drawn[-1][2], outputs, atol=1e-6)
        assert torch.equal(drawn[-1][3], torch.cat([batch.targets for batch in batches]))
        states = drawn[-1][1]["outputs"]
        assert torch.allclose(module.network.head(states).squeeze(-1), outputs[:8], atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "layers", "names"),
    [
        ("torch_lstm", 1, set()),
        ("rnn", 2, {"hidden_l0", "hidden_l1"}),
        ("gru", 1, {"reset_gate_l0", "update_gate_l0", "candidate_l0", "hidden_l0"}),
        (f"{__name__}.LightUnit", 1, {"hidden_l0"}),
    ],
)
def test_cells_show_what_they_have(make_run, tmp_path, drawn, cell, layers, names):
    settings = {"cell": cell, "num_layers": layers}
    trainer, module, data = make_run([Pictures(1, 0)], TensorBoardLogger(tmp_path), module=settings)
    trainer.validate(module, data, verbose=False)
    assert drawn[0][1].keys() == {"outputs"} | names


def test_lengths_and_operations_are_those_of_the_data(make_run, tmp_path, drawn):
    data = {"sequence_length": (2, 5), "operation": "sum"}
    trainer, module, data = make_run([Pictures(1, 0)], TensorBoardLogger(tmp_path), data=data)
    trainer.fit(module, data)
    assert {(call[0].shape[1], call[3].shape[1], call[4]) for call in drawn} == {(5, 5, "sum")}


def test_intervals(make_run, tmp_path, drawn):
    callback = Pictures(figures_every_n_epochs=2, histograms_every_n_epochs=3)
    trainer, module, data = make_run([callback], TensorBoardLogger(tmp_path), max_epochs=4)
    trainer.fit(module, data)
    found = events(trainer.logger.log_dir)
    assert [image.step for image in found.Images("figures/nothing")] == [0, 6, 12]
    assert [histogram.step for histogram in found.Histograms("weights/head.bias")] == [0, 9]
    assert [histogram.step for histogram in found.Histograms("gradients/head.bias")] == [8]


def test_never(make_run, tmp_path, drawn):
    trainer, module, data = make_run([Pictures(0, 0)], TensorBoardLogger(tmp_path))
    trainer.fit(module, data)
    assert drawn == []
    assert events(trainer.logger.log_dir).Tags()["histograms"] == []


@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        ({"max_epochs": 5}, [1, 5]),
        ({"max_epochs": 9, "max_steps": 12}, [1, 4]),
        ({"max_epochs": 9, "max_steps": 14}, [1, 4]),
        ({"max_epochs": 9, "max_steps": 7, "accumulate_grad_batches": 2}, [1, 3]),
    ],
)
def test_by_default_slow_pictures_are_made_less_often_but_for_the_last(make_run, tmp_path, monkeypatch, limits, shown):
    """Epochs have three batches."""
    epochs = []

    def slow(*arguments):
        epochs.append(trainer.current_epoch + 1)
        until = time.thread_time() + 0.3  # more than 2.5 % of all epochs together
        while time.thread_time() < until:
            pass
        return {}

    monkeypatch.setattr(running_sum_shown, "plot_all", slow)
    trainer, module, data = make_run([Pictures()], TensorBoardLogger(tmp_path), **limits, num_sanity_val_steps=0)
    trainer.fit(module, data)
    assert epochs == shown


def test_by_default_quick_pictures_are_made_each_epoch(make_run, tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(intervals, "SHARE", 1.0)
    trainer, module, data = make_run([Pictures()], TensorBoardLogger(tmp_path))
    trainer.fit(module, data)
    assert len(drawn) == 3


def test_negative_intervals_are_refused():
    with pytest.raises(ValueError, match=r"`--tensorboard.histograms_every_n_epochs` \(=-1\) must be at least 0"):
        Pictures(histograms_every_n_epochs=-1)


@pytest.mark.parametrize("with_csv", [False, True])
def test_nothing_happens_without_a_tensorboard_logger(make_run, tmp_path, drawn, with_csv):
    callbacks = [Pictures(1, 1), RunRecord("", {})]
    trainer, module, data = make_run(callbacks, CSVLogger(tmp_path) if with_csv else False)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    assert drawn == []
    assert not list(tmp_path.rglob("*tfevents*"))
    assert not module.network.recurrence._forward_hooks


def train(make_run, tmp_path, watched):
    """Train for two epochs; return the weights and the next random numbers."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # the global one is what is watched
    callbacks = [Pictures(1, 1), Scalars(), RunRecord("settings", {})] if watched else []
    logger = TensorBoardLogger(tmp_path) if watched else False
    trainer, module, data = make_run(callbacks, logger, data={"batch_size": 20}, num_sanity_val_steps=int(watched))
    trainer.fit(module, data)
    generators = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    return module.state_dict(), trainer.optimizers[0].state_dict()["state"], generators


def test_training_is_the_same_to_the_bit_with_and_without(make_run, tmp_path):
    weights, moments, generators = train(make_run, tmp_path, watched=False)
    watched_weights, watched_moments, watched_generators = train(make_run, tmp_path, watched=True)
    assert all(torch.equal(weights[name], watched_weights[name]) for name in weights)
    assert all(torch.equal(moments[k]["exp_avg_sq"], watched_moments[k]["exp_avg_sq"]) for k in moments)
    assert generators == watched_generators


def test_an_interrupted_validation_leaves_no_trace_behind(make_run, tmp_path):
    class Interrupt(Callback):
        def on_validation_batch_start(self, trainer, *_):
            if not trainer.sanity_checking:
                raise RuntimeError("interrupted")

    trainer, module, data = make_run([Pictures(1, 1), Interrupt()], TensorBoardLogger(tmp_path))
    with pytest.raises(RuntimeError, match="interrupted"):
        trainer.fit(module, data)
    assert module.network.recurrence.recorder is None
    assert not module.network.recurrence._forward_hooks


def test_a_training_that_diverges_ends_as_without_pictures(make_run, tmp_path):
    trainer, module, data = make_run([Pictures(1, 1)], TensorBoardLogger(tmp_path), max_epochs=1)
    module.network.head.weight.data.fill_(torch.nan)  # as after a step that was too large
    trainer.fit(module, data)
    assert not torch.isfinite(module.network.head.weight).all()
    assert len(events(trainer.logger.log_dir).Images("figures/number_line")) == 2


def test_histograms_leave_out_what_cannot_be_counted(make_run, tmp_path):
    logger = TensorBoardLogger(tmp_path)
    trainer, _, _ = make_run([], logger)
    tensors = {
        "mixed": torch.tensor([1.0, torch.nan, 2.0, torch.inf, 1e30]),
        "none": torch.full((3,), torch.nan),
        "empty": torch.empty(0),
        "low": torch.tensor([1.0], dtype=torch.bfloat16),
    }
    add_histograms(trainer, "group", tensors.items())
    logger.experiment.flush()
    found = events(logger.log_dir)
    assert found.Tags()["histograms"] == ["group/mixed", "group/low"]
    assert found.Histograms("group/mixed")[0].histogram_value.num == 2


class Unequal(DigitSums):
    """Sequences and batches of different lengths, padded with NaN."""

    def gather(self, batch):
        made = super().gather(batch)
        steps = max(1, made.targets.shape[1] - int(batch.rows[0, 0]) % 2)
        made = made.map(lambda tensor: tensor[:, :steps])
        mask = torch.arange(steps) <= (batch.rows[batch.share][:, :1] % steps)
        unknown = ~mask.view(*mask.shape, 1, 1, 1)
        return made._replace(inputs=made.inputs.masked_fill(unknown, torch.nan), mask=mask, rows=batch.rows)


@pytest.mark.parametrize("module", [{}, {"cell": "torch_gru"}, {"cell": "gru", "truncate": 2}], ids=str)
def test_sequences_may_be_of_any_length_in_all_that_is_shown(make_run, mnist_root, tmp_path, module):
    """In training, validation and test, masked steps, which are NaN, don't appear in any figure or histogram."""
    diagnosis, pictures = Diagnosis(every_n_steps=1), Pictures(1, 1)
    callbacks = [pictures, diagnosis, FiniteLoss(), Scalars(), RunRecord("", {}), TestReport("unequal", 0)]
    logger = TensorBoardLogger(tmp_path)
    trainer, module, _ = make_run(callbacks, logger, module=module, limit_val_batches=4, num_sanity_val_steps=0)
    data = Unequal("mnist", str(mnist_root), sequence_length=4, batch_size=8)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    found = events(logger.log_dir)
    assert {"figures/sums", "figures/errors", "figures/confusion"} <= set(found.Tags()["images"])
    assert all(math.isfinite(value) for name, value in trainer.callback_metrics.items() if name.startswith("test/"))
    assert all(weight.isfinite().all() for weight in module.parameters())
    assert not {said.name for said in diagnosis.said} & {"inputs not normalised", "wrong loss"}
    assert (tmp_path / logger.log_dir / "test_sequences.png").is_file()


def test_a_second_prediction_shows_its_own_input_alone(monkeypatch):
    pictures = Pictures()
    for _ in range(2):
        pictures.on_predict_start(None, None)
        pictures.on_predict_batch_end(None, None, torch.zeros(1), None)
    assert len(pictures.predicted) == 1


def test_the_clock_starts_with_the_training(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("seqsum.callbacks.intervals.time.thread_time", lambda: now[0])
    pictures = Pictures()
    now[0] = 50
    with pictures.intervals.timed():
        now[0] += 1
    monkeypatch.setattr("seqsum.callbacks.pictures.tensorboard_writers", lambda _: [])
    lengths = {"current_epoch": 0, "max_epochs": 1, "global_step": 0, "max_steps": -1, "num_training_batches": 1}
    pictures.on_train_start(SimpleNamespace(**lengths, accumulate_grad_batches=1), None)
    assert (pictures.intervals.started, pictures.intervals.spent) == (51, 0)
