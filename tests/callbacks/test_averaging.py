"""The moving average of the weights soon forgets the first of them, and later is the plain one."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from seqsum.callbacks import AveragedWeights
from seqsum.callbacks.averaging import warmed_up

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*outside the 'fit' stage"),
    pytest.mark.filterwarnings("ignore:Be aware that when using"),
]


def averages(decay, steps, dtype=torch.float32):
    """The warmed-up and the plain average of weights that rise by one in each step, and the number of steps."""
    model = nn.Linear(1, 1, bias=False).to(dtype)
    model.register_buffer("steps", torch.tensor(0))
    nn.init.zeros_(model.weight)
    made = [
        AveragedModel(model, avg_fn=function, use_buffers=True)
        for function in (warmed_up(decay), get_ema_avg_fn(decay))
    ]
    for _ in range(steps):
        with torch.no_grad():
            model.weight += 1
            model.steps += 1
        for average in made:
            average.update_parameters(model)
    assert all(average.module.weight.dtype == dtype for average in made)
    return [average.module.weight.item() for average in made]


def test_a_short_training_has_an_average_of_its_last_steps():
    warm, plain = averages(0.995, 60)
    assert plain < 15, "mostly of the first weights"
    assert 50 < warm < 60


@pytest.mark.parametrize(("decay", "steps"), [(0.9, 300), (0.99, 2_350)])
def test_a_long_training_has_the_plain_average(decay, steps):
    warm, plain = averages(decay, steps, torch.float64)
    assert warm == pytest.approx(plain, rel=1e-5)
    assert warm == pytest.approx(steps - decay / (1 - decay), rel=1e-5)


@pytest.mark.parametrize("decay", [-0.1, 1.1])
def test_a_share_is_between_0_and_1(decay):
    with pytest.raises(ValueError, match=r"`decay` \(=.*\) must be between 0 and 1"):
        warmed_up(decay)


def weights_of(module):
    return {name: value.clone() for name, value in module.network.state_dict().items()}


def are_equal(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_validation_after_a_training_is_of_the_checkpoint(make_run, tmp_path):
    each = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    trainer, module, data = make_run([AveragedWeights(decay=0.5), each], enable_checkpointing=True)
    trainer.fit(module, data)
    first, trained = tmp_path / "epoch=0.ckpt", weights_of(module)
    (after,) = trainer.validate(module, data, ckpt_path=first, verbose=False)
    fresh, other, data = make_run([AveragedWeights(decay=0.5)])
    assert after == fresh.validate(other, data, ckpt_path=first, verbose=False)[0]
    assert are_equal(weights_of(module), weights_of(other))
    assert not are_equal(weights_of(module), trained)


class SaveWithin(Callback):
    """Saves a checkpoint within each validation."""

    def __init__(self, path):
        self.path = path

    def on_validation_batch_end(self, trainer, *_):
        if not trainer.sanity_checking:
            trainer.save_checkpoint(self.path)


def test_a_checkpoint_within_a_validation_keeps_weights_and_average_apart(make_run, tmp_path):
    within = tmp_path / "within.ckpt"
    trainer, plain, data = make_run([AveragedWeights(decay=0.5)])
    trainer.fit(plain, data)
    trainer, module, data = make_run([AveragedWeights(decay=0.5), SaveWithin(within)])
    trainer.fit(module, data)
    assert are_equal(weights_of(module), weights_of(plain)), "saving changes nothing"
    trainer, module, data = make_run([AveragedWeights(decay=0.5), SaveWithin(within), Interrupt()])
    with pytest.raises(RuntimeError, match="interrupted"):
        trainer.fit(module, data)
    interrupted = weights_of(module)
    saved = torch.load(within, weights_only=True)
    current = {name.removeprefix("network."): value for name, value in saved["current_model_state"].items()}
    average = {name.removeprefix("network."): value for name, value in saved["state_dict"].items()}
    assert are_equal(interrupted, current), "the weights are back in their place"
    assert are_equal(average, weights_of(plain)), "the average of both epochs"
    assert not are_equal(average, current)


class Interrupt(Callback):
    """Fails within the last validation, after its first batch."""

    def on_validation_batch_end(self, trainer, *_):
        if not trainer.sanity_checking and trainer.current_epoch + 1 == trainer.max_epochs:
            raise RuntimeError("interrupted")


def test_the_average_keeps_as_much_as_tensorflows():
    update = warmed_up(0.99)
    for count, kept in ((0, 0.1), (8, 0.5), (10_000, 0.99)):
        assert update(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(count)).item() == pytest.approx(kept)


def test_buffers_are_averaged_by_default():
    assert AveragedWeights()._use_buffers
    assert not AveragedWeights(use_buffers=False)._use_buffers


def test_it_is_updated_when_asked_to_be():
    average = AveragedWeights(update_every_n_steps=2, update_starting_at_step=5, update_starting_at_epoch=3)
    assert [step for step in range(10) if average.should_update(step_idx=step)] == [6, 8]
    assert [epoch for epoch in range(5) if average.should_update(epoch_idx=epoch)] == [3, 4]
