"""TensorBoard gets a run's settings, test metrics and network graph."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.tensorboard import SummaryWriter, summary

from seqsum.callbacks import RunRecord
from seqsum.callbacks.record import add_graph, charts
from seqsum.data.base import unlabelled
from seqsum.networks import ConvEncoder, Flatten, SequenceNetwork, build_network, build_recurrence
from tests.callbacks.conftest import events, hparams

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")

METRICS = {f"test/{name}" for name in ("loss", "exact_step", "exact_final", "mae")}


@pytest.fixture
def run(make_run, tmp_path):
    """Train and test; return the run's folder and metrics."""
    record = RunRecord("model:\n  hidden_size: 8\n", {"model.hidden_size": 8, "model.cell": "lstm", "ckpt_path": None})
    trainer, module, data = make_run([record], TensorBoardLogger(tmp_path), max_epochs=1)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    return trainer.logger.log_dir, {name: value.item() for name, value in trainer.callback_metrics.items()}


def test_runs_compare_by_settings_and_test_metrics(run):
    folder, metrics = run
    found = hparams(folder)
    settings = found["session_start_info"].session_start_info.hparams
    assert settings["model.hidden_size"].number_value == 8
    assert settings["model.cell"].string_value == "lstm"
    assert {info.name.tag for info in found["experiment"].experiment.metric_infos} == METRICS
    scalars = events(folder)
    for name in METRICS:
        assert scalars.Scalars(name)[-1].value == pytest.approx(metrics[name]), "where the tab looks for it"


def test_the_last_of_several_files_counts_whatever_its_number(tmp_path):
    """A process counts the files of events that it writes: behind other tests, a run's two may be the 9th and 10th."""
    for number in range(12):
        with SummaryWriter(str(tmp_path)) as writer:
            for message in summary.hparams({"number": number}, {}):
                writer.file_writer.add_summary(message)
    settings = hparams(tmp_path)["session_start_info"].session_start_info.hparams
    assert settings["number"].number_value == 11


def test_configuration_is_there_as_text(run):
    found = events(run[0])
    text = found.Tensors("configuration/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text == "    model:\n      hidden_size: 8\n", "indented, so code"
    assert "custom_scalars__config__" in found.Tags()["tensors"]


def test_graph_shows_the_parts_of_the_network(run):
    names = [node.name for node in events(run[0]).Graph().node]
    for part in (
        "TimeDistributed[encoder]/ConvEncoder",
        "LSTM[recurrence]/ModuleList[cells]/LSTMCell[0]",
        "Linear[head]",
    ):
        assert any(part in name for name in names), part
    assert {name.split("/")[0] for name in names} == {"input", "Network", "output"}, "what one sees at first"


def make_network(cell="lstm", backend="auto"):
    torch.manual_seed(0)
    encoder = ConvEncoder((2, 4))
    return SequenceNetwork(encoder, build_recurrence(cell, 128, 8, 2, backend), nn.Linear(8, 1))


@pytest.mark.parametrize(
    ("cell", "backend"),
    [("lstm", "auto"), ("lstm", "bptt"), ("gru", "script"), ("rnn", "eager"), ("torch_gru", "auto")],
)
def test_graph_of_each_recurrence_leaves_the_network_as_it_was(tmp_path, cell, backend):
    network = make_network(cell, backend).train()
    network.encoder.eval()  # as where a part is frozen
    modes = [part.training for part in network.modules()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with SummaryWriter(str(tmp_path)) as writer:
        add_graph(writer, network, unlabelled(torch.randn(1, 3, 1, 28, 28)))
    assert events(tmp_path).Tags()["graph"]
    assert [part.training for part in network.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert getattr(network.recurrence, "backend", backend) == backend


def test_the_graph_runs_the_network_once_and_looks_once_at_an_image(tmp_path):
    class Counting(SequenceNetwork):
        runs = 0

        def forward(self, batch):
            Counting.runs += 1
            return super().forward(batch)

    nodes = []
    for views in (1, 3):
        network = Counting(ConvEncoder((2, 4), views=views), build_recurrence("lstm", 128, 8, 1), nn.Linear(8, 1))
        with SummaryWriter(str(tmp_path / str(views))) as writer:
            add_graph(writer, network, unlabelled(torch.zeros(1, 3, 1, 28, 28)))
        nodes.append(len(events(tmp_path / str(views)).Graph().node))
    assert Counting.runs == 2, "torch never gives the memory of a trace back"
    assert nodes[0] == nodes[1]


class Untraceable(nn.Module):
    def forward(self, inputs):
        return {"no": "tensor"}


class NotToBeCopied(nn.Module):
    def __deepcopy__(self, memo):
        raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol")


class Unregistered(nn.Module):
    """Torch prints the whole weight before it raises an error."""

    def __init__(self):
        super().__init__()
        self.parts = [nn.Linear(3, 300)]

    def forward(self, batch):
        return self.parts[0](batch.inputs)


@pytest.mark.parametrize("network", [Untraceable(), NotToBeCopied(), Unregistered()])
def test_a_network_that_cannot_be_traced_costs_only_its_graph(tmp_path, capfd, network):
    with SummaryWriter(str(tmp_path)) as writer, pytest.warns(UserWarning, match="no graph of the network"):
        add_graph(writer, network, unlabelled(torch.randn(1, 2, 3)))
    assert not events(tmp_path).Tags()["graph"]
    assert capfd.readouterr().out == ""


def test_each_training_has_the_graph(make_run, tmp_path):
    record = RunRecord("", {})
    for version in (0, 1):
        trainer, module, data = make_run([record], TensorBoardLogger(tmp_path, version=version), max_epochs=1)
        trainer.fit(module, data)
        assert events(trainer.logger.log_dir).Tags()["graph"]


def test_the_monitored_metric_is_shown_first(make_run, tmp_path):
    trainer, module, data = make_run([RunRecord("", {})], TensorBoardLogger(tmp_path))
    trainer.test(module, data, verbose=False)
    infos = hparams(trainer.logger.log_dir)["experiment"].experiment.metric_infos
    assert infos[0].name.tag == "test/exact_final"


def test_there_is_a_chart_for_each_metric_that_has_curves(make_run):
    _, module, _ = make_run([])
    assert charts(module)["metrics by step"].keys() == {"exact_step", "mae"}


def test_the_graph_has_few_steps_however_long_the_sequences(tmp_path):
    network = build_network(1, encoder=Flatten(3), hidden_size=2)
    nodes = []
    for steps in (3, 30):
        with SummaryWriter(str(tmp_path / str(steps))) as writer:
            add_graph(writer, network, unlabelled(torch.zeros(2, steps, 3)))
        nodes.append(len(events(tmp_path / str(steps)).Graph().node))
    assert nodes[0] == nodes[1]
