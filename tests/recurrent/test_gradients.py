"""Gradients have the layout of torch.nn's, and come in batches and of second order."""

import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from seqsum import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from seqsum.recurrent import unroll
from seqsum.recurrent.kernels import triton_obstacle
from tests.recurrent.oracles import BACKENDS, KINDS, LENGTHS, B, F, H, T, fits, pair, random_state

HOLES = torch.rand(T, B, generator=torch.Generator().manual_seed(1)) < 0.6
FORMS = {"plain": {}, "lengths": {"lengths": LENGTHS}, "holes": {"mask": HOLES}}


def prepare(kind, backend, **arguments):
    layer, oracle = pair(kind, num_layers=2, bidirectional=True, backend=backend, **arguments)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    inputs = torch.randn(T, B, F, dtype=torch.float64, requires_grad=True)
    state = random_state(layer, (B,))
    for tensor in state if isinstance(state, tuple) else (state,):
        tensor.requires_grad_()
    return layer, oracle, inputs, state


def leaves(layer, inputs, state):
    return [*layer.parameters(), inputs, *(state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_gradients_of_a_single_column_have_the_strides_of_the_weights(backend):
    """Else DDP warns."""
    for layer in (RNN(1, H, backend=backend), LSTM(1, H, backend=backend), GRU(1, H, backend=backend)):
        layer(torch.randn(T, B, 1))[0].sum().backward()
        assert all(weight.grad.stride() == weight.stride() for weight in layer.parameters())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_is_contiguous(kind, backend, form):
    layer, _, inputs, state = prepare(kind, backend)
    outputs, final = layer(inputs, state, **FORMS[form])
    total = outputs.sum() + sum(s.sum() for s in (final if isinstance(final, tuple) else (final,)))
    tensors = leaves(layer, inputs, state)
    for tensor, gradient in zip(tensors, torch.autograd.grad(total, tensors), strict=True):
        assert gradient.view(-1).shape == (tensor.numel(),)
        assert gradient.stride() == tensor.stride()


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_a_gradient_that_is_scaled_in_place_scales_no_other(backend):
    """As clipping does it, one by one."""
    for layer in (RNN(F, 64, backend=backend), LSTM(F, 64, backend=backend), GRU(F, 64, backend=backend)):
        layer(torch.randn(T, B, F))[0].sum().backward()
        expected = [2 * weight.grad for weight in layer.parameters()]
        for weight in layer.parameters():
            weight.grad.mul_(2)
        torch.testing.assert_close([weight.grad for weight in layer.parameters()], expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_batches_are_those_one_by_one(kind, backend, form):
    layer, _, inputs, state = prepare(kind, backend)
    outputs, _ = layer(inputs, state, **FORMS[form])
    assert layer.last_backend == backend or backend == "auto"
    tensors, given = leaves(layer, inputs, state), torch.randn(3, *outputs.shape, dtype=torch.float64)
    one_by_one = [torch.autograd.grad(outputs, tensors, vector, retain_graph=True) for vector in given]
    expected = [torch.stack(rows) for rows in zip(*one_by_one, strict=True)]
    batched = torch.autograd.grad(outputs, tensors, given, is_grads_batched=True, retain_graph=True)
    torch.testing.assert_close(list(batched), expected, atol=1e-10, rtol=0)
    mapped = torch.func.vmap(lambda vector: torch.autograd.grad(outputs, tensors, vector, retain_graph=True))(given)
    torch.testing.assert_close(list(mapped), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "gru"])
def test_what_a_mask_hides_is_in_no_batch_and_no_second_derivative(kind, backend):
    layer, _, inputs, state = prepare(kind, backend)
    mask, found = HOLES.clone(), []
    mask[:, 0] = False  # throughout, so that its state is hidden too
    for hidden in (0.0, torch.nan):
        given = inputs.detach().masked_fill(~mask.unsqueeze(-1), hidden).requires_grad_()
        states = [each.detach().clone() for each in (state if isinstance(state, tuple) else [state])]
        for each in states:
            each[:, 0] = hidden
        outputs, _ = layer(given, tuple(states) if len(states) > 1 else states[0], mask=mask)
        vectors = torch.ones(2, *outputs.shape, dtype=torch.float64)
        batched = torch.autograd.grad(
            outputs, leaves(layer, given, ()), vectors, is_grads_batched=True, retain_graph=True
        )
        (first,) = torch.autograd.grad(outputs.square().sum(), given, create_graph=True)
        found.append([*batched, *torch.autograd.grad(first.square().sum(), list(layer.parameters()))])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "lstm_proj", "gru"])
def test_vectorized_jacobian_and_hessian_are_those_of_torch(kind, backend):
    layer, oracle, inputs, _ = prepare(kind, backend)
    inputs = inputs.detach()[:2]
    for vectorize in (True, False):
        actual, expected = (
            jacobian(lambda x, module=module: module(x)[0], inputs, vectorize=vectorize) for module in (layer, oracle)
        )
        torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)
    actual, expected = (
        hessian(lambda x, module=module: module(x)[0].square().sum(), inputs, vectorize=True)
        for module in (layer, oracle)
    )
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)


def fed_back(layer, inputs):
    return layer(layer(inputs)[0])[0]


def passed_on(layer, inputs):
    return layer(inputs, layer(inputs)[1])[0]


def state_from_inputs(layer, inputs):
    first = inputs.mean(0, keepdim=True).expand(layer.num_layers, -1, -1).contiguous()
    return layer(inputs, (first, first.sin()) if isinstance(layer, LSTM) else first)[0]


def tied(layer, inputs):
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(layer, f"{name}_l1", getattr(layer, f"{name}_l0"))
    return layer(inputs)[0]


def own_weights(layer, inputs):
    return layer(layer.weight_ih_l0[: T * B].reshape(T, B, F))[0]


def stretches(layer, inputs):
    return layer(torch.cat([inputs, inputs]), lengths=[2 * T, 1, 2, 1])[0]  # run in stretches, one after another


DEPENDENT = (fed_back, passed_on, state_from_inputs, tied, own_weights, stretches)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("compute", DEPENDENT)
def test_gradients_that_can_be_differentiated_are_the_same_ones(compute, kind, backend):
    """What a kernel reads may depend on other things that it reads, in ways that are outside of it."""
    torch.manual_seed(0)
    units, layers = (T * B, 1) if compute is own_weights else (F, 2)  # its weights are the inputs
    layer = kind(F, units, num_layers=layers, dtype=torch.float64, backend=backend)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    inputs = torch.randn(T, B, F, dtype=torch.float64, requires_grad=True)
    found = {}
    for layer.backend in (backend, "eager"):
        value = compute(layer, inputs).square().sum()  # which may tie the weights
        tensors = [*dict.fromkeys(layer.parameters()), *([inputs] if compute is not own_weights else [])]
        plain = torch.autograd.grad(value, tensors, retain_graph=True)
        first = torch.autograd.grad(value, tensors, create_graph=True)
        torch.testing.assert_close(first, plain, atol=1e-10, rtol=1e-10)
        second = torch.autograd.grad(sum(each.square().sum() for each in first), tensors)
        outputs = compute(layer, inputs)
        vectors = torch.ones(2, *outputs.shape, dtype=torch.float64)
        batched = torch.autograd.grad(outputs, tensors, vectors, is_grads_batched=True)
        found[layer.backend] = [*plain, *second, *batched]
    if backend != "eager":
        torch.testing.assert_close(found[backend], found["eager"], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "gru"])
def test_gradients_in_batches_and_second_ones_come_from_triton_too(kind, device):
    """Uses Triton's interpreter if there is no GPU."""
    torch.manual_seed(0)
    layer = KINDS[kind][0](F, H, backend="triton").to(device)
    if obstacle := triton_obstacle(layer.cells[0]):
        pytest.skip(obstacle)
    from tests.recurrent.triton_here import why_not_here

    if why := why_not_here():
        pytest.skip(why)
    inputs, found = torch.randn(T, B, F, device=device, requires_grad=True), {}
    vectors = torch.randn(3, T, B, H, device=device)
    for layer.backend in ("triton", "eager"):
        outputs, _ = layer(inputs, mask=HOLES.to(device))
        assert layer.last_backend == layer.backend
        tensors = [inputs, *layer.parameters()]
        batched = torch.autograd.grad(outputs, tensors, vectors, is_grads_batched=True, retain_graph=True)
        (first,) = torch.autograd.grad(outputs.square().sum(), inputs, create_graph=True)
        found[layer.backend] = [*batched, *torch.autograd.grad(first.square().sum(), tensors)]
    torch.testing.assert_close(found["triton"], found["eager"], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("layer_class", [RNN, LSTM, GRU])
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in ("bptt", "native")])
def test_a_mask_that_changed_since_the_forward_pass_is_an_error(layer_class, backend):
    mask = HOLES.clone()
    outputs, _ = layer_class(F, H, backend=backend)(torch.randn(T, B, F), mask=mask)
    mask.logical_not_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in ("bptt", "native")])
def test_a_final_state_of_a_kernel_may_be_changed_in_place(cell_class, backend):
    cell, inputs = cell_class(F, H), torch.randn(T, B, F)
    gradients = []
    for change in (False, True):
        outputs, final = unroll(cell, inputs, cell.initial_state(B, inputs), backend=backend)
        if change:
            for state in final:
                state.zero_()
        gradients.append(torch.autograd.grad(outputs.sum(), list(cell.parameters())))
    torch.testing.assert_close(*gradients)
