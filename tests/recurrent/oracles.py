"""Compare the recurrence with torch.nn: all outputs, final states and gradients."""

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from seqsum import GRU, LSTM, RNN, LSTMCell
from seqsum.recurrent.kernels import native_obstacle, triton_obstacle

NO_COMPILER = native_obstacle(LSTMCell(1, 1))  # why native can't run on this machine, None if it can
BACKENDS = ("eager", "script", "bptt") if NO_COMPILER else ("eager", "script", "bptt", "native")
B, T, F, H, P = 4, 6, 3, 5, 2
LENGTHS = (4, 1, 6, 3)  # sorting them isn't its own inverse, as a swap would be; one is a single step
KINDS = {
    "rnn_tanh": (RNN, torch.nn.RNN, {}),
    "rnn_relu": (RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (LSTM, torch.nn.LSTM, {}),
    "lstm_proj": (LSTM, torch.nn.LSTM, {"proj_size": P}),
    "gru": (GRU, torch.nn.GRU, {}),
}


def pair(kind, dtype=torch.float64, **arguments):
    """Make a hand-written layer and torch's, both with torch's random weights."""
    torch.manual_seed(0)
    ours, theirs, more = KINDS[kind]
    backend = arguments.pop("backend", "auto")
    oracle = theirs(F, H, **more, **arguments).to(dtype)
    layer = ours(F, H, **more, **arguments, backend=backend).to(dtype)
    layer.load_state_dict(oracle.state_dict())
    return layer, oracle


def fits(backend, layer):
    """Whether the backend can run the layer; those written in torch can run all layers of this file."""
    obstacles = {"native": native_obstacle, "triton": triton_obstacle}
    return backend not in obstacles or obstacles[backend](layer.cells[0]) is None


def random_state(layer, batch, dtype=torch.float64):
    """Draw an initial state for all layers and directions; `batch` is () for a single sequence."""
    sizes = layer.cells[0].state_size
    states = tuple(torch.randn(len(layer.cells), *batch, size, dtype=dtype) for size in sizes)
    return states if len(states) > 1 else states[0]


def run(layer, inputs, state=None, *, padded_to=None, **options):
    """Return, by name, outputs, final states, and the gradients of input, initial states and parameters.

    With `padded_to`, inputs (B, T, …) or (T, B, …) are packed with LENGTHS, and the outputs are padded again.
    """
    inputs = inputs.clone().requires_grad_()
    states = () if state is None else state if isinstance(state, tuple) else (state,)
    states = [s.clone().requires_grad_() for s in states]
    hx = None if state is None else tuple(states) if isinstance(state, tuple) else states[0]
    layer.zero_grad()
    given = inputs
    if padded_to is not None:
        given = pack_padded_sequence(inputs, torch.tensor(LENGTHS), batch_first=layer.batch_first, enforce_sorted=False)
    outputs, final = layer(given, hx, **options)
    if isinstance(outputs, PackedSequence):
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(
            outputs, batch_first=layer.batch_first, total_length=padded_to
        )
    finals = final if isinstance(final, tuple) else (final,)
    results = {"outputs": outputs} | {f"final {k}": s for k, s in enumerate(finals)}
    # weight each entry of each result differently, so that an error in any of them shows
    loss = sum(
        (result * torch.randn(result.shape, generator=torch.Generator().manual_seed(k)).to(result)).sum()
        for k, result in enumerate(results.values())
    )
    loss.backward()
    results |= {"grad input": inputs.grad} | {f"grad initial {k}": s.grad for k, s in enumerate(states)}
    return results | {f"grad {name}": gradient for name, gradient in parameter_gradients(layer).items()}


def parameter_gradients(layer):
    """Return the parameters' gradients of a layer of either library, under torch's names."""
    return {torch_name(layer, name): parameter.grad for name, parameter in layer.named_parameters()}


def torch_name(layer, name):
    """Translate the name of a parameter or buffer to torch's: `cells.1.weight_ih` -> `weight_ih_l0_reverse`."""
    if not name.startswith("cells."):
        return name
    _, index, own = name.split(".", 2)
    return own + layer.suffix(int(index))


def assert_same(actual, expected, atol, rtol=0.0, label="", grows=False):
    """Assert that both have the same results, close to each other.

    With `grows`, the absolute tolerance is multiplied by the largest entry, if that is above 1: a weight's gradient
    sums over all steps and sequences, so even a small entry has the rounding errors of all terms.
    """
    assert actual.keys() == expected.keys(), label
    for name, oracle in expected.items():
        size = max(1.0, oracle.abs().max().item()) if grows and oracle.numel() else 1.0
        torch.testing.assert_close(
            actual[name], oracle, atol=atol * size, rtol=rtol, msg=lambda m, n=name: f"{label} {n}: {m}"
        )
