"""The moving average of the weights soon forgets the first of them, and later is the plain one."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from seqsum.callbacks.averaging import warmed_up


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
