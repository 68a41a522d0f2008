"""Word vectors: analogies of vectors made by hand, and the whole experiment on made-up reviews, done once."""

from __future__ import annotations

import json
import re
from itertools import combinations
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from seqsum.data import WordPairs
from seqsum.data.text import Vocabulary
from seqsum.experiments import runs, words
from seqsum.experiments.__main__ import main
from seqsum.experiments.analogies import Analogy, Solved, by_kind, solve
from seqsum.figures.words import plot_words, project
from seqsum.inspect.restore import load
from seqsum.networks import WordVectors
from tests.drawn import draw_nothing

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
SHORT = [
    "--data.dataset=made", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1",
    "--trainer.limit_test_batches=1", "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu",
    "--trainer.check_val_every_n_epoch=1",
]  # fmt: skip


def test_the_list_has_fifty_analogies_of_four_different_words():
    listed = [analogy for analogies in by_kind().values() for analogy in analogies]
    assert len(listed) == len(set(listed)) == 50
    assert {len(analogies) for analogies in by_kind().values()} == {10}
    assert all(len({each.a, each.b, each.c}) == 3 and each.answer not in each[:3] for each in listed)
    assert Analogy("king", "man", "woman", "queen") in listed


def test_analogies_are_solved_by_adding_vectors_of_length_one():
    # royal, male, female: of other lengths, a sum of the vectors themselves would be nearest to `he`
    directions = {"king": (1, 1, 0), "man": (0, 1, 0), "woman": (0, 0, 1), "queen": (1, 0, 1), "he": (0.2, 1, 0)}
    vocabulary = Vocabulary(list(directions))
    vectors = torch.tensor([(9, 9, 9), (9, 9, 9), *directions.values()], dtype=torch.float)
    vectors[3] *= 0.01
    vectors[4] *= 0.5
    (solved,) = solve(vectors, vocabulary, shown=2)
    assert solved.analogy == Analogy("king", "man", "woman", "queen")
    assert solved.found == ["queen", "he"]
    assert solved.right
    (wrong,) = solve(vectors.index_fill(0, torch.tensor([5]), -1.0), vocabulary, shown=2)
    assert wrong.found[0] == "he"
    assert not wrong.right


class FewWords(WordPairs):
    vocabulary = Vocabulary(["a", "b", "c"])

    def __init__(self):
        pass  # reads nothing


def test_vectors_of_no_word_are_nobodys_neighbours(monkeypatch):
    module = SimpleNamespace(network=WordVectors(50, size=4))
    monkeypatch.setattr(words, "load", lambda path: (module, FewWords(), None))
    model = words.find("cbow", "given.ckpt", None)
    assert sorted(re.findall(r"[a-c]", words.listed(model, "a"))) == ["b", "c"]


def test_words_are_projected_onto_the_directions_of_the_largest_variance():
    angles = torch.linspace(0.1, 1.0, 9)
    vectors = (
        torch.stack([angles.cos(), angles.sin(), torch.zeros(9), 0.01 * angles], dim=1) * torch.arange(1, 10)[:, None]
    )
    places, shares = project(vectors)
    unit = torch.nn.functional.normalize(vectors.double(), dim=1)
    torch.testing.assert_close(torch.cdist(places, places), torch.cdist(unit, unit), atol=2e-3, rtol=0)
    assert shares.sum().item() == pytest.approx(1, abs=1e-4)
    assert shares[0] > shares[1] > 0
    assert places.abs().amax(0).tolist() == places.amax(0).tolist()


def test_figure_has_a_panel_a_model_and_a_colour_a_kind():
    words = {"praise": ["good", "great"], "blame": ["bad"], "people": ["man", "woman", "girl"]}
    vectors = {name: torch.randn(6, 5, generator=torch.Generator().manual_seed(seed)) for seed, name in enumerate("ab")}
    figure = plot_words(vectors, words)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    for axes, of_model in zip(figure.axes, vectors.values(), strict=True):
        assert [text.get_text() for text in axes.texts] == [word for named in words.values() for word in named]
        drawn = torch.cat([torch.tensor(line.get_xydata()) for line in axes.lines])
        torch.testing.assert_close(drawn, project(of_model)[0])
        assert [line.get_label() for line in axes.lines] == list(words)
    assert len({line.get_color() for line in figure.axes[0].lines}) == 3


@pytest.mark.slow
def test_the_experiment_trains_once_and_starts_reviews_from_its_vectors(with_configs, monkeypatch, capsys):
    command = ["words", "--words", "plot", "Klingon", "--labels", "20", "--", *SHORT]
    main(command)
    folder = with_configs / "logs/experiments/words"
    said = capsys.readouterr().out
    assert "Klingon is not among the words of skipgram, cbow." in said
    assert len(re.findall(r"Vectors of (\d+) of \1 words start from .*best\.ckpt, the others at random\.", said)) == 2
    rows = json.loads((folder / "words.json").read_text())["rows"]
    tables = {name: [row for row in rows if row["table"] == name] for name in {row["table"] for row in rows}}
    assert set(tables) == {"words_models", "words_neighbours", "words_analogies", "words_reviews"}
    for row in tables["words_models"]:
        results = json.loads((folder / f"words_{row['model']}_seed0-made/version_0/results.json").read_text())
        assert row["test loss"] == f"{results['test']['test/loss']:.4f}"
        assert row["analogies"] == "0 of 0", "made-up reviews have few words"
    assert len(tables["words_neighbours"][0]["cbow"].split(", ")) == 5
    assert tables["words_neighbours"][1]["cbow"] == "–"
    assert [(row["labels"], row["start"]) for row in tables["words_reviews"]] == [
        ("20", "random"), ("20", "skipgram"), ("20", "cbow"),
    ]  # fmt: skip
    for row in tables["words_reviews"]:
        run = folder / f"reviews_20_{row['start']}_seed0-made/version_0"
        results = json.loads((run / "results.json").read_text())
        assert row["accuracy"] == f"{results['test']['test/accuracy']:.4f}"
        assert "labels: 20\n" in (run / "config.yaml").read_text()
        start = f"words_{row['start']}_seed0-made/version_0/checkpoints/best.ckpt"
        assert (start in (run / "config.yaml").read_text()) == (row["start"] != "random")
    checkpoint = str(folder / "words_cbow_seed0-made/version_0/checkpoints/best.ckpt")
    assert load(checkpoint).module.network.window == 5, "else each row would be read by itself"
    with Image.open(folder / "words.png") as image:
        assert image.width > 600
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)
    main(["words", "--parts", "vectors", "--modes", "cbow", "--checkpoints", checkpoint, "--output", "given"])
    given = json.loads((with_configs / "given/words.json").read_text())["rows"][0]
    assert (given["model"], given["test loss"]) == ("cbow", "–")


@pytest.mark.parametrize("checkpoints", [["a"], ["a", "b", "c"]])
def test_a_checkpoint_is_needed_for_each_mode(with_configs, capsys, checkpoints):
    with pytest.raises(SystemExit):
        main(["words", "--checkpoints", *checkpoints])
    assert f"`--checkpoints` names {len(checkpoints)}, and `--modes` 2" in capsys.readouterr().err


def test_no_two_words_of_the_picture_overlap():
    """Forty words in two heaps, as similar words are."""
    words = {"one": [f"word{number}" for number in range(20)], "other": [f"other{number}" for number in range(20)]}
    heaps = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).repeat_interleave(20, dim=0)
    vectors = heaps + 0.05 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    (axes,) = plot_words({"model": vectors}, words).axes
    written = [text for text in axes.texts if text.get_text()]
    assert {text.get_text() for text in written} == {*words["one"], *words["other"]}
    boxes = [text.get_window_extent() for text in written]
    assert not any(box.overlaps(other) for box, other in combinations(boxes, 2))
    assert all(axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1 for box in boxes)


UNIT = torch.tensor([(9.0, 9), (9, 9), (1, 0), (0.8, 0.6), (0.6, 0.8), (0, 1)])
MADE = words.Model(UNIT, Vocabulary(["near", "nearer", "far", "farther"]), "made.ckpt", None)


def test_neighbours_stand_with_their_cosines_and_without_the_word_itself():
    assert words.listed(MADE, "near").startswith("nearer 0.80, far 0.60, farther 0.00")
    assert words.listed(MADE, "unheard") is None


def test_a_model_has_as_many_words_as_are_known():
    found = words.describe("cbow", MADE, [Solved("plural", Analogy("a", "b", "c", "d"), ["d"])] * 3)
    assert (found["words"], found["numbers a word"], found["analogies"]) == (4, 2, "3 of 3")


def test_analogies_are_counted_by_kind_and_in_all():
    right, among, wrong = (
        Solved(kind, Analogy("a", "b", "c", "d"), answers)
        for kind, answers in (("plural", ["d", "e"]), ("plural", ["e", "d"]), ("film", ["e", "f"]))
    )
    found = {row.pop("kind"): tuple(row.values()) for row in words.count_solved({"cbow": [right, among, wrong]})}
    assert found["plural"] == ("1 of 2", 2)
    assert found["film"] == ("0 of 1", 0)
    assert found["tense"] == ("0 of 0", 0)
    assert found["all"] == ("1 of 3", 2)


def test_few_labels_are_read_for_more_epochs_and_only_a_model_is_started_from():
    start, long = "--model.encoder.vectors=made.ckpt", f"--trainer.max_epochs={words.FEW_EPOCHS}"
    for labels, model in (("100", MADE), ("100", None), ("all", MADE), ("all", None)):
        arguments = words.of_reviews(labels, 2, model)
        assert (start in arguments) == (model is not None)
        assert (long in arguments) == (labels != "all")
        assert any(argument.startswith("--model.encoder.vectors") for argument in arguments) == (model is not None)


def test_the_picture_has_words_that_all_models_know(monkeypatch, tmp_path):
    known = [*words.KINDS["praise"].split(), *words.KINDS["numbers"].split(), *words.KINDS["countries"].split()]
    models = {
        name: MADE._replace(vocabulary=(few := Vocabulary(listed)), vectors=torch.randn(len(few), 3))
        for name, listed in (("skipgram", known), ("cbow", [*reversed(known[1:]), "zombie"]))
    }
    draw_nothing(monkeypatch, words, "plot_words")
    monkeypatch.setattr(words, "save", lambda figure, path: drawn.append(figure.given))
    drawn = []
    words.draw(models, tmp_path / "words.png")
    ((vectors, kinds),) = [given.__dict__.values() for given in drawn]
    assert sorted(word for named in kinds.values() for word in named) == sorted(known[1:])
    for name, model in models.items():
        places = [model.vocabulary.ids[word] for named in kinds.values() for word in named]
        torch.testing.assert_close(vectors[name], model.vectors[places])
