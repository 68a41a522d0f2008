"""Recurrent dropout ends after a share of the training."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LambdaCallback

from seqsum.callbacks import EndRecurrentDropout
from seqsum.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class Watched(Callback):
    """Record the recurrent dropout with which each step runs."""

    def __init__(self):
        self.seen = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        self.seen.append(pl_module.network.recurrence.cells[0].recurrent_dropout)


@pytest.mark.parametrize(("after", "steps"), [(0, 0), (0.5, 3), (0.6, 4), (1, 6)])
def test_it_ends_after_its_share_of_the_steps(make_run, after, steps):
    watched = Watched()
    trainer, module, data = make_run([EndRecurrentDropout(after), watched], module={"recurrent_dropout": 0.3})
    trainer.fit(module, data)
    assert watched.seen == [0.3] * steps + [0.0] * (6 - steps)


def test_every_layer_and_direction_follows(make_run):
    options = {"recurrent_dropout": 0.3, "num_layers": 2, "bidirectional": True}
    rates = []
    look = LambdaCallback(
        on_train_batch_end=lambda trainer, module, *_: rates.append(
            [cell.recurrent_dropout for cell in module.network.recurrence.cells]
        )
    )
    trainer, module, data = make_run([EndRecurrentDropout(0), look], module=options)
    trainer.fit(module, data)
    assert rates == [[0.0] * 4] * 6


@pytest.mark.parametrize("fails", [False, True])
def test_the_next_training_begins_with_it(make_run, fails):
    def fail(trainer, *_):
        assert trainer.global_step < 5 or not fails

    options = {"recurrent_dropout": 0.3}
    trainer, module, data = make_run(
        [EndRecurrentDropout(0.5), LambdaCallback(on_train_batch_start=fail)], module=options
    )
    with pytest.raises(AssertionError) if fails else nullcontext():
        trainer.fit(module, data)
    watched = Watched()
    trainer, _, data = make_run([EndRecurrentDropout(0.5), watched], module=options)
    trainer.fit(module, data)
    assert watched.seen == [0.3] * 3 + [0.0] * 3


def test_a_network_without_it_is_refused(make_run):
    trainer, module, data = make_run([EndRecurrentDropout()])
    with pytest.raises(InputError, match=r"needs a network with `--model\.recurrent_dropout`"):
        trainer.fit(module, data)


@pytest.mark.parametrize("after", [-0.1, 1.1])
def test_a_share_outside_0_and_1_is_refused(after):
    with pytest.raises(InputError, match=r"`after` \(=.*\) of EndRecurrentDropout must be between 0 and 1"):
        EndRecurrentDropout(after)
