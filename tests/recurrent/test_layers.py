"""RNN, LSTM and GRU as drop-ins for torch.nn: arguments, weights, errors. For numbers see test_parity.py."""

import copy
import inspect
import pickle
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from seqsum import GRU, LSTM, RNN, LSTMCell, Recurrent, RNNCell
from seqsum.recurrent.layers import TorchLike
from tests.recurrent.oracles import BACKENDS, KINDS, B, F, H, T, pair


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_arguments_are_those_of_torch_in_the_same_places(name):
    torch.manual_seed(0)
    positional = (F, H, 2, *(("relu",) if name == "RNN" else ()), False, True, 0.0, True)
    oracle = getattr(torch.nn, name)(*positional)
    layer = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}[name](*positional)
    layer.load_state_dict(oracle.state_dict())
    inputs = torch.randn(B, T, F)
    torch.testing.assert_close(layer(inputs), oracle(inputs))
    for attribute in ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "input_size", "hidden_size"):
        assert getattr(layer, attribute) == getattr(oracle, attribute)


@pytest.mark.parametrize(
    ("layer", "name"), [(RNN, "proj_size"), (GRU, "proj_size"), (LSTM, "bidirectionl"), (GRU, "x")]
)
def test_an_argument_that_a_layer_has_not_is_named_with_the_layer(layer, name):
    with pytest.raises(TypeError, match=f"^{layer.__name__} has no argument `{name}`$"):
        layer(3, 5, **{name: 2})


def test_an_error_of_a_cell_of_ones_own_stays_its_own():
    class Mistaken(RNNCell):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            torch.ones(2, sise=3)

    with pytest.raises(TypeError, match="sise"):
        TorchLike(partial(Mistaken, 3, 5), 1, False, 0.0, False)


@pytest.mark.parametrize(("layer", "gates"), [(RNN, 1), (GRU, 3), (LSTM, 4)])
@pytest.mark.parametrize(("options", "biases"), [({}, 2), ({"recurrent_bias": False}, 1), ({"bias": False}, 0)])
def test_each_gate_has_this_many_biases(layer, gates, options, biases):
    count = sum(parameter.numel() for parameter in layer(F, H, 2, **options).parameters())
    assert count == gates * H * (F + H + biases) + gates * H * (H + H + biases)


def test_device_and_dtype():
    options = {"proj_size": 2, "layer_norm": True, "learn_initial_state": True}
    layer = LSTM(F, H, num_layers=2, **options, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.float64)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_state_dict_goes_to_torch_and_back(kind, bidirectional):
    ours, theirs, more = KINDS[kind]
    arguments = more | {"num_layers": 2, "bidirectional": bidirectional}
    layer, oracle = ours(F, H, **arguments), theirs(F, H, **arguments)
    exported = layer.torch_state_dict()
    assert not any(weight.requires_grad for weight in exported.values())  # as in a state dict
    oracle.load_state_dict(exported)
    inputs = torch.randn(T, B, F)
    torch.testing.assert_close(layer(inputs), oracle(inputs))
    again = torch.nn.Sequential(ours(F, H, **arguments))  # behind a prefix
    again.load_state_dict({f"0.{name}": tensor for name, tensor in oracle.state_dict().items()})
    torch.testing.assert_close(again[0](inputs), oracle(inputs))
    again.load_state_dict(again.state_dict())  # its own names too


@pytest.mark.parametrize("kind", KINDS)
def test_weights_have_their_torch_names(kind):
    layer, oracle = pair(kind, num_layers=2, bidirectional=True)
    names = [name for name, _ in oracle.named_parameters()]
    assert set(layer.torch_state_dict()) == set(names)
    for name in names:
        assert torch.equal(getattr(layer, name), getattr(oracle, name))
        assert getattr(layer, name).requires_grad
    for ours, theirs in zip(layer.all_weights, oracle.all_weights, strict=True):
        assert {p.shape for p in ours} == {p.shape for p in theirs}
    layer.weight_hh_l1_reverse = torch.nn.Parameter(torch.zeros_like(layer.weight_hh_l1_reverse))
    assert not layer.cells[3].weight_hh.any()
    assert not any(name.startswith("weight") for name, _ in layer.named_parameters())
    for missing in ("weight_hh_l2", "bias_xx_l0", "nothing"):
        with pytest.raises(AttributeError, match=missing):
            getattr(layer, missing)


def test_flatten_parameters_is_there():
    assert LSTM(F, H).flatten_parameters() is None


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"learn_initial_state": True}, "`learn_initial_state` of this LSTM"),
        ({"layer_norm": True}, "`layer_norm` of this LSTM"),
        ({"output_activation": "identity"}, "`output_activation` of this LSTM"),
    ],
)
def test_what_torch_has_no_place_for_is_not_exported(options, culprit):
    with pytest.raises(ValueError, match=culprit):
        LSTM(F, H, **options).torch_state_dict()
    for changed in range(2):  # of two layers
        if "learn_initial_state" not in options:
            layer = LSTM(F, H, 2)
            layer.cells[changed] = LSTMCell(layer.cells[changed].input_size, H, **options)
            with pytest.raises(ValueError, match=culprit):
                layer.torch_state_dict()


def test_identity_output_is_of_the_last_layer_alone():
    layer = LSTM(F, H, num_layers=3, bidirectional=True, output_activation="identity")
    assert [cell.output_activation for cell in layer.cells] == ["tanh"] * 4 + ["identity"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_initial_state_is_learned_from_zero(kind):
    ours, _, more = KINDS[kind]
    torch.manual_seed(0)
    layer = ours(F, H, 2, **more, bidirectional=True, learn_initial_state=True)
    plain = ours(F, H, 2, **more, bidirectional=True)
    inputs = torch.randn(T, B, F)
    plain.load_state_dict({name: t for name, t in layer.state_dict().items() if name.startswith("cells")})
    torch.testing.assert_close(layer(inputs), plain(inputs))
    with torch.no_grad():
        for learned in layer.initial_state:
            learned.normal_()
    given = tuple(learned.unsqueeze(1).expand(-1, B, -1) for learned in layer.initial_state)
    given = given if len(given) > 1 else given[0]
    torch.testing.assert_close(layer(inputs), plain(inputs, given))
    zero = tuple(torch.zeros_like(s) for s in given) if isinstance(given, tuple) else torch.zeros_like(given)
    torch.testing.assert_close(layer(inputs, zero), plain(inputs))  # a given state takes precedence
    layer(inputs)[0].sum().backward()
    assert all(learned.grad.abs().sum() > 0 for learned in layer.initial_state)
    layer.load_state_dict(plain.torch_state_dict())  # torch's initial state is zero
    assert all(not learned.any() for learned in layer.initial_state)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_is_reproducible_from_a_generator(backend):
    torch.manual_seed(0)
    layer = LSTM(F, H, 2, dropout=0.3, recurrent_dropout=0.3, backend=backend)
    inputs = torch.randn(T, B, F)

    def draw(seed):
        return layer(inputs, generator=torch.Generator().manual_seed(seed))[0]

    before = torch.get_rng_state()
    first = draw(1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draw(1), first)
    assert not torch.equal(draw(2), first)
    layer.backend = "eager"
    torch.testing.assert_close(draw(1), first)  # the same with every backend
    layer.eval()
    assert torch.equal(draw(1), draw(2))


def test_recurrent_dropout_keeps_one_mask_for_all_steps():
    """Units that are kept sum up their inputs (dropout doubles the weight of 1/2); others only see the current one."""
    layer = RNN(1, 50, nonlinearity="relu", recurrent_dropout=0.5, bias=False)
    with torch.no_grad():
        layer.cells[0].weight_ih.fill_(1.0)
        layer.cells[0].weight_hh.copy_(torch.eye(50) / 2)
    outputs, _ = layer(torch.ones(4, 1, 1), generator=torch.Generator().manual_seed(0))
    expected = torch.stack([torch.ones(50), *([torch.ones(50)] * 3)])  # a dropped unit only sees its input
    expected[1:][:, outputs[1, 0] > 1] = torch.tensor([2.0, 3.0, 4.0]).unsqueeze(1)
    torch.testing.assert_close(outputs[:, 0], expected)


def test_mask_is_batch_first_like_the_input():
    torch.manual_seed(0)
    layer = LSTM(F, H, batch_first=True)
    inputs, mask = torch.randn(B, T, F), torch.rand(B, T) < 0.6
    outputs, _ = layer(inputs, mask=mask)
    assert torch.equal(outputs.abs().sum(-1) > 0, mask)


@pytest.mark.parametrize("lengths", [[4, 0, 6, 1], torch.tensor([4, 0, 6, 1]), torch.tensor([4, 0, 6, 1]).int()])
def test_lengths_are_a_shorthand_for_a_mask(lengths):
    layer = GRU(F, H, bidirectional=True, batch_first=True)
    inputs, mask = torch.randn(B, T, F), torch.arange(T) < torch.tensor([[4], [0], [6], [1]])
    torch.testing.assert_close(layer(inputs, lengths=lengths), layer(inputs, mask=mask))


def test_batch_first_there_may_be_no_rows_but_not_no_steps():
    layer = LSTM(F, H, batch_first=True)
    assert layer(torch.zeros(0, T, F))[0].shape == (0, T, H)
    for shape in ((B, 0, F), (0, F)):
        with pytest.raises(ValueError, match="must have at least one time step"):
            layer(torch.zeros(shape))


def test_packed_input_comes_out_with_its_own_order():
    layer, oracle = pair("lstm", torch.float64)
    rows = [torch.randn(n, F).double() for n in (2, 5, 1)]
    for sort in (False, True):
        rows = sorted(rows, key=len, reverse=True) if sort else rows
        packed = pack_sequence(rows, enforce_sorted=sort)
        ours, theirs = layer(packed)[0], oracle(packed)[0]
        torch.testing.assert_close(ours.data, theirs.data)
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            a, b = getattr(ours, name), getattr(theirs, name)
            assert (a is None and b is None) or torch.equal(a, b)


def test_state_stays_in_float32_under_autocast():
    layer = LSTM(F, H)
    inputs = torch.randn(T, B, F)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, (_, memory) = layer(inputs.bfloat16())
    assert outputs.dtype == memory.dtype == torch.float32
    torch.testing.assert_close(outputs, layer(inputs.bfloat16().float())[0])


@pytest.mark.parametrize("differentiable", [False, True])
@pytest.mark.parametrize("backend", [b for b in BACKENDS if b not in ("eager", "script")])
def test_a_backward_pass_within_autocast_is_that_of_float32(backend, differentiable):
    layer, inputs = LSTM(F, H, backend=backend), torch.randn(T, B, F, requires_grad=True)

    def gradients(enabled):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = layer(inputs)[0].tanh().sum()
            return torch.autograd.grad(loss, [inputs, *layer.parameters()], create_graph=differentiable)

    torch.testing.assert_close(gradients(True), gradients(False))


def test_copies_pickles_and_moves():
    torch.manual_seed(0)
    layer = LSTM(F, H, 2, bidirectional=True)
    inputs = torch.randn(T, B, F)
    for backend in BACKENDS[1:]:
        layer.backend = backend
        expected = layer(inputs)
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            torch.testing.assert_close(twin(inputs), expected)
        torch.testing.assert_close(layer.double()(inputs.double())[0].float(), expected[0])
        layer.float()


def test_repr_is_that_of_torch():
    assert repr(LSTM(3, 5, 2, bidirectional=True)).startswith("LSTM(\n  3, 5, num_layers=2, bidirectional=True\n")


def test_options_are_documented():
    """The signature hides shared keyword arguments in **options, so the docstring must name each."""
    from seqsum.recurrent.layers import Options, TorchLike

    for name in Options.__annotations__:
        assert name in TorchLike.__doc__
    assert "options" in inspect.signature(LSTM).parameters


def test_dropout_without_a_second_layer_is_remarked_on_as_in_torch():
    for make in (LSTM, lambda *sizes, dropout: Recurrent(LSTMCell(*sizes), dropout=dropout)):
        with pytest.warns(UserWarning, match=r"`dropout` \(=0.5\) works between layers, and `num_layers` is 1") as said:
            make(F, H, dropout=0.5)
        assert said[0].filename == __file__


def call(layer=None, shape=(T, B, F), hx=None, dtype=torch.float32, **options):
    layer = LSTM(F, H) if layer is None else layer
    if isinstance(hx, list):
        hx = tuple(torch.zeros(s) for s in hx)
    return layer(torch.zeros(shape, dtype=dtype), hx, **options)


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: LSTM(F, H, num_layers=0), r"`num_layers` \(=0\) must be at least 1"),
        (lambda: LSTM(0, H), r"`input_size` \(=0\) must be at least 1"),
        (lambda: LSTM(F, H, 2, dropout=1.5), r"`dropout` \(=1.5\) must be between 0 and 1"),
        (lambda: LSTM(F, H, 2, dropout=True), r"`dropout` \(=True\) must be between 0 and 1"),
        (lambda: LSTM(F, H, proj_size=H), r"`proj_size` \(=5\) must be smaller than `hidden_size` \(=5\)"),
        (lambda: RNN(F, H, nonlinearity="x"), r"`nonlinearity` \(='x'\) must be one of"),
        (lambda: LSTM(F, H, backend="fast"), r"`backend` \(='fast'\) must be one of .*auto.*eager.*script.*bptt"),
        (lambda: call(shape=(T, B, 2, F)), r"`input` of shape \(6, 4, 2, 3\) must have three axes, or two .* not 4"),
        (lambda: call(shape=(T, B, 2)), r"`input` of shape \(6, 4, 2\) must have `input_size` \(=3\) features, not 2"),
        (lambda: call(shape=(0, B, F)), r"`input` of shape \(0, 4, 3\) must have at least one time step"),
        (lambda: call(LSTM(F, H, batch_first=True), (B, 0, F)), r"\(4, 0, 3\) must have at least one time step"),
        (lambda: call(shape=(0, F)), r"`input` of shape \(0, 3\) must have at least one time step"),
        (lambda: call(dtype=torch.float64), "`input` of type torch.float64 must be of the type .* torch.float32"),
        (
            lambda: call(hx=[(1, 2, H), (1, 2, H)]),
            r"`hx` of shapes \[\(1, 2, 5\), \(1, 2, 5\)\] must be of \[\(1, 4, 5\), \(1, 4, 5\)\]",
        ),
        (lambda: call(hx=[(1, B, H), (1, B, 4)]), r"\[\(1, 4, 5\), \(1, 4, 4\)\] must be of \[\(1, 4, 5\), \(1, 4, 5"),
        (lambda: call(hx=[(1, H), (1, H)]), r"\[\(1, 5\), \(1, 5\)\] must be of \[\(1, 4, 5\)"),
        (lambda: call(shape=(T, F), hx=[(1, B, H)] * 2), r"must be of \[\(1, 5\), \(1, 5\)\], \(L·D, S\)"),
        (lambda: call(hx=torch.zeros(1, B, H)), r"`hx` of shapes \[\(1, 4, 5\)\] must be of \[\(1, 4, 5\), \(1, 4, 5"),
        (lambda: call(GRU(F, H, 2), hx=torch.zeros(1, B, H)), r"\[\(1, 4, 5\)\] must be of \[\(2, 4, 5\)\]"),
        (
            lambda: call(mask=torch.ones(B, T, dtype=torch.bool)),
            r"`mask` of shape \(4, 6\) must have the first axes of `input`, \(6, 4\): the layer reads its input as "
            r"\(T, B, F\), with `batch_first=True` the other way",
        ),
        (
            lambda: LSTM(F, H, batch_first=True)(torch.zeros(T, B, F), lengths=[1] * B),
            r"`lengths` of shape \(4,\) must be one for each row, \(6,\): the layer reads its input as \(B, T, F\), "
            "without `batch_first=True` the other way",
        ),
        (lambda: call(mask=torch.ones(T, B)), "`mask` of type torch.float32 must be of type torch.bool"),
        (lambda: call(lengths=[1, 2, 3]), r"`lengths` of shape \(3,\) must be one for each row, \(4,\)$"),
        *(
            (lambda shape=shape: LSTM(F, H)(torch.ones(shape, dtype=torch.long)), "by torch.nn.Embedding")
            for shape in [(T,), (T, B), (T, F), (T, B, F), (T, B, 7)]
        ),
        (lambda: LSTM(F, H)(pack_sequence([torch.ones(2, dtype=torch.long)])), "by torch.nn.Embedding"),
        (lambda: call(lengths=[1, 2, 3, 7]), r"`lengths` \(from 1 to 7\) must be between 0 and .* steps \(=6\)"),
        (lambda: call(lengths=[-1, 2, 3, 6]), r"`lengths` \(from -1 to 6\) must be"),
        (lambda: call(lengths=[1.0, 2, 3, 6]), "`lengths` of type torch.float32 must be whole numbers"),
        (lambda: call(lengths=torch.ones(B, device="meta").long()), "`lengths` on meta have no values"),
        (lambda: call(lengths=[1] * 4, mask=torch.ones(T, B).bool()), "`mask` and `lengths` can't both be given"),
        (lambda: call(shape=(T, F), lengths=[1]), "`lengths` don't go with a single sequence"),
        (lambda: LSTM(F, H)(pack_sequence([torch.zeros(2, F)]), lengths=[2]), "don't go with a packed `input`"),
        (lambda: LSTM(F, H)(pack_sequence([torch.zeros(2, 4)])), r"\(2, 4\) must have `input_size` \(=3\) features"),
        (lambda: LSTM(F, H)(pack_sequence([torch.zeros(2, 4, F)])), r"packed `input` of shape \(2, 4, 3\) must"),
        (
            lambda: GRU(F, H)(pack_sequence([torch.zeros(2, F)]), torch.zeros(1, 2, H)),
            r"`hx` of shapes \[\(1, 2, 5\)\] must be of \[\(1, 1, 5\)\]",
        ),
    ],
)
def test_wrong_sizes_are_refused(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


def test_the_library_needs_torch_alone():
    code = "import sys, seqsum; print(sorted({'lightning', 'torchvision', 'matplotlib', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['numpy']")  # torch itself imports NumPy if installed


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
def test_lengths_may_be_of_any_type_of_whole_numbers_and_others_are_refused():
    layer, inputs, lengths = LSTM(F, H), torch.randn(T, B, F), torch.tensor([1, T, 2, 3])
    expected, _ = layer(inputs, lengths=lengths)
    names = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")
    for given in (
        *(lengths.to(getattr(torch, name)) for name in names),
        lengths.tolist(),
        lengths.numpy().astype("u2"),
    ):
        torch.testing.assert_close(layer(inputs, lengths=given)[0], expected, rtol=0, atol=0)
    long = torch.randn(256, 4, F)  # more steps than the smallest types can count
    for name in names:
        found = layer(long, lengths=lengths.to(getattr(torch, name)))[0]
        torch.testing.assert_close(found, layer(long, lengths=lengths)[0], rtol=0, atol=0)
    assert layer(torch.randn(T, 0, F), lengths=[])[0].shape == (T, 0, H)
    nested = torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])
    for wrong in (lengths.cfloat(), lengths.bool(), lengths.half(), lengths.to_sparse(), nested):
        with pytest.raises(ValueError, match=r"^`lengths` of "):
            layer(inputs, lengths=wrong)


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_refused(layout):
    nested = torch.nested.nested_tensor([torch.ones(2, F), torch.ones(3, F)], layout=layout)
    with pytest.raises(ValueError, match="`input` must be no nested tensor: pad it"):
        LSTM(F, H, batch_first=True)(nested)


def test_complex_inputs_are_no_words():
    with pytest.raises(ValueError, match=r"^`input` of type torch\.complex64 must be of the type of the weights"):
        LSTM(F, H)(torch.randn(T, B, F, dtype=torch.complex64))


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_final_states_may_be_detached_in_place(kind, backend):
    """As in truncated backpropagation through time."""
    layer, inputs, state = kind(F, H, backend=backend), torch.randn(T, B, F), None
    for _ in range(2):
        outputs, state = layer(inputs, state)
        outputs.sum().backward()
        for each in state if isinstance(state, tuple) else (state,):
            each.detach_()
