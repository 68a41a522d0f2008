"""A training on film reviews resumes exactly: order, pieces, dropouts and the words of its vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqsum.cli import main
from tests.data.reviews.written import some_reviews, write_folder

NETWORK = [
    "--model.encoder=seqsum.networks.Embed",
    "--model.encoder.output_size=4",
    "--model.encoder.word_dropout=0.2",
    "--model.cell=gru",
    "--model.hidden_size=4",
    "--model.bidirectional=true",
    "--model.readout=mean_max",
    "--model.input_dropout=0.3",
    "--model.readout_dropout=0.3",
    "--model.recurrent_dropout=0.2",
    "--model.encoder_learning_rate=1e-2",
    "--model.objective=seqsum.objectives.Classification",
    "--model.objective.num_classes=2",
    "--model.objective.sigmoid=true",
]
DATA = ["--data=seqsum.data.FilmReviews", "--data.crop=9", "--data.batch_size=8", "--data.vocabulary_size=50"]
TRAINER = [
    "--experiment=reviews",
    "--trainer.max_epochs=2",
    "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
    "--tensorboard.figures_every_n_epochs=0",
    "--tensorboard.histograms_every_n_epochs=0",
    "--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint",
    "--trainer.callbacks.save_top_k=-1",
    "--trainer.callbacks.every_n_train_steps=4",
    "--trainer.callbacks.filename={step}",
]


@pytest.fixture
def train(here: Path, monkeypatch: pytest.MonkeyPatch):
    """Train in a folder of its own; the last weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    write_folder(here / "data", some_reviews())

    def run(folder: str, *arguments: str) -> dict[str, torch.Tensor]:
        main(
            [
                *NETWORK,
                *DATA,
                *TRAINER,
                f"--data.root={here / 'data'}",
                f"--trainer.default_root_dir={folder}",
                *arguments,
            ]
        )
        checkpoint = torch.load(f"{folder}/reviews/version_0/checkpoints/last.ckpt", weights_only=True)
        return checkpoint["state_dict"]

    return run


@pytest.mark.parametrize("step", [4, 8])
def test_training_goes_on_exactly_within_and_between_epochs(train, step):
    undisturbed = train("undisturbed")
    checkpoint = f"undisturbed/reviews/version_0/checkpoints/step={step}.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == step
    resumed = train("resumed", f"--ckpt_path={checkpoint}")
    for name, weight in undisturbed.items():
        assert torch.equal(weight, resumed[name]), name
