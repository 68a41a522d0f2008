"""A training on sentence pairs follows the sizes of the data, resumes exactly, and its checkpoint keeps the ids."""

from __future__ import annotations

import pytest
import torch

from seqsum.inspect.restore import load
from tests.data.pairs.written import write_multi30k
from tests.resume.from_steps import assert_goes_on_exactly, trainer_of

FLAGS = [
    *("--model.network=tests.data.pairs.translator.Translator", "--model.objective=seqsum.objectives.Classification"),
    *("--model.objective.num_classes=50", "--model.objective.scored=every"),
    *("--data=seqsum.data.Translation", "--data.batch_size=32", "--data.vocabulary_size=[70,50]"),
]


@pytest.fixture
def train(here):
    write_multi30k(here / "data")
    return trainer_of(here, FLAGS, every=5)


@pytest.mark.parametrize("tokens", ["words", "subwords"])
def test_training_goes_on_exactly_within_and_between_epochs(train, tokens):
    if tokens == "subwords":
        pytest.importorskip("sentencepiece")
    weights = assert_goes_on_exactly(train, [5, 10], f"--data.tokens={tokens}")
    assert weights["network.read.weight"].shape[0] == 70
    assert weights["network.write.weight"].shape[0] == 50


def test_a_checkpoint_is_tested_by_its_own_ids_on_other_data(train, here):
    train("run")
    write_multi30k(here / "other/other", counts=(20, 40, 50))
    path = "run/small/version_0/checkpoints/last.ckpt"
    _, data, _ = load(path, str(here / "other/other"))
    _, trained, _ = load(path, str(here / "data"))
    for each in (data, trained):
        each.setup("test")
    table = next(iter(data.test_dataloader()))
    assert torch.equal(data.gather(table).inputs, trained.gather(table).inputs)
    assert data.vocabularies.source.vocabulary.words == trained.vocabularies.source.vocabulary.words
    assert data.count("train") == 20
