"""`python -m seqsum.inspect`: the page is self-contained, its numbers are right, and errors are clear."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from seqsum.cli import main as train
from seqsum.data import Batch, DigitSums, SineCurves, unlabelled
from seqsum.data.base import SequenceData
from seqsum.data.digit_sums import scale
from seqsum.data.digits import load_splits
from seqsum.data.own import OwnDigits, OwnSequence, Skipped
from seqsum.data.sums import running_targets, scan_targets
from seqsum.errors import InputError
from seqsum.figures import last_states, principal_components
from seqsum.figures.page import Section
from seqsum.inspect.__main__ import main
from seqsum.inspect.look import evaluate, predict, report
from seqsum.inspect.restore import load
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Flatten, SequenceNetwork, build_network
from seqsum.objectives import Look, NextSample, Objective, Prediction, RunningSum, captions
from seqsum.objectives.captions import describe_gates, section
from seqsum.objectives.reading import encode, exact_by_length, read, read_right, sequences_of, trace_layers
from tests.conftest import fail_downloads
from tests.objectives.test_running_sum_shown import FirstPixel

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
FIGURES = {
    "codes",
    "sums",
    "wrong_sums",
    "length_curve",
    "errors",
    "predicted_against_true",
    "confusion",
    "number_line",
}


class Page(HTMLParser):
    """Collect the pictures of a page and all its links."""

    def __init__(self, file):
        super().__init__()
        self.open, self.pictures, self.addresses = [], [], []
        text = file.read_text(encoding="utf-8")
        self.feed(text)
        self.close()
        assert self.open == []
        self.addresses += re.findall(r"url\(|@import|<script", text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "img" and given["src"].startswith("data:image/png;base64,"):
            assert given["alt"]
            self.pictures.append(base64.b64decode(given.pop("src").split(",")[1], validate=True))
        self.addresses += [value for name, value in given.items() if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        assert "`" not in data, "a page is no Markdown"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def save_checkpoint(path, root, model=None, data=None, encoder=(2, 4), objective=None, activation="softmax"):
    """Write a checkpoint of an untrained network."""
    torch.manual_seed(0)
    model = {"cell": "lstm", "hidden_size": 8, **(model or {})}
    arguments = {"channels": list(encoder), "output_size": 6, "activation": activation}
    module = SequenceModule(**model, encoder=ConvEncoder(**arguments), objective=objective)
    settings = {"class_path": "seqsum.networks.ConvEncoder", "init_args": arguments}
    checkpoint = {
        "state_dict": module.state_dict(),
        "epoch": 1,
        "global_step": 60,
        "hyper_parameters": {**model, "encoder": settings, "_instantiator": "lightning"},
        "datamodule_hyper_parameters": {
            "_class_path": "seqsum.data.DigitSums",
            **{"dataset": "mnist", "root": str(root), "sequence_length": 3, "seed": 7, **(data or {})},
        },
    }
    if objective is not None:
        path_of = f"{type(objective).__module__}.{type(objective).__qualname__}"
        checkpoint["hyper_parameters"]["objective"] = {"class_path": path_of}
    torch.save(checkpoint, path)
    return path


@pytest.fixture
def here(here, monkeypatch):
    monkeypatch.setattr("seqsum.figures.page.DPI", 40)  # a quarter of the time
    return here


@pytest.fixture
def checkpoint(here, mnist_root):
    return save_checkpoint(here / "tiny.ckpt", mnist_root)


@pytest.fixture(scope="module")
def strip(tmp_path_factory, mnist_root):
    file = tmp_path_factory.mktemp("images") / "strip.png"
    Image.fromarray(torch.cat(list(load_splits("mnist", mnist_root)["test"].images[:3]), dim=1).numpy()).save(file)
    return file


def check_folder(folder, figures, page="index.html"):
    """Every figure exists as PNG and in the page, which loads nothing else."""
    pictures = {file.stem: file.read_bytes() for file in folder.glob("*.png")}
    assert pictures.keys() == figures
    shown = Page(folder / page)
    assert sorted(shown.pictures) == sorted(pictures.values())
    assert shown.addresses == []
    for picture in shown.pictures:
        with Image.open(io.BytesIO(picture)) as image:
            assert image.format == "PNG"
            image.load()
            assert len(image.convert("L").getcolors()) > 2
    return (folder / page).read_text(encoding="utf-8")


def refused(arguments, capfd, message):
    """Run, expect one clear message, no traceback and nothing left behind."""
    before = sorted(Path.cwd().rglob("*"))
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    error = capfd.readouterr().err
    assert exit_.value.code == 2
    assert "Traceback" not in error
    assert re.search(message, error), error
    assert sorted(Path.cwd().rglob("*")) == before


@pytest.mark.parametrize(
    ("model", "data", "gates"),
    [
        ({}, {}, {"gates_l0"}),
        ({"cell": "gru", "num_layers": 2}, {"operation": "sum", "sequence_length": [2, 18]}, {"gates_l0", "gates_l1"}),
    ],
)
def test_everything_is_there(here, mnist_root, capfd, model, data, gates):
    checkpoint = save_checkpoint(here / "tiny.ckpt", mnist_root, model, data)
    main([str(checkpoint), "--output=page", "--max-length=5", "--sequences=2"])
    text = check_folder(here / "page", FIGURES | gates)
    assert "test/exact_final" in text
    assert "<td>epochs trained</td><td>2</td>" in text
    assert "<td>seed</td><td>7</td>" in text
    assert str(mnist_root) not in text, "a page that is handed on tells nothing of the machine"
    assert "page/index.html" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, {"increment_errors", "long_run", "leaks", "codes"}),
        pytest.param({"model": {"head_sizes": [3]}}, {"increment_errors", "long_run", "codes"}, marks=pytest.mark.slow),
        ({"model": {"bidirectional": True, "num_layers": 2}}, {"increment_errors", "long_run", "leaks", "codes"}),
        ({"model": {"cell": "gru"}}, {"increment_errors", "codes"}),
        ({"model": {"cell_options": {"proj_size": 4}}}, {"increment_errors", "long_run", "codes"}),
        pytest.param({"model": {"cell": "torch_lstm"}}, {"increment_errors", "codes"}, marks=pytest.mark.slow),
        ({"activation": "relu"}, {"increment_errors", "long_run", "leaks"}),
        pytest.param(
            {"activation": "choice"}, {"increment_errors", "long_run", "leaks", "codes"}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_page_shows_why_long_sequences_go_wrong(here, mnist_root, options, shown):
    module, data, _ = load(save_checkpoint(here / "tiny.ckpt", mnist_root, **options))
    head = module.network.head if isinstance(module.network.head, nn.Linear) else module.network.head[-1]
    with torch.no_grad():
        head.bias.fill_(1)  # so that some digits are read correctly, and no others
        head.weight.zero_()
    figures = report(module, data, Look(longest=12)).figures.keys()
    assert figures & {"increment_errors", "long_run", "leaks", "codes"} == shown
    with torch.no_grad():
        head.bias.fill_(12)
    assert "increment_errors" not in report(module, data, Look(longest=12)).figures, "no digit is read correctly"


@pytest.mark.parametrize("cell", ["lstm", "gru", "torch_gru"])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (1, True), (2, False), (2, True)])
def test_states_of_the_last_layer_are_those_that_the_head_reads(cell, num_layers, bidirectional):
    network = build_network(
        1, cell, 4, num_layers, output_activation="tanh" if cell == "lstm" else None, encoder=Flatten(3),
        bidirectional=bidirectional,
    ).eval()  # fmt: skip
    features = torch.randn(2, 5, 3)
    outputs, _ = network.recurrence(features)
    torch.testing.assert_close(last_states(trace_layers(network, features), outputs), outputs)


@pytest.mark.parametrize("model", [{}, {"output_activation": "tanh"}, {"cell": "rnn"}])
def test_only_what_is_not_read_is_said_not_to_be(here, mnist_root, model):
    module, data, _ = load(save_checkpoint(here / "tiny.ckpt", mnist_root, model=model))
    (text,) = [section.text for section in report(module, data, Look(longest=1)).page if section.name == "gates_l0"]
    assert ("The head and the next layer read something else" in text) == (not model)


def test_titles_say_layer_and_direction():
    titles = [describe_gates(["forget_gate"], suffix)[0] for suffix in ("l0", "l0_reverse", "l11")]
    assert titles == ["Inside layer 1", "Inside layer 1, backwards", "Inside layer 12"]
    texts = [describe_gates(["forget_gate"], suffix)[1] for suffix in ("l0", "l0_reverse")]
    assert ["from the last step to the first" in text for text in texts] == [False, True]
    assert section("states_3_l1_reverse", None).title == "Inside layer 2, backwards while it reads an image"


def test_no_text_of_a_page_is_markdown():
    """What is between backticks becomes code, but in a table, where a user's own words are."""
    texts = [text for text in vars(captions).values() if isinstance(text, str)]
    texts += [text for _, text in captions.FIGURES.values()] + [*captions.PARTS.values()]
    dropped = captions.skipped(OwnDigits([], [Skipped("a.txt", "has 4 words; `--data.longest` (=3) drops it")], []))
    for part in [*(Section("", text) for text in texts), *dropped]:
        assert "`" not in part._repr_html_()
    assert "a method <code>by_step</code>:" in Section("", captions.NO_WORDS)._repr_html_()


def test_metrics_are_those_of_a_test(here, checkpoint, capfd):
    """The table equals that of `python train.py test`."""
    # lightning asks for the version that wrote a checkpoint
    torch.save(torch.load(checkpoint) | {"pytorch-lightning_version": "2.6.0"}, checkpoint)
    train(["test", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"])
    tested = json.loads((here / "logs/sum-test/version_0/results.json").read_text())["test"]
    module, data, _ = load(str(checkpoint))
    shown = {name: float(value) for name, value, _ in report(module, data, Look(longest=2)).page[0].table.rows}
    assert shown == pytest.approx(tested, abs=1e-4)


@torch.no_grad()
def show(network, own, **settings):
    """Show a user's own digits; return the sections."""
    data, objective = DigitSums(**settings), RunningSum()
    data.own = own
    batches = list(data.predict_dataloader())
    return objective.show(Prediction(network, data, batches, [objective.predict(network, batch) for batch in batches]))


def test_all_sequences_are_counted_though_the_figures_are_of_those_that_fit(mnist_root, monkeypatch):
    module = SequenceModule(hidden_size=8, encoder=ConvEncoder((2, 4)))
    data = DigitSums("mnist", str(mnist_root), sequence_length=3, batch_size=20)
    whole = report(module, data, Look(longest=1)).page[0].text
    count = re.fullmatch(r"([\d,]+) sequences of 3 steps from the test split\.", whole)[1]
    monkeypatch.setattr("seqsum.callbacks.collector.MOST", 3 * 45)
    text = report(module, data, Look(longest=1)).page[0].text
    assert text == f"{count} sequences of 3 steps from the test split. The figures below are of the first 40."


def test_nothing_is_said_of_figures_where_there_are_none(here, mnist_root, monkeypatch, capfd):
    """A recurrence of a user's own has no gates to draw, and the objective no figures."""
    monkeypatch.setattr("seqsum.callbacks.collector.MOST", 3 * 45)
    path = save_checkpoint(
        here / "tiny.ckpt", mnist_root, {"cell": "torch_lstm"}, {"batch_size": 20}, objective=Increasing()
    )
    main([str(path), "--output=page"])
    assert "of the first" not in check_folder(here / "page", set())
    assert "index.html\n" in capfd.readouterr().out


@pytest.mark.parametrize(("steps", "title"), [(10, "Inside layer 1"), (30, "Inside layer 1, first 24 of 30 steps")])
def test_gates_say_which_steps_they_are_of_and_nothing_of_sums(steps, title):
    module = SequenceModule(hidden_size=8, encoder=Flatten(1), objective=NextSample())
    sections = report(module, SineCurves(sequence_length=steps, batch_size=500)).page
    inside = next(section for section in sections if section.name == "gates_l0")
    assert inside.title == title
    assert not re.search("sum|sign|count", inside.text)


@pytest.mark.parametrize(
    ("loops", "epochs"),
    [
        ({}, 2),
        ({"fit_loop": {"epoch_progress": {"current": {"ready": 1, "started": 1, "processed": 1, "completed": 1}}}}, 1),
    ],
)
def test_epochs_are_those_whose_steps_are_done(here, mnist_root, loops, epochs):
    path = save_checkpoint(here / "tiny.ckpt", mnist_root)
    torch.save(torch.load(path) | {"loops": loops}, path)
    assert load(path).settings["epochs trained"] == epochs


def test_cells_without_a_trace_have_no_gates_and_say_so(here, mnist_root):
    path = save_checkpoint(here / "tiny.ckpt", mnist_root, {"cell": "torch_lstm"}, {"sequence_length": 1})
    module, data, _ = load(str(path))
    sections = report(module, data, Look(longest=1)).page
    assert {section.name for section in sections if section.figure} == FIGURES
    assert any("No gates or states are shown" in section.text for section in sections)
    strip = OwnSequence(torch.zeros(3, 28, 28, dtype=torch.uint8), ["strip.png"] * 3)
    sections = show(module.network, OwnDigits([strip, strip], [], [])).page
    assert [section.name for section in sections] == ["predictions", ""]


def test_a_users_digits_are_listed_with_their_files_and_so_is_what_was_skipped():
    """For an image of constant value a, the network predicts the digit a."""
    images = torch.tensor([4, 7, 9], dtype=torch.uint8)[:, None, None].expand(-1, 28, 28)
    network = SequenceNetwork(FirstPixel(), Adder(), nn.Identity())
    own = OwnDigits(
        [OwnSequence(images, ["d/a.png", "d/b.tif, frame 1", "d/b.tif, frame 2"])], [Skipped("d/c.png", "is blank")], []
    )
    predictions, skipped, *_ = show(network, own, operation="sum").page
    assert list(predictions.table.rows) == [
        ("1", "1", "4", "4", "a.png"),
        ("1", "2", "7", "11", "b.tif, frame 1"),
        ("1", "3", "9", "20", "b.tif, frame 2"),
    ]
    assert (skipped.title, list(skipped.table.rows)) == ("Skipped", [("d/c.png", "is blank")])


def test_length_curve_matches_the_whole_network(here, checkpoint):
    """Compare with a run of the whole network on each sequence's images, and sums computed by a loop."""
    module, data, _ = load(str(checkpoint))
    data.setup("test")
    images, labels = data.splits["test"]
    with torch.no_grad():  # so that some sums are right, and some are not
        module.network.head.bias += 1
    scores = exact_by_length(module.network, encode(module.network, images), labels, "alternating", (1, 2, 3, 9), 60)
    assert [(score.length, score.sequences) for score in scores] == [(1, 200), (2, 100), (3, 66), (9, 60)]
    for length, right, sequences in scores:
        rows = sequences_of(200, length, 60)
        inputs = scale(images[rows.flatten()]).unflatten(0, (sequences, length))
        with torch.no_grad():
            sums = module.predict_step(unlabelled(inputs), 0)
        targets = scan_targets(labels[rows])
        assert right == int((sums[:, -1] == targets[:, -1]).sum())
    assert 0 < scores[0].right < 200


class Adder(nn.Module):
    """A recurrence that adds exactly."""

    def forward(self, features, state=None):
        return features.cumsum(dim=1), state


def test_length_curve_of_a_faultless_adder_is_what_misread_digits_leave():
    """30 of 300 digits are misread by 1: a sum is right if it contains none of them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 9, (300,), generator=generator)
    misread = torch.arange(300) % 10 == 0
    images = (labels + misread)[:, None, None].expand(-1, 28, 28).to(torch.uint8)
    network = SequenceNetwork(FirstPixel(), Adder(), nn.Identity())
    features = encode(network, images)
    scores = exact_by_length(network, features, labels, "sum", (1, 2, 4, 20, 100), 70)
    assert [(score.length, score.sequences) for score in scores] == [(1, 300), (2, 150), (4, 75), (20, 70), (100, 70)]
    assert scores[0].right == 270
    for length, right, _ in scores:
        assert right == int((~misread[sequences_of(300, length, 70)].any(dim=1)).sum())
    assert torch.equal(read_right(network, features, labels), ~misread)
    kept = ~misread
    perfect = exact_by_length(network, features[kept], labels[kept], "sum", (1, 100), 70)
    assert [score.right for score in perfect] == [270, 70]


def test_digits_are_used_once_where_that_makes_enough_sequences():
    once, again = sequences_of(200, 4, 50), sequences_of(200, 4, 51)
    assert once.shape == (50, 4)
    assert once.unique().numel() == 200
    assert again.shape == (51, 4)
    assert again.unique().numel() < 200
    assert torch.equal(again, sequences_of(200, 4, 51))


def test_trace_gives_what_was_read(here, checkpoint):
    module, _, _ = load(str(checkpoint), root=None)
    features = torch.rand(2, 3, 6, generator=torch.Generator().manual_seed(1))
    outputs, sums = read(module.network, features)
    parts = trace_layers(module.network, features)["l0"]
    torch.testing.assert_close(parts["output_gate"] * parts["cell_state"], outputs)
    torch.testing.assert_close(sums, nn.functional.linear(outputs, *module.network.head.parameters())[..., 0])


def test_number_line_is_that_of_the_hidden_state_as_in_tensorboard(here, checkpoint):
    module, data, _ = load(str(checkpoint))
    (section,) = [section for section in report(module, data, Look(longest=1)).page if section.name == "number_line"]
    digits, labels = data.splits["test"]
    rows = torch.cat([batch.rows for batch in data.test_dataloader()])
    hidden = trace_layers(module.network, encode(module.network, digits)[rows])["l0"]["hidden"]
    seen, _ = principal_components(hidden, running_targets(labels[rows]))
    path = torch.from_numpy(section.figure.axes[0].lines[0].get_xydata()).float()
    torch.testing.assert_close(path, seen[0])


def test_own_images_need_no_data(here, checkpoint, strip, capfd):
    main([str(checkpoint), "--root=nowhere", f"--images={strip}"])
    check_folder(here / "logs/inspect/version_0", {"predictions", "gates_l0"})
    main([str(checkpoint), "--images", str(strip), str(strip)])
    check_folder(here / "logs/inspect/version_1", {"predictions", "gates_1_l0", "gates_2_l0"})
    assert "logs/inspect/version_1/index.html" in capfd.readouterr().out


def test_what_is_skipped_is_named_and_the_exit_says_so(here, checkpoint, strip, capfd):
    with pytest.raises(SystemExit) as exit_:
        main([str(checkpoint), "--images", str(strip), "typo.png"])
    assert exit_.value.code == 1
    assert "Skipped: typo.png does not exist" in capfd.readouterr().out
    assert "typo.png" in (here / "logs/inspect/version_0/index.html").read_text()


def test_predict_leaves_the_page_too(here, checkpoint, strip, capfd):
    torch.save(torch.load(checkpoint) | {"pytorch-lightning_version": "2.6.0"}, checkpoint)
    train(["predict", f"--ckpt_path={checkpoint}", f"--data.images={strip}", "--trainer.accelerator=cpu",
           "--trainer.enable_progress_bar=false"])  # fmt: skip
    check_folder(here / "logs/sum-predict/version_0", {"predictions", "gates_l0"}, page="predictions.html")


class Increasing(Objective):
    """A user's own objective, with only the required methods."""

    output_size, monitor, monitor_mode = 1, "val/loss", "min"

    def loss(self, outputs, batch):
        return (outputs.squeeze(-1) - batch.targets).square().mean()

    def answers(self, outputs, batch):
        return outputs.squeeze(-1)

    def metrics(self):
        return MetricCollection({})


def test_an_objective_of_ones_own_is_shown_with_its_gates(here, mnist_root, strip, capfd):
    checkpoint = save_checkpoint(here / "tiny.ckpt", mnist_root, objective=Increasing())
    main([str(checkpoint), "--output=page"])
    text = check_folder(here / "page", {"gates_l0"})
    assert "<td>test/loss</td>" in text
    torch.save(torch.load(checkpoint) | {"pytorch-lightning_version": "2.6.0"}, checkpoint)
    train(["predict", f"--ckpt_path={checkpoint}", f"--data.images={strip}", "--trainer.accelerator=cpu",
           "--trainer.enable_progress_bar=false"])  # fmt: skip
    assert re.search(r"step.*answer", capfd.readouterr().out)


def test_mistakes_are_named(here, checkpoint, mnist_root, monkeypatch, capfd):
    fail_downloads(monkeypatch)
    (here / "text.ckpt").write_text("this is no checkpoint")
    torch.save({"epoch": 3}, here / "weights.ckpt")
    (here / "full").mkdir()
    (here / "full/kept.txt").write_text("kept")
    (here / "blank.png").write_bytes(b"not a picture")
    strange = save_checkpoint(here / "strange.ckpt", mnist_root)
    torch.save(torch.load(strange) | {"hyper_parameters": {"cell": "ltsm"}}, strange)
    for arguments, message in [
        (["nowhere.ckpt"], r"^error: `CHECKPOINT` \(=nowhere.ckpt\) is not a file"),
        (["text.ckpt"], r"`CHECKPOINT` \(=text.ckpt\) is not a checkpoint"),
        (["weights.ckpt"], r"`CHECKPOINT` \(=weights.ckpt\) is not a checkpoint of seqsum"),
        (
            [checkpoint, "--curve=c.csv"],
            r"`--curve` \(=c.csv\) does not go with .* data \(DigitSums\)",
        ),
        ([strange], r"`CHECKPOINT` \(=.*strange.ckpt\) has settings that don't work here: .*ltsm"),
        ([checkpoint, "--root=nowhere"], r"`--root` \(=nowhere\) does not hold mnist"),
        ([checkpoint, "--images=nowhere"], "`--images`: nowhere does not exist"),
        ([checkpoint, "--images=blank.png"], "`--images`: blank.png can't be read"),
        ([checkpoint, "--output=full"], r"`--output` \(=full\) exists already"),
        ([checkpoint, "--max-length=0"], r"`--max-length` \(=0\) must be at least 1"),
        ([checkpoint, "--sequences=0"], r"`--sequences` \(=0\) must be"),
        ([checkpoint, "--images=blank.png", "--sequences=2"], "what is shown of the test split, not of `--images`"),
    ]:
        refused(arguments, capfd, message)


def test_a_full_disk_leaves_nothing(here, checkpoint, capfd, monkeypatch):
    def write(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", write)
    command = [str(checkpoint), "--max-length=4", "--output=page"]
    refused(command, capfd, r"`--output` \(=page\) can't be written \(No space left on device\)")


class Own(SequenceData):
    """Two batches: one sequence with two of three steps, and two sequences with one."""

    def __init__(self):
        super().__init__()
        self.batches = [
            Batch(torch.zeros(1, 3, 1), torch.full((1, 3), 10.0), torch.tensor([[True, True, False]])),
            Batch(torch.zeros(2, 3, 1), torch.full((2, 3), 40.0), torch.tensor([[True, False, False]] * 2)),
        ]

    def test_dataloader(self):
        return DataLoader(self.batches, batch_size=None)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch


class Zero(nn.Module):
    def forward(self, batch):
        return torch.zeros(*batch.targets.shape, 1)


def test_the_loss_weighs_steps_and_not_sequences():
    """Absolute errors of 10 and 40, of as many steps each."""
    module = SequenceModule(network=Zero(), objective=RunningSum(beta=0, increment_weight=0))
    assert evaluate(module, Own())["test/loss"] == pytest.approx(25)


def test_a_backend_of_another_machine_is_left_out(here, mnist_root):
    path = save_checkpoint(here / "tiny.ckpt", mnist_root, {"backend": "triton"})
    module, _, settings = load(path)
    assert module.network.recurrence.backend == "auto"
    assert "model.backend" not in settings


def test_the_seed_is_said_once(here, mnist_root):
    _, _, settings = load(save_checkpoint(here / "tiny.ckpt", mnist_root))
    assert [name for name in settings if name.endswith("seed")] == ["seed"]


class Numbers(Own):
    """Data that read numbers of the user's own, and files."""

    def __init__(self, level: float = 0.0, rows: list[float] | None = None, files: str | list[str] | None = None):
        super().__init__()
        self.level, self.rows, self.files = level, rows, files

    def own_batches(self):
        values = torch.tensor([self.level, *(self.rows or [])]).view(1, -1, 1)
        return [Batch(values, torch.zeros(1, 0))]


def test_own_input_may_be_numbers():
    module = SequenceModule(network=Copied(), objective=RunningSum())
    shown = predict(module, Numbers(), level=2.0, rows=[1.0, 3.0])
    assert [row[1] for row in shown.tables[0].rows] == ["2", "1", "3"]
    with pytest.raises(InputError, match=r"`files`: files are given by their paths, .* not as float"):
        predict(module, Numbers(), files=[2.5])


class Copied(nn.Module):
    def forward(self, batch):
        return batch.inputs


class WithoutTest(SequenceData):
    pass


def test_data_without_a_test_split_are_told_so():
    module = SequenceModule(network=Zero(), objective=RunningSum())
    with pytest.raises(InputError, match="WithoutTest has no `test_dataloader`, and so no test split"):
        evaluate(module, WithoutTest())
