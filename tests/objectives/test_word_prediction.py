"""The loss of word vectors against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqsum.data import Batch
from seqsum.networks import WordVectors
from seqsum.objectives import WordPrediction
from seqsum.objectives.base import update_metrics
from seqsum.objectives.word_prediction import count_pairs
from tests.data.word_corpus import WORDS, of_sentences, table_of

SENTENCES = [" ".join(WORDS[place % 6 :] + WORDS[: place % 5]) for place in range(9)]


def made(mode: str, negatives: int) -> tuple[Batch, torch.Tensor]:
    """Make a batch, and the outputs of a network with random vectors."""
    torch.manual_seed(1)
    data = of_sentences(SENTENCES, mode=mode, dynamic=True, window=3, negatives=negatives)
    batch = data.gather(table_of(data, list(range(9)), seed=2, steps=96))
    network = WordVectors(12, 5, window=3).double()
    torch.nn.init.normal_(network.weight)
    torch.nn.init.normal_(network.output_weight)
    return batch, network(batch).detach()


def log_sigmoid(score: float) -> float:
    return -np.log1p(np.exp(-score))


@pytest.mark.parametrize("weight", [1.0, 5.0])
@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_negative_sampling_matches_numpy(mode, weight):
    batch, outputs = made(mode, negatives=9)
    scores, right = outputs.numpy(), batch.targets.numpy()
    losses, left_out = [], 0
    for row, column in zip(*batch.target_mask.nonzero(as_tuple=True), strict=True):
        loss = -log_sigmoid(scores[row, column])
        for place, word in enumerate(batch.negatives[row // 32].tolist()):
            if word == right[row, column]:
                left_out += 1
            else:
                loss -= weight / 9 * log_sigmoid(-scores[row, right.shape[1] + place])
        losses.append(loss)
    assert left_out > 10
    assert len(losses) == int(WordPrediction().scored(batch).sum())
    assert WordPrediction(weight).loss(outputs, batch).item() == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_the_full_softmax_matches_numpy(mode):
    batch, outputs = made(mode, negatives=0)
    losses = []
    for row, column in zip(*batch.target_mask.nonzero(as_tuple=True), strict=True):
        logits = outputs[row, 0].numpy()
        losses.append(np.log(np.exp(logits).sum()) - logits[batch.targets[row, column]])
    assert len(losses) > 50
    assert WordPrediction().loss(outputs, batch).item() == pytest.approx(np.mean(losses), rel=1e-6)


def test_the_right_word_is_never_a_negative():
    # a row whose right words are 2 and 3, and one whose only right word is 2; all negatives are 2
    right, scored = torch.tensor([[2, 3], [2, 2]]), torch.tensor([[True, True], [True, False]])
    batch = Batch(torch.ones(2, 1), right, None, scored, None, torch.tensor([[2, 2]]))
    outputs = torch.randn(2, 4, requires_grad=True)
    WordPrediction().loss(outputs, batch).backward()
    assert outputs.grad[0, 2:].all(), "wrong for 3"
    assert not outputs.grad[1, 2:].any(), "right for 2"
    assert count_pairs(right, scored, batch.negatives).tolist() == [[1, 1], [0, 0]]
    outputs_of_others = torch.tensor([[3, 4]])
    assert count_pairs(right, scored, outputs_of_others).tolist() == [[1, 2], [1, 1]]


@pytest.mark.parametrize("negatives", [9, 0])
def test_gradients_match_numerical_ones_and_padding_has_none(negatives):
    batch, outputs = made("skipgram", negatives)
    objective = WordPrediction()
    leaf = outputs[:40].clone().requires_grad_()
    few = Batch(*(part[:40] for part in batch[:4]), None, None if negatives == 0 else batch.negatives[:1])
    assert torch.autograd.gradcheck(
        lambda scores: objective.loss(scores.double(), few).double(), leaf, atol=1e-3, eps=1e-2
    )
    objective.loss(leaf, few).backward()
    if negatives:
        assert not leaf.grad[:, :6][~few.target_mask].any()


def test_large_scores_have_finite_losses():
    batch = Batch(torch.ones(1, 1), torch.tensor([[2]]), None, torch.tensor([[True]]), None, torch.tensor([[3]]))
    for scores in ([500.0, -500.0], [-500.0, 500.0]):
        outputs = torch.tensor([scores], requires_grad=True)
        loss = WordPrediction().loss(outputs, batch)
        loss.backward()
        assert loss.item() == pytest.approx(0.0 if scores[0] > 0 else 3_000.0)
        assert outputs.grad.isfinite().all()


def test_a_batch_without_pairs_costs_nothing():
    batch = Batch(
        torch.ones(2, 1), torch.zeros(2, 4).long(), None, torch.zeros(2, 4).bool(), None, torch.ones(1, 3).long()
    )
    outputs = torch.randn(2, 7, requires_grad=True)
    loss = WordPrediction().loss(outputs, batch)
    loss.backward()
    assert loss.item() == 0
    assert not outputs.grad.any()


@pytest.mark.parametrize("words", [3, 6, 40])  # many of the negatives are right words, some, or few
@pytest.mark.parametrize("negatives", [1, 2, 7])
def test_accuracy_is_the_share_of_right_words_above_all_other_words(words, negatives):
    generator = torch.Generator().manual_seed(words + negatives)
    right = torch.randint(words, (12, 4), generator=generator)
    mask = torch.rand(12, 4, generator=generator) < 0.7
    drawn = torch.randint(words, (3, negatives), generator=generator)
    of_words = torch.rand(12, words, generator=generator)  # a word has one score in a row
    of_negatives = of_words.gather(1, drawn.repeat_interleave(4, 0))
    batch = Batch(torch.ones(12, 1), right, None, mask, None, drawn)
    first = [
        all(of_words[row, word] > of_words[row, other] for other in drawn[row // 4].tolist() if other != word)
        for row in range(12)
        for word in right[row].tolist()
    ]
    outputs = torch.cat([of_words.gather(1, right), of_negatives], 1)
    assert WordPrediction().answers(outputs, batch).flatten().tolist() == first
    metrics = WordPrediction().metrics()
    update_metrics(metrics, outputs, batch)
    wanted = torch.tensor(first)[mask.flatten()].float().mean()
    assert metrics.compute()["accuracy"].item() == pytest.approx(wanted.item())


def test_accuracy_of_the_full_softmax_is_the_share_of_right_words_above_all_others():
    targets, mask = torch.tensor([[2, 3], [4, 5]]), torch.tensor([[True, True], [True, False]])
    batch = Batch(torch.ones(2, 1), targets, None, mask)
    of_all = torch.tensor([[[0.0, 1.0, 5.0, 2.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 2.0, 3.0, 9.0]]])
    assert WordPrediction().answers(of_all, batch).tolist() == [[1, 0], [0, 1]]
    metrics = WordPrediction().metrics()
    update_metrics(metrics, of_all, batch)
    assert metrics.compute()["accuracy"].item() == pytest.approx(1 / 3)


def test_no_word_comes_first_while_all_score_the_same():
    batch = Batch(torch.ones(2, 1), torch.tensor([[2, 3], [4, 5]]), None, None, None, torch.tensor([[6, 7]]))
    assert WordPrediction().answers(torch.zeros(2, 4), batch).tolist() == [[0, 0], [0, 0]]


def test_the_weight_is_checked():
    with pytest.raises(ValueError, match=r"`negatives` \(=0\) must be above 0"):
        WordPrediction(0)
