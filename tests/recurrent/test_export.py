"""Layers exported by torch.export, torch.jit, torch.fx and to ONNX, for any number of steps."""

import warnings

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrizations, prune
from torch.utils.flop_counter import FlopCounterMode

from seqsum import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell
from seqsum.recurrent import unroll
from tests.recurrent.oracles import KINDS, B, F, H, T, pair
from tests.recurrent.test_recurrent import MinimalGatedUnit

DYNAMIC = torch.export.Dim.DYNAMIC
SIZES = [(T, B), (1, 2), (11, 3)]  # steps and sequences: as in the example, fewer, more
EXPECTED_WARNINGS = [
    # checks of shapes, which hold for the example; that the trace holds for other sizes is what the tests show
    "ignore:Converting a tensor to a Python (boolean|number) might cause the trace:torch.jit.TracerWarning",
    # by torch 2.14, in its own code too
    "ignore:.torch.jit.(trace|trace_method|script). is (deprecated|not supported in Python 3.14)",
    "ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning",  # as asked for
    "ignore:The feature will be removed:DeprecationWarning",  # by torch of its own code in that export
    "ignore:Exporting a model to ONNX with a batch_size other than 1:UserWarning",  # without a state, which is ours
]
pytestmark = [pytest.mark.filterwarnings(expected) for expected in EXPECTED_WARNINGS]
MORE = {  # layers that torch.nn lacks
    "own cell": lambda: Recurrent(MinimalGatedUnit(F, H), bidirectional=True),
    "layer_norm": lambda: GRU(F, H, layer_norm=True, learn_initial_state=True),
    "identity": lambda: LSTM(F, H, output_activation="identity", recurrent_bias=False),
}


BEYOND = {  # what torch's operations lack of them
    "own cell": "equations of its own",
    "layer_norm": "`layer_norm`",
    "identity": r"`output_activation` \(='identity'\)",
    "lstm_proj": "`proj_size`",
}


class Given(nn.Module):
    """Pass arguments after the input to the layer's option of this name."""

    def __init__(self, layer, name=None):
        super().__init__()
        self.layer, self.name = layer, name

    def forward(self, inputs, option=None):
        return self.layer(inputs, **({} if self.name is None else {self.name: option}))


def draw(name, steps, batch, layer=None):
    """Draw inputs and values for the option `name`."""
    generator = torch.Generator().manual_seed(steps)
    inputs = torch.randn(steps, batch, F, generator=generator)
    if name is None:
        return (inputs,)
    if name == "lengths":
        return inputs, torch.randint(1, steps + 1, (batch,), generator=generator)
    if name == "mask":
        return inputs, torch.rand(steps, batch, generator=generator) < 0.6
    sizes = layer.cells[0].state_size
    states = tuple(torch.randn(len(layer.cells), batch, size, generator=generator) for size in sizes)
    return inputs, states if len(states) > 1 else states[0]


def dynamic_shapes(name, layer):
    axes = {None: (), "lengths": ({0: DYNAMIC},), "mask": ({0: DYNAMIC, 1: DYNAMIC},)}
    states = tuple({1: DYNAMIC} for _ in layer.cells[0].state_size)
    axes["hx"] = (states if len(states) > 1 else states[0],)
    return ({0: DYNAMIC, 1: DYNAMIC}, *axes[name])


def flat(results):
    outputs, final = results
    return [outputs, *(final if isinstance(final, tuple) else (final,))]


def make(kind, name=None, **arguments):
    layer = MORE[kind]() if kind in MORE else pair(kind, torch.float32, bidirectional=True, **arguments)[0]
    return Given(layer, name).eval()


def export(model, name, strict=False):
    given, shapes = draw(name, T, B, model.layer), dynamic_shapes(name, model.layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns of its own code; ours warns in torch.jit.trace alone
        return torch.export.export(model, given, dynamic_shapes=shapes, strict=strict).module()


def check_sizes(written, model, name):
    with torch.no_grad():  # saves seconds in `scan`
        for steps, batch in SIZES:
            given = draw(name, steps, batch, model.layer)
            torch.testing.assert_close(flat(written(*given)), flat(model(*given)))


@pytest.mark.slow
def test_exported_layers_take_any_number_of_steps_and_check_lengths():
    model = make("lstm", "lengths")
    exported = export(model, "lengths")
    check_sizes(exported, model, "lengths")
    inputs, _ = draw("lengths", T, B)
    for wrong in ([1, 2, 3, T + 1], [-1, 2, 3, T]):
        with pytest.raises(RuntimeError, match="`lengths` must be between 0 and the number of steps"):
            exported(inputs, torch.tensor(wrong))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [("rnn_tanh", None), ("gru", "hx"), ("lstm_proj", "mask"), *((kind, "mask") for kind in MORE)],
)
def test_exported_layers_of_any_kind_do_too(kind, name):
    model = make(kind, name)
    check_sizes(export(model, name), model, name)


class SharesMemory(RecurrentCell):
    """Its constants are views of one weight."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)
        self.both = nn.Parameter(torch.randn(2, hidden_size))

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return self.read(input)

    def constants(self, batch_size, like, generator=None, *given):
        return [self.both[0], self.both[1]]

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = torch.tanh(projected + state[0] * state[1] + state[2])
        return hidden, [hidden] + state[1:]  # noqa: RUF005


def test_constants_that_share_memory_are_exported():
    layer, inputs = Recurrent(SharesMemory(F, H)), torch.randn(T, B, F)
    with torch.no_grad():
        exported = torch.export.export(layer, (inputs,)).module()
        torch.testing.assert_close(flat(exported(inputs)), flat(layer(inputs)))


@pytest.mark.slow
def test_strictly_exported_layers_do_too():
    model = make("gru", "lengths")
    check_sizes(export(model, "lengths", strict=True), model, "lengths")


@pytest.mark.slow
def test_pruned_and_parametrized_layers_do_too():
    model = make("gru")
    prune.l1_unstructured(model.layer, "weight_hh_l0", 0.5)
    parametrizations.weight_norm(model.layer.cells[1], "weight_ih")
    check_sizes(export(model, None), model, None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rnn_tanh", "own cell"])
def test_exported_layers_have_gradients(kind):
    model = make(kind, "mask")
    given, gradients = draw("mask", 9, 2), []
    for module in (export(model, "mask"), model):
        model.zero_grad()  # the two share their parameters
        flat(module(*given))[0].square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def check_onnx(model, name, path, dynamo):
    onnxruntime = pytest.importorskip("onnxruntime")
    given = draw(name, T, B, model.layer)
    if dynamo:
        pytest.importorskip("onnxscript")
        options = {"dynamic_shapes": dynamic_shapes(name, model.layer), "verbose": False}
    else:
        names = ["inputs", *(model.layer.cells[0].state_names if name else ())]
        axes = {key: {0: "T", 1: "B"} if key == "inputs" else {1: "B"} for key in names}
        options = {"input_names": names, "dynamic_axes": axes}
    with warnings.catch_warnings():
        if dynamo:
            warnings.simplefilter("ignore")  # as in `export`
        torch.onnx.export(model, given, str(path), dynamo=dynamo, **options)
    session = onnxruntime.InferenceSession(str(path))
    for steps, batch in SIZES:
        given = draw(name, steps, batch, model.layer)
        tensors = [tensor for value in given for tensor in (value if isinstance(value, tuple) else (value,))]
        feed = {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), tensors, strict=True)}
        actual = [torch.from_numpy(result) for result in session.run(None, feed)]
        torch.testing.assert_close(actual, [tensor.detach() for tensor in flat(model(*given))], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("rnn_tanh", None), ("gru", "lengths"), ("lstm", "lengths"), ("lstm_proj", "hx")),
        *((kind, "mask") for kind in MORE),
    ],
)
def test_onnx_by_dynamo_computes_the_same(kind, name, tmp_path):
    with torch.no_grad():
        check_onnx(make(kind, name), name, tmp_path / "layer.onnx", dynamo=True)


@pytest.mark.parametrize("name", [None, "hx"])
@pytest.mark.parametrize("kind", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
def test_onnx_by_torchscript_computes_the_same(kind, name, tmp_path):
    check_onnx(make(kind, name, num_layers=2), name, tmp_path / "layer.onnx", dynamo=False)


@pytest.mark.parametrize(("kind", "name"), [("lstm", "mask"), ("lstm_proj", None), *((k, None) for k in MORE)])
def test_onnx_by_torchscript_refuses_what_it_would_write_for_one_number_of_steps(kind, name, tmp_path):
    pytest.importorskip("onnxscript")
    why = BEYOND.get(kind, "a mask") if name is None else "a mask"
    message = rf"`dynamo=False` could only record \w+ with {why} for exactly 6 steps: use `dynamo="
    with pytest.raises(RuntimeError, match=message):
        torch.onnx.export(make(kind, name), draw(name, T, B), str(tmp_path / "layer.onnx"), dynamo=False)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"recurrent_bias": False}])
@pytest.mark.parametrize("kind", KINDS)
def test_traced_layers_take_any_number_of_steps(kind, options):
    layer_class, _, more = KINDS[kind]
    model = Given(layer_class(F, H, 2, **more, bidirectional=True, **options))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    traced = torch.jit.trace(model, draw(None, T, B))
    for steps, batch in SIZES:
        torch.testing.assert_close(traced(*draw(None, steps, batch)), model(*draw(None, steps, batch)))


@pytest.mark.parametrize(("kind", "name"), [("lstm", "mask"), ("gru", "lengths"), *((kind, None) for kind in MORE)])
def test_traces_that_hold_for_one_number_of_steps_say_so(kind, name):
    model, why = make(kind, name), BEYOND.get(kind, "a mask") if name is None else "a mask"
    with pytest.warns(torch.jit.TracerWarning, match=rf"records \w+ with {why} for exactly 6 steps"):
        traced = torch.jit.trace(model, draw(name, T, B))
    others = draw(name, T, B)[0] * 2, *(option.flip(-1) for option in draw(name, T, B)[1:])
    torch.testing.assert_close(traced(*others), model(*others))
    with pytest.raises(RuntimeError, match="Expected 6 elements"):
        traced(*draw(name, T + 3, B))


class Doubled(GRUCell):
    def step(self, projected, state):
        output, state = super().step(projected, state)
        return 2 * output, state


@pytest.mark.parametrize("layer", [Recurrent(Doubled(F, H), backend="eager"), LSTM(F, H, recurrent_dropout=0.5)])
def test_a_trace_is_not_of_torchs_operation_where_that_computes_something_else(layer):
    inputs, found = draw(None, T, B), []
    with pytest.warns(torch.jit.TracerWarning, match=r"torch.jit.trace records"):
        traced = torch.jit.trace(Given(layer), inputs, check_trace=False)  # dropout, as in training, is another one
    for call in (traced, Given(layer)):
        torch.manual_seed(0)
        found.append(call(*inputs))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_nor_where_a_cell_was_edited(kind, monkeypatch):
    layer, inputs = kind(F, H, backend="eager"), draw(None, T, B)
    step = type(layer.cells[0]).step
    monkeypatch.setattr(layer.cells[0], "step", lambda projected, state: step(layer.cells[0], 2 * projected, state))
    with pytest.warns(torch.jit.TracerWarning, match=r"torch.jit.trace records"):
        traced = torch.jit.trace(Given(layer), inputs, check_trace=False)
    torch.testing.assert_close(traced(*inputs), Given(layer)(*inputs))


@pytest.mark.parametrize("cell", [RNNCell(F, H), LSTMCell(F, H), GRUCell(F, H)])
def test_traced_cells_take_any_number_of_sequences(cell):
    traced = torch.jit.trace(cell, (torch.randn(B, F),))
    inputs = torch.randn(B + 3, F)
    torch.testing.assert_close(traced(inputs), cell(inputs))


@pytest.mark.parametrize("module", [LSTM(F, H), GRUCell(F, H), nn.Sequential(RNN(F, H)), MinimalGatedUnit(F, H)])
def test_scripting_is_refused_in_a_sentence(module):
    name = r"(LSTM|GRUCell|RNN|MinimalGatedUnit)"
    with pytest.raises(RuntimeError, match=rf"^torch.jit.script can't compile {name}, .* use torch.export or"):
        torch.jit.script(module)
    inputs = torch.randn(2, B, F)  # the loop over a cell still compiles
    cell = LSTMCell(F, H, layer_norm=True)
    assert unroll(cell, inputs, cell.initial_state(B, inputs), backend="script")[0].shape == (2, B, H)


@pytest.mark.parametrize("backend", ["script", "compile", "bptt", "native", "triton"])
def test_backends_that_can_not_be_written_down_say_so(backend):
    layer = LSTM(F, H, backend=backend)
    for write in (torch.jit.trace, torch.export.export):
        with pytest.raises(RuntimeError, match=rf"`backend` \(='{backend}'\) doesn't work with .* use 'auto'"):
            write(layer, draw(None, T, B))


@pytest.mark.parametrize("kind", [*KINDS, *MORE])
def test_symbolic_traces_call_the_layer(kind):
    model = make(kind, "mask")
    graph = torch.fx.symbolic_trace(model)
    for steps, batch in SIZES:
        given = draw("mask", steps, batch)
        torch.testing.assert_close(graph(*given), model(*given))
    with pytest.raises(TypeError, match=rf"torch.fx can't trace {type(model.layer).__name__} itself"):
        torch.fx.symbolic_trace(model.layer)


def test_symbolic_traces_call_a_cell():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = LSTMCell(F, H)

        def forward(self, inputs):
            hidden, memory = self.cell(inputs)
            return self.cell(inputs, (hidden, memory))[0]

    model, inputs = Twice(), torch.randn(B, F)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(inputs), model(inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_of_operations_hold_for_other_inputs(kind):
    model = make(kind)
    graph = make_fx(lambda inputs: model(inputs)[0])(*draw(None, T, B))
    inputs = torch.randn(T, B, F)
    torch.testing.assert_close(graph(inputs), model(inputs)[0])
    assert any("tanh" in str(node.target) or "relu" in str(node.target) for node in graph.graph.nodes)


def test_auto_is_eager_where_each_operation_is_looked_at():
    layer = GRU(F, H)
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(T, B, F))
    products = 2 * T * B * 3 * H * (F + H)
    assert counter.get_total_flops() == products
    assert layer.last_backend == "eager"
    with warnings.catch_warnings(), torch._subclasses.FakeTensorMode():
        assert LSTM(F, H)(torch.empty(T, B, F))[0].shape == (T, B, H)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns about its own code
@pytest.mark.parametrize("kind", KINDS)
def test_torch_compile_unrolls_short_sequences_alone(kind):
    model, graphs = make(kind), []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    layer = next(part for part in model.modules() if isinstance(part, Recurrent))
    compiled = torch.compile(lambda inputs: model(inputs * 1)[0] * 1, backend=count)
    steps = 33 // len(layer.cells) + 1
    made = []
    for length in (2, steps, steps + 3, steps + 6):
        inputs = torch.randn(length, B, F)
        outputs, expected = compiled(inputs), model(inputs)[0]
        torch.testing.assert_close(outputs, expected)
        made.append(len(graphs))
    assert made[0] == 1
    assert made[1] > 1
    assert made[-1] == made[-2], "what is before and behind the layer is compiled for any length"


@pytest.mark.filterwarnings("ignore")
def test_a_long_loop_is_compiled_if_it_is_asked_for():
    layer, inputs = GRU(F, H, backend="eager"), torch.randn(40, B, F)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(inputs)[0], layer(inputs)[0])
    layer.backend = "auto"
    torch._dynamo.reset()
    with pytest.raises(Exception, match="_run_outside_unless_backend_is_eager"):
        torch.compile(layer, backend="eager", fullgraph=True)(inputs)
