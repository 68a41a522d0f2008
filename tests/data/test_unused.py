"""Data that stand in for real ones say so if the real ones are where the user points to."""

from __future__ import annotations

import warnings

import pytest

from seqsum.data import DigitSums, FilmReviews, Translation
from tests.data.pairs.written import write_multi30k
from tests.data.reviews.written import some_reviews, write_folder


@pytest.fixture
def root(tmp_path, mnist_root):
    folder = tmp_path / "sets"
    folder.mkdir()
    (folder / "MNIST").symlink_to(mnist_root / "MNIST")
    write_folder(folder, some_reviews())
    return write_multi30k(folder)


@pytest.mark.parametrize(
    ("kind", "stand_in", "real"),
    [(DigitSums, "rendered", "mnist"), (FilmReviews, "made", "imdb"), (Translation, "made", "multi30k")],
)
def test_real_data_that_have_no_effect_are_named(root, monkeypatch, kind, stand_in, real):
    with pytest.warns(
        UserWarning, match=rf"holds {real} and has no effect: `--data.dataset` is {stand_in}.*={real}` reads"
    ):
        kind(dataset=stand_in, root=str(root)).prepare_data()
    monkeypatch.chdir(root.parent)
    root.rename("data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(dataset=stand_in).prepare_data()  # by default, nobody has pointed there
        kind(dataset=stand_in, root="elsewhere").prepare_data()
        kind(dataset=real, root="data").prepare_data()
