from __future__ import annotations

import random
import unicodedata

import pytest
import torch

from seqsum.data.text import END, PADDING, START, UNKNOWN
from seqsum.data.text.sentences import decoder_inputs, normalise, until_end
from seqsum.data.text.words import WordVocabulary, join_words, learn_words, split_words


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("He paid 1,000.50 or 3.5%.", "He paid 1,000.50 or 3.5 % ."),
        ("a t-shirt", "a t - shirt"),
        ("Wasser- und Landtiere, Kopf und -schutz", "Wasser- und Landtiere , Kopf und -schutz"),
        ("mid - air -- or not", "mid – air – or not"),
        ("the man's, don't, we'll", "the man 's , don 't , we 'll"),
        ("d'un qu'il l'eau aujourd'hui", "d' un qu' il l' eau aujourd' hui"),
        ("O'Neill's T'S", "O' Neill 's T 'S"),
        ("dogs' bowls", "dogs ' bowls"),
    ],
)
def test_numbers_hyphens_and_apostrophes_are_split_by_the_rule(sentence, words):
    assert split_words(sentence) == words.split()


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Hi (you)!", "Hi ( you ) !"),
        ("„so“ «là» “x”…", "„ so “ « là » “ x ” …"),
        ("<unk> <end> a_b", "< unk > < end > a _ b"),
        ("नमस्ते दुनिया।", "नमस्ते दुनिया ।"),
        ("مرحبا، عالم؟", "مرحبا ، عالم ؟"),
        ("nice😀day €5", "nice 😀 day € 5"),
        ("", ""),
    ],
)
def test_words_are_runs_without_symbols_and_symbols_are_words(sentence, words):
    assert split_words(sentence) == words.split()


def test_no_character_is_lost_or_invented_whatever_a_sentence_is_made_of():
    chance = random.Random(0)
    for _ in range(500):
        sentence = "".join(chance.choices("aB3é'-. ,\"“(’s", k=chance.randint(0, 25)))
        spaceless = "".join(split_words(sentence)).replace("–", "")
        assert spaceless.replace("-", "") == "".join(sentence.split()).replace("-", "")


def test_sentences_are_written_alike_before_they_are_split():
    decomposed = unicodedata.normalize("NFD", "  L’Été\u00ad\u00a0commence\u200b ")
    assert normalise(decomposed, lower_case=False) == "L'Été commence"
    assert normalise(decomposed, lower_case=True) == "l'été commence"


@pytest.mark.parametrize(
    "sentence",
    [
        "A man's t-shirt, and (perhaps) 1,000.50 dogs' bowls!",
        "Das „Schild“ sagt: Wasser- und Landtiere; ein „open“-Schild.",
        "L'homme n'a pas d'eau aujourd'hui.",
        'He said "hello" and "bye".',
        "\"She sang 'no' twice\", he said.",
        "She sang 'no' and they’re “gone”…",
        "and/or",
        "-5 degrees",
    ],
)
def test_joined_words_are_the_sentence(sentence):
    sentence = normalise(sentence, lower_case=False)
    assert join_words(split_words(sentence)) == sentence


def test_a_mark_that_opens_has_its_space_before_it_and_one_that_closes_behind_it():
    assert join_words(['"', "a", '"', "b", '"', "c", '"']) == '"a" b "c"'
    assert join_words(["'s", "-", "x", "l'"]) == "'s-x l'"
    assert join_words(["“", "open", "”", "-sign"]) == "“open”-sign"
    assert join_words([]) == ""


def test_the_most_frequent_words_are_known_and_rare_ones_are_not():
    sentences = ["b b a c", "A a b", "d"]
    assert learn_words(sentences, 100, 1, True).vocabulary.words[4:] == ["a", "b", "c", "d"]
    assert learn_words(sentences, 100, 1, False).vocabulary.words[4:] == ["b", "a", "A", "c", "d"]
    assert learn_words(sentences, 100, 2, True).vocabulary.words[4:] == ["a", "b"]
    assert learn_words(sentences, 5, 1, True).vocabulary.words[4:] == ["a"]


def test_ids_are_decoded_up_to_the_end_without_special_and_unknown_words():
    vocabulary = WordVocabulary(["a", "dog", "'s", "."], lower_case=True)
    ids = vocabulary.encode("A dog's bone.")
    assert ids == [4, 5, 6, UNKNOWN, 7]
    assert vocabulary.pieces([*ids, END, PADDING]) == ["a", "dog", "'s", "<unknown>", ".", "<end>", "<padding>"]
    assert vocabulary.decode([START, *ids, END, 4, PADDING]) == "a dog's."
    assert vocabulary.decode([4, 99, 5]) == "a dog"  # a network may have more ids
    copied = [word if number != UNKNOWN else "bone" for word, number in zip(vocabulary.pieces(ids), ids, strict=True)]
    assert vocabulary.join(copied) == "a dog's bone."
    assert until_end([5, END, 6]) == [5]
    assert until_end([5, 6]) == [5, 6]


def test_special_words_of_a_sentence_are_not_special_ids():
    vocabulary = WordVocabulary(["<", ">", "end"], lower_case=True)
    assert vocabulary.encode("<end>") == [4, 6, 5]


@pytest.mark.parametrize("words", [[], ["a"], ["a", "é", "'s"]])
def test_a_vocabulary_survives_as_text(words):
    vocabulary = WordVocabulary(words, lower_case=False)
    again = WordVocabulary.from_text(vocabulary.to_text(), lower_case=False)
    assert again.vocabulary.words == vocabulary.vocabulary.words


def test_a_decoder_reads_the_start_and_then_the_targets_but_the_last():
    targets = torch.tensor([[7, 8, END, PADDING], [9, 10, 11, END]])
    assert decoder_inputs(targets).tolist() == [[START, 7, 8, END], [START, 9, 10, 11]]
    assert decoder_inputs(targets[:, :0]).shape == (2, 0)
