"""A training on sentence pairs follows the sizes of the data, resumes exactly, and its checkpoint keeps the ids."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqsum.cli import main
from seqsum.inspect.restore import load
from tests.data.pairs.written import write_multi30k

NETWORK = [
    "--model.network=tests.data.pairs.translator.Translator",
    "--model.objective=seqsum.objectives.Classification",
    "--model.objective.num_classes=50",
    "--model.objective.scored=every",
]
DATA = ["--data=seqsum.data.Translation", "--data.batch_size=32", "--data.vocabulary_size=[70,50]"]
TRAINER = [
    "--experiment=translation",
    "--trainer.max_epochs=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
    "--tensorboard.figures_every_n_epochs=0",
    "--tensorboard.histograms_every_n_epochs=0",
    "--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint",
    "--trainer.callbacks.save_top_k=-1",
    "--trainer.callbacks.every_n_train_steps=5",
    "--trainer.callbacks.filename={step}",
]


@pytest.fixture
def train(here: Path):
    """Train in a folder of its own; the last checkpoint."""
    write_multi30k(here / "data")

    def run(folder: str, *arguments: str) -> dict:
        root = [f"--data.root={here / 'data'}", f"--trainer.default_root_dir={folder}"]
        main([*NETWORK, *DATA, *TRAINER, *root, *arguments])
        return torch.load(f"{folder}/translation/version_0/checkpoints/last.ckpt", weights_only=True)

    return run


@pytest.mark.parametrize("options", [["--data.tokens=words"], ["--data.tokens=subwords"]], ids=str)
@pytest.mark.parametrize("step", [5, 10])
def test_training_goes_on_exactly_within_and_between_epochs(train, step, options):
    if "subwords" in options[0]:
        pytest.importorskip("sentencepiece")
    undisturbed = train("undisturbed", *options)["state_dict"]
    assert undisturbed["network.read.weight"].shape[0] == 70
    assert undisturbed["network.write.weight"].shape[0] == 50
    checkpoint = f"undisturbed/translation/version_0/checkpoints/step={step}.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == step
    resumed = train("resumed", f"--ckpt_path={checkpoint}", *options)["state_dict"]
    for name, weight in undisturbed.items():
        assert torch.equal(weight, resumed[name]), name


def test_a_checkpoint_is_tested_by_its_own_ids_on_other_data(train, here):
    train("run")
    write_multi30k(here / "other/other", counts=(20, 40, 50))
    path = "run/translation/version_0/checkpoints/last.ckpt"
    _, data, _ = load(path, str(here / "other/other"))
    _, trained, _ = load(path, str(here / "data"))
    for each in (data, trained):
        each.setup("test")
    table = next(iter(data.test_dataloader()))
    assert torch.equal(data.gather(table).inputs, trained.gather(table).inputs)
    assert data.vocabularies.source.vocabulary.words == trained.vocabularies.source.vocabulary.words
    assert data.count("train") == 20
