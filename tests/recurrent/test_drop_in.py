"""Drop-in for torch.nn beyond numbers: attributes, arguments, initial weights, the meta device."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import seqsum
from seqsum import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell
from tests.recurrent.oracles import KINDS, B, F, H, T, pair
from tests.recurrent.test_recurrent import MinimalGatedUnit

LAYERS = {"RNN": (RNN, nn.RNN), "LSTM": (LSTM, nn.LSTM), "GRU": (GRU, nn.GRU)}
CELLS = {"RNNCell": (RNNCell, nn.RNNCell), "LSTMCell": (LSTMCell, nn.LSTMCell), "GRUCell": (GRUCell, nn.GRUCell)}
SHAPES = list(itertools.product((1, 2), (False, True), (False, True)))


def fresh(make):
    torch.manual_seed(0)
    return make()


# --- fresh weights


@pytest.mark.parametrize("name", LAYERS)
def test_a_subclass_starts_as_its_reset_parameters_says(name):
    class Constant(LAYERS[name][0]):
        def reset_parameters(self):
            self.seen = (self.num_layers, self.bias, self.proj_size, self.mode, self.weight_hh_l0.shape)
            for parameter in self.parameters():
                nn.init.constant_(parameter, 0.5)

    layer = Constant(F, H, 2, bidirectional=True)
    assert all((parameter == 0.5).all() for parameter in layer.parameters())
    assert layer.seen == (2, True, 0, layer.mode, layer.weight_hh_l0.shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"layer_norm": True, "learn_initial_state": True, "bidirectional": True}])
def test_reset_parameters_is_a_fresh_start(kind, more):
    layer_class, _, arguments = KINDS[kind]
    make = lambda: layer_class(F, H, 2, **arguments, **more)  # noqa: E731
    expected = fresh(make).state_dict()
    layer = make()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(3.0)
    torch.manual_seed(0)
    layer.reset_parameters()
    torch.testing.assert_close(layer.state_dict(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_from_the_meta_device_to_weights(kind):
    layer_class, _, arguments = KINDS[kind]
    expected = fresh(lambda: layer_class(F, H, 2, **arguments, bidirectional=True)).state_dict()
    layer = layer_class(F, H, 2, **arguments, bidirectional=True, device="meta").to_empty(device="cpu")
    torch.manual_seed(0)
    layer.reset_parameters()
    torch.testing.assert_close(layer.state_dict(), expected, rtol=0, atol=0)
    skipped = nn.utils.skip_init(layer_class, F, H, 2, **arguments, bidirectional=True)
    skipped.load_state_dict(expected)
    assigned = layer_class(F, H, 2, **arguments, bidirectional=True, device="meta")
    assigned.load_state_dict(expected, assign=True)
    inputs = torch.randn(T, B, F)
    torch.testing.assert_close(skipped(inputs), layer(inputs))
    torch.testing.assert_close(assigned(inputs), layer(inputs))


@pytest.mark.parametrize("place", ["layer", "cell"])
@pytest.mark.parametrize("change", [lambda *of: prune.l1_unstructured(*of, 0.5), parametrizations.weight_norm])
def test_what_weights_are_computed_from_is_reset_as_in_torch(change, place):
    layer, oracle = LSTM(F, H), nn.LSTM(F, H)
    change(*((layer, "weight_hh_l0") if place == "layer" else (layer.cells[0], "weight_hh")))
    change(oracle, "weight_hh_l0")
    before = set(layer.state_dict())
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(9.0)
    layer.reset_parameters()
    assert set(layer.state_dict()) == before
    assert len(list(layer.parameters())) == len(list(oracle.parameters()))
    for name, parameter in layer.named_parameters():
        if "weight_hh" in name:
            assert 0 < parameter.abs().max() <= H**-0.5
            assert parameter.unique().numel() > 1
        assert parameter.abs().max() <= 1, name
    layer(torch.randn(T, B, F))[0].sum().backward()


def test_reset_parameters_of_a_cell_of_ones_own():
    layer = Recurrent(MinimalGatedUnit(F, H), num_layers=2, learn_initial_state=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(9.0)
    layer.reset_parameters()
    assert all(parameter.abs().max() < 1 for parameter in layer.parameters())
    assert not layer.initial_state[0].any()

    class Bare(RecurrentCell):
        def __init__(self):
            super().__init__(F, H)
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(TypeError, match="Bare has parameters of its own and must have `reset_parameters`"):
        Recurrent(Bare()).reset_parameters()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["auto", "eager", "script", "bptt"])
def test_shapes_on_the_meta_device_are_those_of_torch(kind, backend):
    layer, oracle = (module.to("meta") for module in pair(kind, num_layers=2, bidirectional=True, backend=backend))
    steps = 2  # each operation on this device takes long
    inputs = torch.empty(steps, B, F, dtype=torch.float64, device="meta")
    masked, _ = layer(inputs, mask=torch.ones(steps, B, dtype=torch.bool, device="meta"))
    results = []
    for module in (layer, oracle):
        outputs, final = module(inputs)
        outputs.sum().backward()
        finals = final if isinstance(final, tuple) else (final,)
        results.append([outputs.shape, *(s.shape for s in finals), module.weight_hh_l1.grad.shape, outputs.device])
    assert results[0] == results[1]
    assert masked.shape == layer(inputs, lengths=[steps] * B)[0].shape == results[0][0]


def replicate(module):
    """Replicate a module as `torch.nn.parallel.replicate` does for each GPU: weights become plain tensors."""
    replica = module._replicate_for_data_parallel()
    for name, child in module._modules.items():
        setattr(replica, name, replicate(child))
    for name, parameter in module._parameters.items():
        setattr(replica, name, None if parameter is None else 1 * parameter)
    return replica


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("changed", [False, True])
def test_replicas_for_data_parallel_run(name, changed):
    layer = LAYERS[name][0](F, H, 2, bidirectional=True, learn_initial_state=True)
    if changed:
        prune.l1_unstructured(layer, "weight_hh_l0", 0.5)
        parametrizations.weight_norm(layer, "weight_ih_l1_reverse")
    inputs = torch.randn(T, B, F)
    torch.testing.assert_close(replicate(layer)(inputs), layer(inputs))


# --- names


@pytest.mark.parametrize(("num_layers", "bias", "bidirectional"), SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_attributes_are_those_of_torch(kind, num_layers, bias, bidirectional):
    layer, oracle = pair(kind, num_layers=num_layers, bias=bias, bidirectional=bidirectional)
    assert layer.mode == oracle.mode
    assert layer.proj_size == oracle.proj_size
    assert layer._flat_weights_names == oracle._flat_weights_names
    assert layer._all_weights == oracle._all_weights
    for ours, theirs in zip(layer.all_weights, oracle.all_weights, strict=True):
        torch.testing.assert_close(ours, theirs)
    for name in pair("lstm_proj", num_layers=3, bidirectional=True)[1]._flat_weights_names:
        assert hasattr(layer, name) == hasattr(oracle, name), name
        assert (name in layer._parameters) == (name in oracle._parameters), name
        assert layer._parameters.get(name, 7) is getattr(layer, name, 7)
    assert repr(layer).splitlines()[1].strip() in repr(oracle)


def test_a_weight_is_replaced_deleted_and_registered_by_torchs_name():
    layer = GRU(F, H)
    names = list(layer.state_dict())
    weight = layer.get_parameter("weight_hh_l0")
    assert weight is layer.cells[0].weight_hh
    del layer.weight_hh_l0
    assert not hasattr(layer, "weight_hh_l0")
    assert not hasattr(layer.cells[0], "weight_hh")
    with pytest.raises(AttributeError, match="weight_hh"):
        layer(torch.randn(T, B, F))
    layer.register_parameter("weight_hh_l0", weight)
    assert layer.cells[0].weight_hh is weight
    assert set(layer.state_dict()) == set(names)
    assert layer._parameters.pop("weight_hh_l0") is weight
    assert layer._parameters.pop("weight_hh_l0", None) is None
    assert not hasattr(layer.cells[0], "weight_hh")
    layer.weight_hh_l0 = weight
    with pytest.raises(TypeError, match="weight_hh_l0"):
        layer.weight_hh_l0 = torch.zeros(3 * H, H)  # not a parameter
    layer.own = nn.Parameter(torch.zeros(1))
    assert "own" in layer._parameters
    assert layer._parameters["own"] is layer.own
    del layer._parameters["own"]
    assert list(layer._parameters) == []


def test_a_weight_that_became_a_buffer_is_loaded_as_one():
    layer, oracle = pair("gru")
    for each in (layer, oracle):
        fixed = each.weight_hh_l0.detach().clone()
        del each.weight_hh_l0
        each.register_buffer("weight_hh_l0", fixed)
    for state in (layer.state_dict(), oracle.state_dict()):
        other = GRU(F, H, dtype=torch.float64)
        del other.weight_hh_l0
        other.register_buffer("weight_hh_l0", torch.zeros(3 * H, H).double())
        other.load_state_dict(state)
        assert torch.equal(other.weight_hh_l0, layer.weight_hh_l0)
        inputs = torch.randn(T, B, F).double()
        torch.testing.assert_close(other(inputs)[0], oracle(inputs)[0])


def test_sizes_are_changed_with_the_weights():
    layer, oracle = pair("lstm")
    layer.input_size = layer.cells[0].input_size = oracle.input_size = F + 2
    wider = torch.randn(4 * H, F + 2).double()
    layer.weight_ih_l0, oracle.weight_ih_l0 = nn.Parameter(wider.clone()), nn.Parameter(wider.clone())
    inputs = torch.randn(T, B, F + 2).double()
    torch.testing.assert_close(layer(inputs)[0], oracle(inputs)[0])


def test_a_single_bias_has_no_second_name():
    layer = LSTM(F, H, recurrent_bias=False)
    assert layer._flat_weights_names == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"]
    assert not hasattr(layer, "bias_hh_l0")


# --- arguments


@pytest.mark.parametrize("name", LAYERS)
def test_device_and_dtype_of_a_layer_come_last(name):
    ours, theirs = LAYERS[name]
    activation = ("relu",) if name == "RNN" else ()
    first = (F, H, 1, *activation, True, False, 0.0, False)
    more = (2,) if name == "LSTM" else ()
    layer = ours(*first, *more, "meta", torch.float64)
    keywords = {"device": "meta", "dtype": torch.float64}
    oracle = theirs(*first, *more, **keywords)  # torch's RNN and GRU have a positional `proj_size` before them
    for module in (layer, ours(*first, *more, **keywords)):
        for weight, expected in zip(module.parameters(), oracle.parameters(), strict=True):
            assert (weight.device, weight.dtype, weight.shape) == (expected.device, expected.dtype, expected.shape)


@pytest.mark.parametrize("name", CELLS)
def test_arguments_of_a_cell_are_those_of_torch(name):
    ours, theirs = CELLS[name]
    arguments = (F, H, False, *(("relu",) if name == "RNNCell" else ()), "cpu", torch.float64)
    cell, oracle = ours(*arguments), theirs(*arguments)
    oracle.load_state_dict(cell.state_dict())
    inputs = torch.randn(B, F, dtype=torch.float64)
    states = [torch.randn(B, H, dtype=torch.float64) for _ in cell.state_size]
    hx = tuple(states) if len(states) > 1 else states[0]
    torch.testing.assert_close(cell(input=inputs, hx=hx), oracle(input=inputs, hx=hx))
    assert repr(cell) == repr(oracle)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("bias", [1, 0])
def test_a_cell_takes_a_number_for_its_bias(name, bias):  # as in `LSTMCell(F, H, 1)` of Tacotron 2
    ours, theirs = CELLS[name]
    cell, oracle = ours(F, H, bias), theirs(F, H, bias)
    cell.load_state_dict(oracle.state_dict())
    torch.testing.assert_close(cell(torch.ones(B, F)), oracle(torch.ones(B, F)))
    for wrong in ("False", 2, None):
        with pytest.raises(TypeError, match=rf"`bias` \(={wrong!r}\) must be True or False"):
            ours(F, H, wrong)


def test_options_of_ones_own_show():
    assert GRUCell(F, H, layer_norm=True, recurrent_dropout=0.5).extra_repr() == (
        "3, 5, recurrent_dropout=0.5, layer_norm=True"
    )
    assert LSTMCell(F, H, output_activation="identity").extra_repr() == "3, 5, output_activation=identity"
    assert GRU(F, H, recurrent_bias=False, backend="eager").extra_repr() == "3, 5, recurrent_bias=False, backend=eager"
    assert Recurrent(GRUCell(F, H), num_layers=2, bidirectional=True).extra_repr() == "num_layers=2, bidirectional=True"


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "wrong",
    [
        *({switch: value} for switch in ("batch_first", "bias") for value in ("False", 1, 0, None)),
        *({size: value} for size in ("input_size", "hidden_size") for value in (5.0, "5")),
    ],
)
def test_wrong_types_are_refused_as_by_torch(name, wrong):
    (key, value), sizes = *wrong.items(), {"input_size": F, "hidden_size": H}
    if torch.__version__ >= (2, 11):  # torch 2.8 refuses few of them
        with pytest.raises(TypeError, match=key):
            LAYERS[name][1](**sizes | wrong)
    with pytest.raises(TypeError, match=rf"`{key}` \(={value!r}\) must be"):
        LAYERS[name][0](**sizes | wrong)


@pytest.mark.parametrize("switch", ["bidirectional", "learn_initial_state", "layer_norm", "recurrent_bias"])
def test_other_switches_are_no_words_either(switch):
    with pytest.raises(TypeError, match=rf"`{switch}` \(='False'\) must be True or False, not of type str"):
        LSTM(F, H, **{switch: "False"})
    with pytest.raises(TypeError, match=r"must be True or False, not of type numpy\.bool"):
        LSTM(F, H, **{switch: np.True_})


@pytest.mark.parametrize(
    "wrong", [{"num_layers": 2.0}, {"proj_size": 2.0}, {"proj_size": "2"}, {"num_layers": "2"}, {"hidden_size": None}]
)
def test_numbers_are_whole(wrong):
    (key,) = wrong
    with pytest.raises(TypeError, match=f"`{key}` .* must be a whole number"):
        LSTM(**{"input_size": F, "hidden_size": H} | wrong)
    with pytest.raises(ValueError, match=r"`dropout` \(='0.5'\) must be between 0 and 1"):
        LSTM(F, H, 2, dropout="0.5")


# --- quantization


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
@pytest.mark.parametrize("make", [lambda: LSTM(F, H, 2), lambda: GRUCell(F, H)])
def test_quantize_dynamic_says_that_it_does_nothing(make):
    model = nn.Sequential(make(), nn.Linear(2, 2))
    with pytest.warns(UserWarning, match=r"quantization leaves (LSTM|GRU)Cell as it is"):
        quantized = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM, nn.GRUCell, nn.Linear})
    inputs = torch.randn(B, F)
    torch.testing.assert_close(quantized[0](inputs), model[0](inputs))
    assert "quantized" in type(quantized[1]).__module__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model[0].qualities = 1  # any other attribute
        assert seqsum.LSTMCell(F, H).training
