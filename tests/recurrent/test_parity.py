"""Parity matrix: outputs, final states and all gradients of every layer in every form against torch.nn."""

import functools
import itertools
from contextlib import nullcontext

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from seqsum.benchmarks.precision import float32_products
from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels import triton_obstacle
from tests.covering import covering
from tests.recurrent.oracles import BACKENDS, KINDS, LENGTHS, B, F, H, T, assert_same, fits, pair, random_state, run

LAYERS = covering(KINDS, (1, 2, 3), (False, True), (True, False))
FORMS = list(itertools.product(("single", "plain", "packed", "lengths"), (False, True)))
# batch_first doesn't matter for a single sequence: the float32 tests set it, these don't
AXES = [(form, given, first) for form, given in FORMS for first in (False, True) if form != "single" or not first]


@pytest.mark.parametrize(("form", "given_state", "batch_first"), AXES)
@pytest.mark.parametrize(("kind", "num_layers", "bidirectional", "bias"), LAYERS)
def test_layer_matches_torch(kind, num_layers, bidirectional, bias, batch_first, form, given_state):
    check_parity(torch.float64, 1e-10, 0.0, BACKENDS, form, given_state, kind,
                 num_layers=num_layers, bidirectional=bidirectional, bias=bias, batch_first=batch_first)  # fmt: skip


@pytest.mark.parametrize(("form", "given_state"), FORMS)
@pytest.mark.parametrize(("kind", "bidirectional"), list(itertools.product(KINDS, (False, True))))
def test_layer_matches_torch_in_float32(kind, bidirectional, form, given_state, device):
    atol, backends = (1e-5, BACKENDS) if device == "cpu" else (5e-5, (*BACKENDS, "triton"))
    with float32_products("ieee"):
        check_parity(torch.float32, atol, 1.3e-6, backends, form, given_state, kind, device,
                     num_layers=2, bidirectional=bidirectional, batch_first=True)  # fmt: skip


@pytest.mark.parametrize(("error", "grows", "same"), [(9e-4, True, True), (1.1e-3, True, False), (2e-5, False, False)])
def test_the_bound_grows_with_what_is_summed(error, grows, same):
    """A small entry is off, next to a large one."""
    expected = torch.tensor([100.0, 0.5])
    actual = expected + torch.tensor([0.0, error])
    with nullcontext() if same else pytest.raises(AssertionError, match="grad bias"):
        assert_same({"grad bias": actual}, {"grad bias": expected}, 1e-5, grows=grows)


@functools.lru_cache(maxsize=1)
def matrix_pair(kind, dtype, device, **arguments):
    """Share one pair among all its forms, which run one after another, because compiling takes the most time."""
    layer, oracle = pair(kind, dtype, **arguments)
    return layer.to(device), oracle.to(device)


def check_parity(dtype, atol, rtol, backends, form, given_state, kind, device="cpu", *, batch_first, **arguments):
    layer, oracle = matrix_pair(kind, dtype, device, **arguments)
    layer.batch_first = oracle.batch_first = batch_first  # read at every call, so one pair serves both
    torch.manual_seed(1)
    shape = (T, F) if form == "single" else (B, T, F) if batch_first else (T, B, F)
    inputs = torch.randn(shape, dtype=dtype).to(device)
    state = random_state(layer, () if form == "single" else (B,), dtype) if given_state else None
    if state is not None:
        state = tuple(s.to(device) for s in state) if isinstance(state, tuple) else state.to(device)
    packed = form in ("packed", "lengths")  # torch only knows lengths from packed sequences
    expected = run(oracle, inputs, state, padded_to=T if packed else None)
    for backend in (backend for backend in backends if fits(backend, layer)):
        layer.backend = backend
        options = {"lengths": LENGTHS} if form == "lengths" else {"padded_to": T} if packed else {}
        actual = run(layer, inputs, state, **options)
        assert layer.last_backend == backend
        assert_same(actual, expected, atol, rtol, f"{backend}", grows=dtype == torch.float32)


sizes = st.integers(1, 4)


@hypothesis.settings(max_examples=40, derandomize=True)
@hypothesis.given(
    st.sampled_from(list(KINDS)), sizes, sizes, sizes, st.booleans(), st.sampled_from(BACKENDS), st.data()
)
def test_mask_with_holes_matches_torch_without_the_masked_steps(kind, batch, steps, size, reverse, backend, data):
    """Compare with torch on the unmasked steps, row by row, in both directions."""
    rows = st.lists(st.booleans(), min_size=steps, max_size=steps)
    mask = torch.tensor(data.draw(st.lists(rows, min_size=batch, max_size=batch)))  # (B, T)
    torch.manual_seed(batch + 10 * steps + 100 * size)
    ours, theirs, more = KINDS[kind]
    more = more | ({"proj_size": size} if "proj_size" in more else {})
    oracle = theirs(size, size + 1, **more, bidirectional=reverse, batch_first=True).double()
    layer = ours(size, size + 1, **more, bidirectional=reverse, batch_first=True, backend=backend).double()
    hypothesis.assume(fits(backend, layer))
    layer.load_state_dict(oracle.state_dict())
    inputs = torch.randn(batch, steps, size, dtype=torch.float64)
    state = random_state(layer, (batch,))
    actual = run(layer, inputs, state, mask=mask)
    oracle_run = run(KeptSteps(oracle, mask), inputs, state)
    oracle_run = {name.replace("oracle.", ""): result for name, result in oracle_run.items()}
    assert_same(actual, oracle_run, 1e-10)


class KeptSteps(torch.nn.Module):
    """Run each row by itself, on its unmasked steps."""

    def __init__(self, oracle, mask):
        super().__init__()
        self.oracle, self.mask, self.batch_first = oracle, mask, True

    def forward(self, inputs, hx):
        states = hx if isinstance(hx, tuple) else (hx,)
        directions = 2 if self.oracle.bidirectional else 1
        outputs = inputs.new_zeros(*inputs.shape[:2], directions * states[0].shape[-1])
        finals = []
        for row, kept in enumerate(self.mask):
            final = tuple(s[:, row] for s in states)
            if kept.any():
                given = final if len(final) > 1 else final[0]
                result, final = self.oracle(inputs[row, kept], given)
                outputs = outputs.index_put((torch.tensor(row), kept.nonzero().squeeze(1)), result)
                final = final if isinstance(final, tuple) else (final,)
            finals.append(final)
        # masked steps have a gradient of zero
        outputs = outputs + 0 * sum(tensor.sum() for tensor in (inputs, *self.oracle.parameters()))
        stacked = tuple(torch.stack(s, dim=1) for s in zip(*finals, strict=True))
        return outputs, stacked if len(stacked) > 1 else stacked[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 6), (5, 1), (3, 0)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_matches_torch_at_the_edges(kind, steps, batch, backend):
    layer, oracle = pair(kind, backend=backend, bidirectional=True)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    inputs = torch.randn(F, batch, steps, dtype=torch.float64).permute(2, 1, 0)  # not contiguous
    assert_same(run(layer, inputs), run(oracle, inputs), 1e-10)


@pytest.mark.parametrize(
    ("kind", "backend"), [*itertools.product(KINDS, BACKENDS), ("lstm", "triton"), ("gru", "triton")]
)
def test_one_bias_matches_torch_with_a_second_one_of_zero(kind, backend):
    if backend == "triton" and (obstacle := triton_obstacle(KINDS[kind][0](F, H).cells[0])):
        pytest.skip(obstacle)
    layer_class, torch_class, more = KINDS[kind]
    arguments = more | {"num_layers": 2, "bidirectional": True}
    torch.manual_seed(0)
    layer = layer_class(F, H, **arguments, recurrent_bias=False, backend=backend).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    oracle = torch_class(F, H, **arguments).double()
    oracle.load_state_dict(layer.torch_state_dict())
    inputs, state = torch.randn(T, B, F, dtype=torch.float64), random_state(layer, (B,))
    expected = run(oracle, inputs, state, padded_to=T)
    of_second = [name for name in expected if name.startswith("grad bias_hh")]
    assert len(of_second) == 4
    for name in of_second:
        del expected[name]
    assert_same(run(layer, inputs, state, lengths=LENGTHS), expected, 1e-10)
    assert layer.last_backend == backend


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm_proj", "gru"])
def test_derivatives_with_one_bias_match_finite_differences(kind, backend):
    check_derivatives(small_layer(kind, backend, recurrent_bias=False), masked=True)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers_matches_torch_under_the_same_seed(kind):
    layer, oracle = pair(kind, num_layers=3, dropout=0.4, bidirectional=True)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    torch.manual_seed(1)
    expected = run(oracle, inputs)
    torch.manual_seed(1)
    assert_same(run(layer, inputs), expected, 1e-10)
    layer.eval(), oracle.eval()
    assert_same(run(layer, inputs), run(oracle, inputs), 1e-10)


SMOOTH = ("rnn_tanh", "lstm", "lstm_proj", "gru")  # relu has a kink


@pytest.mark.parametrize(("kind", "backend", "masked"), covering(SMOOTH, BACKENDS, (False, True)))
def test_first_and_second_derivatives_match_finite_differences(kind, backend, masked):
    check_derivatives(small_layer(kind, backend, bidirectional=True), masked)


@pytest.mark.parametrize("backend", ["eager", "script"])
@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm_proj", "gru"])
def test_derivatives_with_layer_norm_match_finite_differences(kind, backend):
    check_derivatives(small_layer(kind, backend, layer_norm=True), masked=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", SMOOTH)
def test_derivatives_with_recurrent_dropout_match_finite_differences(kind, backend):
    layer = small_layer(kind, backend, recurrent_dropout=0.4, learn_initial_state=True)
    check_derivatives(layer, masked=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_with_identity_output_match_finite_differences(backend):
    check_derivatives(small_layer("lstm", backend, output_activation="identity"), masked=True)


def small_layer(kind, backend, **arguments):
    torch.manual_seed(0)
    layer_class, _, more = KINDS[kind]
    more = {"proj_size": 1} if more else {}
    layer = layer_class(1, 2, **more, **arguments, batch_first=True, backend=backend).double()
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


def check_derivatives(layer, masked):
    inputs = torch.randn(2, 3, 1, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, False, True], [False, True, True]]) if masked else None
    state = ()
    if len(layer.initial_state) == 0:
        state = tuple(torch.randn(len(layer.cells), 2, size).double() for size in layer.cells[0].state_size)
        state = tuple(s.requires_grad_() for s in state)

    def results(inputs, *rest):
        given = rest[: len(state)]
        hx = None if not given else given if len(given) > 1 else given[0]
        generator = torch.Generator().manual_seed(3)
        outputs, final = layer(inputs, hx, mask=mask, generator=generator)
        return outputs, *(final if isinstance(final, tuple) else (final,))

    tensors = (inputs, *state, *layer.parameters())
    # random directions show an error in any entry, in a tenth of the time of checking each
    assert torch.autograd.gradcheck(results, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(results, tensors, fast_mode=True)
    assert layer.last_backend == layer.backend


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_in_eval_mode_and_none_under_no_grad(backend):
    layer, oracle = pair("lstm", backend=backend)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    assert_same(run(layer.eval(), inputs), run(oracle.eval(), inputs), 1e-10)
    with torch.no_grad():
        assert not layer(inputs)[0].requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(layer(inputs)[0], oracle(inputs)[0])


def test_every_built_in_cell_has_a_kernel():
    """Otherwise this matrix would silently leave out a new built-in cell without a hand-written backward pass."""
    assert {cls.__name__ for cls in PackedCell.__subclasses__() if cls.__module__.startswith("seqsum.")} == {
        "RNNCell",
        "LSTMCell",
        "GRUCell",
    }
