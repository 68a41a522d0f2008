"""A training on film reviews resumes exactly: order, pieces, dropouts and the words of its vocabulary."""

from __future__ import annotations

from tests.data.reviews.written import some_reviews, write_folder
from tests.resume.from_steps import assert_goes_on_exactly, trainer_of

FLAGS = [
    *("--model.encoder=seqsum.networks.Embed", "--model.encoder.output_size=4", "--model.encoder.word_dropout=0.2"),
    *("--model.cell=gru", "--model.hidden_size=4", "--model.bidirectional=true", "--model.readout=mean_max"),
    *("--model.input_dropout=0.3", "--model.readout_dropout=0.3", "--model.recurrent_dropout=0.2"),
    *("--model.encoder_learning_rate=1e-2", "--model.objective=seqsum.objectives.Classification"),
    *("--model.objective.num_classes=2", "--model.objective.sigmoid=true"),
    *("--data=seqsum.data.FilmReviews", "--data.crop=9", "--data.batch_size=8", "--data.vocabulary_size=50"),
]


def test_training_goes_on_exactly_within_and_between_epochs(here, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    write_folder(here / "data", some_reviews())
    assert_goes_on_exactly(trainer_of(here, FLAGS, every=4), [4, 8])
