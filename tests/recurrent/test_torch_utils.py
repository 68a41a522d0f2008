"""torch.nn.utils with torch's names, against torch's layers, and directly on cells."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from seqsum import GRU, LSTM, GRUCell, LSTMCell, Recurrent
from seqsum.recurrent import resolve_backend, unroll
from seqsum.recurrent.export import is_exporting
from tests.covering import covering
from tests.recurrent.oracles import BACKENDS, KINDS, B, F, H, T, assert_same, fits, pair, run, torch_name
from tests.recurrent.test_recurrent import MinimalGatedUnit

NAMES = ("weight_hh_l0", "weight_ih_l1_reverse")  # in the first and the last cell
RUNNERS = (*BACKENDS, "auto")


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight

    def right_inverse(self, weight):
        return weight / 2


def prune_twice(module, name):
    prune.l1_unstructured(module, name, 0.4)
    prune.ln_structured(module, name, 0.3, n=2, dim=0)


def parametrize_twice(module, name):
    parametrizations.weight_norm(module, name)
    parametrize.register_parametrization(module, name, Doubled())


CHANGES = {  # functions that make a weight computed, and functions that undo it
    "prune": (lambda module, name: prune.l1_unstructured(module, name, 0.5), prune.remove),
    "prune twice": (prune_twice, prune.remove),
    "weight_norm by hooks": (nn.utils.weight_norm, nn.utils.remove_weight_norm),
    "spectral_norm by hooks": (
        lambda module, name: nn.utils.spectral_norm(module, name, n_power_iterations=500),  # the true norm, in each run
        nn.utils.remove_spectral_norm,
    ),
    "weight_norm": (parametrizations.weight_norm, parametrize.remove_parametrizations),
    "spectral_norm": (parametrizations.spectral_norm, parametrize.remove_parametrizations),
    "orthogonal": (parametrizations.orthogonal, parametrize.remove_parametrizations),
    "two parametrizations": (parametrize_twice, parametrize.remove_parametrizations),
}
everything = pytest.mark.parametrize("change", CHANGES)
matrix = pytest.mark.parametrize(("kind", "backend", "change"), covering(KINDS, RUNNERS, CHANGES))
hooks_of_torch_are_deprecated = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
pytestmark = hooks_of_torch_are_deprecated


def make(kind, backend, change):
    """Make a hand-written layer and torch's with the same weights, some of them computed, under the same names."""
    layer, oracle = pair(kind, num_layers=2, bidirectional=True, backend=backend)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    for module in (layer, oracle):
        apply(change, [(module, name) for name in NAMES])
    return set_mode(change, layer, oracle)


def set_mode(change, *layers):
    """Set training mode, except where a weight changes each time it is read: torch reads it four times in training."""
    return [layer.train(change != "spectral_norm") for layer in layers]


def apply(change, places):
    torch.manual_seed(1)  # a spectral norm starts from random vectors
    for module, name in places:
        CHANGES[change][0](module, name)


def descend(*layers):
    """Take a step of gradient descent with the gradients of the latest run."""
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter -= 0.1 * parameter.grad


def check_plain(kind, layer, inputs):
    """Check that a change was undone completely: the state dict is an ordinary one and loads into torch's layer."""
    other, oracle = pair(kind, num_layers=2, bidirectional=True)
    assert set(layer.state_dict()) == set(other.state_dict())
    oracle.load_state_dict(layer.torch_state_dict())
    assert_same(run(layer, inputs), run(oracle, inputs), 1e-10, label="plain")


@matrix
def test_a_weight_changed_by_torchs_name_is_that_of_torch(kind, backend, change):
    layer, oracle = make(kind, backend, change)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    assert_same(run(layer, inputs), run(oracle, inputs), 1e-10, label="at first")
    descend(layer, oracle)
    assert_same(run(layer, inputs), run(oracle, inputs), 1e-10, label="after a step")
    assert {torch_name(layer, name) for name in layer.state_dict()} == set(oracle.state_dict())
    again, _ = make(kind, backend, change)
    again.load_state_dict(oracle.state_dict())
    assert_same(run(again, inputs), run(oracle, inputs), 1e-10, label="torch's state dict")
    again, _ = make(kind, backend, change)
    run(again, inputs)  # with other weights
    again.load_state_dict(layer.state_dict())
    assert_same(run(again, inputs), run(oracle, inputs), 1e-10, label="its own state dict")
    for module, name in ((module, name) for module in (layer, oracle) for name in NAMES):
        CHANGES[change][1](module, name)
    assert_same(run(layer, inputs), run(oracle, inputs), 1e-10, label="removed")
    check_plain(kind, layer, inputs)


@matrix
def test_a_weight_changed_in_its_cell_is_that_of_torch(kind, backend, change):
    layer, oracle = pair(kind, num_layers=2, bidirectional=True, backend=backend)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    apply(change, [(layer.cells[0], "weight_hh"), (layer.cells[3], "weight_ih")])
    apply(change, [(oracle, name) for name in NAMES])
    set_mode(change, layer, oracle)
    inputs = torch.randn(T, B, F, dtype=torch.float64)

    def check(label):
        actual, expected = run(layer, inputs), run(oracle, inputs)
        whole = [name for name in expected if name.startswith(("outputs", "final", "grad input"))]
        assert_same({n: actual[n] for n in whole}, {n: expected[n] for n in whole}, 1e-10, label=label)
        for name in oracle._flat_weights_names:
            torch.testing.assert_close(getattr(layer, name), getattr(oracle, name))
        sizes = sorted(tuple(p.grad.shape) for p in layer.parameters())
        assert sizes == sorted(tuple(p.grad.shape) for p in oracle.parameters())

    check("at first")
    descend(layer, oracle)
    state = copy.deepcopy(layer.state_dict())
    check("after a step")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.5)
    layer(inputs)
    layer.load_state_dict(state)
    check("loaded")
    for module, name in ((layer.cells[0], "weight_hh"), (layer.cells[3], "weight_ih")):
        CHANGES[change][1](module, name)
    for name in NAMES:
        CHANGES[change][1](oracle, name)
    check("removed")
    check_plain(kind, layer, inputs)


@everything
@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_by_torchs_names_are_those_that_run(backend, change):
    layer, oracle = make("lstm", backend, change)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    layer(inputs), oracle(inputs)
    for name in oracle._flat_weights_names:
        torch.testing.assert_close(getattr(layer, name), getattr(oracle, name))
    for ours, theirs in zip(layer.all_weights, oracle.all_weights, strict=True):
        torch.testing.assert_close(ours, theirs)
    plain = nn.LSTM(F, H, 2, bidirectional=True).double()
    plain.load_state_dict(layer.torch_state_dict())
    torch.testing.assert_close(plain(inputs), oracle(inputs))


@pytest.mark.parametrize("change", ["weight_norm", "orthogonal", "two parametrizations"])
@pytest.mark.parametrize("backend", RUNNERS)
def test_copies_have_parametrizations_of_their_own(backend, change):
    layer, oracle = make("gru", backend, change)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    layer(inputs)
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert_same(run(twin, inputs), run(oracle, inputs), 1e-10)


@pytest.mark.parametrize("change", ["prune", "weight_norm by hooks"])
def test_pickles_where_torchs_layer_does(change):
    layer, oracle = make("gru", "auto", change)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    torch.testing.assert_close(pickle.loads(pickle.dumps(layer))(inputs), pickle.loads(pickle.dumps(oracle))(inputs))


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("change", ["prune", "weight_norm", "orthogonal"])
def test_second_derivatives_reach_what_weights_are_computed_from(change, backend):
    layer, _ = make("lstm", backend, change)
    inputs = torch.randn(T, B, F, dtype=torch.float64, requires_grad=True)

    def second():
        (first,) = torch.autograd.grad(layer(inputs)[0].square().sum(), inputs, create_graph=True)
        return torch.autograd.grad(first.square().sum(), list(layer.parameters()), allow_unused=True)

    actual = second()
    layer.backend = "eager"
    torch.testing.assert_close(actual, second())


@everything
def test_auto_compiles_no_script_of_what_changes(change):
    for place in ("layer", "cell"):
        layer = GRU(F, H, layer_norm=True)
        apply(change, [(layer, "weight_hh_l0") if place == "layer" else (layer.cells[0], "weight_hh")])
        layer(torch.randn(T, B, F))
        assert layer.last_backend == "eager"
        CHANGES[change][1](*((layer, "weight_hh_l0") if place == "layer" else (layer.cells[0], "weight_hh")))
        layer(torch.randn(T, B, F))
        assert layer.last_backend == "script"


@everything
def test_auto_on_a_changed_cell_is_as_fast_as_on_another(change):
    layer, cell = LSTM(F, H), LSTMCell(F, H)
    expected = resolve_backend(cell, "auto")
    for module, name in ((layer, "weight_hh_l0"), (layer.cells[0], "weight_ih")):
        apply(change, [(module, name)])
        layer(torch.randn(T, B, F))
        assert layer.last_backend == expected


@everything
def test_auto_on_a_changed_cell_never_fails(change):
    """Also on a cell by itself: no warning, and no effect on other cells of its class."""
    for cell in (GRUCell(F, H).double(), GRUCell(F, H, layer_norm=True).double()):
        apply(change, [(cell, "weight_ih")])
        set_mode(change, cell)
        inputs = torch.randn(T, B, F, dtype=torch.float64)
        state = cell.initial_state(B, inputs)
        torch.testing.assert_close(unroll(cell, inputs, state), unroll(cell, inputs, state, backend="eager"))
    assert resolve_backend(GRUCell(F, H, layer_norm=True), "auto") == "script"


@pytest.mark.parametrize("backend", ["eager", "auto"])
@everything
def test_weights_inside_a_cell_of_ones_own_too(change, backend):
    torch.manual_seed(0)
    layer = Recurrent(MinimalGatedUnit(F, H), backend=backend).double()
    apply(change, [(layer.cells[0].recall, "weight")])
    set_mode(change, layer)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    for _ in range(2):
        outputs, _ = layer(inputs)
        outputs.square().sum().backward()
        expected = torch.zeros(B, H, dtype=torch.float64)
        for step, output in zip(inputs, outputs, strict=True):
            expected = layer.cells[0](step, expected)
            torch.testing.assert_close(output, expected)
        descend(layer)


def test_a_script_has_the_tensors_that_a_cell_has_now():
    """Includes plain attributes that are neither parameters nor buffers."""

    class Scaled(GRUCell):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.scale = torch.ones(1)

        def step(self, projected: torch.Tensor, state: list[torch.Tensor]):
            return self.scale * state[0] + projected[..., :5], state

    cell, inputs = Scaled(3, 5), torch.randn(T, B, F)
    (state,) = cell.initial_state(B, inputs)
    for scale in (1.0, 3.0):
        cell.scale = torch.full((1,), scale)
        ours, oracle = (unroll(cell, inputs, [state + 1], backend=backend) for backend in ("script", "eager"))
        torch.testing.assert_close(ours, oracle)


def test_parameters_as_a_vector_are_those_of_torch():
    layer, oracle = pair("lstm_proj", num_layers=2, bidirectional=True)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert torch.equal(vector, nn.utils.parameters_to_vector(oracle.parameters()))
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    for backend in ("auto", *BACKENDS):
        layer.backend = backend if fits(backend, layer) else "auto"
        layer(inputs)  # with the old weights
        vector = vector + 0.1
        for module in (layer, oracle):
            nn.utils.vector_to_parameters(vector, module.parameters())
        assert_same(run(layer, inputs), run(oracle, inputs), 1e-10)
    norms = [nn.utils.clip_grad_norm_(module.parameters(), 0.01) for module in (layer, oracle)]
    torch.testing.assert_close(*norms)
    torch.testing.assert_close(layer.weight_hh_l0.grad, oracle.weight_hh_l0.grad)


def test_weights_may_be_given_by_torchs_names():
    layer, oracle = pair("gru", num_layers=2)
    weights = {name: 2 * weight for name, weight in oracle.named_parameters()}
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    before = layer(inputs)
    torch.testing.assert_close(
        torch.func.functional_call(layer, weights, inputs), torch.func.functional_call(oracle, weights, inputs)
    )
    torch.testing.assert_close(layer(inputs), before)


def test_parametrizations_move_from_torchs_layer():
    layer, oracle = pair("gru")
    parametrizations.weight_norm(oracle, "weight_hh_l0")
    with torch.no_grad():
        oracle.parametrizations.weight_hh_l0.original0.mul_(2)
    parametrize.transfer_parametrizations_and_params(oracle, layer)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    torch.testing.assert_close(layer(inputs), oracle(inputs))


@pytest.mark.parametrize("backend", RUNNERS)
def test_hooks_of_a_cell_run_once_around_each_run(backend):
    torch.manual_seed(0)
    layer = GRU(F, H, 2, backend=backend)
    inputs = torch.randn(T, B, F)
    seen = []

    def double(cell, arguments):
        sequence, state = arguments
        seen.append((cell, tuple(sequence.shape), [tuple(s.shape) for s in state]))
        return 2 * sequence, state

    def negate(cell, arguments, result):
        outputs, final = result
        return -outputs, final

    def look(cell, d_inputs, d_results):
        seen.append((cell, tuple(d_inputs[0].shape), tuple(d_results[0].shape)))

    first, second = layer.cells
    below, _ = unroll(first, 2 * inputs, first.initial_state(B, inputs), backend="eager")
    expected, _ = unroll(second, -below, second.initial_state(B, inputs), backend="eager")
    handles = [first.register_forward_pre_hook(double), first.register_forward_hook(negate)]
    handles.append(second.register_full_backward_hook(look))
    outputs, _ = layer(inputs)
    torch.testing.assert_close(outputs, expected)
    outputs.sum().backward()
    assert seen == [(first, (T, B, F), [(B, H)]), (second, (T, B, H), (T, B, H))]
    for handle in handles:
        handle.remove()
    layer(inputs)
    assert first(inputs[0]).shape == (B, H)  # a cell called directly runs a single step
    assert len(seen) == 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", ["auto", "eager", "script", "bptt"])
def test_a_compiled_model_runs_the_backend_that_its_layer_names(backend):
    layer, inputs = LSTM(F, H, backend=backend), torch.randn(T, B, F)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, backend="eager")(inputs)[0], layer(inputs)[0])
    assert not torch.compile(lambda given: given + int(is_exporting()), backend="eager")(torch.zeros(1)).item()


@pytest.mark.filterwarnings("ignore")  # torch.compile and torch.export warn about their own code
@pytest.mark.parametrize("place", ["cell", "layer"])
def test_a_pruned_layer_is_compiled_and_exported_in_one_graph(place):
    if torch.__version__ < (2, 14):
        pytest.skip("torch 2.11 can't compile the copy of a cell in one graph")
    layer, inputs = LSTM(F, H), torch.randn(T, B, F)
    module, name = (layer.cells[0], "weight_hh") if place == "cell" else (layer, "weight_hh_l0")
    prune.random_unstructured(module, name, 0.5)
    expected, _ = layer(inputs)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(inputs)[0], expected)
    if place == "cell":
        exported = torch.export.export(layer, (inputs,), strict=True)
        torch.testing.assert_close(exported.module()(inputs)[0], expected)


def test_a_hook_that_fails_leaves_the_cell_as_it_was():
    layer = GRU(F, H)

    def fail(*_):
        raise RuntimeError("stop")

    handle = layer.cells[0].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        layer(torch.randn(T, B, F))
    handle.remove()
    assert layer.cells[0](torch.randn(B, F)).shape == (B, H)
    assert "forward" not in vars(layer.cells[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_who_walks_the_graph_finds_tensors(kind, backend):  # torchviz draws it, and reads all that each node has saved
    layer, _ = pair(kind, backend=backend)
    if not fits(backend, layer):
        return
    outputs, _ = layer(torch.randn(T, B, F, dtype=torch.float64, requires_grad=True))
    nodes, seen = [outputs.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
            assert all(isinstance(saved, torch.Tensor) for saved in getattr(node, "saved_tensors", ()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_without_norms_is_a_leaf(kind):  # torchinfo and others add up what leaves compute
    layer, _ = pair(kind)
    assert not any(list(cell.children()) for cell in layer.cells)
