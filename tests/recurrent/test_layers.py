"""`seqsum.LSTM` against `torch.nn.LSTM`: values, and every gradient there is."""

import pytest
import torch

from seqsum import LSTM

B, T, F, H = 4, 7, 3, 5


def pair(dtype, **arguments):
    """The hand-written layer and its oracle, with torch's own random weights."""
    torch.manual_seed(0)
    backend = arguments.pop("backend", "auto")
    oracle = torch.nn.LSTM(F, H, **arguments).to(dtype)
    ours = LSTM(F, H, **arguments, backend=backend).to(dtype)
    ours.load_state_dict(oracle.state_dict())
    return ours, oracle


def run(layer, inputs, state):
    """Outputs, final states and the gradients of input, initial states and every parameter."""
    inputs = inputs.clone().requires_grad_()
    state = None if state is None else tuple(s.clone().requires_grad_() for s in state)
    outputs, (hidden, memory) = layer(inputs, state)
    # weights of all sizes and signs, so that every entry of every result counts, each for itself
    for result, seed in ((outputs, 1), (hidden, 2), (memory, 3)):
        weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(seed)).to(result)
        (result * weight).sum().backward(retain_graph=True)
    parameters = dict(layer.named_parameters())
    if isinstance(layer, LSTM):  # under torch's names
        parameters = {
            f"{name}_l{k}": parameter
            for k, cell in enumerate(layer.cells)
            for name, parameter in cell.named_parameters()
        }
    gradients = {f"grad {name}": parameter.grad for name, parameter in parameters.items()}
    gradients["grad input"] = inputs.grad
    if state is not None:
        gradients |= {"grad h0": state[0].grad, "grad c0": state[1].grad}
    return {"outputs": outputs, "hidden": hidden, "memory": memory} | gradients


@pytest.mark.parametrize("backend", ["eager", "script", "auto"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("given_state", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_lstm_matches_torch(backend, num_layers, bias, batch_first, given_state, dtype, tolerance):
    ours, oracle = pair(dtype, num_layers=num_layers, bias=bias, batch_first=batch_first, backend=backend)
    inputs = torch.randn(*((B, T) if batch_first else (T, B)), F, dtype=dtype)
    state = tuple(torch.randn(num_layers, B, H, dtype=dtype) for _ in range(2)) if given_state else None
    actual, expected = run(ours, inputs, state), run(oracle, inputs, state)
    assert actual.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(
            actual[name], expected[name], atol=tolerance, rtol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1)])
def test_matches_torch_at_the_edges(shape):
    ours, oracle = pair(torch.float64, batch_first=True)
    inputs = torch.randn(F, *shape, dtype=torch.float64).permute(1, 2, 0)  # not contiguous
    actual, expected = run(ours, inputs, None), run(oracle, inputs, None)
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("backend", ["eager", "script"])
@pytest.mark.parametrize("output_activation", ["tanh", "identity"])
def test_gradients_match_finite_differences(backend, output_activation):
    torch.manual_seed(0)
    layer = LSTM(2, 3, num_layers=2, batch_first=True, backend=backend, output_activation=output_activation).double()
    inputs = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]

    def results(inputs, hidden, memory, *_):
        outputs, final = layer(inputs, (hidden, memory))
        return outputs, *final

    assert torch.autograd.gradcheck(results, (inputs, *state, *layer.parameters()))


def test_identity_output_is_of_the_last_layer_alone():
    layer = LSTM(F, H, num_layers=3, output_activation="identity")
    assert [cell.output_activation for cell in layer.cells] == ["tanh", "tanh", "identity"]


def test_state_dict_goes_to_torch_and_back():
    ours, oracle = LSTM(F, H, num_layers=2), torch.nn.LSTM(F, H, num_layers=2)
    oracle.load_state_dict(ours.torch_state_dict())
    inputs = torch.randn(T, B, F)
    torch.testing.assert_close(ours(inputs), oracle(inputs))
    again = torch.nn.Sequential(LSTM(F, H, num_layers=2))  # behind a prefix
    again.load_state_dict({f"0.{name}": tensor for name, tensor in oracle.state_dict().items()})
    torch.testing.assert_close(again[0](inputs), oracle(inputs))


def test_mask_is_batch_first_like_the_input():
    torch.manual_seed(0)
    layer = LSTM(F, H, batch_first=True)
    inputs, mask = torch.randn(B, T, F), torch.rand(B, T) < 0.6
    outputs, _ = layer(inputs, mask=mask)
    assert torch.equal(outputs.abs().sum(-1) > 0, mask)


def test_state_stays_in_float32_under_autocast():
    layer = LSTM(F, H)
    inputs = torch.randn(T, B, F)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, (_, memory) = layer(inputs.bfloat16())
    assert outputs.dtype == memory.dtype == torch.float32
    torch.testing.assert_close(outputs, layer(inputs.bfloat16().float())[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LSTM(F, H, num_layers=0), r"`num_layers` \(=0\) must be at least 1"),
        (lambda: LSTM(F, H, backend="fast"), r"`backend` \(='fast'\) must be one of"),
        (lambda: LSTM(F, H)(torch.randn(T, F)), r"`input` of shape \(7, 3\) must have three axes"),
        (lambda: LSTM(F, H)(torch.randn(T, B, 2)), r"`input` of shape \(7, 4, 2\) .* `input_size` \(=3\)"),
        (lambda: LSTM(F, H)(torch.randn(0, B, F)), "at least one time step"),
        (
            lambda: LSTM(F, H)(torch.randn(T, B, F), (torch.zeros(1, 2, H), torch.zeros(1, 2, H))),
            r"`hx` of shapes \[\(1, 2, 5\), \(1, 2, 5\)\] must be two of \(1, 4, 5\)",
        ),
        (
            lambda: LSTM(F, H)(torch.randn(T, B, F), mask=torch.ones(B, T, dtype=torch.bool)),
            r"`mask` of shape \(4, 7\) must have the first two axes of `input` \(7, 4\)",
        ),
    ],
)
def test_wrong_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
