from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seqsum.data import Batch, FilmReviews
from seqsum.data.text import UNKNOWN, tokenize
from seqsum.errors import InputError
from tests.conftest import fail_downloads
from tests.data.reviews.written import some_reviews, write_folder


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"), some_reviews()).parent


def made(root: Path, **options) -> FilmReviews:
    data = FilmReviews(root=str(root), batch_size=8, **options)
    data.prepare_data()
    data.setup("fit")
    return data


def epoch_of(data: FilmReviews, split: str = "train", epoch: int = 0) -> list[Batch]:
    loader = getattr(data, f"{split}_dataloader")()
    loader.sampler.set_epoch(epoch)
    return [data.gather(table) for table in loader]


def words_of(data: FilmReviews, batch: Batch, row: int) -> list[str]:
    ids = batch.inputs[row] if batch.mask is None else batch.inputs[row][batch.mask[row]]
    return [data.vocabulary.words[number] for number in ids.tolist()]


def originals(data: FilmReviews, split: str) -> list[list[str]]:
    texts = {review.name: tokenize(review.text) for review in some_reviews()}
    reviews = data.splits[split]
    return [texts[reviews.name(row)] for row in range(len(reviews.labels))]


CHOICES = {
    "longest": [None, 30],
    "beyond": ["keep_end", "keep_start", "drop"],
    "crop": [None, 7],
    "padding": ["after", "before"],
    "bucketing": [True, False],
}


@pytest.mark.parametrize("values", [*itertools.product(*CHOICES.values())], ids=str)
def test_batches_hold_the_right_words_of_every_review_whatever_the_choices(root, values):
    options = dict(zip(CHOICES, values, strict=True))
    data = made(root, **options)
    for split in ("train", "val"):
        texts, seen = originals(data, split), []
        for batch in epoch_of(data, split):
            assert batch.mask is not None
            for row, place in enumerate(batch.rows.flatten().tolist()):
                words, text = words_of(data, batch, row), texts[place]
                limit = options["longest"] or len(text)
                kept = text[-limit:] if options["beyond"] == "keep_end" else text[:limit]
                known = [word if word in data.vocabulary.ids else "<unknown>" for word in kept]
                if options["crop"] and split == "train":
                    assert len(words) == min(7, len(known))
                    assert words in [known[at : at + len(words)] for at in range(len(known))]
                else:
                    assert words == known
                assert int(batch.targets[row]) == int(data.splits[split].labels[place])
                padded = batch.mask[row].tolist()
                assert padded == sorted(padded, reverse=options["padding"] == "after")
                seen.append(place)
        assert sorted(seen) == list(range(len(texts)))
    if options["beyond"] == "drop" and options["longest"]:
        assert max(map(len, originals(data, "train"))) <= 30


def test_all_but_the_test_reviews_may_be_trained_on(root):
    data, alone = made(root, train_on="all"), made(root)
    assert originals(data, "train") == originals(alone, "train") + originals(alone, "val")
    assert data.vocabulary.words == alone.vocabulary.words
    for batch in epoch_of(data):
        for row, place in enumerate(batch.rows.flatten().tolist()):
            assert words_of(data, batch, row) == [
                word if word in data.vocabulary.ids else "<unknown>" for word in originals(data, "train")[place]
            ]


def test_pieces_of_a_review_change_with_the_epoch_and_reach_both_ends(root):
    data = made(root, crop=5)
    texts, at_start, at_end = originals(data, "train"), False, False
    for epoch in range(12):
        for batch in epoch_of(data, epoch=epoch):
            for row, place in enumerate(batch.rows.flatten().tolist()):
                known = data.vocabulary.encode(texts[place])
                at_start |= batch.inputs[row].tolist()[:5] == known[:5] and len(known) > 5
                at_end |= batch.inputs[row].tolist()[:5] == known[-5:] and len(known) > 5
    assert at_start
    assert at_end
    first, again, later = (torch.cat([b.inputs for b in epoch_of(data, epoch=epoch)]) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_read_the_pieces_that_one_would(root, processes):
    data = made(root, crop=5)
    for table in data.train_dataloader():
        whole = data.gather(table)
        for rank in range(processes):
            share = slice(rank, None, processes)
            part = data.gather(table._replace(share=share))
            assert torch.equal(part.inputs, whole.inputs[share])
            assert torch.equal(part.targets, whole.targets[share])


def test_batches_are_as_long_as_their_longest_review_or_all_alike(root):
    for batch in epoch_of(made(root)):
        assert batch.mask.sum(1).max() == batch.inputs.shape[1]
    assert {batch.inputs.shape[1] for batch in epoch_of(made(root, longest=50, pad_to="longest"))} == {50}


@pytest.mark.parametrize("pad_to", ["batch", "longest"])
@pytest.mark.parametrize("values", [*itertools.product(*CHOICES.values())], ids=str)
def test_share_of_padding_is_that_of_the_masks(root, values, pad_to):
    options = dict(zip(CHOICES, values, strict=True))
    if pad_to == "longest" and options["longest"] is None:
        options["longest"] = 1_000
    data = made(root, pad_to=pad_to, **options)
    for split in ("train", "val"):
        masks = [batch.mask for batch in epoch_of(data, split)]
        padded = sum(int((~mask).sum()) for mask in masks) / sum(mask.numel() for mask in masks)
        assert data.padding_share(split) == pytest.approx(padded, abs=1e-12)


@pytest.mark.parametrize("bucketing", [False, True])
def test_reviews_are_sorted_by_length_only_if_asked_for(root, bucketing):
    data = made(root, bucketing=bucketing)
    data.batch_size = 2
    assert (data.train_dataloader().sampler.pool > 1) == bucketing


def test_without_a_mask_padding_is_a_word(root):
    batch = epoch_of(made(root, mask=False, bucketing=False))[0]
    assert batch.mask is None
    assert batch.scored is None
    assert (batch.inputs == 0).any()


def test_a_small_vocabulary_has_the_most_frequent_words(root):
    data = made(root, vocabulary_size=10)
    assert len(data.vocabulary) == 10
    large = made(root)
    assert data.vocabulary.words == large.vocabulary.words[:10]
    for small, batch in zip(epoch_of(data), epoch_of(large), strict=True):
        assert torch.equal(small.inputs, batch.inputs.where(batch.inputs < 10, UNKNOWN))


def test_the_words_of_a_checkpoint_are_read_by_their_ids_there(root, tmp_path):
    trained = made(root, vocabulary_size=30)
    other = write_folder(tmp_path / "other", some_reviews(10)).parent
    data = made(other)
    epoch_of(data)  # by its own vocabulary
    data.load_state_dict(trained.state_dict())
    texts = originals(data, "test")
    for batch in epoch_of(data, "test"):
        for row, place in enumerate(batch.rows.flatten().tolist()):
            assert batch.inputs[row][batch.mask[row]].tolist() == trained.vocabulary.encode(texts[place])


@pytest.mark.parametrize("padding", ["after", "before"])
def test_a_text_by_itself_is_padded_as_in_a_batch(root, padding):
    data = made(root, padding=padding, pad_to="longest", longest=200)
    batch = epoch_of(data, "test")[0]
    assert not batch.mask.all(1).any()
    for row, place in enumerate(batch.rows.flatten().tolist()):
        alone = data.as_batch(data.text_of("test", place))
        assert torch.equal(alone.inputs[0], batch.inputs[row])
        assert torch.equal(alone.mask[0], batch.mask[row])


def test_padding_of_a_text_by_itself_is_a_word_too_without_a_mask(root):
    data = made(root, mask=False, pad_to="longest", longest=200)
    alone = data.as_batch(data.text_of("test", 0))
    assert alone.mask is None
    assert (alone.inputs == 0).any()


def test_auto_is_made_up_with_a_loud_warning_when_there_are_no_real_reviews(tmp_path, monkeypatch):
    fail_downloads(monkeypatch)
    data = FilmReviews(root=str(tmp_path / "new"))
    with pytest.warns(UserWarning, match=r"NOT REAL REVIEWS.*`--data\.root` .*no network"):
        data.prepare_data()
    data.setup("fit")
    assert data.dataset == "made"
    assert not (tmp_path / "new").exists()
    assert "made film reviews (1,800 train, 200 val, 1,000 test)" in data.describe()


def test_imdb_is_an_error_when_there_are_no_real_reviews(tmp_path, monkeypatch):
    fail_downloads(monkeypatch)
    with pytest.raises(InputError, match=r"`--data\.root` .* does not hold aclImdb"):
        FilmReviews(dataset="imdb", root=str(tmp_path)).prepare_data()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "films"}, r"`--data\.dataset` \(='films'\) must be one of"),
        ({"train_on": "test"}, r"`--data\.train_on` \(='test'\) must be one of"),
        ({"beyond": "cut"}, r"`--data\.beyond` \(='cut'\) must be one of"),
        ({"padding": "left"}, r"`--data\.padding` \(='left'\) must be one of"),
        ({"pad_to": "all"}, r"`--data\.pad_to` \(='all'\) must be one of"),
        ({"vocabulary_size": 2}, r"`--data\.vocabulary_size` \(=2\) must be at least 3"),
        ({"longest": 0}, r"`--data\.longest` \(=0\) must be at least 1"),
        ({"crop": 0}, r"`--data\.crop` \(=0\) must be at least 1"),
        ({"longest": None, "pad_to": "longest"}, r"`--data\.pad_to` \(=longest\) needs a length"),
        ({"longest": 1, "beyond": "drop"}, r"`--data\.longest` \(=1\) drops all reviews of the train split"),
        ({"batch_size": 0}, r"`--data\.batch_size` \(=0\) must be at least 1"),
    ],
)
def test_a_wrong_choice_is_named(root, options, message):
    with pytest.raises(InputError, match=message):
        FilmReviews(root=str(root), **options).setup("fit")


# A user's own texts --------------------------------------------------------------------------------------


def own(root: Path, texts: str | list[str], **options) -> FilmReviews:
    data = FilmReviews(root=str(root), texts=texts, **options)
    data.load_state_dict(made(root).state_dict())
    data.setup("predict")
    return data


def test_texts_are_files_folders_patterns_and_strings(root, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "b.txt").write_text("The plot is awful")
    (folder / "a.txt").write_bytes("The cast is wonderful".encode("utf-16"))
    (folder / "notes.md").write_text("notes")
    data = own(root, [str(folder), str(folder / "b.txt"), str(folder / "[a]*.txt"), "The music is dull!"])
    assert [text.words[-1] for text in data.own.texts] == ["wonderful", "awful", "awful", "wonderful", "!"]
    assert [Path(text.source).name for text in data.own.texts[:4]] == ["a.txt", "b.txt", "b.txt", "a.txt"]
    assert data.own.texts[4].source == "“The music is dull!”"
    assert data.own.left_out() == [f"Not texts, by their names: {folder / 'notes.md'}"]
    batches = list(data.predict_dataloader())
    assert [batch.inputs.shape for batch in batches] == [(1, 4), (1, 4), (1, 4), (1, 4), (1, 5)]
    assert batches[0].inputs.tolist() == [data.vocabulary.encode(["the", "cast", "is", "wonderful"])]
    assert all(bool(batch.mask.all()) and batch.targets.shape == (1, 0) for batch in batches)


def test_texts_that_can_not_be_read_are_named_and_skipped(root, tmp_path):
    (tmp_path / "latin.txt").write_bytes("où".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\0\0")
    files = [str(tmp_path / name) for name in ("latin.txt", "empty.txt", "picture.txt")]
    data = own(root, [*files, "a good film"])
    assert len(data.own.texts) == 1
    assert [(Path(skipped.source).name, skipped.reason.split(";")[0]) for skipped in data.own.skipped] == [
        ("latin.txt", "is not UTF-8 text: byte 0xf9 at place 2"),
        ("empty.txt", "has no words"),
        ("picture.txt", "is no text: it has zero bytes"),
    ]
    with pytest.raises(InputError, match=r"`--data\.texts` .*no text to read: Skipped: .*latin\.txt .*not UTF-8"):
        own(root, files)


def test_a_misspelt_file_is_no_text(root):
    for name in ("reviews/mine", "my_review.txt"):
        with pytest.raises(InputError, match=rf"`--data\.texts` \(={name}\) has no text to read: .*is no file"):
            own(root, name)
        found = own(root, ["a good film", name]).own
        assert [skipped.source for skipped in found.skipped] == [name]
        assert len(found.texts) == 1


def test_no_text_is_an_error(root):
    with pytest.raises(InputError, match=r"`--data\.texts` must give a text"):
        own(root, [])


def test_a_long_text_is_cut_as_the_reviews_are(root):
    text = " ".join(["start", *["film"] * 8, "end"])
    assert own(root, text, longest=3).words_read(own(root, text).own.texts[0]) == ["film", "film", "end"]
    start = own(root, text, longest=3, beyond="keep_start")
    assert start.words_read(start.own.texts[0]) == ["start", "film", "film"]
    with pytest.raises(InputError, match=r"`--data\.longest` \(=3\) drops every text"):
        own(root, text, longest=3, beyond="drop")
    some = own(root, [text, "a film"], longest=3, beyond="drop")
    assert [text.words for text in some.own.texts] == [["a", "film"]]
    assert [skipped.reason for skipped in some.own.skipped] == ["has 10 words; `--data.longest` (=3) drops it"]


def test_a_review_is_found_by_its_row_with_all_its_words(root):
    data = made(root, vocabulary_size=10, longest=12)
    texts = {review.name: tokenize(review.text) for review in some_reviews()}
    for row in range(len(data.splits["test"].labels)):
        review = data.text_of("test", row)
        assert review.words == texts[review.source], "even words that the network does not know"
        assert len(data.words_read(review)) == data.lengths_read("test")[row] == min(12, len(review.words))
        assert data.known(review.words) == [word in data.vocabulary.words for word in review.words]
    batch = next(iter(data.test_dataloader()))
    row = int(batch.rows[0])
    alone, together = data.as_batch(data.text_of("test", row)), data.gather(batch)
    assert alone.inputs[0].tolist() == together.inputs[0][together.mask[0]].tolist()


def test_the_part_of_a_text_that_is_read_is_said(root):
    long, short = " ".join(["film"] * 1_234), "film"
    data = own(root, [long, short, "a film"], longest=5)
    assert [data.part_read(text) for text in data.own.texts] == ["the last 5 of 1,234 words", "1 word", "all 2 words"]
    start = own(root, long, longest=5, beyond="keep_start")
    assert start.part_read(start.own.texts[0]) == "the first 5 of 1,234 words"


def test_a_training_may_use_a_few_labels(root):
    few, all_ = made(root, labels=10), made(root)
    assert sum(len(batch.targets) for batch in epoch_of(few)) == 10
    assert {int(label) for label in few.splits["train"].labels} == {0, 1}
    texts = originals(all_, "train")
    assert all(text in texts for text in originals(few, "train"))
    assert few.vocabulary.words == all_.vocabulary.words
    assert originals(few, "val") == originals(all_, "val")
    assert originals(made(root, labels=10, seed=0), "train") == originals(few, "train")
    assert originals(made(root, labels=10, seed=1), "train") != originals(few, "train")
    with pytest.raises(InputError, match=r"`--data\.labels` \(=1\) must be between 2"):
        made(root, labels=1)


# The real reviews ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_real_reviews_are_all_read(real_root):
    if not (real_root / "aclImdb.tar.gz").exists():
        pytest.skip("SEQSUM_DATA holds no film reviews")
    data = made(real_root)
    assert "imdb film reviews (22,500 train, 2,500 val, 25,000 test), 19,998 known words" in data.describe()
    assert data.vocabulary.words[2:6] == ["the", "and", "a", "of"]
    assert [int(split.labels.sum()) for split in data.splits.values()] == [11_250, 1_250, 12_500]
