"""Encoder, folded time and the whole network."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqsum import GRU, Recurrent
from seqsum.data.base import unlabelled
from seqsum.data.counter_random import random_uniform
from seqsum.data.warps import AFFINE_NUMBERS, random_affine, warp
from seqsum.errors import InputError
from seqsum.networks import (
    ConvEncoder,
    Flatten,
    SequenceNetwork,
    StepNetwork,
    TimeDistributed,
    build_head,
    build_recurrence,
    image_encoders,
)
from tests.networks.own_cells import HalfLife


def make_network(initial_state="zero", **arguments):
    torch.manual_seed(0)
    encoder = ConvEncoder(channels=(2, 3), output_size=4, activation="softmax")  # without random choices
    recurrence = build_recurrence(**{"cell": "lstm", "input_size": 4, "hidden_size": 5, **arguments})
    return SequenceNetwork(encoder, recurrence, nn.Linear(5, 1), initial_state)


def test_time_distributed_equals_a_loop_over_time():
    torch.manual_seed(0)
    encoder = ConvEncoder(channels=(2, 3), output_size=4).eval()
    inputs = torch.randn(3, 5, 1, 28, 28)
    expected = torch.stack([encoder(inputs[:, t]) for t in range(5)], dim=1)
    torch.testing.assert_close(TimeDistributed(encoder)(inputs), expected)


def test_steps_are_normalised_without_the_masked_ones():
    torch.manual_seed(0)
    encoder = ConvEncoder(channels=(2, 3), output_size=4, activation="logits").train()
    inputs, mask = torch.randn(3, 5, 1, 28, 28), torch.rand(3, 5) < 0.5
    features = TimeDistributed(encoder)(inputs, mask)
    torch.testing.assert_close(features[mask], encoder(inputs[mask]))
    assert features.isfinite().all()


@pytest.mark.parametrize("image_size", [28, 32, 21])
@pytest.mark.parametrize("channels", [(4,), (4, 6, 8)])
@pytest.mark.parametrize("stem", ["strided", "pooled"])
@pytest.mark.parametrize("depth", [1, 3])
def test_encoder_shape(image_size, channels, stem, depth):
    encoder = ConvEncoder(channels, stem, depth, output_size=10, image_size=image_size)
    convolutions = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [
        channels[0],
        *(c for c in channels[1:] for _ in range(depth)),
    ]
    assert encoder(torch.randn(3, 1, image_size, image_size)).shape == (3, 10)


def test_relu_features_are_positive_and_free():
    torch.manual_seed(0)
    features = ConvEncoder((4,), output_size=10, activation="relu")(torch.randn(30, 1, 28, 28))
    assert features.min() == 0
    assert features.sum(-1).std() > 0.01


def test_codebook_features_are_shares_of_a_whole():
    torch.manual_seed(0)
    features = ConvEncoder((4,), output_size=10)(torch.randn(30, 1, 28, 28))
    assert features.min() >= 0
    torch.testing.assert_close(features.sum(-1), torch.full((30,), 10.0))
    assert (features.max(-1).values > 5).float().mean() > 0.8  # mostly one feature is active


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": []}, r"`channels` \(=\[\]\) must be one or more numbers of at least 1"),
        ({"channels": [8, 0]}, r"`channels` \(=\[8, 0\]\) must be"),
        ({"output_size": 0}, r"`output_size` \(=0\) must be at least 1"),
        ({"depth": 0}, r"`depth` \(=0\) must be at least 1"),
        ({"channels": [8] * 5}, r"`channels` \(=\[8, 8, 8, 8, 8\]\) halve the image of `image_size` \(=28\) too often"),
        ({"stem": "pool"}, r"`stem` \(='pool'\) must be one of 'strided', 'pooled'"),
        ({"activation": "tanh"}, r"`activation` \(='tanh'\) must be one of 'relu', 'softmax', 'choice', 'logits'"),
        ({"dropout": 2.0}, "dropout probability has to be between 0 and 1, but got 2.0"),
    ],
)
def test_encoder_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvEncoder(**arguments)


def test_every_step_is_predicted_from_what_came_before():
    network = make_network().eval()
    inputs = torch.randn(2, 4, 1, 28, 28)
    outputs = network(unlabelled(inputs))
    assert outputs.shape == (2, 4, 1)
    changed = inputs.clone()
    changed[:, 2] += 1
    differs = (network(unlabelled(changed)) != outputs).squeeze(-1)
    assert differs.tolist() == [[False, False, True, True]] * 2


def test_mask_reaches_the_recurrence():
    network = make_network().eval()
    inputs = torch.randn(2, 4, 1, 28, 28)
    mask = torch.tensor([[True, True, True, True], [True, False, True, True]])
    outputs = network(unlabelled(inputs, mask))
    torch.testing.assert_close(outputs[1, [0, 2, 3]], network(unlabelled(inputs[1:, [0, 2, 3]]))[0])


@pytest.mark.parametrize(("cell", "torch_class"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_torch_layers_start_from_the_same_weights(cell, torch_class):
    ours = make_network(cell=cell, num_layers=2, output_activation="tanh")
    theirs = make_network(cell=f"torch_{cell}", num_layers=2)
    inputs = torch.randn(2, 4, 1, 28, 28)
    torch.testing.assert_close(ours(unlabelled(inputs)), theirs(unlabelled(inputs)))
    assert isinstance(theirs.recurrence, torch_class)


def test_a_class_path_is_a_cell_of_ones_own():
    network = make_network(cell="tests.networks.own_cells.HalfLife", num_layers=2, backend="eager").eval()
    assert [type(cell).__name__ for cell in network.recurrence.cells] == ["HalfLife"] * 2
    assert network.recurrence.backend == "eager"
    assert network(unlabelled(torch.randn(2, 4, 1, 28, 28))).shape == (2, 4, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "ltsm"}, r"`cell` \(='ltsm'\) must be one of \['rnn', 'irnn', .*, or the path of a class"),
        ({"cell": "ltsm", "output_activation": "tanh"}, r"`cell` \(='ltsm'\) must be one of"),
        ({"cell": "nowhere.Cell"}, r"`cell` \(='nowhere.Cell'\) can't be imported: No module named 'nowhere'"),
        ({"cell": "torch.nn.Sell"}, r"`cell` \(='torch.nn.Sell'\) can't be imported: .*Sell"),
        ({"cell": "torch.nn.GRUSell"}, r"can't be imported: .*did you mean `torch.nn.GRUCell`\?"),
        ({"cell": "my/cells.py:Mine"}, r"`cell` \(='my/cells.py:Mine'\) can't be imported: .*\. Write `my.cells.Mine`"),
        ({"cell": "/home/cells.py:Mine"}, r". Write `cells.Mine`, with its folder in PYTHONPATH$"),
        ({"cell": "seqsum.recurrent.Sequenc"}, r"has no attribute 'Sequenc'$"),
        ({"cell": "no_such.Format"}, r"No module named 'no_such'$"),
        ({"cell": "cells.py"}, r"`cell` \(='cells.py'\) can't be imported: .*\. Write `cells.NAME`"),
        ({"cell": "os.path.join"}, r"`cell` \(='os.path.join'\) must be one of .*, or the path of a class"),
        ({"cell": "torch_gru", "backend": "eager"}, r"`backend` \(='eager'\) must be 'auto' for `cell` 'torch_gru'"),
        ({"cell": "gru", "output_activation": "identity"}, r"\(='identity'\) must be 'tanh' for `cell` 'gru'"),
        ({"hidden_size": 0}, r"`hidden_size` \(=0\) must be at least 1"),
        ({"num_layers": 0}, r"`num_layers` \(=0\) must be at least 1"),
        ({"initial_state": "zeros"}, r"`initial_state` \(='zeros'\) must be 'zero', 'random', 'learned' or a number"),
        ({"cell": "torch_gru", "bias": "one"}, r"`bias` \(='one'\) must be 'two' or 'none' for `cell` 'torch_gru'"),
        (
            {"cell": "torch_rnn", "learn_initial_state": True},
            r"`initial_state` \(='learned'\) does not go with `cell` 'torch_rnn'",
        ),
        *(
            ({"cell": "tests.networks.own_cells.HalfLife", **given}, rf"`{name}` \(='{given[name]}'\) must be left out")
            for given in ({"output_activation": "tanh"}, {"output_activation": "identity"}, {"bias": "one"})
            for name in given
        ),
        (
            {"cell": "torch_lstm", "output_activation": "identity"},
            r"`output_activation` \(='identity'\) must be 'tanh' for `cell` 'torch_lstm'",
        ),
    ],
)
def test_unknown_recurrence_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_network(**arguments)


class OwnLayers(nn.Module):
    """Layers of a user's own, with no more than is needed."""

    num_layers, bidirectional, hidden_size = 1, False, 5

    def __init__(self):
        super().__init__()
        self.inner = nn.GRU(3, 5, batch_first=True)

    def forward(self, inputs, state=None):
        return self.inner(inputs, state)


@pytest.mark.parametrize("initial_state", ["zero", "random", 0.5])
def test_layers_of_a_users_own_take_every_start(initial_state):
    network = SequenceNetwork(Flatten(3), OwnLayers(), nn.Linear(5, 1), initial_state)
    assert network(unlabelled(torch.zeros(2, 4, 3))).shape == (2, 4, 1)


@pytest.mark.parametrize("layers", [nn.LSTM(3, 5), GRU(3, 5), Recurrent(HalfLife(3, 5))])
def test_a_recurrence_that_reads_time_first_is_refused(layers):
    """It would run from row to row of the batch."""
    message = (
        rf"^the recurrence must read \(B, T, F\): make it by `{type(layers).__name__}\(\.\.\., batch_first=True\)`$"
    )
    with pytest.raises(ValueError, match=message):
        SequenceNetwork(Flatten(3), layers, nn.Linear(5, 1))


def test_description_counts_parameters():
    network = make_network()
    total = sum(parameter.numel() for parameter in network.parameters())
    assert network.describe().startswith("ConvEncoder ")
    assert network.describe().endswith(f"→ Linear 6, {total:,} parameters in all")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "torch_lstm"])
def test_piece_by_piece_equals_all_at_once(cell):
    network = make_network(cell=cell, num_layers=2).eval()  # batch normalisation would tell pieces apart
    inputs = torch.randn(3, 7, 1, 28, 28)
    first, state = network.run(inputs[:, :4])
    second, _ = network.run(inputs[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), network(unlabelled(inputs)))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "torch_lstm", "torch_rnn"])
def test_a_number_fills_every_state_at_the_start(cell):
    network = make_network(initial_state=1000.0, cell=cell, num_layers=2).eval()
    inputs = torch.randn(3, 2, 1, 28, 28)
    start = torch.full((2, 3, 5), 1000.0)
    given = (start, start) if "lstm" in cell else start
    expected = network.head(network.recurrence(network.encoder(inputs), given)[0])
    torch.testing.assert_close(network(unlabelled(inputs)), expected)
    assert not torch.allclose(expected, network.head(network.recurrence(network.encoder(inputs))[0]))


def test_random_start_is_another_in_training_and_the_same_in_every_test():
    network = make_network(initial_state="random", cell="gru")
    inputs = torch.randn(300, 1, 1, 28, 28)
    features = network.encoder(inputs).detach()
    assert not torch.equal(network.recur(features)[0], network.recur(features)[0])
    network.eval()
    outputs, _ = network.recur(features)
    assert torch.equal(outputs, network.recur(features)[0])
    with torch.no_grad():  # an update gate that lets nothing in keeps the initial state
        network.recurrence.bias_ih_l0.fill_(100.0)
    start, _ = network.recur(features)
    assert abs(start.mean()) < 0.1
    assert abs(start.std() - 1) < 0.1
    assert not network.recur(features, torch.zeros(1, 300, 5))[0].any(), "a state that is given wins"


def test_weights_with_a_learned_start_go_into_a_network_with_another():
    learned = make_network(initial_state="learned", learn_initial_state=True).eval()
    with torch.no_grad():
        learned.recurrence.initial_state[0].fill_(0.5)
    other = make_network().eval()
    other.load_state_dict(learned.state_dict())
    inputs = torch.randn(2, 3, 1, 28, 28)
    assert not torch.allclose(learned(unlabelled(inputs)), other(unlabelled(inputs)))
    again = make_network(initial_state="learned", learn_initial_state=True).eval()
    again.load_state_dict(learned.state_dict())
    torch.testing.assert_close(again(unlabelled(inputs)), learned(unlabelled(inputs)))


def test_flatten_passes_features_on_and_wants_their_number():
    rows = torch.randn(5, 4, 7)
    assert torch.equal(Flatten(28)(rows), rows.view(5, 28))
    numbers = torch.randn(6)
    assert torch.equal(Flatten(1)(numbers), numbers.unsqueeze(1))  # one number at each step
    with pytest.raises(InputError, match=r"`output_size` \(=3\) of the encoder must be the 28 numbers"):
        Flatten(3)(rows)
    with pytest.raises(ValueError, match=r"`output_size` \(=0\) must be at least 1"):
        Flatten(0)


def test_hidden_layers_of_the_head_stand_between_relus():
    head = build_head(5, [64], 10)
    assert [type(part) for part in head] == [nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert head(torch.randn(2, 3, 5)).shape == (2, 3, 10)
    assert isinstance(build_head(5, (), 10), nn.Linear)
    wide = build_head(400, [300], 10)
    assert wide[1].weight.var().item() == pytest.approx(2 / 400, rel=0.05)  # He et al.
    assert not wide[3].bias.any()
    with pytest.raises(ValueError, match=r"`head_sizes` \(=\[64, 0\]\) must be numbers of at least 1"):
        build_head(5, [64, 0], 10)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"cell": "rnn", "hidden_size": 128, "bias": "one"}, 21_386),
        ({"cell": "rnn", "hidden_size": 64, "bias": "one"}, 6_602),
        ({"cell": "lstm", "hidden_size": 128, "bias": "none"}, 81_162),
        ({"cell": "torch_lstm", "hidden_size": 128, "bias": "none"}, 81_162),
        ({"cell": "rnn", "hidden_size": 128}, 21_386 + 128),
    ],
)
def test_published_parameter_counts(arguments, count):
    recurrence = build_recurrence(input_size=28, **arguments)
    network = SequenceNetwork(Flatten(28), recurrence, nn.Linear(arguments["hidden_size"], 10))
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("rows", [1, 2])
def test_a_batch_of_a_single_image_trains(rows):
    """torch's batch normalisation refuses a single value, but an epoch may end with such a batch."""
    encoder = ConvEncoder((4, 8, 8, 8), output_size=5)  # down to one pixel
    encoder(torch.rand(8, 1, 28, 28))  # some running statistics
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    features = encoder(torch.rand(rows, 1, 28, 28))
    features.square().sum().backward()
    assert features.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in encoder.parameters())
    changed = {name: not torch.equal(value, before[name]) for name, value in encoder.named_buffers()}
    assert changed["layers.0.1.running_mean"]  # many pixels
    assert changed["layers.3.2.running_mean"] == (rows == 2)  # one pixel an image


def test_no_image_at_all_leaves_running_statistics_as_they_are():
    encoder = ConvEncoder((4, 8), output_size=5)
    encoder(torch.rand(8, 1, 28, 28))
    before = {name: value.clone() for name, value in encoder.named_buffers() if "running" in name}
    encoder(torch.rand(0, 1, 28, 28)).sum().backward()
    assert all(torch.equal(value, dict(encoder.named_buffers())[name]) for name, value in before.items())
    assert all((weight.grad == 0).all() for weight in encoder.parameters())


def codebook(**arguments):
    torch.manual_seed(0)
    return ConvEncoder((4,), output_size=10, activation="choice", **arguments)


def test_a_codebook_that_chooses_gives_one_code_in_evaluation():
    soft, choosing, images = ConvEncoder((4,), output_size=10).eval(), codebook().eval(), torch.randn(30, 1, 28, 28)
    soft.load_state_dict(choosing.state_dict())  # it adds no weights
    codes = choosing(images)
    assert torch.equal(codes.amax(-1), torch.full((30,), 10.0))
    assert torch.equal(codes.count_nonzero(-1), torch.ones(30, dtype=torch.long))
    assert torch.equal(codes.argmax(-1), soft(images).argmax(-1))
    assert codes.argmax(-1).unique().numel() > 1


def test_a_codebook_chooses_for_about_half_of_the_training_images():
    codes = codebook()(torch.randn(1_000, 1, 28, 28))
    assert 0.45 < (codes.amax(-1) == 10).float().mean() < 0.55


def test_the_gradient_passes_straight_through_the_choice():
    book, soft = codebook().layers[-1], ConvEncoder((4,), output_size=10).layers[-1]
    features, to = torch.randn(20, 10, requires_grad=True), torch.randn(20, 10)
    (passed,) = torch.autograd.grad((book(features) * to).sum(), features)
    (expected,) = torch.autograd.grad((soft(features) * to).sum(), features)
    torch.testing.assert_close(passed, expected)
    assert expected.abs().max() > 0.1


def test_a_frozen_encoder_stays_as_it_is_while_the_rest_learns():
    torch.manual_seed(0)
    encoder = codebook(frozen=True)
    network = SequenceNetwork(encoder, build_recurrence("lstm", 10, 5), nn.Linear(5, 1)).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    batch = unlabelled(torch.randn(8, 3, 1, 28, 28))
    features = network.features(batch)
    network(batch).sum().backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert torch.equal(network.features(batch), features)  # in evaluation: each image gets one code
    assert not encoder.training
    assert network.recurrence.training
    assert network.head.weight.grad.abs().max() > 0


@pytest.mark.parametrize("masked", [False, True])
def test_a_network_without_memory_gives_each_step_what_it_gives_it_alone(masked):
    torch.manual_seed(0)
    network = StepNetwork(3, ConvEncoder((4,), output_size=10)).eval()
    inputs, mask = torch.randn(2, 4, 1, 28, 28), torch.tensor([[True] * 4, [True, False, True, False]])
    batch = unlabelled(inputs, mask if masked else None)
    alone = network(unlabelled(inputs.flatten(0, 1).unsqueeze(1)))[:, 0].view(2, 4, 3)
    valid = mask if masked else torch.ones_like(mask)
    torch.testing.assert_close(network(batch)[valid], alone[valid])
    assert network.output_size == 3


def test_codes_trained_as_classes_are_the_classes_that_an_encoder_chooses():
    torch.manual_seed(0)
    reads = StepNetwork(10, ConvEncoder((4,), output_size=10, activation="logits"), linear=False).eval()
    outputs = reads(unlabelled(inputs := torch.randn(2, 4, 1, 28, 28)))
    encoders = {name: ConvEncoder((4,), output_size=10, activation=name).eval() for name in ("choice", "softmax")}
    for encoder in encoders.values():
        encoder.load_state_dict(reads.encoder.module.state_dict())
    digits = inputs.flatten(0, 1)
    assert torch.equal(encoders["choice"](digits).argmax(-1), outputs.flatten(0, 1).argmax(-1))
    torch.testing.assert_close(encoders["softmax"](digits), 10 * outputs.flatten(0, 1).softmax(-1))


def test_without_a_linear_layer_features_must_be_as_many_as_outputs():
    with pytest.raises(ValueError, match=r"`output_size` \(=10\) of the encoder must be the 3 outputs"):
        StepNetwork(3, ConvEncoder((4,), output_size=10, activation="logits"), linear=False)


def test_views_are_averaged_before_the_choice_and_only_in_evaluation():
    torch.manual_seed(0)
    once, often = (ConvEncoder((4,), output_size=10, views=views).eval() for views in (1, 5))
    often.load_state_dict(once.state_dict())
    images = torch.randn(40, 1, 28, 28)
    features = often(images)
    assert torch.equal(often(images), features)
    assert torch.equal(features, 10 * F.one_hot(often.shares(images).argmax(-1), 10).float())
    assert not torch.equal(features, once(images))
    flat = torch.rand(3, 1, 1, 1).expand(3, 1, 28, 28)  # warped, they stay as they are, to their borders
    torch.testing.assert_close(often.shares(flat), once.shares(flat))
    torch.manual_seed(1)
    expected = once.train()(images)
    torch.manual_seed(1)
    assert torch.equal(often.train()(images), expected)


def test_the_first_view_is_the_image_and_others_are_warped_by_half_of_the_trainings_warps():
    torch.manual_seed(0)
    encoder, images, seen = ConvEncoder((4,), views=3).eval(), torch.rand(5, 1, 28, 28), []
    encoder.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoder(images)
    numbers = random_uniform(0, torch.arange(2), AFFINE_NUMBERS)
    halves = random_affine(numbers, rotation=7.5, scale=0.06, shear=0.1, shift=1.0)
    warped = [warp(images, affine.expand(5, 2, 3), outside="border") for affine in halves]
    torch.testing.assert_close(seen, [images, *warped])


def test_a_frozen_encoder_looks_once_while_the_rest_learns():
    torch.manual_seed(0)
    encoder = ConvEncoder((4,), output_size=10, views=5)
    encoder.freeze()
    images = torch.randn(40, 1, 28, 28)
    once = ConvEncoder((4,), output_size=10, views=1).eval()
    once.load_state_dict(encoder.state_dict())
    often = encoder.eval()(images)
    assert torch.equal(encoder.train()(images), once(images))
    assert not encoder.training
    assert torch.equal(encoder.eval()(images), often)
    assert not torch.equal(often, once(images))


@pytest.mark.parametrize("activation", ["logits", "softmax", "choice"])
def test_codes_trained_as_classes_are_chosen_from(activation):
    torch.manual_seed(0)
    encoder = ConvEncoder((4,), output_size=10, activation=activation).eval()
    images = torch.randn(40, 1, 28, 28)
    encoder.choose(views=2)
    shares = encoder.shares(images)
    assert torch.equal(encoder(images), 10 * F.one_hot(shares.argmax(-1), 10).float())


def test_without_codes_none_can_be_chosen():
    with pytest.raises(ValueError, match="no codes to choose from"):
        ConvEncoder((4,), activation="relu").choose(views=1)


def test_views_are_the_same_in_mixed_precision():
    """Places in 16 bits would be off by a twentieth of a pixel."""
    torch.manual_seed(0)
    images = torch.rand(4, 1, 28, 28)
    expected = list(image_encoders._views(images, 2))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(
            torch.equal(one, other) for one, other in zip(image_encoders._views(images, 2), expected, strict=True)
        )
