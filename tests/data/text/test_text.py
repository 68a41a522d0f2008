from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
import torch

from seqsum.data.index_tables import IndexBatch
from seqsum.data.text import END, PADDING, START, UNKNOWN, Ragged, Vocabulary, decode, tokenize
from seqsum.data.text.own import OwnText, read_texts
from seqsum.data.text.pieces import Pieces
from seqsum.data.text.ragged import pad
from seqsum.data.text.tokens import NotTextError
from seqsum.data.text.vocabulary import WRITTEN
from seqsum.errors import InputError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's GREAT!", ["it's", "great", "!"]),
        ("A film.<br /><br />Really?", ["a", "film", "really", "?"]),
        ("so-called <i>art</i>", ["so", "called", "art"]),
        ("don’t 'quote'", ["don't", "quote"]),
        ("3 < 4 and 5 > 2", ["3", "4", "and", "5", "2"]),
        ("Ünïcode café 10/10", ["ünïcode", "café", "10", "10"]),
        ("... -- ,", []),
        ("", []),
    ],
)
def test_words_are_lower_case_without_markup_and_punctuation(text, words):
    assert tokenize(text) == words


def test_every_word_of_a_text_is_found_whatever_stands_between_them():
    chance = random.Random(0)
    for _ in range(200):
        words = ["".join(chance.choices("abcxyz019", k=chance.randint(1, 6))) for _ in range(chance.randint(0, 9))]
        between = [chance.choice((" ", ", ", "<br />", ".", " - ", "\n\n", "<b>", '" ')) for _ in range(9)]
        text = "".join(word + gap for word, gap in zip(words, between, strict=False)).upper()
        assert tokenize(text) == words


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_with_and_without_a_byte_order_mark_are_read(encoding):
    assert decode("Café, naïve — 好".encode(encoding)) == "Café, naïve — 好"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("café".encode("latin-1"), r"not UTF-8 text: byte 0xe9 at place 4; save it as UTF-8"),
        ("one\ntwo\nun café".encode("latin-1"), r"not UTF-8 text: byte 0xe9 at place 7 of line 3;"),
        ("one\rtwo\run café".encode("latin-1"), r"not UTF-8 text: byte 0xe9 at place 7 of line 3;"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no text: it has zero bytes"),
        (b"abc\0def", "no text: it has zero bytes"),
    ],
)
def test_what_is_no_text_is_named(content, reason):
    with pytest.raises(NotTextError, match=reason):
        decode(content)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lines_may_end_with_carriage_returns_if_all_do(encoding):
    assert decode("eins\rzwei\r\r".encode(encoding)) == "eins\nzwei\n\n"
    assert decode("eins\r\nzw\rei\r\n".encode(encoding)) == "eins\r\nzw\rei\r\n"


def test_each_line_of_a_file_with_carriage_returns_is_a_text(tmp_path):
    (tmp_path / "own.txt").write_bytes(b"ein Hund\rzwei Hunde\r")
    found = read_texts([str(tmp_path / "own.txt")], str.split, by_line=True)
    assert [text.words for text in found.texts] == [["ein", "Hund"], ["zwei", "Hunde"]]


def test_a_word_beyond_the_vocabulary_is_unknown():
    vocabulary = Vocabulary(["the", "film", "good"])
    assert vocabulary.encode(["good", "the", "bad"]) == [4, 2, UNKNOWN]
    assert vocabulary.most_frequent(4).encode(["good", "the", "bad"]) == [UNKNOWN, 2, UNKNOWN]
    assert len(vocabulary.most_frequent(4)) == 4


def test_a_smaller_vocabulary_keeps_its_special_ids():
    vocabulary = Vocabulary(["the", "film", "good"], WRITTEN)
    assert [vocabulary.words[number] for number in (PADDING, UNKNOWN, START, END)] == list(WRITTEN)
    assert vocabulary.most_frequent(5).words == [*WRITTEN, "the"]
    assert vocabulary.most_frequent(5).encode(["the", "film"]) == [4, UNKNOWN]


def test_each_line_may_be_a_text_by_itself(tmp_path):
    (tmp_path / "several.txt").write_text("Ein Hund.\n\nDie Katze\n", encoding="utf-8")
    (tmp_path / "single.txt").write_text("Ein Mann\n", encoding="utf-8")
    (tmp_path / "blank.txt").write_text("\n \n", encoding="utf-8")
    several, single, blank = (str(tmp_path / f"{name}.txt") for name in ("several", "single", "blank"))
    found = read_texts([several, single, blank, "Zwei Frauen\nim Bus"], str.split, by_line=True)
    assert found.texts == [
        OwnText(["Ein", "Hund."], f"{several}, line 1"),
        OwnText(["Die", "Katze"], f"{several}, line 3"),
        OwnText(["Ein", "Mann"], single),
        OwnText(["Zwei", "Frauen"], "“Zwei Frauen im Bus”, line 1"),
        OwnText(["im", "Bus"], "“Zwei Frauen im Bus”, line 2"),
    ]
    assert found.left_out() == [f"Skipped: {blank} has no words"]
    with pytest.raises(InputError, match=r"no text to read: Skipped: .*blank\.txt has no words"):
        read_texts([blank], str.split, by_line=True)


def drawn_name(chance: random.Random) -> str:
    return " ".join("".join(chance.choices("abcxyzü", k=chance.randint(1, 6))) for _ in range(chance.randint(1, 4)))


def test_a_misspelt_path_is_named_whether_or_not_it_has_spaces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Some notes").mkdir()
    (tmp_path / "there.txt").write_text("a film")
    chance = random.Random(0)
    for _ in range(50):
        name, other = drawn_name(chance), drawn_name(chance)
        for given, reason in (
            (f"{name}.txt", "is no file"),
            (f"{other}/{name}.TXT", "is no file"),
            (f"~nobody/{name}.txt", "is no file"),
            (f"{name}*.txt", "matches no file"),
            (f"{name}/*", "matches no file"),
            (f"{name}/**/[{other}].txt", "matches no file"),
            (f"{name}*.md", "matches no file"),
            (f"Some notes/{name}*", "matches no file"),
        ):
            found = read_texts([given, "there.txt"])
            assert found.left_out() == [f"Skipped: {given} {reason}"]
            assert [text.source for text in found.texts] == ["there.txt"]
            with pytest.raises(InputError, match=rf"`--data\.texts` \(=.*\) has no text to read: .* {reason}$"):
                read_texts([given])


def test_a_text_is_no_path_whatever_marks_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.txt").write_text("a film")
    chance = random.Random(0)
    marks = ["?", "*", "[sic]", "5/10", "and/or", "~", "…", ".", "***", "3.5/5*", "[1]", "x.txt:", "<br />", "/", "\0"]
    ends = ["good?", "[sic] …", "7/10", "film.", "*", "5*", "bad/good?"]
    for _ in range(300):
        start = chance.choice(["~", "~nobody ", "**", "? ", "5/10 ", "", "[sic] "])
        parts = [chance.choice(marks) if chance.random() < 0.5 else drawn_name(chance) for _ in range(8)]
        text = f"{start}{' '.join(parts)} {chance.choice(ends)}"
        found = read_texts([text], str.split)
        assert [text.words for text in found.texts] == [text.split()]
    found = read_texts(["is it a?b/" + "a?b/" * 2_000], str.split)  # deeper than a pattern may be
    assert [len(text.words) for text in found.texts] == [3]


@pytest.mark.parametrize("text", ["A *great* film, says imdb.com", "First line\nof my_review.txt"])
def test_a_text_may_end_as_a_path_does(text):
    assert [read.words for read in read_texts([text], str.split).texts] == [text.split()]


def test_a_pattern_finds_folders_within_folders_and_each_file_once(tmp_path):
    (tmp_path / "my texts/deep er").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "deep er/c.txt"):
        (tmp_path / "my texts" / name).write_text(name)
    for pattern, expected in (
        ("*", ["a.txt", "b.txt", "deep er/c.txt"]),
        ("*.txt", ["a.txt", "b.txt"]),
        ("**/*.txt", ["a.txt", "b.txt", "deep er/c.txt"]),
        ("**", ["a.txt", "b.txt", "deep er/c.txt"]),
    ):
        found = read_texts([str(tmp_path / "my texts" / pattern)])
        assert [text.source.removeprefix(f"{tmp_path}/my texts/") for text in found.texts] == expected
        assert not found.skipped


def test_a_folder_that_can_not_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert read_texts([str(tmp_path), "a film"]).left_out() == [
        f"Skipped: {tmp_path} can't be read (Permission denied)"
    ]
    with pytest.raises(InputError, match=r"has no text to read: Skipped: .* can't be read \(Permission denied\)$"):
        read_texts([str(tmp_path)])


def test_a_link_to_nowhere_is_named(tmp_path):
    (tmp_path / "a.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b.txt").write_text("a film")
    found = read_texts([str(tmp_path)])
    assert found.left_out() == [f"Skipped: {tmp_path / 'a.txt'} can't be read (No such file or directory)"]
    assert [text.words for text in found.texts] == [["a", "film"]]


@pytest.mark.skipif(sys.platform != "linux", reason="where names may be of any bytes")
def test_names_that_are_no_text_can_be_printed(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("a film")
    (tmp_path / os.fsdecode(b"\xfe.txt")).write_text("")
    (tmp_path / os.fsdecode(b"\xff.pdf")).write_text("")
    found = read_texts([str(tmp_path)])
    printed = [*(text.source for text in found.texts), *found.left_out()]
    assert len(printed) == 3
    assert "".join(printed).isascii()


def test_texts_of_a_folder_are_sorted_by_number(tmp_path):
    for name in ("text2.txt", "text10.TXT", "text2²3.txt", "text1.txt", ".text3.txt"):
        (tmp_path / name).write_text(name)
    for given in (tmp_path, tmp_path / "text*"):
        names = [Path(text.source).name for text in read_texts([str(given)]).texts]
        assert names == ["text1.txt", "text2.txt", "text2²3.txt", "text10.TXT"]


def test_a_folder_without_texts_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for given, reason in (("empty", "holds no text"), ("emp*", "matches no text")):
        assert read_texts([given, "a film"]).left_out() == [f"Skipped: {given} {reason} (.txt)"]


def test_a_translation_gives_the_same_words_the_ids_of_another_vocabulary():
    chance = random.Random(1)
    words = [f"w{number}" for number in range(50)]
    for _ in range(20):
        first, second = (Vocabulary(chance.sample(words, chance.randint(1, 50))) for _ in range(2))
        text = chance.choices(words, k=30)
        ids = first.translation(second)[torch.tensor(first.encode(text))].tolist()
        expected = [second.encode([word])[0] if word in first.ids else UNKNOWN for word in text]
        assert ids == expected
        assert first.translation(second)[PADDING] == PADDING


def test_random_pieces_start_at_all_places_alike():
    starts = 10 * torch.arange(4_000)
    batch = IndexBatch("train", torch.arange(4_000).unsqueeze(1), seed=3)
    found, lengths = Pieces(None, "keep_end", 5).cut(starts, torch.full((4_000,), 9), batch)
    assert lengths.unique().tolist() == [5]
    counts = torch.bincount(found - starts)
    assert len(counts) == 5
    assert 700 < counts.min() <= counts.max() < 900


def test_texts_up_to_the_longest_are_kept():
    assert Pieces(4, "drop", None).keeps(torch.tensor([3, 4, 5])).tolist() == [True, True, False]


def draw_ragged(generator: torch.Generator) -> tuple[Ragged, list[list[int]]]:
    lengths = torch.randint(1, 9, (7,), generator=generator)
    lists = [torch.randint(1, 100, (int(length),), generator=generator).tolist() for length in lengths]
    offsets = torch.tensor([0, *lengths.cumsum(0)])
    return Ragged(torch.tensor([value for of_one in lists for value in of_one]), offsets), lists


@pytest.mark.parametrize("seed", range(5))
def test_selected_sequences_are_those_of_the_rows(seed):
    generator = torch.Generator().manual_seed(seed)
    ragged, lists = draw_ragged(generator)
    rows = torch.randperm(7, generator=generator)[: seed + 1]
    selected = ragged.select(rows)
    found = [part.tolist() for part in selected.values.split(selected.lengths.tolist())]
    assert found == [lists[row] for row in rows]


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_padded_pieces_are_the_values_and_zeros(seed, before):
    generator = torch.Generator().manual_seed(seed)
    ragged, lists = draw_ragged(generator)
    steps = int(ragged.lengths.max()) + seed
    padded, mask = pad(ragged.values, ragged.offsets[:-1], ragged.lengths, steps, before)
    for row, values in enumerate(lists):
        zeros = [0] * (steps - len(values))
        assert padded[row].tolist() == (zeros + values if before else values + zeros)
        assert padded[row][mask[row]].tolist() == values
