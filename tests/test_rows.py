"""Images read row by row: the published configurations, a small training, and its output."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Trainer, seed_everything
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqsum.cli import main
from seqsum.data import DigitRows
from seqsum.data.digits import load_splits
from seqsum.experiments.rows import SET_UPS
from seqsum.inspect.restore import instantiate
from seqsum.module import SequenceModule
from seqsum.networks import Flatten
from seqsum.objectives import Classification
from tests.data.test_digits import FOLDERS, VALIDATION, write_family

CONFIGS = Path(__file__).parents[1] / "configs"
HEAD, BIG_HEAD = 128 * 10 + 10, 64 * 10 + 10  # after 128 units, after 64


def binary(gates, size, layers=1):
    """Count the parameters of recurrent layers with one bias per gate, linear 64, linear 10."""
    inputs = [28] + [size] * (layers - 1)
    recurrence = sum(gates * size * (features + size + 1) for features in inputs)
    return recurrence + size * 64 + 64 + BIG_HEAD


COUNTS = {
    "rows_rnn_128": 21_386,
    "columns_rnn_128": 21_386,
    "rows_rnn_64": 6_602,
    "rows_lstm_128": 81_162,
    "rows_binary_lstm_32": binary(4, 32),
    "rows_binary_lstm_64": binary(4, 64),
    "rows_binary_lstm_128": binary(4, 128),
    "rows_binary_lstm_3x32": binary(4, 32, 3),
    "rows_binary_gru_32": binary(3, 32),
    "rows_binary_gru_64": binary(3, 64),
    "rows_binary_gru_128": binary(3, 128),
    "rows_binary_gru_3x32": binary(3, 32, 3),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
SMALL = [
    "-c",
    str(CONFIGS / "rows.yaml"),
    "--model.hidden_size=8",
    "--trainer.limit_val_batches=2",
    "--trainer.max_epochs=1",
    "--trainer.log_every_n_steps=5",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
    "--tensorboard.histograms_every_n_epochs=0",
    "--trainer.limit_test_batches=1",
]


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_published_ones(name, monkeypatch, capsys):
    monkeypatch.chdir(CONFIGS.parent)
    with pytest.raises(SystemExit):
        main([*SET_UPS[name].arguments(), "--print_config"])
    settings = yaml.safe_load(capsys.readouterr().out)
    module, data, _ = instantiate(name, {"model": settings["model"], "data": settings["data"]}, None, {})
    assert sum(parameter.numel() for parameter in module.parameters()) == COUNTS[name]
    assert isinstance(data, DigitRows)


def test_a_small_one_learns(mnist_root, tmp_path):
    """After seconds of training on 600 rendered digits, most others are classified correctly."""
    seed_everything(0, verbose=False)
    data = DigitRows("mnist", str(mnist_root), threshold=0.1, batch_size=20)
    module = SequenceModule(
        cell="gru",
        hidden_size=32,
        bias="one",
        encoder=Flatten(28),
        objective=Classification(),
        learning_rate=5e-3,
        head_sizes=[32],
    )
    trainer = Trainer(
        accelerator="cpu", devices=1, max_epochs=12, limit_val_batches=0, logger=False, default_root_dir=tmp_path,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, data)
    (metrics,) = trainer.test(module, data, verbose=False)
    assert metrics["test/accuracy"] > 0.6


@pytest.fixture(scope="module")
def finished(tmp_path_factory, mnist_root):
    """Run a small training; return its folder."""
    folder = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main([*SMALL, f"--data.root={mnist_root}"])
    return folder


@pytest.fixture
def checkpoint(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished / "logs/rows/version_0/checkpoints/best.ckpt"


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_a_run_draws_decisions_and_states(finished):
    run = finished / "logs/rows/version_0"
    assert {"decisions.png", "settling.png", "states_l0.png"} <= {path.name for path in run.iterdir()}
    images = EventAccumulator(str(run)).Reload().Tags()["images"]
    assert {"figures/decisions", "figures/settling", "figures/states_l0"} <= set(images)
    found = results(run)
    assert found["test"].keys() == {"test/loss", "test/accuracy", "test/accuracy_step"}
    assert len(found["test_by_step"]["accuracy_step"]) == 28
    assert found["test_by_step"]["accuracy"][:27] == [None] * 27
    assert found["test_by_step"]["accuracy"][27] == found["test"]["test/accuracy"]


@pytest.mark.parametrize(
    "dataset", ["emnist_digits", *(pytest.param(name, marks=pytest.mark.slow) for name in FOLDERS if name[0] != "e")]
)
def test_every_dataset_of_the_family_is_trained_on_and_predicted_from(dataset, tmp_path, monkeypatch, capfd):
    """Files with random images in each publisher's format."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seqsum.data.digits.VALIDATION_SIZE", VALIDATION)
    write_family(tmp_path / "data", dataset)
    short = ["--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=0"]
    main([*SMALL, *short, f"--data.dataset={dataset}", f"--experiment={dataset}"])
    run = tmp_path / f"logs/{dataset}/version_0"
    assert results(run)["dataset"] == dataset
    assert (run / "decisions.png").stat().st_size > 1_000
    main(["predict", f"--ckpt_path={run / 'checkpoints/best.ckpt'}"])
    assert re.search(r"│ 28 +│ \d +│ 0\.\d{3}", capfd.readouterr().out)


def test_another_initial_state_can_be_tried_in_a_test(checkpoint, capfd):
    figures = {}
    for state in ("zero", "1000"):
        given = [f"--model.initial_state={state}", f"--experiment={state}", "--trainer.limit_test_batches=1"]
        main(["test", f"--ckpt_path={checkpoint}", *given])
        figures[state] = results(Path(f"logs/{state}-test/version_0"))["test"]
    trained = results(checkpoint.parents[1])["test"]
    assert figures["zero"] == trained
    assert figures["1000"] != trained


def test_a_learned_initial_state_is_trained_and_can_be_replaced_in_a_test(checkpoint, mnist_root, capfd):
    quick = ["--trainer.limit_train_batches=5", "--tensorboard.figures_every_n_epochs=0"]
    main([*SMALL, *quick, f"--data.root={mnist_root}", "--model.initial_state=learned", "--experiment=learned"])
    learned = Path("logs/learned/version_0")
    weights = torch.load(learned / "checkpoints/best.ckpt")["state_dict"]["network.recurrence.initial_state.0"]
    assert weights.shape == (1, 8)
    assert weights.any()
    path = learned / "checkpoints/best.ckpt"
    given = ["--model.initial_state=zero", "--experiment=other", "--trainer.limit_test_batches=1"]
    main(["test", f"--ckpt_path={path}", *given])
    assert results(Path("logs/other-test/version_0"))["test"] != results(learned)["test"]
    with pytest.raises(SystemExit):
        main(["fit", f"--ckpt_path={path}", "--model.initial_state=zero"])
    assert "contains another architecture" in capfd.readouterr().err


def test_predict_tells_the_decision_after_every_step(checkpoint, mnist_root, capfd):
    for number, image in enumerate(load_splits("mnist", mnist_root)["test"].images[:2]):
        Image.fromarray(image.numpy()).save(f"image{number}.png")
    main(["predict", f"--ckpt_path={checkpoint}", "--data.images=[image0.png,image1.png]"])
    printed = capfd.readouterr().out
    assert len(re.findall(r"│ 28 +│ \d +│ 0\.\d{3}", printed)) == 2
    assert printed.count("settled") == 2
    for name, last in zip(
        ("image0.png", "image1.png"), re.findall(r"│ 28 +│ (\d) +│ (0\.\d{3})", printed), strict=True
    ):
        assert f"{name}: {last[0]}, probability {last[1]}" in printed
    run = Path("logs/rows-predict/version_0")
    assert {"decisions.png", "states_1_l0.png", "states_2_l0.png"} <= {path.name for path in run.iterdir()}


def test_predict_without_images_takes_a_random_one_of_the_test_split(checkpoint, capfd):
    tables = []
    for seed in (1, 1, 2):
        main(["predict", f"--ckpt_path={checkpoint}", f"--seed_everything={seed}"])
        tables.append(re.findall(r"│ (\d+) +│ (\d) +│ (0\.\d+)", capfd.readouterr().out))
    assert len(tables[0]) == 28
    assert tables[0] == tables[1] != tables[2]
