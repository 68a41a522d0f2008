"""An embedding starts from word vectors: by the words themselves, at the scale of an embedding, and once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from seqsum.cli import main
from seqsum.data.text import Vocabulary
from seqsum.errors import InputError
from seqsum.inspect.restore import load
from seqsum.networks import Embed, OneHot

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{part}")
    for part in ("does not have many workers", "callbacks used to create the checkpoint")
]
SHORT = [
    "--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1", "--data.dataset=made",
    "--trainer.limit_test_batches=1", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1",
]  # fmt: skip
WORDS = [
    "--experiment=words", "--data=WordPairs", "--model.network=WordVectors", "--model.network.size=6",
    "--model.objective=WordPrediction", "--data.vocabulary_size=60",
]  # fmt: skip
REVIEWS = [
    "--experiment=reviews", "--data=FilmReviews", "--model.encoder=Embed", "--model.encoder.output_size=6",
    "--model.hidden_size=4", "--model.readout=last", "--model.objective=TextClassification",
    "--data.vocabulary_size=40",
]  # fmt: skip
KNOWN = ["rain", "cats", "dogs", "snow"]


def write(path, name="network.weight", words=KNOWN, vectors=None, key="WordPairs"):
    torch.manual_seed(0)
    vectors = torch.randn(len(words) + 2, 5) * 3 if vectors is None else vectors
    torch.save({"state_dict": {name: vectors}, key: {"words": "\n".join(words)}}, path)
    return vectors


def data_of(*words):
    return SimpleNamespace(vocabulary=Vocabulary(words))


@pytest.mark.parametrize("kind", [Embed, OneHot])
@pytest.mark.parametrize("name", ["network.weight", "network.encoder.module.weight"])
def test_words_are_matched_by_text_and_the_others_start_at_random(here, kind, name):
    vectors = write("words.ckpt", name)
    torch.manual_seed(3)
    encoder = kind(8, 5, vectors="words.ckpt")
    torch.manual_seed(3)
    random = kind(8, 5).weight.detach().clone()
    assert torch.equal(encoder.weight, random), "until the training begins"
    encoder.begin(data_of("dogs", "fog", "cats", "wind"))  # ids 2 to 5
    scale = 0.1 / vectors[[4, 3]].std()
    torch.testing.assert_close(encoder.weight[[2, 4]], vectors[[4, 3]] * scale)
    assert encoder.weight[[2, 4]].std().item() == pytest.approx(0.1)
    others = [0, 1, 3, 5, 6, 7]
    assert torch.equal(encoder.weight[others], random[others])
    assert encoder.weight.requires_grad
    with torch.no_grad():
        encoder.weight.zero_()
    encoder.begin(data_of("dogs"))
    assert not encoder.weight.any(), "a second training goes on from the first"


def test_ids_without_a_word_come_after_those_with_one(here):
    vectors = write("words.ckpt", vectors=torch.arange(45.0).view(9, 5))  # for three ids more than words
    encoder = Embed(8, 5, vectors="words.ckpt")
    encoder.begin(data_of("cats", "snow"))
    torch.testing.assert_close(encoder.weight[2:4], vectors[[3, 5]] * 0.1 / vectors[[3, 5]].std())


def test_a_training_says_how_many_words_start_and_its_checkpoint_needs_no_other(here, capfd):
    main([*WORDS, *SHORT])
    start = here / "logs/words-made/version_0/checkpoints/best.ckpt"
    capfd.readouterr()
    main([*REVIEWS, *SHORT, f"--model.encoder.vectors={start}", "--model.encoder_learning_rate=1e-9"])
    said = capfd.readouterr()
    assert f"Vectors of 38 of 38 words start from {start}, the others at random." in said.out + said.err
    run = here / "logs/reviews-made/version_0"
    assert f"vectors: {start}" in (run / "config.yaml").read_text()
    words, reviews = load(start), load(run / "checkpoints/last.ckpt")
    ids = torch.tensor(words.data.vocabulary.encode(reviews.data.vocabulary.words[2:]))
    found, expected = reviews.module.network.encoder.module.weight[2:40], words.module.network.weight[ids]
    torch.testing.assert_close(found, expected * (0.1 / expected.std()), atol=1e-4, rtol=0)
    start.unlink()  # all that follows needs the run alone
    main(["test", f"--ckpt_path={run}/checkpoints/best.ckpt", *SHORT[4:6]])
    main(["-c", str(run / "config.yaml"), f"--ckpt_path={run}/checkpoints/last.ckpt", "--trainer.max_epochs=2"])
    assert load(here / "logs/reviews-made/version_1/checkpoints/last.ckpt").settings["steps trained"] == 6
    assert "error" not in capfd.readouterr().err


def test_without_a_data_module_there_are_no_words(here):
    write("words.ckpt")
    encoder = Embed(8, 5, vectors="words.ckpt")
    for data in (None, SimpleNamespace(), SimpleNamespace(vocabulary=7)):
        with pytest.raises(InputError, match=r"^`vectors` \(=words\.ckpt\) needs data with words"):
            encoder.begin(data)
    with pytest.raises(InputError, match="contains none of the words of these data"):
        encoder.begin(data_of("fog"))


NEITHER = r"^`vectors` \(=w\.ckpt\) must be a checkpoint of word vectors .* or of film reviews .* of another training"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"key": "Other", "name": "network.bias"}, NEITHER),
        ({"vectors": torch.zeros(3, 5)}, r"contains 3 vectors for 6 words"),
        ({"vectors": torch.zeros(6, 4)}, r"`output_size` \(=5\) must be 4, as in `vectors` \(=w\.ckpt\)"),
        ({"vectors": torch.zeros(6)}, NEITHER),
    ],
)
def test_a_checkpoint_without_fitting_vectors_is_refused(here, wrong, message):
    write("w.ckpt", **wrong)
    with pytest.raises(InputError, match=message):
        Embed(8, 5, vectors="w.ckpt")


def test_a_checkpoint_without_words_or_no_file_is_refused(here):
    languages = {"source": "rain\ncats", "target": "regen\nkatzen", "tokens": "words"}  # of a translation
    for data in ({}, {"Translation": languages}):
        torch.save({"state_dict": {"network.encoder.module.weight": torch.zeros(6, 5)}, **data}, "w.ckpt")
        with pytest.raises(InputError, match=NEITHER):
            Embed(8, 5, vectors="w.ckpt")
    with pytest.raises(InputError, match=r"^`vectors` \(=nowhere\) is not a file"):
        Embed(8, 5, vectors="nowhere")
