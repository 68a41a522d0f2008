"""Gradients as autograd hands them out: their layout, and several of them at a time, as with torch.nn's layers."""

import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from tests.recurrent.oracles import BACKENDS, KINDS, LENGTHS, B, F, T, fits, pair, random_state

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
    layer, _, inputs, _ = prepare(kind, backend)
    found = []
    for hidden in (0.0, torch.nan):
        given = inputs.detach().masked_fill(~HOLES.unsqueeze(-1), hidden).requires_grad_()
        outputs, _ = layer(given, mask=HOLES)
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
