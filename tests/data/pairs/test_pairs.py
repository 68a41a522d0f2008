from __future__ import annotations

import gzip
import random
import unicodedata
from pathlib import Path

import pytest

from seqsum.data.downloads import MissingDataError
from seqsum.data.pairs import SentencePair, obtain_pairs
from seqsum.data.pairs.lines import read_lines
from seqsum.data.pairs.made import COUNTS, LANGUAGES, make_pairs
from seqsum.data.pairs.multi30k import read_multi30k
from seqsum.data.pairs.own import hold_out, read_pairs
from seqsum.data.text.sentences import INVISIBLE, normalise
from seqsum.data.text.words import WordVocabulary
from seqsum.errors import InputError
from tests.data.pairs.written import write_multi30k, write_sentences

GERMAN_TO_ENGLISH = SentencePair("de", "en")

# Files ---------------------------------------------------------------------------------------------------


def test_lines_of_packed_and_plain_files_are_read_alike(tmp_path):
    text = "Ein Mann.\r\nÜber allem  \u2028 die Straße \nEnde"
    files = {"plain.txt": text.encode(), "packed.gz": gzip.compress(text.encode()), "marked": text.encode("utf-16")}
    files["misnamed.txt"] = files["packed.gz"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        lines = read_lines(tmp_path / name, "--data.pairs")
        assert lines == ["Ein Mann.", "Über allem  \u2028 die Straße", "Ende"]


def test_pairs_whose_lines_end_with_carriage_returns_are_read(tmp_path):
    rows = some_rows()
    read = [
        read_pairs(write_pairs(tmp_path / f"own{number}.txt", rows, end), SentencePair("1", "2"))
        for number, end in enumerate(("\n", "\r\n", "\r"))
    ]
    assert read[0] == read[1] == read[2]
    (tmp_path / "own.txt").write_bytes(b"eins\tone\r\rzwei\ttwo\r\r")
    with pytest.raises(InputError, match=r"line 2 of .*own\.txt is empty$"):
        read_pairs(tmp_path / "own.txt", SentencePair("1", "2"))


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\r\n\r\n", "\n \n\t\n", "\n\u200b\n\u2060\ufeff\t \n"])
def test_empty_lines_at_the_end_of_a_file_are_ignored(tmp_path, end):
    (tmp_path / "file").write_bytes(f"eins\tone\t\nzwei\ttwo\t{end}".encode())
    assert read_lines(tmp_path / "file", "--data.pairs") == ["eins\tone\t", "zwei\ttwo\t"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"eins\nzwei\n\nvier\n \nsechs", r"line 3 of .*file\.gz is empty, and 1 more are"),
        (b"eins\n\ndrei\n\n", r"line 2 of .*file\.gz is empty$"),
        (b"\neins\n", r"line 1 of .*file\.gz is empty$"),
        ("eins\nüber\n".encode("latin-1"), r"file\.gz is not UTF-8 text: byte 0xfc at place 1 of line 2"),
        (b"eins\0", r"file\.gz is no text"),
        (b"", r"file\.gz holds no sentence"),
        (b"\n\n", r"file\.gz holds no sentence"),
        ("\n\u200b\n".encode(), r"file\.gz holds no sentence"),
        ("eins\n\u200b\ndrei\n".encode(), r"line 2 of .*file\.gz is empty$"),
    ],
)
def test_a_file_with_other_content_is_named_with_the_line(tmp_path, content, message):
    (tmp_path / "file.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=rf"`--data\.root`: .*{message}"):
        read_lines(tmp_path / "file.gz", "--data.root")


def test_a_damaged_file_is_named_wherever_it_ends_or_a_byte_has_changed(tmp_path):
    path = write_sentences(tmp_path / "file.gz", make_pairs(LANGUAGES).splits["val"].source)
    whole = path.read_bytes()
    chance = random.Random(0)
    for _ in range(40):
        at = chance.randrange(10, len(whole))
        for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"`--data\.root`: .*file\.gz is damaged or ends early"):
                read_lines(path, "--data.root")
    for content in (b"", b"\x1f", b"no gzip\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"file\.gz (is damaged or ends early|holds no sentence)"):
            read_lines(path, "--data.root")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"`--data\.pairs`: .*none\.txt can't be read: No such file"):
        read_lines(tmp_path / "none.txt", "--data.pairs")


# Multi30k ------------------------------------------------------------------------------------------------


def test_any_pair_of_languages_is_read_in_any_direction(tmp_path):
    write_multi30k(tmp_path, languages="de en")
    write_multi30k(tmp_path, languages="fr en")
    made = make_pairs(LANGUAGES).splits
    there = read_multi30k(tmp_path, SentencePair("fr", "en"))
    back = read_multi30k(tmp_path / "multi30k", SentencePair("en", "de"))
    assert (there.name, there.languages) == ("multi30k", ("fr", "en"))
    for split, count in (("train", 300), ("val", 40), ("test", 50)):
        assert [tuple(side) for side in there.splits[split]] == [side[:count] for side in made[split]]
        assert back.splits[split] == there.splits[split][::-1]


def test_missing_data_are_named_with_what_to_put_where(tmp_path):
    with pytest.raises(MissingDataError) as caught:
        obtain_pairs("multi30k", tmp_path, None, None, "fr")
    assert f"`--data.root` (={tmp_path}) does not hold Multi30k" in str(caught.value)
    for name in ("train", "val", "test_2016_flickr"):
        assert f"{name}.de.gz, {name}.fr.gz" in str(caught.value)
    assert f"into {tmp_path / 'multi30k'}" in str(caught.value)


def test_a_missing_language_or_file_is_named(tmp_path):
    write_multi30k(tmp_path)
    with pytest.raises(InputError, match=r"`--data\.source` \(=it\) must be one of the languages in .*\['de', 'en'\]"):
        obtain_pairs("auto", tmp_path, None, "it", None)
    (tmp_path / "multi30k/val.en.gz").unlink()
    with pytest.raises(InputError, match=r"val\.en\.gz can't be read: No such file"):
        read_multi30k(tmp_path, GERMAN_TO_ENGLISH)


@pytest.mark.parametrize("count", [39, 41])
def test_files_of_unequal_length_are_named_with_their_lines(tmp_path, count):
    write_multi30k(tmp_path)
    write_sentences(tmp_path / "multi30k/val.en.gz", ["one"] * count)
    with pytest.raises(InputError, match=rf"val\.de\.gz has 40 lines, but .*val\.en\.gz has {count}"):
        read_multi30k(tmp_path, GERMAN_TO_ENGLISH)


def test_the_same_language_twice_is_an_error(tmp_path):
    for given in ({"source": "en", "target": None}, {"source": "fr", "target": "fr"}):
        with pytest.raises(InputError, match=r"`--data\.source` and `--data\.target` must differ, not both be"):
            obtain_pairs("multi30k", tmp_path, None, **given)


# A user's own pairs ---------------------------------------------------------------------------------------


def write_pairs(path: Path, rows: list[tuple[str, ...]], end: str = "\n") -> Path:
    path.write_text("".join("\t".join(row) + end for row in rows), encoding="utf-8", newline="")
    return path


def some_rows(count: int = 200) -> list[tuple[str, str, str]]:
    return [(f"source {number}", f"target {number}", "CC-BY somebody") for number in range(count)]


def test_own_pairs_are_read_from_any_columns_and_others_are_ignored(tmp_path):
    path = write_pairs(tmp_path / "own.txt", some_rows())
    there = obtain_pairs("auto", tmp_path, str(path), None, None)
    back = obtain_pairs("auto", tmp_path, str(path), "2", "1")
    assert there.name == "pairs"
    assert {split: len(pairs.source) for split, pairs in there.splits.items()} == {"train": 160, "val": 20, "test": 20}
    for split, (source, target) in there.splits.items():
        assert [text.replace("source", "target") for text in source] == target
        assert back.splits[split] == (target, source)
    write_pairs(path, [(*row[:2], f"licence {number}") for number, row in enumerate(some_rows())])
    for source, target in zip(*obtain_pairs("auto", tmp_path, str(path), "2", "3").splits["train"], strict=True):
        assert source.replace("target", "licence") == target


def test_splits_depend_on_the_sentences_and_not_on_the_order_of_the_lines(tmp_path):
    rows = some_rows() + [(f"again {number // 3}", f"number {number}") for number in range(60)]
    first = read_pairs(write_pairs(tmp_path / "own.txt", rows), SentencePair("1", "2"))
    random.Random(0).shuffle(rows)
    again = read_pairs(write_pairs(tmp_path / "own.txt", rows), SentencePair("1", "2"))
    for split, pairs in first.splits.items():
        assert sorted(pairs.source) == sorted(again.splits[split].source)
        assert list(pairs.source) != list(again.splits[split].source)


def written_otherwise(sentence: str, chance: random.Random) -> str:
    """Write a sentence so that networks read the same, or would in the same case."""
    for change in (
        lambda text: chance.choice((text.upper(), text.lower(), text.title())),
        lambda text: unicodedata.normalize(chance.choice(("NFC", "NFD")), text),
        lambda text: text.replace("'", "’"),
        lambda text: text.replace(" ", chance.choice(("  ", "\u00a0", " \u2028"))),
        lambda text: insert(text, chr(chance.choice([*INVISIBLE])), chance.randint(0, len(text))),
    ):
        sentence = change(sentence) if chance.random() < 0.5 else sentence
    return sentence


def insert(text: str, character: str, place: int) -> str:
    return text[:place] + character + text[place:]


def test_no_sentence_is_in_two_splits_where_pairs_repeat():
    chance = random.Random(0)
    for _ in range(20):
        count = chance.randint(100, 600)
        numbers = [(chance.randrange(count), chance.randrange(count)) for _ in range(count // 3)]
        rows = [
            SentencePair(*(written_otherwise(text, chance) for text in (f"l'été à Ḍḥ\u1e96 {a}", f"it's Straße {b}")))
            for a, b in numbers
        ]
        splits = hold_out(rows)
        assert sorted(row for found in splits.values() for row in found) == list(range(len(rows)))
        assert splits["val"]
        assert splits["test"]
        assert max(len(splits["val"]), len(splits["test"])) <= round(0.1 * len(rows))
        for language, reads in ((0, str.casefold), (1, str.casefold), (0, str), (1, str)):
            seen = [{reads(normalise(rows[row][language], True)) for row in found} for found in splits.values()]
            assert len(set().union(*seen)) == sum(map(len, seen))


@pytest.mark.parametrize("lower_case", [True, False])
def test_words_are_read_alike_however_a_sentence_is_written(lower_case):
    chance, split = random.Random(1), WordVocabulary([], lower_case).split
    for _ in range(200):
        text = "".join(chance.choices("aHEsJüǰéẖñ ' ", k=12))
        written = unicodedata.normalize(chance.choice(("NFC", "NFD")), text).replace("'", chance.choice("'’"))
        written = insert(written, chr(chance.choice([*INVISIBLE])), chance.randint(0, len(written)))
        assert split(written) == split(text)
        assert split(written.upper()) == split(text.upper())


def test_pairs_that_subwords_read_alike_are_in_one_split():
    rows = [SentencePair(f"{text}{n}", f"{n} {text}") for n in range(60) for text in ("ein ﬁlm №", "Ein Film No")]
    for found in hold_out(rows).values():
        assert found == sorted({row ^ 1 for row in found})


def test_pairs_that_others_link_stay_together():
    chain = [SentencePair(f"a{number // 2}", f"b{(number + 1) // 2}") for number in range(90)]
    splits = hold_out([*chain, *(SentencePair(f"c{number}", f"d{number}") for number in range(30))])
    assert set(range(90)) <= set(splits["train"])
    assert (len(splits["val"]), len(splits["test"])) == (12, 12)


@pytest.mark.parametrize(("linked", "others"), [(500, 30), (900, 101), (850, 150), (20_000, 1_000)])
def test_where_many_pairs_are_linked_test_and_validation_get_as_many_of_the_others(linked, others):
    rows = [SentencePair("I know", f"je sais {n}") for n in range(linked)]
    splits = hold_out(rows + [SentencePair(f"a {n}", f"b {n}") for n in range(others)])
    held_out = min(others, 2 * round(0.1 * (linked + others)))
    assert sorted(len(splits[split]) for split in ("val", "test")) == [held_out // 2, held_out - held_out // 2]


def test_at_most_a_thousand_pairs_are_held_out():
    splits = hold_out([SentencePair(f"a{number}", f"b{number}") for number in range(12_000)])
    assert (len(splits["val"]), len(splits["test"])) == (1_000, 1_000)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("eins", "one"), ("zwei two",)], {}, r"own\.txt\): line 2 has no tab: 'zwei two'"),
        ([("eins", "one"), ("zwei", "two")], {"target": "3"}, r"own\.txt\): line 1 has only 2 columns"),
        ([("eins", "one"), ("zwei", " ")], {}, r"own\.txt\): column 2 of line 2 is empty"),
        ([("eins", "one"), ("\u200b \u00ad", "two")], {}, r"own\.txt\): column 1 of line 2 is empty"),
        ([("eins", "one"), ("zwei", "two")], {}, r"own\.txt\) has too few different pairs: none is left for the train"),
        ([("eins", "one")] * 50, {}, r"has too few different pairs: none is left for the (val|test)"),
        ([("eins", "one")], {"source": "de"}, r"`--data\.source` \(=de\) must be a column of `--data\.pairs`"),
        ([("eins", "one")], {"target": "0"}, r"`--data\.target` \(=0\) must be a column of `--data\.pairs`"),
        ([("eins", "one")], {"source": "2"}, r"`--data\.source` and `--data\.target` must differ, not both be 2"),
    ],
)
def test_pairs_that_can_not_be_used_are_named(tmp_path, rows, options, message):
    path = write_pairs(tmp_path / "own.txt", rows)
    given = {"source": None, "target": None, **options}
    with pytest.raises(InputError, match=message):
        obtain_pairs("auto", tmp_path, str(path), **given)


# Made-up pairs --------------------------------------------------------------------------------------------


def test_made_up_pairs_are_always_the_same_each_once_and_known_from_training():
    made = make_pairs(LANGUAGES)
    assert made == make_pairs(LANGUAGES)
    rows = [pair for pairs in made.splits.values() for pair in zip(*pairs, strict=True)]
    assert len(set(rows)) == len(rows) == sum(COUNTS.values())
    for side in range(2):
        words = {
            split: {word for text in pairs[side] for word in text[:-1].lower().split()}
            for split, pairs in made.splits.items()
        }
        assert words["val"] | words["test"] <= words["train"]


def test_the_made_up_language_has_its_verb_last_and_its_adjectives_behind_their_nouns():
    source, target = make_pairs(LANGUAGES).splits["train"]
    assert ("Femi blava drevana fintan.", "A blue woman finds the tree.") in set(zip(source, target, strict=True))
    verbs = {"vidan", "likan", "fintan", "segan", "pentan"}
    assert {sentence[:-1].split()[-1] for sentence in source} == verbs


def test_made_up_pairs_are_translated_in_both_directions_and_no_others():
    there, back = make_pairs(LANGUAGES), make_pairs(SentencePair("en", "made"))
    assert back.splits["val"] == there.splits["val"][::-1]
    with pytest.raises(InputError, match=r"`--data\.source` \(=de\) and `--data\.target` \(=en\) must be made and en"):
        obtain_pairs("made", Path("data"), None, "de", None)
