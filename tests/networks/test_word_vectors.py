"""Scores of word vectors against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqsum.data import Batch
from seqsum.errors import InputError
from seqsum.networks import WordVectors
from seqsum.networks.nearest import nearest
from seqsum.networks.word_vectors import read_each, read_neighbours, score_each, score_neighbours
from tests.data.word_corpus import WORDS, of_sentences, table_of

SENTENCES = [" ".join(WORDS[place % 6 :] + WORDS[: place % 5]) for place in range(9)]
RANDOM = {"window": 3, "dynamic": True, "negatives": 7}


def network_of(window: int | None = 3) -> WordVectors:
    torch.manual_seed(0)
    network = WordVectors(12, 5, window).double()
    torch.nn.init.normal_(network.weight)
    torch.nn.init.normal_(network.output_weight)
    return network


def batch_of(mode: str, **options) -> Batch:
    data = of_sentences(SENTENCES, mode=mode, **RANDOM | options)
    return data.gather(table_of(data, list(range(9)), seed=4, steps=96))


def test_skipgram_scores_are_products_of_two_vectors():
    network, batch = network_of(), batch_of("skipgram")
    scores = network(batch).detach().numpy()
    vectors, outputs = network.weight.detach().numpy(), network.output_weight.detach().numpy()
    assert scores.shape == (len(batch.inputs), 6 + 7)
    assert batch.target_mask.sum() > 100
    for row, words in enumerate(batch.inputs[:, 0].tolist()):
        for column, target in enumerate(batch.targets[row].tolist()):
            if batch.target_mask[row, column]:
                assert scores[row, column] == pytest.approx(vectors[words] @ outputs[target], rel=1e-9)
        for column, word in enumerate(batch.negatives[row // 32].tolist()):
            assert scores[row, 6 + column] == pytest.approx(vectors[words] @ outputs[word], rel=1e-9)


def test_cbow_reads_the_mean_of_the_neighbours_that_there_are():
    network, batch = network_of(), batch_of("cbow")
    scores = network(batch).detach().numpy()
    vectors, outputs = network.weight.detach().numpy(), network.output_weight.detach().numpy()
    assert scores.shape == (len(batch.inputs), 1 + 7)
    counts = set()
    for row, (words, exist) in enumerate(zip(batch.inputs.numpy(), batch.mask.numpy(), strict=True)):
        if not exist.any():
            assert (scores[row] == 0).all()
            continue
        counts.add(int(exist.sum()))
        mean = np.mean([vectors[word] for word, there in zip(words, exist, strict=True) if there], axis=0)
        expected = [mean @ outputs[word] for word in (batch.targets[row, 0], *batch.negatives[row // 32])]
        np.testing.assert_allclose(scores[row], expected, rtol=1e-9, atol=1e-12)
    assert counts == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_padding_has_no_influence(mode):
    batch = batch_of(mode)
    scores, gradients = [], []
    for fill in (1.0, 50.0):
        network = network_of()
        with torch.no_grad():
            network.weight[0] *= fill
            network.output_weight[0] *= fill
        found = network(batch)
        scored = found[:, : batch.targets.shape[1]][batch.target_mask]
        scored.square().sum().backward()
        scores.append(scored.detach())
        gradients += [network.weight.grad[0], network.output_weight.grad[0]]
    torch.testing.assert_close(scores[0], scores[1])
    assert not torch.stack(gradients).any()


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_without_negatives_all_words_are_scored(mode):
    network, batch = network_of(), batch_of(mode, negatives=0)
    scores = network(batch)
    assert scores.shape == (len(batch.inputs), 1, 12)
    torch.testing.assert_close(scores[:, 0], network.read(batch) @ network.output_weight.T)


SIZES = [(1, 1), (5, 2), (32, 5), (33, 5), (100, 3), (7, 9), (64, 1)]


def text_of(rows: int, window: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw words, and list the neighbours of each, 0 beyond the ends."""
    words = torch.randint(1, 20, (rows,), generator=torch.Generator().manual_seed(rows))
    padded = torch.nn.functional.pad(words, (window, window))
    offsets = [*range(-window, 0), *range(1, window + 1)]
    return words, torch.stack([padded[window + offset : window + offset + rows] for offset in offsets], dim=1)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(shape[0])).requires_grad_()


@pytest.mark.parametrize(("rows", "window"), SIZES)
def test_scores_of_neighbours_are_those_of_each(rows, window):
    words, targets = text_of(rows, window)
    found = []
    for score, targets_or_words in ((score_each, (targets,)), (score_neighbours, (words, window))):
        queries, vectors = drawn(rows, 4), drawn(20, 4)
        scores = score(queries, vectors, *targets_or_words)
        (scores * torch.arange(1, 2 * window + 1)).sin().sum().backward()
        found.append((scores.detach(), queries.grad, vectors.grad))
    for each, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, each, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("rows", "window"), SIZES)
def test_sums_of_neighbours_are_those_of_each(rows, window):
    words, inputs = text_of(rows, window)
    shares = drawn(rows, 2 * window).detach() * (inputs > 0)
    found = []
    for read, inputs_or_words in ((read_each, inputs), (read_neighbours, words)):
        vectors = drawn(20, 4)
        sums = read(vectors, inputs_or_words, shares)
        (sums * torch.arange(1, 5)).sin().sum().backward()
        found.append((sums.detach(), vectors.grad))
    for each, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, each, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("others", range(1, 8))
@pytest.mark.parametrize("negatives", [0, 3])
def test_words_that_are_no_text_are_read_one_by_one(others, negatives):
    """Whatever their number: the words of other rows have nothing to do with them."""
    generator = torch.Generator().manual_seed(others)
    network = network_of(window=None)
    one, several = (
        torch.randint(2, 12, (32, 1), generator=generator),
        torch.randint(2, 12, (32, others), generator=generator),
    )
    compared = torch.randint(2, 12, (1, negatives), generator=generator) if negatives else None
    scores = network(Batch(one, several, None, torch.ones_like(several, dtype=torch.bool), negatives=compared))
    every = network.weight[one[:, 0]] @ network.output_weight.T  # (B, V)
    expected = (
        every.unsqueeze(1) if compared is None else torch.cat([every.gather(1, several), every[:, compared[0]]], 1)
    )
    torch.testing.assert_close(scores, expected)
    scores = network(Batch(several, one, None, torch.ones_like(one, dtype=torch.bool), negatives=compared))
    every = network.weight[several].mean(1) @ network.output_weight.T
    expected = every.unsqueeze(1) if compared is None else torch.cat([every.gather(1, one), every[:, compared[0]]], 1)
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_a_text_is_read_without_a_window_too(mode):
    batch = batch_of(mode)
    fast, slow = network_of()(batch), network_of(window=None)(batch)
    exist = torch.cat([batch.target_mask, torch.ones(len(slow), 7, dtype=torch.bool)], 1)
    torch.testing.assert_close(fast[exist], slow[exist])


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_an_odd_number_of_words_is_read_one_by_one(mode):
    network, batch = network_of(), batch_of(mode)
    odd = Batch(*(part[:, :5] for part in batch[:4]), None, batch.negatives)  # one less, or still one
    whole = batch._replace(target_mask=None)
    if mode == "skipgram":
        torch.testing.assert_close(network(odd)[:, :5][odd.target_mask], network(whole)[:, :5][odd.target_mask])
    else:
        expected = read_each(network.weight, odd.inputs, odd.mask / odd.mask.sum(1, keepdim=True).clamp(min=1).double())
        torch.testing.assert_close(network.read(odd), expected)


def test_inputs_without_targets_are_read_too():
    network, batch = network_of(), batch_of("cbow", negatives=0)
    unlabelled = batch._replace(targets=batch.targets[:, :0], target_mask=None)
    torch.testing.assert_close(network(unlabelled), network(batch))


def test_vectors_start_small_and_their_outputs_at_zero():
    network = WordVectors(1_000, 50)
    assert not network.output_weight.any()
    assert network.weight.abs().max() <= 0.01
    assert network.weight.std().item() == pytest.approx(0.02 / 12**0.5, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "`--model.network.vocabulary_size` must be given"),
        ((0,), r"`vocabulary_size` \(=0\) must be at least 1"),
        ((10, 0), r"`size` \(=0\) must be at least 1"),
        ((10, 5, 0), r"`window` \(=0\) must be at least 1"),
    ],
)
def test_sizes_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        WordVectors(*arguments)
    assert issubclass(InputError, ValueError)


def test_the_nearest_words_have_the_largest_cosine():
    vectors = torch.tensor([[9.0, 0.1], [9.0, 0.0], [1.0, 1.0], [5.0, 0.5], [0.1, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    assert nearest(vectors, torch.tensor([2.0, 0.0]), 3) == [4, 3, 2]
    assert nearest(vectors, torch.tensor([2.0, 0.0]), 9, without=[4, 2]) == [3, 6, 5]
