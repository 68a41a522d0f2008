from __future__ import annotations

import builtins
import pickle

import pytest

from seqsum.data.pairs.made import LANGUAGES, make_pairs
from seqsum.data.text import END, PADDING, START, UNKNOWN
from seqsum.data.text.subwords import SubwordVocabulary, learn_subwords
from seqsum.data.text.vocabulary import WRITTEN
from seqsum.errors import InputError

SENTENCES = make_pairs(LANGUAGES).splits["train"].target


@pytest.fixture(scope="module")
def vocabulary() -> SubwordVocabulary:
    pytest.importorskip("sentencepiece")
    return learn_subwords(SENTENCES, 60, lower_case=True)


def test_sentences_are_encoded_and_decoded_without_loss(vocabulary):
    assert len(vocabulary) == 60
    for sentence in SENTENCES[:200]:
        ids = vocabulary.encode(sentence)
        assert ids == vocabulary.look_up(vocabulary.split(sentence))
        assert all(END < number < 60 for number in ids)
        assert vocabulary.decode([*ids, END, PADDING]) == sentence.lower() == vocabulary.processor.decode(ids)
        assert len(ids) > len(sentence.split())


def test_ids_of_special_pieces_are_those_of_words(vocabulary):
    processor = vocabulary.processor
    assert (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()) == (
        PADDING,
        UNKNOWN,
        START,
        END,
    )
    assert vocabulary.pieces([PADDING, UNKNOWN, START, END]) == ["<padding>", "<unknown>", "<start>", "<end>"]


def test_unknown_characters_are_kept_as_pieces_and_left_out_of_what_is_decoded(vocabulary):
    sentence = "a 中 dog"
    pieces, ids = vocabulary.split(sentence), vocabulary.encode(sentence)
    assert len(pieces) == len(ids)
    assert [piece for piece, number in zip(pieces, ids, strict=True) if number == UNKNOWN] == ["中"]
    assert vocabulary.join(pieces) == sentence
    assert vocabulary.join(["▁a", "▁中"]) == "a 中"
    assert "中" not in vocabulary.decode(ids)


def test_the_same_sentences_give_the_same_pieces(vocabulary):
    assert learn_subwords(iter(SENTENCES), 60, lower_case=True).model == vocabulary.model
    assert learn_subwords(SENTENCES, 60, lower_case=False).model != vocabulary.model


def test_fewer_pieces_than_asked_for_are_all_there_are():
    pytest.importorskip("sentencepiece")
    assert len(learn_subwords(["ab ab", "ac"], 1_000, lower_case=True)) < 20


def test_too_few_ids_for_the_characters_are_named():
    pytest.importorskip("sentencepiece")
    characters = len(set("".join(SENTENCES).lower()))  # a space among them
    least = characters + len(WRITTEN)
    message = rf"^`--data\.vocabulary_size` \(=6\) .* at least {least} are needed .* {characters} characters and 4"
    with pytest.raises(InputError, match=message):
        learn_subwords(SENTENCES, 6, lower_case=True)
    with pytest.raises(InputError, match=rf"\(={least - 1}\) is too small for subwords: at least {least} are"):
        learn_subwords(SENTENCES, least - 1, lower_case=True)
    assert len(learn_subwords(SENTENCES, least, lower_case=True)) == least


@pytest.mark.parametrize("sentences", [[], ["", " "], ["\u200b"], ["a" * 5000]])
def test_sentences_without_anything_to_learn_from_are_named(sentences):
    pytest.importorskip("sentencepiece")
    with pytest.raises(InputError, match=r"^`--data\.tokens` \(=subwords\): .* nothing to learn from .* all are empty"):
        learn_subwords(sentences, 50, lower_case=True)


def test_another_reason_is_told_as_sentencepiece_says_it(monkeypatch):
    sentencepiece = pytest.importorskip("sentencepiece")

    def refuse(**_):
        raise RuntimeError("INTERNAL: something (1) [else]\n 5 vs 18 ")

    monkeypatch.setattr(sentencepiece.SentencePieceTrainer, "train", refuse)
    with pytest.raises(InputError, match=r"can't learn .* says INTERNAL: something \(1\) \[else\] 5 vs 18$"):
        learn_subwords(SENTENCES, 60, lower_case=True)


def test_a_vocabulary_survives_as_text_and_on_the_way_to_other_processes(vocabulary):
    for again in (
        SubwordVocabulary.from_text(vocabulary.to_text(), lower_case=True),
        pickle.loads(pickle.dumps(vocabulary)),
    ):
        assert again.vocabulary.words == vocabulary.vocabulary.words
        assert again.encode("The old dog") == vocabulary.encode("The old dog")


def test_a_missing_library_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **keywords):
        if name == "sentencepiece":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"`--data\.tokens` \(=subwords\) needs sentencepiece: pip install"):
        learn_subwords(SENTENCES, 60, lower_case=True)
