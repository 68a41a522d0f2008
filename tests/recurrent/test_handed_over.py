"""What autograd and its hooks hand over may lie in memory in any way, or is refused; also NaN, duals, complex."""

from __future__ import annotations

import pytest
import torch
import torch.autograd.forward_ad as fw
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from tests.recurrent.oracles import BACKENDS, KINDS, B, F, H, T, fits, pair

MASK = torch.rand(T, B, generator=torch.Generator().manual_seed(1)) < 0.7
pytestmark = [
    pytest.mark.filterwarnings("ignore:Complex modules are a new feature"),
    # by torch's own forward derivatives
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is (deprecated|not supported in Python 3.14)"),
]
of_every_kind = pytest.mark.parametrize("kind", KINDS)
by_every_backend = pytest.mark.parametrize("backend", [*BACKENDS, "auto"])


def prepare(kind, backend, **arguments):
    layer, oracle = pair(kind, backend=backend, **arguments)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    return layer, oracle


def negated(tensor: Tensor) -> Tensor:
    return torch._neg_view(-tensor) if tensor.is_floating_point() else tensor


def turned(tensor: Tensor) -> Tensor:
    return tensor.transpose(0, -1).contiguous().transpose(0, -1) if tensor.dim() > 1 else tensor


def spread(tensor: Tensor) -> Tensor:
    return torch.stack([tensor, tensor], dim=-1)[..., 0]


def late(tensor: Tensor) -> Tensor:
    return torch.cat([tensor.flatten()[:1], tensor.flatten()])[1:].view(tensor.shape)


SAME = (negated, turned, spread, late, torch.clone)
OTHER = {
    "half": lambda tensor: tensor.half() if tensor.is_floating_point() else tensor,
    "float": lambda tensor: tensor.float() if tensor.is_floating_point() else tensor,
    "narrow": lambda tensor: tensor[..., :1],
    "flat": torch.flatten,
    "meta": lambda tensor: tensor.to("meta"),
}


@of_every_kind
@by_every_backend
@pytest.mark.parametrize("unpack", SAME)
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
def test_saved_tensors_may_come_back_in_another_layout(kind, backend, unpack, mask):
    layer, _ = prepare(kind, backend)
    inputs, found = torch.randn(T, B, F, dtype=torch.float64, requires_grad=True), []
    for back in (lambda tensor: tensor, unpack):
        with saved_tensors_hooks(lambda tensor: tensor, back):
            outputs, _ = layer(inputs, mask=mask)
        found.append(torch.autograd.grad(outputs.square().sum(), [inputs, *layer.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@of_every_kind
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in ("bptt", "native")])
@pytest.mark.parametrize("unpack", OTHER)
def test_saved_tensors_of_another_type_or_size_are_refused(kind, backend, unpack):
    layer, _ = prepare(kind, backend)
    with saved_tensors_hooks(lambda tensor: tensor, OTHER[unpack]):
        outputs, _ = layer(torch.randn(T, B, F, dtype=torch.float64))
    with pytest.raises(RuntimeError, match=r"^a hook on saved tensors gave back "):
        outputs.sum().backward()


@of_every_kind
@by_every_backend
@pytest.mark.parametrize("form", ["negated", "turned", "spread", "late", "zero", "expanded"])
def test_gradients_of_results_may_lie_in_memory_in_any_way(kind, backend, form):
    layer, oracle = prepare(kind, backend)
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    plain = {"outputs": torch.randn(T, B, oracle(inputs)[0].shape[2], dtype=torch.float64)}
    final = oracle(inputs)[1]
    plain |= {str(k): torch.randn_like(each) for k, each in enumerate(final if isinstance(final, tuple) else (final,))}
    if form == "expanded":
        plain = {name: each[..., :1].expand(each.shape) for name, each in plain.items()}
    elif form == "zero":
        plain = {name: torch._efficientzerotensor(each.shape, dtype=each.dtype) for name, each in plain.items()}
    given = [globals()[form](each) if form in globals() else each for each in plain.values()]
    found = []
    for each in (layer, oracle):
        outputs, final = each(inputs)
        results = [outputs, *(final if isinstance(final, tuple) else (final,))]
        found.append(torch.autograd.grad(results, [each.weight_ih_l0, each.weight_hh_l0], given))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)


@of_every_kind
@by_every_backend
@pytest.mark.parametrize("enabled", [True, False])
def test_forward_derivatives_and_vmap_are_those_of_torch(kind, backend, enabled):
    layer, oracle = prepare(kind, backend)
    inputs, direction = torch.randn(2, T, B, F, dtype=torch.float64)
    with torch.set_grad_enabled(enabled), fw.dual_level():
        tangent = fw.unpack_dual(layer(fw.make_dual(inputs, direction))[0]).tangent
    step = 1e-6
    numeric = (oracle(inputs + step * direction)[0] - oracle(inputs - step * direction)[0]) / (2 * step)
    torch.testing.assert_close(tangent, numeric, rtol=1e-5, atol=1e-7)
    with torch.set_grad_enabled(enabled):
        mapped = torch.func.vmap(lambda each: layer(each)[0])(torch.stack([inputs, direction]))
    torch.testing.assert_close(mapped, torch.stack([oracle(inputs)[0], oracle(direction)[0]]))


@of_every_kind
@by_every_backend
@pytest.mark.parametrize("given", ["mask", "lengths"])
def test_gradients_of_each_row_are_those_of_its_own_pass(kind, backend, given):
    layer, _ = prepare(kind, backend)
    weights, inputs, lengths = (
        dict(layer.named_parameters()),
        torch.randn(B, T, F, dtype=torch.float64),
        torch.arange(B),
    )
    rows = {"mask": torch.arange(T) < lengths[:, None], "lengths": lengths}[given]

    def loss(weights, row, valid):
        kept = {given: valid[:, None] if given == "mask" else valid[None]}
        return torch.func.functional_call(layer, weights, (row[:, None],), kept)[0].square().sum()

    mapped = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(weights, inputs, rows)
    alone = [torch.func.grad(loss)(weights, inputs[row], rows[row]) for row in range(B)]
    torch.testing.assert_close(mapped, {name: torch.stack([each[name] for each in alone]) for name in weights})


@of_every_kind
@by_every_backend
def test_a_learned_initial_state_may_come_back_in_another_layout(kind, backend):
    """As it is saved, all rows share its memory."""
    ours, _, more = KINDS[kind]
    layer = ours(F, H, **more, learn_initial_state=True, backend=backend, dtype=torch.float64)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    inputs, learned = torch.randn(T, B, F, dtype=torch.float64), list(layer.initial_state)
    expected = torch.autograd.grad(layer(inputs)[0].sum(), learned)
    with saved_tensors_hooks(lambda tensor: tensor, torch.clone):
        outputs, _ = layer(inputs)
    torch.testing.assert_close(torch.autograd.grad(outputs.sum(), learned), expected)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rnn_relu"])  # there is no complex relu
@pytest.mark.parametrize("backend", ["eager", "script", "auto"])
def test_complex_weights_have_the_gradients_of_torch(kind, backend):
    layer, oracle = pair(kind, dtype=torch.complex128, backend=backend)
    inputs, found = torch.randn(T, B, F, dtype=torch.complex128), []
    for each in (layer, oracle):
        value = each(inputs)[0].abs().square().sum()
        found.append(torch.autograd.grad(value, [each.weight_ih_l0, each.weight_hh_l0]))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)
    assert KINDS[kind][0](F, H, dtype=torch.complex64).weight_hh_l0.isfinite().all()


@by_every_backend
@pytest.mark.parametrize("spoilt", ["inputs", "weights"])
def test_a_nan_in_a_relu_network_reaches_the_gradients_that_it_reaches_in_torch(backend, spoilt):
    layer, oracle = prepare("rnn_relu", backend, num_layers=2)
    inputs, found = torch.randn(T, B, F, dtype=torch.float64, requires_grad=True), []
    with torch.no_grad():
        if spoilt == "inputs":
            inputs[2, 1, 0] = torch.nan
        else:
            for each in (layer, oracle):
                each.weight_hh_l0[1, 2] = torch.nan
    for each in (layer, oracle):
        tensors = [inputs, each.weight_ih_l0, each.weight_hh_l1, each.bias_hh_l0]
        found.append(torch.autograd.grad(each(inputs)[0].sum(), tensors))
    torch.testing.assert_close(*found, equal_nan=True)


@of_every_kind
@by_every_backend
@pytest.mark.parametrize("missing", ["bias_ih", "bias_hh"])
def test_one_of_the_two_biases_may_be_taken_away(kind, backend, missing):
    layer, oracle = prepare(kind, backend)
    setattr(layer.cells[0], missing, None)
    with torch.no_grad():
        getattr(oracle, f"{missing}_l0").zero_()
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    torch.testing.assert_close(layer(inputs)[0], oracle(inputs)[0])
