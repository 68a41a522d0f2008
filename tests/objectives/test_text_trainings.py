"""A training on film reviews through the command line, and all that shows what it learned."""

from __future__ import annotations

import re

import pytest

from seqsum.cli import main
from seqsum.inspect import load, predict
from seqsum.inspect.__main__ import main as inspect
from tests.data.reviews.written import some_reviews, write_folder


@pytest.fixture
def trained(here, monkeypatch):
    """Train one epoch on a small corpus; return the run and the names of TensorBoard's figures."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    write_folder(here / "data", some_reviews())
    figures = []
    monkeypatch.setattr(
        "torch.utils.tensorboard.SummaryWriter.add_figure", lambda self, name, *_, **__: figures.append(name)
    )
    main(
        [
            *("--experiment=small", "--data=FilmReviews", "--data.dataset=imdb", "--data.vocabulary_size=60"),
            *("--data.longest=20", "--model.encoder=Embed", "--model.encoder.output_size=6", "--model.hidden_size=8"),
            *("--model.objective=TextClassification", "--model.cell=gru", "--model.bidirectional=true"),
            *("--model.readout=mean_max", "--trainer.accelerator=cpu", "--trainer.max_epochs=1"),
            *("--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=1"),
        ]
    )
    return here / "logs/small/version_0", figures


def test_reviews_are_trained_tested_inspected_and_predicted_from(trained, here, capfd):
    run, figures = trained
    assert set(figures) == {"figures/accuracy_by_length"}
    assert (run / "accuracy_by_length.png").is_file()
    inspect([str(run / "checkpoints/best.ckpt"), "--output=page", "--sequences=2"])
    page = (here / "page/index.html").read_text()
    assert "Other texts" in page
    assert re.search(r"<strong>test/(neg|pos)/\d+_\d+\.txt</strong>", page)
    own = here / "own"
    own.mkdir()
    (own / "a.txt").write_text("The plot is <b>wonderful</b> & quuxly! " + "The cast is superb. " * 6)
    (own / "b.txt").write_text("quuxly zorp")
    (own / "latin.txt").write_bytes("où".encode("latin-1"))
    (own / "empty.txt").write_text("")
    capfd.readouterr()
    with pytest.raises(SystemExit) as exit_of:
        main(["predict", "--experiment=small", "--ckpt_path=last", "--data.texts=own", "--trainer.accelerator=cpu"])
    out = capfd.readouterr().out
    assert exit_of.value.code == 1
    assert "\x1b[48" not in out
    for said in (
        *("Skipped: own/empty.txt has no words", "Skipped: own/latin.txt is not UTF-8 text"),
        *("Warning: own/b.txt: the network knows none of its words", "read: the last 20 of 30 words"),
        *("not in the vocabulary: quuxly, zorp", "predictions.html"),
    ):
        assert said in out
    page = (here / "logs/small-predict/version_0/predictions.html").read_text()
    assert page.count("<strong>") == 2
    assert "latin.txt" in page
    assert "http" not in page


def test_predict_in_python_and_inspect_show_the_same(trained, here, capfd):
    path = trained[0] / "checkpoints/best.ckpt"
    module, data, _ = load(path)
    shown = predict(module, data, texts="The plot is wonderful")
    ((text, *_, unknown),) = shown.tables[0].rows
    assert (text, unknown) == ("“The plot is wonderful”", "1")  # by the vocabulary of the checkpoint
    assert "wonderful</span>" in shown._repr_html_()
    inspect([str(path), "--texts", "The plot is wonderful", "--output=mine"])
    assert shown.page[1].html in (here / "mine/index.html").read_text()


def test_a_readout_of_every_step_is_refused_by_name(here, monkeypatch, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    with pytest.raises(SystemExit):
        main(
            [
                *("--data=FilmReviews", "--data.dataset=made", "--model.encoder=Embed", "--model.cell=gru"),
                *("--model.objective=TextClassification", "--trainer.accelerator=cpu", "--model.hidden_size=4"),
                "--trainer.log_every_n_steps=1",
            ]
        )
    assert "set `--model.readout`, to mean_max, say" in capfd.readouterr().err
