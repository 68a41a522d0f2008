"""Batches: which targets belong to a network's outputs."""

from __future__ import annotations

import copy
import inspect
import re
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest
import torch

import seqsum.data
from seqsum.data import Batch, ScoredSteps
from seqsum.data.base import SequenceData, check_batch
from seqsum.data.digit_data import DigitData
from seqsum.data.drawn import DrawnSequences
from seqsum.data.index_tables import IndexBatch
from seqsum.errors import InputError
from seqsum.objectives import NextToken

VOCABULARY = 7


def draw(seed, steps=5):
    """A batch of up to three sequences, of which any steps are scored, and outputs for all of them."""
    generator = torch.Generator().manual_seed(seed)
    rows = int(torch.randint(1, 4, (), generator=generator))
    scored = torch.rand(rows, steps, generator=generator) < 0.6
    targets = torch.randint(VOCABULARY, scored.shape, generator=generator)
    return Batch(torch.zeros(rows, 4), targets, target_mask=scored), torch.randn(
        *scored.shape, VOCABULARY, generator=generator
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("steps", [1, 5])
def test_outputs_of_scored_steps_alone_give_the_same_loss_and_metrics(seed, steps):
    batch, outputs = draw(seed, steps)
    found = []
    for given in (outputs, ScoredSteps(outputs[batch.scored])):
        each, theirs = batch.pair(given, by_step=True)
        objective = NextToken(VOCABULARY)
        metrics = objective.metrics()
        metrics.update(each, theirs.targets, theirs.scored)
        loss, count = objective.loss(each, theirs), objective.scored(theirs).sum()
        found.append({"loss": loss, "count": count, **metrics.compute()})
    torch.testing.assert_close(found[1], found[0], equal_nan=True)


class Compared(DrawnSequences):
    """A row of negatives for each `run` sequences, which tells whose it is."""

    run = 4

    def draw(self, count, generator):
        numbers = torch.arange(count, device=generator.device).float().view(count, 1, 1)
        groups = torch.arange(count // self.run)
        return Batch(numbers, numbers[..., 0], negatives=groups.unsqueeze(1).expand(-1, 3))


def test_sequences_keep_their_negatives_however_they_are_divided():
    data = Compared(batch_size=8, epoch_size=64, seed=0)
    data.setup("fit")
    for split in ("train", "val"):
        rows = torch.arange(8).unsqueeze(1)
        for share in (slice(None), slice(1, None, 3), slice(8, None)):
            batch = data.gather(IndexBatch(split, rows, 5, share))
            assert batch.negatives.shape == (len(batch.inputs), 3)
            assert torch.equal(batch.negatives[:, 0], batch.inputs[:, 0, 0].long() // Compared.run)


def test_outputs_of_all_steps_belong_to_the_batch_itself():
    """Whatever their shape: `WordVectors` and networks of one's own give other axes than `(B, S, K)`."""
    batch, outputs = draw(0)
    for each in (batch, batch._replace(target_mask=None)):
        for given in (outputs, outputs[..., 0], outputs[batch.scored]):
            same, theirs = each.pair(given, by_step=True)
            assert same is given
            assert theirs is each


def test_all_steps_are_scored_without_a_mask():
    batch, outputs = draw(0)
    each, theirs = batch._replace(target_mask=None).pair(ScoredSteps(outputs.flatten(0, 1)), by_step=True)
    loss = NextToken(VOCABULARY).loss
    torch.testing.assert_close(loss(each, theirs), loss(outputs, batch._replace(target_mask=None)))


def test_what_are_no_outputs_or_of_another_number_of_steps_is_refused():
    batch, outputs = draw(0)
    count = int(batch.scored.sum())
    for wrong in (outputs[batch.scored][1:], outputs):
        given = re.escape(str(tuple(wrong.shape)))
        message = rf"^`ScoredSteps` of shape {given} must be of \(M, K\) with M={count}, one for each scored target"
        with pytest.raises(InputError, match=message):
            batch.pair(ScoredSteps(wrong))
    with pytest.raises(InputError, match=r"^the network's outputs \(=tuple\) must be a tensor or `ScoredSteps`$"):
        batch.pair((outputs, outputs))


RIGHT = Batch(torch.zeros(3, 4, 2), torch.zeros(3, 4), torch.ones(3, 4, dtype=torch.bool))


@pytest.mark.parametrize(
    "batch",
    [
        RIGHT, RIGHT._replace(mask=None), Batch(torch.zeros(3, 4), torch.zeros(3, 0)),
        RIGHT._replace(targets=torch.zeros(3, 1), target_mask=torch.ones(3, 1, dtype=torch.bool)),
        RIGHT._replace(targets=torch.zeros(3, 4, 5)), Batch(torch.zeros(3, 4), torch.zeros(3, 7)),
    ],
)  # fmt: skip
def test_batches_that_fit(batch):
    check_batch(batch)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (tuple(RIGHT), "the data's loaders must yield `seqsum.data.Batch`, not tuple"),
        (RIGHT._asdict(), "must yield `seqsum.data.Batch`, not dict"),
        (RIGHT._replace(inputs=RIGHT.inputs.numpy()), "`inputs` of the batch must be a tensor, not ndarray"),
        (RIGHT._replace(targets=[1.0] * 3), "`targets` of the batch must be a tensor, not list"),
        (RIGHT._replace(inputs=torch.zeros(3)), "`inputs` of the batch, of shape (3,), must be of (B, T, …)"),
        (
            RIGHT._replace(targets=torch.zeros(3)),
            "`targets` of the batch, of shape (3,), must be of (B, S): with one for each sequence, (B, 1)",
        ),
        (RIGHT._replace(targets=torch.zeros(2, 4)), "the batch has 3 sequences of inputs, but 2 of targets"),
        (RIGHT._replace(mask=torch.ones(3, 4)), "`mask` of the batch, of torch.float32 and shape (3, 4), must be of"),
        (
            RIGHT._replace(mask=torch.ones(3, 1, dtype=torch.bool)),
            "`mask` of the batch, of torch.bool and shape (3, 1)",
        ),
        (RIGHT._replace(target_mask=torch.ones(4, 3, dtype=torch.bool)), "`target_mask` of the batch, of torch.bool"),
        (RIGHT._replace(targets=torch.zeros(3, 1)), "a batch with a `mask` and targets of other steps, (3, 1), needs"),
    ],
)
def test_batches_that_do_not_fit_are_an_error_in_words(batch, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_batch(batch)


# Arguments that weights depend on --------------------------------------------------------------------------

TRAINED_WITH = [
    (kind, name)
    for _, kind in inspect.getmembers(seqsum.data, inspect.isclass)
    if issubclass(kind, SequenceData)
    for name in kind.trained_with
]


@pytest.mark.parametrize(("kind", "name"), TRAINED_WITH)
def test_an_argument_that_weights_depend_on_must_be_that_of_the_training(kind, name):
    needed = {"features": "features.pt"} if "features" in inspect.signature(kind).parameters else {}
    for trained in get_args(get_type_hints(kind.__init__)[name]) or (True, False):
        for here in get_args(get_type_hints(kind.__init__)[name]) or (True, False):
            data = kind(**needed, **{name: here})
            if here == trained:
                data.check_trained_with({name: trained})
            else:
                with pytest.raises(InputError, match=rf"^`--data\.{name}` \(={here}\) must be {trained}, as the check"):
                    data.check_trained_with({name: trained})
            data.check_trained_with({})  # a checkpoint of a class without it


def test_the_data_that_say_so_are_those_of_sums_rows_words_and_translations():
    assert {kind.__name__ for kind, _ in TRAINED_WITH} == {
        "DigitRows", "DigitSums", "EncodedSums", "Translation", "WordPairs"
    }  # fmt: skip


def reads_files(kind):
    return isinstance(kind, type) and issubclass(kind, SequenceData) and "root" in inspect.signature(kind).parameters


READING = [kind for kind in vars(seqsum.data).values() if reads_files(kind) and kind is not DigitData]


@pytest.mark.parametrize("early", [True, False], ids=["before there is a trainer", "with a trainer"])
@pytest.mark.parametrize("kind", READING)
def test_the_first_process_reads_and_sends_it_to_the_others_once(kind, early, mnist_root):
    """The command line reads before there is a trainer, on the first process alone; later they meet as often."""
    options = {"root": str(mnist_root), "dataset": "mnist" if issubclass(kind, DigitData) else "made"}
    sent, (first, *others) = [], [kind(**options) for _ in range(3)]
    if early:
        first.prepare_data()
        first.setup("fit")

    def broadcast(read):
        sent.append(read)
        return copy.deepcopy(sent[0])

    for rank, data in enumerate((first, *others)):
        strategy = SimpleNamespace(broadcast=broadcast)
        data.trainer = SimpleNamespace(world_size=3, is_global_zero=rank == 0, strategy=strategy)
        for stage in ("fit", "test", "fit"):
            data.setup(stage)
        data.trainer = None
    assert [read is None for read in sent] == [False, True, True], "once for each process"
    for other in others:
        assert other.dataset == first.dataset
        assert {split: other.count(split) for split in ("train", "val", "test")} == {
            split: first.count(split) for split in ("train", "val", "test")
        }
        for split in ("train", "test"):
            tables = (getattr(data, f"{split}_dataloader")() for data in (first, other))
            one, same = (data.gather(next(iter(table))) for data, table in zip((first, other), tables, strict=True))
            for tensor, another in zip(one.tensors, same.tensors, strict=True):
                assert (tensor is None and another is None) or torch.equal(tensor, another)
