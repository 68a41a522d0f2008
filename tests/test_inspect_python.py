"""What `seqsum.inspect` offers in Python gives the numbers of the network, and leaves module and data as they are."""

from __future__ import annotations

import re

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import nn

from seqsum.data import Batch, DigitSums, SequenceData, SineCurves, scan_targets, unlabelled
from seqsum.data.digit_sums import scale
from seqsum.data.digits import load_splits
from seqsum.errors import InputError
from seqsum.figures.page import Table
from seqsum.inspect import Look, Shown, evaluate, load, predict, report
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Flatten, SequenceNetwork
from seqsum.objectives import NextSample
from seqsum.recurrent import GRU
from tests.test_inspect import save_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


def own_network(seed=0):
    """Parts that were put together in Python, of which a checkpoint has the weights alone."""
    torch.manual_seed(seed)
    return SequenceNetwork(ConvEncoder((2, 4), output_size=6), GRU(6, 8, batch_first=True), nn.Linear(8, 1))


@pytest.fixture
def trained(here, mnist_root):
    """Two steps of a training in Python: its module, its data and its checkpoint."""
    data = DigitSums("mnist", str(mnist_root), sequence_length=3, operation="sum", seed=3)
    module = SequenceModule(network=own_network(), learning_rate=2e-3)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_steps=2, limit_val_batches=0, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint("own.ckpt")
    return module, data, here / "own.ckpt"


@pytest.fixture
def files(here, mnist_root):
    """Three test digits as files, their pixels, and a file that is no image."""
    digits = load_splits("mnist", mnist_root)["test"].images[:3]
    for place, digit in enumerate(digits):
        Image.fromarray(digit.numpy()).save(here / f"digit{place}.png")
    (here / "broken.png").write_bytes(b"not a picture")
    return sorted(here.glob("digit*.png")), digits


def test_evaluate_gives_what_a_loop_over_the_test_split_gives(here, mnist_root):
    """The oracle reads the digits one by one, from state to state, and adds up by a loop."""
    module, data, _ = load(save_checkpoint(here / "tiny.ckpt", mnist_root))
    with torch.no_grad():  # so that some sums are right, and some are not
        module.network.head.bias += 1
    found = evaluate(module, data)
    images, labels = data.splits["test"]
    wrong, absolute = [], []
    for batch in data.test_dataloader():
        sums, state = [], None
        for rows in batch.rows.unbind(1):
            with torch.no_grad():
                outputs, state = module.network.run(scale(images[rows])[:, None], state)
            sums.append(outputs[:, 0, 0])
        truth = scan_targets(labels[batch.rows])
        wrong.append(torch.stack(sums, dim=1).round() != truth)
        absolute.append((torch.stack(sums, dim=1) - truth).abs())
    wrong, absolute = torch.cat(wrong), torch.cat(absolute)
    assert wrong.shape == (66, 3)
    assert 0 < wrong[:, -1].sum() < 66
    assert found.keys() == {"test/loss", "test/exact_step", "test/exact_final", "test/mae"}
    assert found["test/exact_step"] == pytest.approx(1 - wrong.float().mean().item())
    assert found["test/exact_final"] == pytest.approx(1 - wrong[:, -1].float().mean().item())
    assert found["test/mae"] == pytest.approx(absolute.mean().item(), rel=1e-4)


def test_evaluate_may_come_in_the_middle_of_a_training(trained):
    """Neither weights nor running statistics nor any part's mode change."""
    module, data, _ = trained
    module.train()
    module.network.head.eval()  # a part that is frozen
    modes = [part.training for part in module.modules()]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    evaluate(module, data)
    assert [part.training for part in module.modules()] == modes
    assert not module.network.head.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_evaluate_is_of_a_network_in_evaluation(trained):
    """With batch statistics, as in training, other numbers would come."""
    module, data, _ = trained
    assert evaluate(module.eval(), data) == evaluate(module.train(), data)


def test_evaluate_weighs_a_last_batch_by_its_size(trained):
    module, data, _ = trained
    data.batch_size = 66
    at_once = evaluate(module, data)
    data.batch_size = 40  # and a batch of 26
    assert evaluate(module, data) == pytest.approx(at_once, rel=1e-5)


def test_report_has_metrics_and_figures(trained):
    module, data, _ = trained
    shown = report(module, data, Look(sequences=2, longest=2))
    assert {"sums", "confusion", "gates_l0", "number_line"} <= shown.figures.keys()
    rows = {name: value for name, value, _ in shown.tables[0].rows}
    assert rows == {name: f"{value:.4f}" for name, value in evaluate(module, data).items()}
    with pytest.raises(InputError, match=r"^`look\.longest` \(=0\) must be at least 1"):
        report(module, data, Look(longest=0))


class Numbers(SequenceData):
    """Three sequences of four random numbers, of which `mask` says which steps exist."""

    dataset = "numbers"

    def __init__(self, mask):
        super().__init__()
        self.mask = torch.tensor(mask)

    def test_dataloader(self):
        numbers = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
        return [Batch(numbers, numbers[..., 0], self.mask)]


def reader():
    """A network for `Numbers`, and an objective that has figures of gates alone."""
    return SequenceModule(hidden_size=8, encoder=Flatten(2), objective=NextSample())


def test_gates_are_those_of_the_first_sequence_that_has_steps():
    mask = [[False] * 4, [True, True, True, False], [True] * 4]
    shown = report(reader(), Numbers(mask))
    axes = shown.figures["gates_l0"].axes[0]
    assert [text.get_text() for text in axes.texts if text.get_text().isdigit()][-3:] == ["1", "2", "3"]
    assert "gates_l0" not in report(reader(), Numbers([[False] * 4] * 3)).figures


def test_predict_reads_files_and_says_what_it_could_not_read(trained, files):
    module, data, _ = trained
    paths, digits = files
    shown = predict(module, data, images=[*paths, "broken.png"])
    expected = module.eval().predict_step(unlabelled(scale(digits)[None]), 0)[0]
    (table,) = shown.tables
    assert [row[3] for row in table.rows] == [str(int(total)) for total in expected]
    assert [row[4] for row in table.rows] == ["digit0.png", "digit1.png", "digit2.png"]
    assert len(shown.lines) == 1
    assert shown.lines[0].startswith("Skipped: broken.png can't be read")
    assert shown.figures.keys() == {"predictions"}
    assert data.images == []
    assert data.own.sequences == [], "the data are as they were"


def test_predict_continues_a_users_curve(here):
    torch.manual_seed(0)
    network = SequenceNetwork(Flatten(1), GRU(1, 4, batch_first=True), nn.Linear(4, 1))
    (here / "curve.csv").write_text("\n".join(str(value / 10) for value in range(20)))
    shown = predict(SequenceModule(network=network, objective=NextSample()), SineCurves(), curve=here / "curve.csv")
    assert "continuation" in shown.figures


def test_mistakes_are_named_as_python_calls_them(trained, mnist_root):
    module, data, path = trained
    for call, message in [
        (lambda: load("nowhere.ckpt"), r"^`path` \(=nowhere.ckpt\) is not a file"),
        (lambda: load(path, curve="c.csv", module=module), r"^`curve` \(=c.csv\) does not go with .* \(DigitSums\)"),
        (lambda: load(path, module), r"^`root` \(=SequenceModule\) must be a folder; a module is given by `module=`"),
        (
            lambda: predict(module, data, images=torch.ones(28, 28)),
            "^`images`: files are given by .* not as Tensor",
        ),
        (lambda: predict(module, data, images="nowhere"), "^`images`: nowhere does not exist"),
        (lambda: predict(module, data), "^`images` must name image files"),
        (lambda: predict(module, data, image="a.png"), r"^`image` \(=a.png\) does not go with DigitSums, whose"),
        (lambda: evaluate(module, DigitSums("mnist", str(mnist_root), 300)), r"^`sequence_length` \(=300\) must be at"),
    ]:
        with pytest.raises(InputError, match=message):
            call()


def test_a_training_in_python_is_loaded_into_parts_made_again(trained, mnist_root):
    module, data, path = trained
    restored, same_data, settings = load(path, module=SequenceModule(network=own_network(seed=1)))
    assert not restored.training
    for name, tensor in module.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor), name
    assert isinstance(same_data, DigitSums)
    assert (same_data.operation, same_data.lengths, same_data.root) == ("sum", (3, 3), str(mnist_root))
    assert evaluate(restored, same_data) == evaluate(module, data)
    assert (settings["data.operation"], settings["steps trained"], settings["seed"]) == ("sum", 2, 3)
    assert settings["model.learning_rate"] == 2e-3
    assert settings["model.objective"] == "seqsum.objectives.running_sum.RunningSum"
    assert not {"model.cell", "model.hidden_size", "model.encoder", "model.optimizer"} & settings.keys()  # not known


def test_a_training_in_python_whose_parts_are_not_given_says_what_to_give(trained):
    with pytest.raises(InputError, match=r"^`path` .* differ .*; parts that were put together in Python go in `modul"):
        load(trained[2])


class Pairs(DigitSums):
    """Its class sets what the base's constructor takes."""

    def __init__(self, root: str) -> None:
        super().__init__("mnist", root, sequence_length=2, operation="sum")


@pytest.mark.parametrize("kind", ["Pairs", "Ready"])
def test_data_of_a_class_that_sets_arguments_itself_are_made_again(here, mnist_root, monkeypatch, kind):
    monkeypatch.setattr(Ready, "root", str(mnist_root))
    data, module = Pairs(str(mnist_root)) if kind == "Pairs" else Ready(), SequenceModule(hidden_size=5)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint("pairs.ckpt")
    restored, same_data, _ = load("pairs.ckpt")
    assert isinstance(same_data, Pairs)
    assert evaluate(restored, same_data) == evaluate(module, data)


def test_a_checkpoint_without_its_data_or_of_another_objective_is_refused(trained):
    checkpoint = torch.load(trained[2], weights_only=False)
    torch.save(checkpoint | {"objective_class": "seqsum.objectives.classification.Classification"}, "other.ckpt")
    with pytest.raises(InputError, match="`objective` must be given: the checkpoint's network was trained for seqsum"):
        load("other.ckpt", module=SequenceModule(network=own_network()))
    del checkpoint["datamodule_hyper_parameters"]  # as of a LightningDataModule that keeps none, or of loaders
    torch.save(checkpoint, "without.ckpt")
    with pytest.raises(InputError, match=r"\(=without.ckpt\) does not hold what its data were"):
        load("without.ckpt", module=SequenceModule(network=own_network()))


class Ready(Pairs):
    """Has no arguments, so Lightning keeps none in a checkpoint."""

    root = ""

    def __init__(self) -> None:
        super().__init__(self.root)


class Scaled(SequenceModule):
    """Has an argument of its own."""

    def __init__(self, scale: float = 1.0, **arguments) -> None:
        super().__init__(**arguments)
        self.scale = scale


def test_a_module_of_a_class_of_ones_own_takes_its_weights(here, mnist_root):
    data = DigitSums("mnist", str(mnist_root), sequence_length=2)
    module = Scaled(2.0, hidden_size=5)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint("scaled.ckpt")
    restored, same_data, settings = load("scaled.ckpt", module=Scaled(2.0, hidden_size=5))
    assert evaluate(restored, same_data) == evaluate(module, data)
    assert (settings["model.scale"], settings["model.hidden_size"]) == (2.0, 5)


def test_data_whose_class_is_not_here_are_named_in_words(trained):
    checkpoint = torch.load(trained[2], weights_only=False)
    checkpoint["datamodule_hyper_parameters"]["_class_path"] = "__main__.Parity"  # of another notebook
    torch.save(checkpoint, "elsewhere.ckpt")
    with pytest.raises(InputError, match=r"`path` .* don't work here: .*__main__' has no attribute 'Parity'") as error:
        load("elsewhere.ckpt", module=SequenceModule(network=own_network()))
    assert "Union" not in str(error.value)


def test_a_training_in_python_of_the_default_network_needs_nothing_more(here, mnist_root):
    data = DigitSums("mnist", str(mnist_root), sequence_length=2)
    module = SequenceModule(cell="gru", hidden_size=5)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint("default.ckpt")
    restored, same_data, settings = load("default.ckpt")
    assert evaluate(restored, same_data) == evaluate(module, data)
    assert (settings["model.cell"], settings["model.hidden_size"]) == ("gru", 5)


def test_a_notebook_shows_tables_and_figures(trained, files):
    module, data, _ = trained
    html = predict(module, data, images=[*files[0], "broken.png"])._repr_html_()
    assert "<p>Skipped: broken.png can&#x27;t be read" in html
    assert "<td>digit2.png</td>" in html
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,iVBOR', html)) == 2  # sums, and gates


def test_a_notebook_shows_what_has_no_page_and_no_markup_of_ours():
    html = Shown(lines=["a < b"], tables=[Table(("step",), [("<1>",)], "Sequence 1", "it ends & ends")])._repr_html_()
    for part in ("<p>a &lt; b</p>", "<p>Sequence 1</p>", "<td>&lt;1&gt;</td>", "<p>it ends &amp; ends</p>"):
        assert part in html
