"""Call the C++ kernels with torch's tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels.autograd import Given, Gradients, Kernel, Results, Saved, with_zeros

# number of gates of a cell; of blocks saved for the backward pass; blocks with the recurrent part of each gate
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
KEPT = {"lstm": 4, "gru": 4, "rnn": 1}
RECURRENT_BLOCKS = {"lstm": [0, 1, 2, 3], "gru": [0, 1, 3], "rnn": [0]}
RESULTS = ("outputs", "final_hidden", "final_cell_state")
PADDING = {"lstm": 16, "gru": 16, "rnn": 64}  # round units up to full panels of the widest vectors
PRODUCTS_A_THREAD = 100_000  # fewer products aren't worth waking another thread


class Layer(ctypes.Structure):
    """`struct Layer` of `layer.h`, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("steps", "batch", "features", "hidden", "padded", "threads")),
        *((name, ctypes.c_int64) for name in ("reverse", "identity", "relu")),
        ("inputs", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("inputs_step", "inputs_row")),
        *(
            (name, ctypes.c_void_p)
            for name in ("mask", "order", *Kernel.weights, "dropout", "initial_hidden", "initial_cell_state")
        ),
        *((name, ctypes.c_void_p) for name in ("previous", "hiddens", "cell_states", "recurrents", "gates", "outputs")),
        *((name, ctypes.c_void_p) for name in ("final_hidden", "final_cell_state", "d_outputs")),
        *((name, ctypes.c_int64) for name in ("d_outputs_step", "d_outputs_row")),
        *((name, ctypes.c_void_p) for name in ("d_hidden", "d_cell_state", "d_gates", "d_inputs", "d_weight_ih")),
        *((name, ctypes.c_void_p) for name in ("d_weight_hh", "d_bias", "packed")),
    ]


class UnrollNative(Kernel):
    """Run all steps in C++; `lstm.h`, `gru.h` and `rnn.h` contain the equations and their derivatives.

    Args:
        library: The compiled kernels.
        name: Name of the cell in the library: "lstm", "gru" or "rnn".
        cell, reverse: See `Kernel`.
    """

    def __init__(self, library: ctypes.CDLL | str, name: str, cell: PackedCell, reverse: bool) -> None:
        super().__init__(cell, reverse)
        self.library = library
        self.name = name
        self.numbers: dict[str, int] = {}  # sizes and flags for `layer.h`, kept for `backward`
        self.names: list[str] = []  # names of the saved tensors

    def forward(self, given: Given, keep: bool) -> tuple[Results, Saved]:
        (length, batch, features), size = given.inputs.shape, given.hidden.shape[1]
        gates, padded = GATES[self.name], -(-size // PADDING[self.name]) * PADDING[self.name]
        options = vars(self.cell)  # an LSTM has no nonlinearity, and a module takes long to say so
        self.numbers = {
            **{"steps": length, "batch": batch, "features": features, "hidden": size, "padded": padded},
            "threads": _threads(length * batch * gates * size * (features + size), batch),
            "reverse": int(self.reverse),
            "identity": int(options.get("output_activation") == "identity"),
            "relu": int(options.get("nonlinearity") == "relu"),
        }
        empty, mask, has_cell_state = given.hidden.new_empty, given.mask, given.cell_state is not None
        states = empty(len(given.initial()), length + 1, batch, padded)
        tensors: dict[str, Tensor | None] = {
            "inputs": given.inputs if given.inputs.stride(2) == 1 else given.inputs.contiguous(),
            "mask": _contiguous(mask),
            "order": None if mask is None else _balanced(mask, self.numbers["threads"]),
            **{name: _contiguous(getattr(given, name)) for name in (*self.weights, "dropout")},
            "initial_hidden": given.hidden.contiguous(),
            "initial_cell_state": _contiguous(given.cell_state),
            "previous": empty(length, batch, dtype=torch.int32),
            "hiddens": states[0],
            "cell_states": states[1] if has_cell_state else None,
            "recurrents": states[0] if given.dropout is None else torch.zeros_like(states[0]),
            "gates": empty(length, batch, KEPT[self.name], padded) if keep else None,
        }
        outputs = (empty if mask is None else given.hidden.new_zeros)(length, batch, size)
        results = outputs, empty(batch, size), empty(batch, size) if has_cell_state else None
        packed = empty((features + size) * gates * padded)
        self.run("forward", {**tensors, **dict(zip(RESULTS, results, strict=True)), "packed": packed})
        self.names = list(tensors)
        return results, list(tensors.values())

    def backward(
        self, given: Given, saved: Saved, d_results: Sequence[Tensor | None], needed: Mapping[str, bool]
    ) -> Gradients:
        numbers = (self.numbers[key] for key in ("steps", "batch", "features", "hidden", "padded"))
        length, batch, features, size, padded = numbers
        gates, blocks, empty = GATES[self.name], KEPT[self.name], given.hidden.new_empty
        d_outputs, *d_final = with_zeros(given, d_results)
        d_hidden, d_cell_state = (*(_padded(d, padded) for d in d_final), None)[:2]
        room = empty if given.mask is None else given.hidden.new_zeros
        whole = sum(-(-columns // 64) * 64 for columns in (features, size))
        d_inputs = room(length, batch, features) if needed["inputs"] else None
        d_weights = [empty(columns, gates, padded) for columns in (features, size)]
        d_bias = empty(blocks, padded)
        tensors = {
            "d_outputs": d_outputs if d_outputs.stride(2) == 1 else d_outputs.contiguous(),
            **{"d_hidden": d_hidden, "d_cell_state": d_cell_state, "d_gates": empty(length, batch, blocks, padded)},
            **{"d_inputs": d_inputs, "d_weight_ih": d_weights[0], "d_weight_hh": d_weights[1], "d_bias": d_bias},
            "packed": empty(gates * size * whole),
        }
        self.run("backward", {**dict(zip(self.names, saved, strict=True)), **tensors})
        d_states = [None if d is None else d[:, :size] for d in (d_hidden, d_cell_state)]
        d_weights = [  # copies, also of a single column, whose strides DDP would complain about
            d_weight[..., :size].flatten(1).t().clone(memory_format=torch.contiguous_format) for d_weight in d_weights
        ]
        d_biases = [d_bias[part, :size].flatten() for part in (slice(gates), RECURRENT_BLOCKS[self.name])]
        names = ("inputs", "hidden", "cell_state", *self.weights)
        return dict(zip(names, (d_inputs, *d_states, *d_weights, *d_biases), strict=True))

    def run(self, direction: str, tensors: Mapping[str, Tensor | None]) -> None:
        """Call the kernel "forward" or "backward" with tensors by their names in `layer.h`."""
        pointers = {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
        strides = {}
        for name in ("inputs", "d_outputs"):
            if (tensor := tensors.get(name)) is not None:
                strides[f"{name}_step"], strides[f"{name}_row"], _ = tensor.stride()
        layer = Layer(**self.numbers, **strides, **pointers)
        getattr(self.library, f"{self.name}_{direction}")(ctypes.byref(layer))


class InFloat32(Kernel):
    """Run another kernel in float32 for a cell of a 16-bit type: only results and gradients are rounded, not each step.

    Args:
        kernel: The other kernel.
        cell, reverse: See `Kernel`.
    """

    def __init__(self, kernel: Callable[[PackedCell, bool], Kernel], cell: PackedCell, reverse: bool) -> None:
        super().__init__(cell, reverse)
        self.kernel = kernel(cell, reverse)

    def forward(self, given: Given, keep: bool) -> tuple[Results, Saved]:
        (outputs, hidden, cell_state), saved = self.kernel.forward(Given._make(map(_float, given)), keep)
        dtype = given.hidden.dtype
        return (outputs.to(dtype), hidden.to(dtype), None if cell_state is None else cell_state.to(dtype)), saved

    def backward(
        self, given: Given, saved: Saved, d_results: Sequence[Tensor | None], needed: Mapping[str, bool]
    ) -> Gradients:
        widened = Given._make(map(_float, given))
        gradients = self.kernel.backward(widened, saved, [*map(_float, d_results)], needed)
        dtype = given.hidden.dtype
        return {name: None if gradient is None else gradient.to(dtype) for name, gradient in gradients.items()}


def _float(tensor: Tensor | None) -> Tensor | None:
    return tensor.float() if tensor is not None and tensor.is_floating_point() else tensor


def _threads(products: int, batch: int) -> int:
    return max(1, min(torch.get_num_threads(), batch, products // PRODUCTS_A_THREAD))


def _balanced(mask: Tensor, threads: int) -> Tensor:
    """Order the rows so that all threads get about the same work: deal them out by length."""
    by_length = mask.sum(0).argsort(descending=True, stable=True).int()
    return torch.cat([by_length[thread::threads] for thread in range(threads)])


def _padded(states: Tensor, size: int) -> Tensor:
    """Copy `(B, H)` to `(B, size)`, padded with zeros."""
    copy = states.new_zeros(len(states), size)
    copy[:, : states.shape[1]] = states
    return copy


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
