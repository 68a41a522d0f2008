"""The notebook of the tour runs as it stands, on a small stand-in for MNIST, and what it says is true."""

from __future__ import annotations

import ast
import base64
import io
import re

import nbformat
import pytest
import torch
from make_tour import TOUR, execute
from PIL import Image
from torch import nn

from seqsum.data import DigitSums, load_splits, scan_targets
from seqsum.data.digit_sums import scale
from seqsum.networks import ConvEncoder

pytestmark = [
    # of jupyter_client and zmq, in their own code
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq"),
]
EPOCHS = "EPOCHS = 4"
runs = pytest.mark.slow  # a kernel's start takes as long as what it runs


@pytest.fixture(scope="module")
def ran(tmp_path_factory, mnist_root):
    """The folder in which the tour ran, of one epoch, and what each cell printed or showed, by its id."""
    notebook, folder = nbformat.read(TOUR, as_version=4), tmp_path_factory.mktemp("tour")
    parameters = notebook.cells[1]
    assert parameters.metadata.tags == ["parameters"]
    assert EPOCHS in parameters.source
    parameters.source = parameters.source.replace(EPOCHS, "EPOCHS = 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEQSUM_DATA", str(mnist_root))
        execute(notebook, folder)
    return folder, notebook


@pytest.fixture
def printed(ran):
    """All that was printed, as one text."""
    streams = [out for cell in ran[1].cells for out in cell.get("outputs", []) if out.output_type == "stream"]
    assert {stream.name for stream in streams} == {"stdout"}, "no warnings"
    return "\n".join(stream.text for stream in streams)


def found(pattern, text):
    (match,) = re.findall(pattern, text, flags=re.MULTILINE)
    return match


@runs
def test_targets_are_the_alternating_sums_of_the_digits(printed):
    digits = torch.tensor(ast.literal_eval(found(r"digits +(\[.+\])", printed)))
    assert ast.literal_eval(found(r"targets +(\[.+\])", printed)) == scan_targets(digits).int().tolist()


@runs
def test_shapes_are_those_of_the_package(printed):
    assert "inputs  (128, 4, 1, 28, 28) (B, T, C, Y, X)" in printed
    assert f"(512, 1, 28, 28) -> (128, 4, {ConvEncoder().output_size})" in printed
    assert "(128, 4, 128) by the backend script" in printed


@runs
def test_the_cell_is_right(printed):
    assert "ok   its equations: torch.nn.LSTMCell's" in printed
    assert "MyLSTM: is right" in printed


@runs
def test_the_step_adds_up(printed):
    """New cell state = forget gate * old + input gate * update, of what the tour prints, rounded as it is."""
    rows = re.findall(r"^ +\d+" + r" +(-?\d+\.\d+)" * 5 + "$", printed, flags=re.MULTILINE)
    assert len(rows) == 4
    for forget, old, let_in, update, new in (map(float, row) for row in rows):
        assert forget * old + let_in * update == pytest.approx(new, abs=0.03)


@torch.no_grad()
def read(state, images):
    """Running sums `(B, T)` by the weights of a checkpoint: an own loop of torch's cell, from the images on."""
    encoder, cell, head = ConvEncoder(), nn.LSTMCell(128, 128), nn.Linear(128, 1)
    encoder.load_state_dict({name[23:]: t for name, t in state.items() if name.startswith("network.encoder.module.")})
    own = "network.recurrence.cells.0."
    names = {"weight_ih": "read.weight", "bias_ih": "read.bias", "weight_hh": "recall.weight", "bias_hh": "recall.bias"}
    cell.load_state_dict({theirs: state[own + ours] for theirs, ours in names.items()})
    head.load_state_dict({name: state[f"network.head.{name}"] for name in ("weight", "bias")})
    before, sums = None, []
    for step in images.unbind(1):
        before = cell(encoder.eval()(scale(step)), before)
        sums.append(head(before[0]).squeeze(-1))
    return torch.stack(sums, dim=1)


@runs
def test_metrics_are_those_of_the_checkpoint_read_by_hand(ran, printed, mnist_root):
    """The oracle has torch's own cell, with the weights that the tour left in its checkpoint."""
    checkpoint = torch.load(ran[0] / "tour.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    assert "2 steps, learning rate 0.005" in printed
    data = DigitSums("mnist", str(mnist_root))
    data.setup("test")
    images, labels = data.splits["test"]
    rows = torch.cat([batch.rows for batch in data.test_dataloader()])
    assert rows.shape == (50, 4)
    sums, truth = read(checkpoint["state_dict"], images[rows]), scan_targets(labels[rows])
    right = (sums.round() == truth).float()
    expected = {"mae": (sums - truth).abs().mean(), "exact_step": right.mean(), "exact_final": right[:, -1].mean()}
    for name, value in expected.items():
        assert float(found(rf"test/{name} .*-> +(\S+)", printed)) == pytest.approx(value.item(), abs=2e-3)
    again, before = map(float, found(r"^test/mae (\S+), as before: (\S+)$", printed))
    assert (again, before) == pytest.approx([expected["mae"].item()] * 2, abs=2e-3)


@runs
def test_predictions_are_those_of_the_checkpoint(ran, printed, mnist_root):
    images, labels = load_splits("mnist", mnist_root)["test"]
    sums = read(torch.load(ran[0] / "tour.ckpt", weights_only=True)["state_dict"], images[None, :4])[0].round()
    assert ast.literal_eval(found(r"true sums: (\[.+\])", printed)) == scan_targets(labels[:4]).int().tolist()
    outputs = [out.get("data", {}) for cell in ran[1].cells for out in cell.get("outputs", [])]
    (table,) = [data["text/html"] for data in outputs if "text/html" in data]
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr><td>.*?</tr>", table)]
    assert [(sign, total) for _, sign, _, total, _ in rows] == [
        (sign, str(int(total))) for sign, total in zip("+-+-", sums, strict=True)
    ]


@runs
def test_figures_show_themselves(ran):
    pictures = [out.data["image/png"] for cell in ran[1].cells for out in cell.get("outputs", []) if "data" in out
                and "image/png" in out.data]  # fmt: skip
    assert len(pictures) == 5
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            image.load()
            assert len(image.convert("L").getcolors()) > 10


def test_what_is_stored_is_of_these_cells_small_and_of_the_real_mnist():
    text = TOUR.read_text(encoding="utf-8")
    assert len(text) < 600_000
    assert "mnist digits (55,000 train, 5,000 val, 10,000 test)" in text
    assert not re.search(r"/(tmp|home|root|work|Users)/", text), "a path of the machine that it was made on"
    cells = [cell for cell in nbformat.read(TOUR, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(out.get("name") != "stderr" and out.output_type != "error" for cell in cells for out in cell.outputs)
