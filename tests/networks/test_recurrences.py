"""Both directions and the dropouts of the recurrence: shapes, states, and what is dropped where."""

import pytest
import torch
from torch import nn

from seqsum import LSTM, RNNCell
from seqsum.data.base import unlabelled
from seqsum.networks import Flatten, SequenceNetwork, build_network, build_recurrence
from seqsum.networks.heads import build_head
from seqsum.networks.initial_state import make_state
from seqsum.networks.masked import run_masked
from seqsum.networks.recurrences import sizes_of

PAIRS = [("rnn", "torch_rnn"), ("lstm", "torch_lstm"), ("gru", "torch_gru")]


def states_of(state):
    return list(state) if isinstance(state, tuple) else [state]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("seed", range(3))
def test_both_directions_of_torch_take_masks_as_ours_do(ours, theirs, seed):
    layers = []
    for cell in (ours, theirs):
        torch.manual_seed(seed)
        layers.append(build_recurrence(cell, 3, 4, 2, output_activation="tanh", bidirectional=True).double())
    mask = torch.rand(6, 7) < torch.rand(6, 1)
    mask[0], mask[1] = False, True
    inputs = torch.randn(6, 7, 3, dtype=torch.double).masked_fill(~mask.unsqueeze(-1), torch.nan)
    start = [torch.randn(4, 6, 4, dtype=torch.double) for _ in range(2 if ours == "lstm" else 1)]
    start = tuple(start) if ours == "lstm" else start[0]
    ours_outputs, ours_final = layers[0](inputs, start, mask=mask)
    theirs_outputs, theirs_final = run_masked(layers[1], inputs, start, mask)
    assert theirs_outputs.shape == (6, 7, 8)
    torch.testing.assert_close(theirs_outputs, ours_outputs)
    for found, expected in zip(states_of(theirs_final), states_of(ours_final), strict=True):
        torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(theirs_outputs.square().sum(), [*layers[1].parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients), "an empty sequence may hold NaN"


def test_an_lstm_gives_its_cell_state_without_a_bound_unless_told_otherwise():
    torch.manual_seed(0)
    layers = {given: build_recurrence("lstm", 3, 4, output_activation=given) for given in (None, "identity", "tanh")}
    for other in layers.values():
        other.load_state_dict(layers[None].state_dict())
    outputs = {
        given: layer(torch.ones(1, 100, 3), (torch.ones(1, 1, 4), 9 * torch.ones(1, 1, 4)))[0]
        for given, layer in layers.items()
    }
    assert torch.equal(outputs[None], outputs["identity"])
    assert outputs[None].max() > 1 > outputs["tanh"].max()


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("torch.nn.LSTM", "'torch_lstm', or 'lstm' for the hand-written one"),
        ("torch.nn.GRUCell", "'torch_gru', or 'gru' for the hand-written one"),
        ("seqsum.RNN", "'rnn'"),
    ],
)
def test_instead_of_a_layer_its_name_is_given(path, instead):
    with pytest.raises(ValueError, match=rf"`cell` \(='{path}'\) is no RecurrentCell: give {instead}$"):
        build_recurrence(path, 3, 4)


def test_an_lstm_with_a_projection_needs_no_other_option():
    layers = build_recurrence("lstm", 3, 4, cell_options={"proj_size": 2})
    assert layers(torch.ones(1, 5, 3))[0].shape == (1, 5, 2)
    with pytest.raises(ValueError, match=r"`output_activation` \(='identity'\) does not go with `proj_size`"):
        build_recurrence("lstm", 3, 4, cell_options={"proj_size": 2}, output_activation="identity")


@pytest.mark.parametrize("cell", [cell for pair in PAIRS for cell in pair])
@pytest.mark.parametrize("initial_state", [0.5, "random"])
def test_every_direction_starts_from_a_state_of_its_own(cell, initial_state):
    layers = build_recurrence(cell, 3, 4, 2, bidirectional=True)
    states = states_of(make_state(initial_state, layers, 6, training=False))
    assert len(states) == (2 if "lstm" in cell else 1)
    assert all(state.shape == (4, 6, 4) for state in states)
    layers(torch.randn(6, 5, 3), make_state(initial_state, layers, 6, training=False))
    if initial_state == "random":
        assert not torch.equal(states[0][0], states[0][1])


def test_both_directions_learn_their_initial_states():
    network = build_network(
        2, "gru", 4, encoder=Flatten(3), bidirectional=True, initial_state="learned", readout="last"
    )
    assert network.recurrence.initial_state[0].shape == (2, 4)
    network(unlabelled(torch.randn(5, 6, 3))).sum().backward()
    assert (network.recurrence.initial_state[0].grad.abs().sum(1) > 0).all()


def test_head_reads_both_directions():
    for readout, size in (("every", 8), ("last", 8), ("max", 8), ("mean_logits", 8), ("mean_max", 16)):
        network = build_network(3, "lstm", 4, encoder=Flatten(3), bidirectional=True, readout=readout)
        assert network.head.in_features == size
        assert build_network(3, "lstm", 4, encoder=Flatten(3), readout=readout).head.in_features == size // 2


@pytest.mark.parametrize("cell", ["lstm", "torch_gru", "tests.networks.own_cells.HalfLife"])
def test_dropout_is_between_layers_in_training_only(cell):
    layers = build_recurrence(cell, 3, 4, 2, dropout=0.5)
    inputs = torch.randn(2, 5, 3)
    assert not torch.equal(layers(inputs)[0], layers(inputs)[0])
    first, again = (states_of(layers(inputs)[1])[0][0] for _ in range(2))
    assert torch.equal(first, again), "the first layer reads its inputs as they are"
    assert torch.equal(layers.eval()(inputs)[0], layers(inputs)[0])
    with pytest.raises(ValueError, match=r"`dropout` \(=0.5\) works between layers, so `num_layers` \(=1\) must be"):
        build_recurrence(cell, 3, 4, dropout=0.5)


class Dropped(RNNCell):
    """A user's own cell with dropout."""

    def __init__(self, input_size: int, hidden_size: int, recurrent_dropout: float = 0.0) -> None:
        super().__init__(input_size, hidden_size, recurrent_dropout=recurrent_dropout)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "irnn", "tests.networks.test_recurrences.Dropped"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_dropout_reaches_every_cell(cell, bidirectional):
    layers = build_recurrence(cell, 3, 4, 2, recurrent_dropout=0.25, bidirectional=bidirectional)
    assert [inner.recurrent_dropout for inner in layers.cells] == [0.25] * (4 if bidirectional else 2)
    inputs = torch.randn(20, 5, 3)
    assert not torch.equal(layers(inputs)[0], layers(inputs)[0])
    assert torch.equal(layers.eval()(inputs)[0], layers(inputs)[0])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("torch_lstm", r"`recurrent_dropout` \(=0.25\) does not go with `cell` 'torch_lstm', which is torch's own"),
        ("tests.networks.own_cells.HalfLife", "the constructor has no argument `recurrent_dropout`"),
    ],
)
def test_recurrent_dropout_is_refused_where_there_is_none(cell, reason):
    with pytest.raises(ValueError, match=reason):
        build_recurrence(cell, 3, 4, recurrent_dropout=0.25)


ZONEOUT = "tests.networks.own_cells.Zoneout"


def test_further_arguments_of_ones_own_cell_are_options():
    layers = build_recurrence(ZONEOUT, 3, 4, num_layers=2, cell_options={"kept": 0.25})
    assert [(cell.input_size, cell.hidden_size, cell.kept) for cell in layers.cells] == [(3, 4, 0.25), (4, 4, 0.25)]
    inputs = torch.randn(2, 1, 3)
    expected = 0.75 * layers.cells[1].read(0.75 * layers.cells[0].read(inputs))
    torch.testing.assert_close(layers(inputs)[0], expected)


@pytest.mark.parametrize(
    ("cell", "options", "attribute"),
    [
        ("rnn", {"nonlinearity": "relu"}, ("nonlinearity", "relu")),
        ("lstm", {"proj_size": 2}, ("proj_size", 2)),
        *[(cell, {"layer_norm": True}, ("layer_norm", True)) for cell in ("rnn", "irnn", "lstm", "gru")],
    ],
)
def test_options_of_built_in_cells_reach_all_layers(cell, options, attribute):
    network = build_network(2, cell, 4, 2, encoder=Flatten(3), output_activation="tanh", cell_options=options)
    name, value = attribute
    assert [getattr(inner, name) for inner in network.recurrence.cells] == [value, value]
    assert network(unlabelled(torch.randn(5, 6, 3))).shape == (5, 6, 2)


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        (ZONEOUT, {}, "what `kept` is to be is not known. Arguments besides sizes are given by `cell_options`"),
        (ZONEOUT, {"kept": 0.5, "keep": 1}, "the constructor has no argument `keep`"),
        ("gru", {"bias": False}, r"`cell_options` \(={'bias': False}\): `cell` 'gru' has no `bias`, only layer_norm"),
        ("torch_gru", {"layer_norm": True}, "`cell` 'torch_gru' has no `layer_norm`, which is torch's own"),
    ],
)
def test_missing_and_unknown_options_of_cells_are_named(cell, options, message):
    with pytest.raises(ValueError, match=message):
        build_recurrence(cell, 3, 4, cell_options=options)


@pytest.mark.parametrize("bias", ["one", "none"])
def test_biases_are_no_option_of_a_cell_of_ones_own(bias):
    with pytest.raises(ValueError, match=rf"`bias` \(='{bias}'\) must be left out for `cell` 'tests.*HalfLife'"):
        build_recurrence("tests.networks.own_cells.HalfLife", 3, 4, bias=bias)


def dropping(**options):
    torch.manual_seed(0)
    network = build_network(2, "rnn", 4, encoder=Flatten(5), **options)
    read = {}
    network.recurrence.register_forward_pre_hook(lambda _, inputs: read.update(features=inputs[0]))
    network.head.register_forward_pre_hook(lambda _, inputs: read.update(states=inputs[0]))
    return network, read


def test_input_dropout_drops_the_same_features_at_all_steps_of_a_sequence():
    network, read = dropping(input_dropout=0.25)
    inputs = 2.0 ** torch.randint(4, (400, 6, 5))  # so that quotients are exact
    network(unlabelled(inputs))
    kept = read["features"] / inputs  # (B, T, F)
    assert (kept == kept[:, :1]).all()
    assert not (kept == kept[:1]).all(), "each sequence has a mask of its own"
    dropped = kept == 0
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(kept[~dropped], torch.full_like(kept[~dropped], 4 / 3))
    network.eval()(unlabelled(inputs))
    assert torch.equal(read["features"], inputs)


@pytest.mark.parametrize("readout", ["every", "last"])
def test_readout_dropout_drops_what_the_head_reads(readout):
    network, read = dropping(readout_dropout=0.25, readout=readout)
    inputs = torch.rand(400, 6, 5)
    network(unlabelled(inputs))
    dropped = read["states"] == 0
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
    network.eval()(unlabelled(inputs))
    assert not (read["states"] == 0).any()


@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout", "input_dropout", "readout_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_dropout_is_a_probability(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be between 0 and 1"):
        build_network(2, "gru", 4, 2, encoder=Flatten(5), **{name: value})


def test_without_dropout_no_random_number_is_drawn():
    network, _ = dropping()
    torch.manual_seed(1)
    network(unlabelled(torch.ones(2, 3, 5)))
    found = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(found, torch.rand(1))


@pytest.mark.parametrize("cell", [RNNCell, RNNCell(3, 4)], ids=["class", "instance"])
def test_a_cell_is_given_by_its_name(cell):
    with pytest.raises(TypeError, match=r"must be given as text, here 'seqsum\.recurrent\.cells\.\w+\.RNNCell'"):
        build_recurrence(cell, 3, 4)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_head_reads_the_outputs_of_a_cell_that_has_others_than_its_state(bidirectional):
    network = build_network(1, encoder=Flatten(3), cell="tests.networks.own_cells.Wide", hidden_size=4,
                            bidirectional=bidirectional)  # fmt: skip
    assert network(unlabelled(torch.randn(2, 5, 3))).shape == (2, 5, 1)
    assert network.head.in_features == 12 * (1 + bidirectional)


def test_an_empty_batch_with_a_mask_runs_through_torchs_layers():
    layers = nn.LSTM(3, 5, batch_first=True)
    outputs, (hidden, _) = run_masked(layers, torch.zeros(0, 4, 3), None, torch.ones(0, 4, dtype=torch.bool))
    assert outputs.shape == (0, 4, 5)
    assert hidden.shape == (1, 0, 5)


@pytest.mark.parametrize("layers", [nn.LSTM, LSTM])
def test_a_learned_start_needs_one_to_learn(layers):
    with pytest.raises(ValueError, match=r"`initial_state` \(='learned'\) needs a recurrence made with"):
        SequenceNetwork(Flatten(3), layers(3, 4, batch_first=True), nn.Linear(4, 1), "learned")
    if layers is LSTM:
        recurrence = LSTM(3, 4, batch_first=True, learn_initial_state=True)
        assert len(SequenceNetwork(Flatten(3), recurrence, nn.Linear(4, 1), "learned").recurrence.initial_state) == 2


@pytest.mark.parametrize(("sizes", "name"), [((0, (), 1), "input_size"), ((5, (), 0), "output_size")])
def test_a_head_has_inputs_and_outputs(sizes, name):
    with pytest.raises(ValueError, match=rf"`{name}` \(=0\) of the head must be at least 1"):
        build_head(*sizes)


@pytest.mark.parametrize(
    "layers",
    [
        build_recurrence("lstm", 3, 4, output_activation="tanh", cell_options={"proj_size": 2}),
        build_recurrence("gru", 3, 4),
        build_recurrence("torch_rnn", 3, 4),
        nn.LSTM(3, 4, batch_first=True),
        nn.LSTM(3, 4, batch_first=True, proj_size=2),
        build_recurrence("tests.networks.own_cells.Uneven", 3, 4),
    ],
    ids=str,
)
def test_sizes_are_those_of_what_layers_return(layers):
    outputs, final = layers(torch.zeros(2, 5, 3))
    states = final if isinstance(final, tuple) else (final,)
    assert sizes_of(layers) == (outputs.shape[-1], [state.shape[-1] for state in states])


def test_weights_of_a_users_own_cell_that_are_not_trained_are_said():
    with pytest.warns(
        UserWarning, match=r"`self\.more\[0\]` of Listed is none of its parameters or modules.*seqsum\.check"
    ):
        build_recurrence("tests.networks.own_cells.Listed", 3, 4)


def test_a_cell_that_can_not_be_made_is_refused_with_how_to_learn_more():
    message = r"can't be made: AttributeError: cannot assign module .*`python -m seqsum\.check tests.*\.Unmade` says"
    with pytest.raises(ValueError, match=message):
        build_recurrence("tests.networks.own_cells.Unmade", 3, 4)
