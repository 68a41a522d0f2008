"""Frozen layers: what stays as it is, in weights, statistics and gradients, while the rest learns."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from seqsum.data import DigitSums, unlabelled
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, DenseEncoder, SequenceNetwork, StepNetwork, build_recurrence
from seqsum.networks.sequence import describe_network

ENCODERS = {
    "convolutions": lambda frozen: ConvEncoder((2, 3, 4), output_size=5, frozen=frozen),  # 3 blocks, a linear layer
    "deeper": lambda frozen: ConvEncoder((2, 3), depth=2, output_size=5, activation="relu", dropout=0.5, frozen=frozen),
    "dense blocks": lambda frozen: DenseEncoder((1, 2), growth=2, output_size=5, frozen=frozen),
}
# blocks and a linear layer; the stem, two dense blocks with a transition between, and a linear layer
LAYERS = {"convolutions": 4, "deeper": 4, "dense blocks": 5}


def train(network, steps=3):
    """Take steps on random images, with a learning rate at which everything that may change does."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        network(unlabelled(torch.randn(8, 2, 1, 28, 28))).square().sum().backward()
        optimizer.step()


def changed(before, encoder):
    """Names of the layers whose state changed, in order: the number behind `layers.`."""
    found = [name for name, value in encoder.state_dict().items() if not torch.equal(before[name], value)]
    return sorted({int(name.split(".")[1]) for name in found})


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("frozen", ["all", True, "none", False, 1, 2, 3, 4])
def test_the_last_layers_learn_and_the_others_stay(kind, frozen):
    torch.manual_seed(0)
    encoder = ENCODERS[kind](frozen)
    network = StepNetwork(3, encoder).train()
    before = copy.deepcopy(encoder.state_dict())
    network.eval()
    network.train()  # as around a validation
    train(network)
    after = changed(before, encoder)
    starts = [place for place, part in enumerate(encoder.layers) if holds_map(part)]
    expected = {"all": 0, True: 0, "none": LAYERS[kind], False: LAYERS[kind]}.get(frozen, frozen)
    if isinstance(frozen, int) and not isinstance(frozen, bool):
        expected = frozen  # 1 == True as a key
    assert len(starts) == LAYERS[kind]
    assert [place for place in after if place in starts] == starts[len(starts) - expected :]
    assert after == [place for place in after if place >= min(starts[len(starts) - expected :], default=99)]
    for name, weight in encoder.named_parameters():
        learns = int(name.split(".")[1]) in after
        assert weight.requires_grad == learns
        assert (weight.grad is not None) == learns


def holds_map(part):
    return any(isinstance(inner, nn.Conv2d | nn.Linear) for inner in part.modules())


def test_dropout_before_a_layer_that_learns_stays_on():
    torch.manual_seed(0)
    encoder = ENCODERS["deeper"](1).train()
    images = torch.randn(4, 1, 28, 28)
    assert not torch.equal(encoder(images), encoder(images))
    encoder.eval()
    assert torch.equal(encoder(images), encoder(images))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda encoder: pickle.loads(pickle.dumps(encoder))])
def test_a_copy_is_frozen_in_its_own_layers(copied):
    encoder = copied(ENCODERS["convolutions"](2)).train()
    assert [part.training for part in encoder.layers][:4] == [False, False, True, True]


def test_frozen_parameters_are_counted_apart():
    encoder = ConvEncoder((2, 3), output_size=5, frozen=1)
    convolutions = 25 * 2 + 4 + 9 * 2 * 3 + 6
    linear = 3 * 7 * 7 * 5 + 5 + 10
    network = SequenceNetwork(encoder, build_recurrence("lstm", 5, 4), nn.Linear(4, 1))
    assert describe_network(network).startswith(f"ConvEncoder {convolutions + linear} ({convolutions} frozen) → LSTM ")
    network = StepNetwork(10, encoder)
    assert describe_network(network) == f"StepNetwork, {convolutions + linear + 60} ({convolutions} frozen) parameters"
    assert "frozen" not in describe_network(StepNetwork(10, ConvEncoder((2, 3), output_size=5)))


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("frozen", [0, -1, "more", "some"])
def test_another_number_of_layers_is_refused(kind, frozen):
    value = LAYERS[kind] + 1 if frozen == "more" else frozen
    with pytest.raises(ValueError, match=rf"`frozen` \(={value}\) must be all, none, or .* 1 to {LAYERS[kind]}"):
        ENCODERS[kind](value)


RANDOM = r"`frozen` \(={}\) keeps layers of the {} as they start, .*: `start_from` must name a checkpoint"


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("frozen", ["all", True, 1, 3])
def test_layers_that_stay_must_not_start_at_random(kind, frozen):
    encoder = ENCODERS[kind](frozen)
    network = StepNetwork(3, encoder)
    for again in (encoder, copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        with pytest.raises(InputError, match=RANDOM.format(frozen, type(encoder).__name__)):
            again.check_start()
    network.load_state_dict({"bias": torch.zeros(3)}, strict=False)  # nothing of the encoder
    with pytest.raises(InputError):
        encoder.check_start()
    whole = StepNetwork(3, ENCODERS[kind]("none")).state_dict()
    network.load_state_dict(whole)
    encoder.check_start()


@pytest.mark.parametrize("kind", ENCODERS)
def test_layers_may_start_at_random_if_they_learn_or_the_user_stops_them(kind):
    for frozen in ("none", False, LAYERS[kind]):
        ENCODERS[kind](frozen).check_start()
    encoder = ENCODERS[kind]("none")
    encoder.freeze()
    encoder.check_start()
    loaded = ENCODERS[kind]("all")
    loaded.load_state_dict(encoder.state_dict())
    loaded.check_start()


@pytest.fixture
def fit(here, mnist_root):
    """Train a module for a step and return the trainer."""

    def train_module(module, steps=1, **options):
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        trainer = Trainer(max_steps=steps, limit_val_batches=0, enable_checkpointing=False, **quiet)
        trainer.fit(module, datamodule=DigitSums("mnist", str(mnist_root), 2), **options)
        return trainer

    return train_module


def module_of(encoder):
    return SequenceModule(encoder=encoder, hidden_size=4)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*module\\(s\\) in eval mode")
def test_a_training_with_random_frozen_layers_is_refused_unless_it_goes_on(fit):
    with pytest.raises(InputError, match=RANDOM.format("all", "ConvEncoder")):
        fit(module_of(ENCODERS["convolutions"]("all")))
    encoder = ENCODERS["convolutions"]("none")
    encoder.freeze()
    fit(module_of(encoder)).save_checkpoint("begun.ckpt")
    trainer = fit(module_of(ENCODERS["convolutions"]("all")), steps=2, ckpt_path="begun.ckpt")
    assert trainer.global_step == 2
    with pytest.raises(InputError):
        fit(module_of(ENCODERS["convolutions"]("all")))
