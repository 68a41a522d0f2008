from __future__ import annotations

import contextlib
import gzip
import random
import threading
import zlib
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from seqsum.data.downloads import MissingDataError
from seqsum.data.reviews import corpus as review_corpus
from seqsum.data.reviews import download as review_download
from seqsum.data.reviews.corpus import Corpus, encode, load_corpus
from seqsum.data.reviews.download import download_corpus
from seqsum.data.reviews.files import ReviewFile, find_corpus, read_files
from seqsum.data.reviews.made import make_reviews
from seqsum.data.text import UNKNOWN, tokenize
from seqsum.errors import InputError
from tests.data.reviews.written import some_reviews, write_archive, write_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "seqsum"


def same(first: Corpus, second: Corpus) -> bool:
    tensors = [
        [tensor for reviews in corpus.splits.values() for tensor in (*reviews.words, reviews.labels, reviews.origins)]
        for corpus in (first, second)
    ]
    return first.vocabulary.words == second.vocabulary.words and all(map(torch.equal, *tensors))


def test_folder_and_archive_are_read_alike(tmp_path):
    reviews = some_reviews()
    folder = write_folder(tmp_path / "folder", reviews)
    (folder / "train/unsup").mkdir()
    (folder / "train/unsup/0_0.txt").write_text("a review without a label")
    (folder / "README").write_text("about the reviews")
    archive = write_archive(tmp_path / "packed", folder)
    assert find_corpus(tmp_path / "folder") == folder == find_corpus(folder)
    assert find_corpus(tmp_path / "packed") == archive == find_corpus(archive)
    assert read_files(folder) == read_files(archive) == reviews
    assert same(load_corpus(folder), load_corpus(archive))


def test_other_folders_beside_it_are_no_corpus(tmp_path):
    folder = write_folder(tmp_path, some_reviews())
    for other in ("train/images", "test/images"):
        (tmp_path / other).mkdir(parents=True)
    assert find_corpus(tmp_path) == folder


def test_every_review_keeps_its_words_label_and_name(tmp_path):
    corpus = encode(some_reviews())
    texts = {review.name: review for review in some_reviews()}
    for reviews in corpus.splits.values():
        for row, ids in enumerate(reviews.words.values.split(reviews.words.lengths.tolist())):
            review = texts.pop(reviews.name(row))
            known = [word if word in corpus.vocabulary.ids else "<unknown>" for word in tokenize(review.text)]
            assert [corpus.vocabulary.words[number] for number in ids] == known
            assert int(reviews.labels[row]) == review.label
    assert not texts


def test_validation_holds_out_the_last_numbers_of_each_class():
    corpus = encode(some_reviews(30))
    names = {
        split: [reviews.name(row) for row in range(len(reviews.labels))] for split, reviews in corpus.splits.items()
    }
    assert sorted(name.split("_")[0] for name in names["val"]) == sorted(
        f"train/{kind}/{number}" for kind in ("neg", "pos") for number in (27, 28, 29)
    )
    assert not set(names["val"]) & set(names["train"])
    assert len(names["train"]) == 54
    assert len(names["test"]) == 60


def test_the_vocabulary_is_counted_on_the_training_split_alone_the_most_frequent_first():
    held_out = [ReviewFile("train", label, 99, 1, "heldout heldout heldout") for label in (0, 1)]
    tested = [ReviewFile("test", label, 99, 1, "tested tested tested") for label in (0, 1)]
    trained = [ReviewFile("train", label, number, 1, "often often seldom") for label in (0, 1) for number in range(9)]
    corpus = encode(sorted(trained + held_out + tested))
    assert corpus.vocabulary.words[UNKNOWN + 1 :] == ["often", "seldom"]
    assert set(corpus.splits["val"].words.values.tolist()) == {UNKNOWN}


def test_a_review_without_words_is_named_and_becomes_an_unknown_word():
    reviews = [*some_reviews(), ReviewFile("test", 0, 77, 1, "<br /> ...")]
    with pytest.warns(UserWarning, match=r"without a word.*test/neg/77_1\.txt"):
        corpus = encode(sorted(reviews))
    assert sum(len(split.labels) for split in corpus.splits.values()) == len(reviews)
    assert [int(length) for length in corpus.splits["test"].words.lengths if length == 1] == [1]


# The cache ---------------------------------------------------------------------------------------------


def test_a_corpus_is_encoded_once(tmp_path, monkeypatch):
    folder = write_folder(tmp_path, some_reviews())
    first = load_corpus(folder)
    monkeypatch.setattr(review_corpus, "read_files", None)  # a call would fail
    assert same(load_corpus(folder), first)


@pytest.mark.parametrize("change", ["edited", "added", "removed", "moved", "swapped", "held out", "rule"])
def test_a_changed_corpus_or_rule_is_encoded_again(tmp_path, monkeypatch, change):
    folder = write_folder(tmp_path, some_reviews())
    before = load_corpus(folder)
    path = folder / "train/pos" / next(path.name for path in (folder / "train/pos").iterdir())
    if change == "edited":
        path.write_text("an entirely other text")
    elif change == "added":
        (folder / "train/pos/555_9.txt").write_text("one more")
    elif change == "removed":
        path.unlink()
    elif change == "moved":
        path.rename(folder / "train/neg/555_1.txt")
    elif change == "swapped":
        for source, target in (("pos", "x"), ("neg", "pos"), ("x", "neg")):
            (folder / "test" / source).rename(folder / "test" / target)
    elif change == "held out":
        monkeypatch.setattr(review_corpus, "HELD_OUT", 0.5)
    else:
        monkeypatch.setattr(review_corpus, "RULE", "another")
        monkeypatch.setattr(review_corpus, "tokenize", str.split)
    assert not same(load_corpus(folder), before)


def test_a_damaged_cache_is_made_again(tmp_path, cache):
    folder = write_folder(tmp_path, some_reviews())
    first = load_corpus(folder)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    chance = random.Random(0)
    for _ in range(8):
        kept.write_bytes(whole[: chance.randrange(len(whole))])
        with pytest.warns(UserWarning, match="damaged and is made again"):
            assert same(load_corpus(folder), first)
    assert same(load_corpus(folder), first)


# Bad corpora -------------------------------------------------------------------------------------------


def test_an_archive_that_ends_early_is_an_error_wherever_it_ends(tmp_path):
    archive = write_archive(tmp_path / "packed", write_folder(tmp_path, some_reviews()))
    whole = archive.read_bytes()
    chance = random.Random(0)
    ends = [0, 1, 9, 10, 100, len(whole) - 9, len(whole) - 1, *chance.choices(range(len(whole)), k=30)]
    for end in ends:
        archive.write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"aclImdb\.tar\.gz is damaged or ends early"):
            read_files(archive)


def test_a_changed_byte_in_an_archive_is_noticed(tmp_path):
    archive = write_archive(tmp_path / "packed", write_folder(tmp_path, some_reviews()))
    whole = archive.read_bytes()
    chance = random.Random(0)
    for _ in range(30):
        at = chance.randrange(20, len(whole))
        changed = whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]
        with contextlib.suppress(OSError, EOFError, zlib.error):
            if gzip.decompress(changed) == gzip.decompress(whole):
                continue  # one of few that mean the same, such as the archive's name in the header
        archive.write_bytes(changed)
        with pytest.raises(InputError, match=r"aclImdb\.tar\.gz is damaged"):
            read_files(archive)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\xff\xd8\xff\xe0\0\x10JFIF", "is no text"), ("où ça".encode("latin-1"), "is not UTF-8 text: byte 0xf9")],
)
def test_a_review_that_is_no_text_is_named(tmp_path, content, reason):
    folder = write_folder(tmp_path, some_reviews())
    (folder / "test/neg/777_1.txt").write_bytes(content)
    with pytest.raises(InputError, match=rf"`--data\.root`.*test/neg/777_1\.txt {reason}"):
        read_files(folder)


def test_files_with_other_names_are_named_and_left_out(tmp_path):
    folder = write_folder(tmp_path, some_reviews())
    (folder / "test/neg/notes.md").write_text("notes")
    with pytest.warns(UserWarning, match=r"Left out.*test/neg/notes\.md"):
        assert read_files(folder) == some_reviews()


@pytest.mark.parametrize("missing", ["train/pos", "test/neg"])
def test_a_missing_folder_is_named(tmp_path, missing):
    folder = write_folder(tmp_path, [review for review in some_reviews() if not review.name.startswith(missing)])
    with pytest.raises(InputError, match=f"incomplete: there are no reviews in {missing}"):
        read_files(folder)


# Downloads ---------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local server with the archive; yields the archive, which a test may change."""
    folder = write_folder(tmp_path / "made", some_reviews())
    archive = write_archive(tmp_path / "server", folder, "aclImdb_v1.tar.gz")
    handler = partial(SimpleHTTPRequestHandler, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setattr(review_download, "URL", f"http://127.0.0.1:{running.server_port}/aclImdb_v1.tar.gz")
        monkeypatch.setattr(review_download, "MD5", md5(archive.read_bytes()).hexdigest())
        yield archive
        running.shutdown()
        thread.join()


def test_a_download_ends_in_its_place(tmp_path, server):
    root = tmp_path / "new"
    assert download_corpus(root).read_bytes() == server.read_bytes()
    assert [path.name for path in root.iterdir()] == ["aclImdb_v1.tar.gz"]
    assert read_files(root / "aclImdb_v1.tar.gz") == some_reviews()


# torchvision leaves the answer to a missing file open, which Python 3.13 says
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("fault", ["missing", "other content"])
def test_a_failed_download_leaves_nothing_and_is_named(tmp_path, server, fault):
    if fault == "missing":
        server.unlink()
    else:
        server.write_bytes(b"an error page")
    with pytest.raises(MissingDataError, match=r"`--data\.root` \(=.*new\) does not hold aclImdb.*downloading"):
        download_corpus(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_made_up_reviews_are_always_the_same_and_of_both_classes():
    reviews = make_reviews()
    assert reviews == make_reviews()
    assert len({review.name for review in reviews}) == len(reviews) == 3_000
    assert {(review.split, review.label) for review in reviews} == {
        ("train", 0),
        ("train", 1),
        ("test", 0),
        ("test", 1),
    }
