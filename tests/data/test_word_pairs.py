"""Pairs of words, counted by hand on ten words."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from seqsum.data.text import PADDING, UNKNOWN
from seqsum.data.word_batches import GROUP, WordBatches
from seqsum.data.word_pairs import find_stretch
from seqsum.errors import InputError
from tests.data.device_only import DeviceOnly
from tests.data.word_corpus import SENTENCES, WORDS, batches_of, of_sentences, pairs_of, table_of

DOGS = [  # I like to cuddle dogs, window 2
    ("i", "like"), ("i", "to"),
    ("like", "i"), ("like", "to"), ("like", "cuddle"),
    ("to", "i"), ("to", "like"), ("to", "cuddle"), ("to", "dogs"),
    ("cuddle", "like"), ("cuddle", "to"), ("cuddle", "dogs"),
    ("dogs", "to"), ("dogs", "cuddle"),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_i_like_to_cuddle_dogs_has_fourteen_pairs(mode):
    data = of_sentences(mode=mode)
    found = pairs_of(data, data.gather(table_of(data, [0])))
    assert len(found) == 14
    assert sorted(found) == sorted(DOGS)


@pytest.mark.parametrize(("window", "count"), [(1, 8), (2, 14), (3, 18), (4, 20), (9, 20)])
def test_pairs_of_five_words_by_window(window, count):
    data = of_sentences(window=window)
    assert len(pairs_of(data, data.gather(table_of(data, [0])))) == count


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_no_pair_has_words_of_two_reviews_or_padding(mode):
    data = of_sentences(mode=mode)
    (batch,) = batches_of(data)
    found = pairs_of(data, batch)
    apart = [pairs_of(data, data.gather(table_of(data, [row]))) for row in range(4)]
    assert list(map(len, apart)) == [14, 6, 10, 0]
    assert Counter(found) == Counter(pair for pairs in apart for pair in pairs)
    assert not any("<" in word for pair in found for word in pair)
    assert len(batch.inputs) == GROUP, "13 words, and padding up to a full group"
    for ids, mask in ((batch.inputs, batch.mask), (batch.targets, batch.target_mask)):
        assert ((ids == PADDING) | mask | (ids > UNKNOWN)).all()
        assert (ids[mask] > UNKNOWN).all()
    assert (batch.inputs[13:] == PADDING).all()
    assert not batch.mask[13:].any()
    assert not batch.target_mask[13:].any()


def test_columns_are_the_words_before_and_behind():
    data = of_sentences()
    batch = data.gather(table_of(data, [0]))
    names = [[data.vocabulary.words[number] for number in row] for row in batch.targets[:5].tolist()]
    assert names[2] == ["i", "like", "cuddle", "dogs"]
    assert names[0] == ["<padding>", "<padding>", "like", "to"]
    assert names[4] == ["to", "cuddle", "<padding>", "<padding>"]


def test_cbow_reads_the_neighbours_and_scores_words_that_have_some():
    data = of_sentences(mode="cbow")
    batch = data.gather(table_of(data, [3, 1]))  # rain, which has no neighbour; cats and dogs
    words = [data.vocabulary.words[number] for number in batch.targets[:4, 0].tolist()]
    assert words == ["rain", "cats", "and", "dogs"]
    assert batch.target_mask[:, 0].tolist() == [False, True, True, True] + [False] * 28
    assert batch.mask[:4].sum(1).tolist() == [0, 2, 2, 2]
    assert batch.inputs.shape == (32, 4)


def test_unknown_words_are_left_out_before_neighbours_are_looked_for():
    data = of_sentences(["i like xyzzy to cuddle plugh dogs"])
    assert sorted(pairs_of(data, data.gather(table_of(data, [0])))) == sorted(DOGS)
    assert data.counts()[:3].tolist() == [0, 0, 1]


def test_a_dynamic_window_is_drawn_for_each_word():
    data = of_sentences([" ".join(WORDS) for _ in range(600)], window=3, dynamic=True)
    (batch,) = batches_of(data)
    near = batch.target_mask.view(-1, 6)[: 10 * 600].view(600, 10, 6)
    middle = near[:, 3:7].reshape(-1, 6)  # words with three others on each side
    reach = middle[:, 3:].sum(1)
    left, right = middle[:, :3].flip(1), middle[:, 3:]
    assert torch.equal(left, right), "the same to both sides"
    assert torch.equal(right, torch.arange(1, 4) <= reach.unsqueeze(1)), "without gaps"
    assert chisquare(reach.bincount(minlength=4)[1:].numpy()).pvalue > 1e-3
    of_words = reach.view(600, 4)
    for other in (of_words[1:], of_words[1:].roll(1, 1)):
        assert (other == of_words[:-1]).float().mean() < 0.4, "another in another review, at this place or before"


def test_what_is_drawn_for_a_word_does_not_depend_on_whether_it_was_likely_to_be_kept():
    data = of_sentences([" ".join(WORDS * 2_000)], window=3, dynamic=True, subsample=0.009)  # of frequency 0.1 each
    (batch,) = batches_of(data)
    kept = int(batch.mask.sum())
    assert 5_700 < kept < 6_300
    reach = batch.target_mask[3 : kept - 3, 3:].sum(1)
    assert chisquare(reach.bincount(minlength=4)[1:].numpy()).pvalue > 1e-3
    for column in range(3):
        assert chisquare(batch.negatives[:, column].bincount(minlength=12)[2:].numpy()).pvalue > 1e-3


def test_frequent_words_are_left_out_as_often_as_the_formula_says():
    sentence = "the " * 60 + "rain " * 30 + "dogs " * 9 + "cats"
    data = of_sentences([sentence] * 100, subsample=0.05)
    shares = data.keep_shares()
    the, rain, dogs, cats, never = data.vocabulary.encode(["the", "rain", "dogs", "cats", "i"])
    expected = {the: (0.05 / 0.6) ** 0.5, rain: (0.05 / 0.3) ** 0.5, dogs: (0.05 / 0.09) ** 0.5, cats: 1.0, never: 1.0}
    for word, share in expected.items():
        assert shares[word].item() == pytest.approx(share, rel=1e-6)
    kept = torch.zeros(12)
    epochs = 8
    for epoch in range(epochs):
        (batch,) = batches_of(data, epoch)
        kept += batch.inputs[batch.mask].bincount(minlength=12)
    for word, count in ((the, 6_000), (rain, 3_000), (dogs, 900), (cats, 100)):
        trials, share = epochs * count, expected[word]
        assert abs(kept[word] - trials * share) <= 4 * (trials * share * (1 - share)) ** 0.5


def test_words_that_are_left_out_bring_the_others_together(monkeypatch):
    data = of_sentences(["the rain the dogs the cats"] * 50, window=1)
    without_the = torch.ones(12).index_fill(0, torch.tensor(data.vocabulary.encode(["the"])), 0.0)
    monkeypatch.setattr(data, "keep_shares", lambda: without_the)
    (batch,) = batches_of(data)
    expected = {("rain", "dogs"): 50, ("dogs", "rain"): 50, ("dogs", "cats"): 50, ("cats", "dogs"): 50}
    assert Counter(pairs_of(data, batch)) == expected


COUNTS = {"the": 81, "rain": 16, "dogs": 1}  # to the power of ¾: 27, 8, 1


def test_negatives_are_drawn_by_the_power_of_three_quarters():
    sentence = " ".join(f"{word} " * count for word, count in COUNTS.items())
    data = of_sentences([sentence] * 40, negatives=60)
    ids = data.vocabulary.encode(COUNTS)
    shares = data.noise_shares()
    assert shares[ids].tolist() == pytest.approx([27 / 36, 8 / 36, 1 / 36], rel=1e-12)
    drawn = torch.cat([batches_of(data, epoch)[0].negatives.flatten() for epoch in range(5)])
    found = drawn.bincount(minlength=12)
    assert int(found[ids].sum()) == len(drawn) > 30_000
    assert chisquare(found[ids].numpy(), len(drawn) * shares[ids].numpy()).pvalue > 1e-3
    assert chisquare(found[ids].numpy(), len(drawn) * data.counts()[ids].numpy() / 98 / 40).pvalue < 1e-9, (
        "not by count"
    )


def test_words_without_a_stretch_are_never_drawn():
    ends = torch.tensor([0, 0, 3, 5, 5, 8])
    assert find_stretch(ends, torch.arange(8)).tolist() == [2, 2, 2, 3, 3, 5, 5, 5]


def test_negatives_are_drawn_anew_for_each_batch_and_each_group():
    data = of_sentences([" ".join(WORDS)] * 64, batch_size=16)
    of_epochs = [torch.cat([batch.negatives for batch in batches_of(data, epoch)]) for epoch in range(3)]
    rows = torch.cat(of_epochs)
    assert rows.shape == (3 * 4 * 5, 16)
    assert len(rows.unique(dim=0)) == len(rows)
    assert torch.equal(of_epochs[1], torch.cat([batch.negatives for batch in batches_of(data, 1)]))
    other = of_sentences([" ".join(WORDS)] * 64, batch_size=16, seed=1)
    assert not torch.equal(of_epochs[0], torch.cat([batch.negatives for batch in batches_of(other)]))


def test_without_negatives_there_are_none():
    assert batches_of(of_sentences(negatives=0))[0].negatives is None


RANDOM = {"window": 4, "dynamic": True, "subsample": 0.05}


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_draw_for_a_word_what_one_would(processes):
    sentences = [" ".join(WORDS[place % 7 :] + WORDS[: place % 5]) for place in range(30)]
    data = of_sentences(sentences, **RANDOM)
    for table in data.train_dataloader():
        whole = pairs_of(data, data.gather(table))
        parts = [data.gather(table._replace(share=slice(rank, None, processes))) for rank in range(processes)]
        assert Counter(whole) == sum((Counter(pairs_of(data, part)) for part in parts), Counter())
        assert len({tuple(part.negatives[0].tolist()) for part in parts}) == processes


def test_a_batch_has_room_for_the_process_with_the_most_words():
    lengths = torch.tensor([100, 1, 90, 2, 80, 3])
    for rank in range(2):
        (table,) = WordBatches("val", lengths, 3, 0, rank, 2)
        words = lengths[table.rows.squeeze(1)]
        most = max(int(words[first::2].sum()) for first in range(2))
        assert table.steps % GROUP == 0
        assert most <= table.steps < most + GROUP


def test_a_process_without_a_review_gets_padding():
    data = of_sentences()
    batch = data.gather(table_of(data, [0])._replace(share=slice(1, None, 2)))
    assert batch.inputs.shape == (GROUP, 1)
    assert not batch.mask.any()
    assert not batch.target_mask.any()


def test_an_epoch_reads_every_review_once_and_validation_never_changes():
    data = of_sentences([f"{first} {second}" for first in WORDS for second in WORDS if first != second], batch_size=7)
    expected = {(first, second): 2 for first in WORDS for second in WORDS if first != second}
    for epoch in range(2):
        assert Counter(pair for batch in batches_of(data, epoch) for pair in pairs_of(data, batch)) == expected
    val = [batches_of(of_sentences(seed=seed, **RANDOM), epoch, "val") for seed, epoch in ((0, 0), (0, 1), (5, 2))]
    for others in val[1:]:
        for batch, other in zip(val[0], others, strict=True):
            assert torch.equal(batch.targets, other.targets)
            assert torch.equal(batch.negatives, other.negatives)


def test_batches_need_no_number_of_the_device():
    data = of_sentences([" ".join(WORDS)] * 20, **RANDOM)
    (table,) = data.train_dataloader()
    expected = data.gather(table)
    meta = torch.device("meta")
    data.reviews_on("train", meta), data.ids_on(meta), data.tables_on(meta)
    table = table._replace(rows=table.rows.to(meta))
    with DeviceOnly("meta") as guard:
        batch = data.gather(table)
    assert len(batch.inputs) == table.steps >= len(expected.inputs)
    assert {"searchsorted", "sort"} <= set(guard.operations)


def test_a_batch_is_changed_with_its_negatives():
    (batch,) = batches_of(of_sentences())
    moved = batch.map(lambda tensor: tensor.float() if tensor.dtype == torch.long else tensor)
    assert moved.negatives.dtype == torch.float
    assert moved.rows is None
    assert len(batch.tensors) == 5


def test_words_of_a_checkpoint_are_counted_anew():
    data = of_sentences()
    before = data.tables_on(torch.device("cpu"))[1]
    data.load_state_dict({"words": "rain\ncats"})
    assert data.counts().tolist() == [0, 0, 2, 1]
    assert len(data.tables_on(torch.device("cpu"))[1]) == 4 < len(before)
    assert Counter(pairs_of(data, batches_of(data)[0])) == {}


def test_it_says_what_it_reads(here):
    data = of_sentences(mode="cbow", dynamic=True)
    assert (
        data.describe()
        == "cbow pairs within up to 2 words, of auto film reviews (4 train, 4 val, 4 test), 10 known words"
    )
    assert SENTENCES[3] == "rain"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "glove"}, r"`--data\.mode` \(='glove'\) must be one of 'skipgram', 'cbow'"),
        ({"window": 0}, r"`--data\.window` \(=0\) must be at least 1"),
        ({"subsample": 0.0}, r"`--data\.subsample` \(=0\.0\) must be above 0, or null"),
        ({"negatives": -1}, r"`--data\.negatives` \(=-1\) must be between 0 and 62"),
        ({"negatives": 63}, r"`--data\.negatives` \(=63\) must be between 0 and 62"),
        ({"dataset": "books"}, r"`--data\.dataset` \(='books'\) must be one of"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        of_sentences(**options)


def test_no_words_of_a_batch_have_the_same_random_numbers():
    data = of_sentences([" ".join(WORDS * 30)] * 3, dynamic=True)
    words, _, numbers = data._read_words(table_of(data, [0, 1, 2], steps=928))
    assert len(numbers[words != PADDING].unique()) == 900
