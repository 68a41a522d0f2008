"""What the diagnosis looks at, and when: each broken example gets the right name, and healthy ones none."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_padded_sequence

from seqsum import LSTMCell, Recurrent, RecurrentCell
from seqsum.cli import main
from seqsum.data import Batch, DigitRows, DigitSums, unlabelled
from seqsum.diagnosis import Diagnosis, callback, findings
from seqsum.diagnosis.findings import Finding
from seqsum.diagnosis.observation import (
    Onlooker,
    _look_inside,
    copy_weights,
    first_not_finite,
    gradient_norms,
    look_at_update,
    look_over_time,
    sized_matrices,
)
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Flatten, build_network
from seqsum.objectives import Classification, Objective, RunningSum
from tests.diagnosis.test_findings import name_of

BROKEN = Path(__file__).parents[2] / "configs/broken"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


class Given(Objective):
    """A loss that is the mean of the targets."""

    def loss(self, outputs, batch):
        return batch.targets.mean()

    def answers(self, outputs, batch):
        return outputs.squeeze(-1)


def test_losses_are_compared_with_those_of_sequences_of_about_the_same_length():
    diagnosis, found = Diagnosis(), []
    for step, (length, loss) in enumerate([(4, 1.0), (5, 9.0), (8, 50.0), (8, 450.0), (8, 501.0), (4, 501.0)]):
        batch = unlabelled(torch.zeros(2, length))._replace(targets=torch.full((2, length), loss))
        diagnosis.onlooker.outputs, diagnosis.onlooker.batch = torch.zeros(2, length, 1), batch
        found.append(name_of(diagnosis._look_at_answers(Given(), step)))
    assert found == [None] * 4 + ["loss diverges"] * 2


def make_module(cell="lstm", **arguments):
    torch.manual_seed(0)
    encoder = ConvEncoder((4, 8), activation="relu", dropout=0.3)
    return SequenceModule(**{"cell": cell, "hidden_size": 16, "encoder": encoder, "num_layers": 2, **arguments})


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "torch_lstm"])
def test_gradient_norms_match_the_jacobian(cell):
    network = make_module(cell).double().network
    features = torch.randn(3, 5, 128, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: network.head(network.recurrence(x)[0])[:, -1, 0], features)
    expected = torch.stack([jacobian[b, b] for b in range(3)]).norm(dim=-1)  # (B, T)
    assert torch.allclose(gradient_norms(network, features).double(), expected)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_gradient_norms_end_at_the_last_valid_step():
    network = make_module().network
    features = torch.randn(2, 5, 128)
    mask = torch.arange(5) < torch.tensor([[3], [5]])
    norms = gradient_norms(network, features.clone(), mask)
    assert torch.allclose(norms[0, :3], gradient_norms(network, features[:1, :3].clone())[0])
    assert torch.allclose(norms[1], gradient_norms(network, features[1:].clone())[0])
    assert norms[0, 3:].tolist() == [0, 0]


def test_gradient_norms_are_those_of_a_sequence_without_its_masked_steps():
    network = make_module().network
    features, valid = torch.randn(1, 5, 128), [0, 1, 3]
    norms = gradient_norms(network, features.clone(), torch.tensor([[True, True, False, True, False]]))
    assert torch.allclose(norms[:, valid], gradient_norms(network, features[:, valid]))
    assert norms[0, [2, 4]].tolist() == [0, 0]


def test_features_may_be_of_a_lower_precision():
    assert list(look_over_time(make_module().network, torch.randn(8, 4, 128).bfloat16(), None)) == []


@pytest.mark.parametrize(("share", "name"), [(0.96, None), (0.98, "saturated units")])
def test_gates_may_close_for_longer_than_units_may_saturate(share, name):
    gates = torch.where(torch.arange(100.0) < 100 * share, 0.0, 0.5).expand(3, 4, -1)
    found = [finding.name for _, finding in _look_inside(LSTMCell(2, 100), {"cell.output_gate_l0": gates}, None)]
    assert found == ([name] if name else [])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_saturated_gates_are_named(cell):
    network = make_module(cell).network
    features = torch.randn(8, 4, 128)
    assert list(look_over_time(network, features.clone(), None)) == []
    gate, rows = ("forget_gate", slice(16, 32)) if cell == "lstm" else ("reset_gate", slice(0, 16))
    with torch.no_grad():
        network.recurrence.cells[1].bias_ih[rows] += 20
    assert list(look_over_time(network, features.clone(), None)) == [], "gradients pass through an open gate"
    with torch.no_grad():
        network.recurrence.cells[1].bias_ih[rows] -= 40
    found = [(layer, finding.name) for layer, finding in look_over_time(network, features.clone(), None)]
    assert found == [(f"network.recurrence.{gate}_l1", "saturated units")]


def test_a_first_window_may_be_all_padding():
    mask = torch.zeros(8, 4, dtype=torch.bool)
    assert list(look_over_time(make_module().network, torch.randn(8, 4, 128), mask)) == []


@pytest.mark.parametrize(
    ("scale", "words"), [(0.9, None), (2.0, "times as large"), (10.0, "overflows on its way back to the first of 200 ")]
)
def test_gradients_that_explode_beyond_all_numbers_are_named(scale, words):
    torch.manual_seed(0)
    network = build_network(1, encoder=Flatten(8), cell="rnn", hidden_size=64)
    nn.init.normal_(network.recurrence.cells[0].weight_hh, std=scale / 8)
    found = [finding for _, finding in look_over_time(network, torch.randn(8, 200, 8), None)]
    assert [finding.name for finding in found] == (["exploding gradients"] if words else [])
    assert words is None or words in found[0].words


def test_dead_units_of_the_encoder_are_named():
    network = make_module().network
    onlooker = Onlooker()
    for bias, expected in ((0.0, []), (-1e3, [("network.encoder.module.layers.5", "dead units")])):
        with torch.no_grad():
            network.encoder.module.layers[4].bias.fill_(bias)
        onlooker.start(network)
        network(unlabelled(torch.randn(8, 4, 1, 28, 28)))
        onlooker.stop()
        assert [(layer, finding.name) for layer, finding in onlooker.found] == expected
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_the_first_that_is_not_finite_is_named():
    images = torch.randn(2, 3, 1, 28, 28)
    network = make_module().network
    with torch.no_grad():
        network.recurrence.cells[1].weight_hh[0, 0] = torch.nan
    assert first_not_finite(network, unlabelled(images))[0] == "network.recurrence.cells.1.weight_hh"
    network = make_module().network
    network.encoder.module.layers[4].register_forward_hook(lambda *_: _[2] / 0)
    assert first_not_finite(network, unlabelled(images))[0] == "network.encoder.module.layers.4"
    assert first_not_finite(make_module().network, unlabelled(images))[0] == "loss"
    assert first_not_finite(network, unlabelled(images * torch.inf))[0] == "inputs"
    padded, mask = images.clone(), torch.tensor([[True, True, False]] * 2)
    padded[~mask] = torch.nan
    assert first_not_finite(make_module().network, Batch(padded, torch.zeros(2, 3), mask))[0] == "loss"
    targets, scored = torch.tensor([[1.0, torch.nan, 0.0]] * 2), torch.tensor([[True, False, True]] * 2)
    batch = unlabelled(images)._replace(targets=targets)
    assert first_not_finite(make_module().network, batch)[0] == "targets"
    assert first_not_finite(make_module().network, batch._replace(target_mask=scored))[0] == "loss"


class Reservoir(RecurrentCell):
    """An echo state network: only what reads it learns."""

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return input.mean(-1, keepdim=True) * torch.ones(self.hidden_size)

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = torch.tanh(0.9 * state[0].roll(1, -1) + projected)
        return hidden, [hidden]


class Turned(RecurrentCell):
    """Its first weight is of complex numbers."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.turn = nn.Parameter(torch.randn(hidden_size, dtype=torch.complex64))
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return self.read(input)

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = torch.tanh((state[0] * self.turn).real + projected)
        return hidden, [hidden]


def test_the_first_weight_may_be_complex():
    network = build_network(1, encoder=Flatten(3))
    network.recurrence = Recurrent(Turned(3, 128), batch_first=True)
    assert list(look_over_time(network, torch.randn(2, 6, 3), None)) == []


def test_a_recurrence_may_have_no_weights():
    network = build_network(1, encoder=Flatten(3))
    network.recurrence = Recurrent(Reservoir(3, 128), batch_first=True)
    assert list(look_over_time(network, torch.randn(2, 6, 3), None)) == []


def fit(module, root, folder, steps, *callbacks, data=None):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(
        accelerator="cpu", devices=1, default_root_dir=folder, max_steps=steps, limit_val_batches=0, logger=False,
        callbacks=list(callbacks), **quiet,
    )  # fmt: skip
    trainer.fit(module, data or DigitSums(dataset="mnist", root=str(root), batch_size=8, sequence_length=3))
    return trainer


@pytest.mark.parametrize("cell", ["lstm", "torch_gru"])
def test_a_training_is_the_same_with_and_without(tmp_path, mnist_root, cell):
    results = []
    for callbacks in ([], [Diagnosis(every_n_steps=2)]):
        module = make_module(cell)
        module.network.recurrence.dropout = 0.3  # draws random numbers where the diagnosis runs it again
        fit(module, mnist_root, tmp_path, 7, *callbacks)
        results.append((module.state_dict(), torch.get_rng_state()))
    assert torch.equal(results[0][1], results[1][1])
    assert all(torch.equal(tensor, results[1][0][name]) for name, tensor in results[0][0].items())


class Normed(nn.Module):
    """A head with batch normalisation and a count of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(16), nn.Linear(16, 1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, outputs):
        self.calls += 1
        return self.linear(self.norm(outputs.flatten(0, 1))).unflatten(0, outputs.shape[:2])


class NormedCell(LSTMCell):
    """Batch normalisation of what a step reads of its input."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(input_size)

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return super().project(self.norm(input.flatten(0, -2)).view_as(input))


@pytest.mark.parametrize("truncate", [None, 2])
def test_statistics_are_the_same_with_and_without(tmp_path, mnist_root, truncate):
    results = []
    for callbacks in ([], [Diagnosis(every_n_steps=1)]):
        module = make_module(f"{__name__}.NormedCell", num_layers=1, truncate=truncate, backend="eager")
        module.network.head = Normed()
        fit(module, mnist_root, tmp_path, 4, *callbacks)
        results.append(module.state_dict())
    assert all(torch.equal(tensor, results[1][name]) for name, tensor in results[0].items())
    assert results[0]["network.head.calls"] == 4 * (1 if truncate is None else 2)


@pytest.mark.parametrize("objective", ["sums", "classes"])
def test_only_numbers_can_be_too_much_alike(tmp_path, mnist_root, objective, capfd, monkeypatch):
    """An untrained network gives the same answer to all sequences: a fault for sums, but not for classes."""
    monkeypatch.setattr(Diagnosis, "settled", 1)
    data = None
    if objective == "classes":
        data = DigitRows("mnist", str(mnist_root), batch_size=8)
        module = make_module(encoder=Flatten(28), objective=Classification(), learning_rate=1e-8)
    else:
        module = make_module(learning_rate=1e-8)
    nn.init.normal_(module.network.head.weight, std=1e-3)
    fit(module, mnist_root, tmp_path, 3, Diagnosis(every_n_steps=1), data=data)
    found = {"predictions out of reach of the targets"} if objective == "sums" else set()
    assert names_said(capfd.readouterr().out) == found


def test_the_first_window_is_enough(tmp_path, mnist_root, capfd):
    """With truncated backpropagation through time, only the first window is checked."""
    data = DigitSums("mnist", str(mnist_root), sequence_length=5, batch_size=8)
    fit(make_module(truncate=3), mnist_root, tmp_path, 3, Diagnosis(every_n_steps=1), data=data)
    assert names_said(capfd.readouterr().out) == set()


class Spoil(Callback):
    """Set a weight to infinity after a step."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == 3:
            nn.init.constant_(pl_module.network.head.weight, torch.inf)


@pytest.mark.parametrize("every_n_steps", [1, 3])
def test_a_loss_that_is_not_finite_is_left_to_another(tmp_path, mnist_root, every_n_steps):
    diagnosis = Diagnosis(every_n_steps)
    fit(make_module(), mnist_root, tmp_path, 6, diagnosis, Spoil())
    assert diagnosis.said == []


class Gained(nn.Module):
    """A head whose outputs are scaled by 1 plus a matrix that starts at zero."""

    def __init__(self, head):
        super().__init__()
        self.head = head
        self.gain = nn.Parameter(torch.zeros(1, head.out_features))

    def forward(self, features):
        return self.head(features) * (1 + self.gain)


@pytest.mark.parametrize(("start", "found"), [(0.0, set()), (1.0, {"learning rate too large"})])
def test_weights_that_start_at_zero_may_grow(tmp_path, mnist_root, capfd, start, found):
    module = make_module(learning_rate=1.0, schedule="constant").requires_grad_(False)
    module.network.head = Gained(module.network.head)
    nn.init.constant_(module.network.head.gain, start)
    fit(module, mnist_root, tmp_path, 4, Diagnosis(every_n_steps=1))
    assert names_said(capfd.readouterr().out) == found


def test_each_fault_is_said_once(tmp_path, mnist_root, capfd):
    module = make_module()
    with torch.no_grad():
        module.network.encoder.module.layers[4].bias.fill_(-1e3)
    fit(module, mnist_root, tmp_path, 5, Diagnosis(every_n_steps=1))
    assert capfd.readouterr().out.count("Diagnosis: dead units (network.encoder.module.layers.5, ") == 1


def test_every_n_steps_must_not_be_negative():
    with pytest.raises(ValueError, match=r"`--diagnosis.every_n_steps` \(=-1\) must be at least 0"):
        Diagnosis(every_n_steps=-1)


def names_said(printed):
    return set(re.findall(r"Diagnosis: (.+?) \(", printed))


def run_small(mnist_root, *flags):
    # fmt: off
    small = ["--data.batch_size=20", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false",
             "--trainer.accelerator=cpu", "--trainer.enable_checkpointing=false", "--trainer.log_every_n_steps=1",
             "--tensorboard.figures_every_n_epochs=0"]
    # fmt: on
    main(["fit", *flags, *small, f"--data.root={mnist_root}", "--data.dataset=mnist"])


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("bad_initialisation", "exploding gradients"),
        ("unscaled_input", "inputs not normalised"),
        ("saturating_activations", "saturated units"),
        ("wrong_loss", "wrong loss"),
        ("learning_rate", "learning rate too large"),
    ],
)
def test_broken_configurations_are_caught(mnist_root, tmp_path, monkeypatch, capfd, config, name):
    monkeypatch.chdir(tmp_path)
    path = BROKEN / f"{config}.yaml"
    header = path.read_text().split("\n\n")[0]
    assert f"python train.py -c configs/broken/{path.name}" in header, "its header says how to run it"
    assert f'"{name}' in header, "its header says what the diagnosis says"
    run_small(mnist_root, "-c", str(path), "--trainer.max_steps=12")
    assert names_said(capfd.readouterr().out) == {name}
    events = EventAccumulator(str(tmp_path / f"logs/{config}/version_0")).Reload()
    assert "diagnosis/text_summary" in events.Tags()["tensors"]


def test_it_can_be_switched_off(mnist_root, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    config = ["-c", str(BROKEN / "learning_rate.yaml"), "--trainer.max_steps=3", "--trainer.logger=false"]
    run_small(mnist_root, *config, "--diagnosis.every_n_steps=0")
    assert "Diagnosis" not in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--trainer.max_steps=201", "--data.sequence_length=2", "--model.encoder.channels=[4,8]"],
        ["--trainer.max_steps=5", "--data.sequence_length=8", "--model.cell=rnn", "--model.num_layers=2"],
        ["--trainer.max_steps=5", "--model.cell=torch_gru", "--trainer.precision=bf16-mixed"],
    ],
)
def test_healthy_runs_raise_no_alarm(mnist_root, tmp_path, monkeypatch, capfd, flags):
    monkeypatch.chdir(tmp_path)
    run_small(mnist_root, "--model.hidden_size=32", "--trainer.logger=false", *flags)
    assert "Diagnosis" not in capfd.readouterr().out


def test_weights_that_are_pruned_later_are_passed_over():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    names = sized_matrices(network)
    prune.l1_unstructured(network[0], "weight", amount=0.5)
    assert [*copy_weights(network, names)] == ["network.1.weight"]


def test_outputs_that_are_none_are_refused_as_without_an_onlooker():
    class Two(nn.Module):
        def forward(self, batch):
            return batch.inputs, batch.inputs

    onlooker, network = Onlooker(), Two()
    onlooker.start(network)
    with pytest.raises(InputError, match=r"^the network's outputs \(=tuple\) must be a tensor or `ScoredSteps`$"):
        network(unlabelled(torch.zeros(2, 3, 1)))


def test_scores_that_are_infinite_beside_a_result_are_no_fault():
    class Attends(nn.Module):
        def forward(self, values):
            scores = (values @ values.mT).masked_fill(torch.ones(3, 3).triu(1).bool(), -torch.inf)
            return scores.softmax(-1) @ values, scores

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.attends, self.head = Attends(), nn.Identity()

        def forward(self, batch):
            return self.head(self.attends(batch.inputs)[0] / 0)

    assert first_not_finite(Own(), Batch(torch.ones(2, 3, 1), torch.ones(2, 3)))[0] == "network.head"


class Packs(nn.Module):
    """A part that gives its values in some form, and nothing else."""

    def __init__(self, form, spoils):
        super().__init__()
        self.form, self.spoils = form, spoils

    def forward(self, values):
        return self.form(values * torch.nan if self.spoils else values)


FORMS = {
    "a mapping": lambda values: {"values": values, "length": 3},
    "nothing": lambda values: None,
    "an empty tuple": lambda values: (),
    "a tuple in a list": lambda values: [(torch.zeros(1), values)],
    "its second value": lambda values: (None, values),
    "a packed sequence": lambda values: pack_padded_sequence(values, [3, 3], batch_first=True),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spoils", [False, True])
def test_the_part_that_is_not_finite_is_found_whatever_parts_return(form, spoils):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.head = Packs(FORMS[form], spoils), nn.Identity()

        def forward(self, batch):
            self.part(batch.inputs)
            return self.head(batch.inputs / 0)

    carries = form not in ("nothing", "an empty tuple")
    batch = Batch(torch.ones(2, 3, 1), torch.ones(2, 3))
    expected = "network.part" if spoils and carries else "network.head"
    assert first_not_finite(Own(), batch)[0] == expected


def test_the_largest_change_of_all_weights_is_the_one_that_counts():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    before = copy_weights(network, sized_matrices(network))
    network[1].weight.data *= 9
    (found,) = look_at_update(network, before)
    assert found[0] == "network.1.weight"


def test_of_windows_the_first_is_looked_into(monkeypatch):
    torch.manual_seed(0)
    module = SimpleNamespace(
        objective=RunningSum(), network=build_network(1, encoder=Flatten(3), hidden_size=4, truncate=2)
    )
    inputs, mask = torch.randn(5, 4, 3), torch.tensor([[True, True, False, False]]).expand(5, -1)
    seen = []
    monkeypatch.setattr(callback, "module_of", lambda _: module)
    monkeypatch.setattr(callback, "look_over_time", lambda _, *found: seen.append(found) or ())
    diagnosis, batch = Diagnosis(), Batch(inputs, torch.randn(5, 4), mask)
    diagnosis.batch = batch
    diagnosis.onlooker.start(module.network)
    module.network(batch)
    diagnosis.onlooker.stop()
    assert list(diagnosis._look(SimpleNamespace(global_step=0), None)) == []
    ((features, of_features),) = seen
    assert torch.equal(features, module.network.encoder(inputs, mask)[:, :2])
    assert torch.equal(of_features, mask[:, :2])


def test_only_scored_answers_are_compared_with_targets():
    objective, diagnosis = RunningSum(), Diagnosis()
    targets, outputs = torch.arange(12.0).view(3, 4), torch.arange(12.0).view(3, 4, 1)
    mask = torch.tensor([[True, True, False, False]]).expand(3, -1)
    outputs[:, :2] = 3.0
    diagnosis.onlooker.outputs, diagnosis.onlooker.batch = outputs, Batch(torch.zeros(3, 4, 2), targets, mask)
    assert diagnosis._look_at_answers(objective, diagnosis.settled).name == findings.FLAT_PREDICTIONS


def test_a_second_training_begins_anew(monkeypatch):
    monkeypatch.setattr(callback, "module_of", lambda _: SimpleNamespace(network=nn.Linear(2, 2)))
    diagnosis = Diagnosis()
    diagnosis._say(SimpleNamespace(is_global_zero=False), "loss", Finding(findings.DIVERGING, "it diverges"), 3)
    diagnosis.first_loss, diagnosis.first_length = 0.1, 10
    assert diagnosis._is_hopeless()
    diagnosis.on_fit_start(None, None)
    assert not diagnosis._is_hopeless()
    assert (diagnosis.first_loss, diagnosis.first_length) == (0.0, 0)


def test_too_large_an_update_is_said_of_the_step_that_made_it(monkeypatch, capfd):
    network = nn.Linear(3, 3)
    monkeypatch.setattr(callback, "module_of", lambda _: SimpleNamespace(network=network))
    diagnosis = Diagnosis()
    diagnosis.looked, diagnosis.before = 4, copy_weights(network, ["network.weight"])
    network.weight.data *= 9
    diagnosis.on_train_batch_end(SimpleNamespace(is_global_zero=True, loggers=[], global_step=5), None)
    assert "(network.weight, step 4)" in capfd.readouterr().out


def test_the_steps_that_are_looked_at_are_told_by_the_interval(monkeypatch):
    module = SimpleNamespace(network=nn.Identity(), objective=RunningSum())
    monkeypatch.setattr(callback, "module_of", lambda _: module)
    diagnosis, seen = Diagnosis(every_n_steps=100), []

    def look(step):
        diagnosis.on_train_batch_start(SimpleNamespace(global_step=step), None, None, 0)
        if diagnosis.watches_step():
            seen.append(step)
        diagnosis.onlooker.stop()

    for step in range(301):
        look(step)
    assert seen == [0, 1, 2, 4, 8, 16, 32, 64, 100, 200, 300]
    diagnosis._say(SimpleNamespace(is_global_zero=False), "loss", Finding(findings.DIVERGING, "it diverges"), 300)
    look(400)
    assert seen[-1] == 300, "what comes later would only be a consequence"


def test_padding_has_no_scale(monkeypatch):
    monkeypatch.setattr(callback, "module_of", lambda _: SimpleNamespace(objective=None))
    monkeypatch.setattr(Diagnosis, "_look_at_answers", lambda *_: Finding("loss", "it is looked at next"))
    inputs, mask = torch.randn(8, 4, 3), torch.arange(4).expand(8, -1) < 3
    inputs[:, 3] = 1e3
    diagnosis, trainer = Diagnosis(), SimpleNamespace(global_step=0)
    diagnosis.onlooker.features = None
    for each, expected in ((None, findings.UNSCALED), (mask, "loss")):
        diagnosis.batch = Batch(inputs, torch.zeros(8, 4), each)
        assert [finding.name for _, finding in diagnosis._look(trainer, None)] == [expected]


@pytest.mark.parametrize(("lowest", "name"), [(0.0, "wrong loss"), (-9.0, None), (-4.0, "wrong loss")])
def test_an_objective_says_how_low_its_loss_may_be(lowest, name):
    objective, diagnosis = Given(), Diagnosis()
    objective.lowest_loss = lowest
    batch = unlabelled(torch.zeros(2, 4))._replace(targets=torch.full((2, 4), -5.0))
    diagnosis.onlooker.outputs, diagnosis.onlooker.batch = torch.zeros(2, 4, 1), batch
    assert name_of(diagnosis._look_at_answers(objective, 0)) == name


def test_a_fault_is_said_of_each_layer_that_has_it():
    diagnosis, finding = Diagnosis(), Finding("dead units", "all of them")
    for layer in ("network.a", "network.b", "network.a"):
        diagnosis._say(SimpleNamespace(is_global_zero=False), layer, finding, 3)
    assert [said.layer for said in diagnosis.said] == ["network.a", "network.b"]
