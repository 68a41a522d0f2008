"""`Recurrent` runs any cell in several layers and directions: the base of `RNN`, `LSTM` and `GRU`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, fx, nn
from torch._compile import _disable_dynamo  # torch.compiler.disable would import the compiler, which takes a second
from torch.nn.utils.rnn import PackedSequence

from seqsum.recurrent.alike import autocasts, check_features, check_like, check_states, real_weight
from seqsum.recurrent.backends import Backend, check_backend, choose, run
from seqsum.recurrent.cells import (
    Constants,
    RecurrentCell,
    check_constants,
    computed_weights,
    dropout_mask,
    hand_back_attributes,
    has_hooks,
    is_copy,
    list_constants,
    reorder_constants,
    require_cell,
    with_weights,
)
from seqsum.recurrent.cells.base import check_probability, check_size, check_switch, list_options, list_states
from seqsum.recurrent.cells.graphs import Opaque
from seqsum.recurrent.cells.packed import uniform_as_torch
from seqsum.recurrent.checks import NUM_GATES
from seqsum.recurrent.export import is_unrolled
from seqsum.recurrent.hooks import REPLACED, call_with_hooks, cell_within
from seqsum.recurrent.sequences import pack_like, pad, reorder, time_first_mask
from seqsum.recurrent.warn import warn_caller

DEFAULTS: dict[str, Any] = {  # the options that `repr` shows, and their defaults
    **{"num_layers": 1, "batch_first": False, "dropout": 0.0, "bidirectional": False, "backend": "auto"},
}

MOST_COMPILED = 32  # steps of all layers that `auto` lets torch.compile unroll; compiling takes long for each

States = Tensor | tuple[Tensor, ...]
GivenConstants = list[Tensor | None]  # constants that the caller gives, (B, …) each


class Recurrent(Opaque):
    """Run any cell over sequences, in one or several layers, in one or both directions.

    Arguments, inputs and results are like those of `torch.nn.LSTM`.

    Args:
        cell: Forward cell of the first layer. The other cells are made by its `like`, with the same
            arguments and fresh weights; modules and parameters among the arguments are copied with their values.
        num_layers: Number of layers, `L`; each reads the outputs of the one below.
        batch_first: Whether inputs and outputs are `(B, T, …)` rather than `(T, B, …)`.
        dropout: Probability, in training, of dropping an output of any layer except the last.
        bidirectional: Whether each layer has a second cell, which reads backwards and whose outputs are
            concatenated to those of the first. The number of directions, `D`, is then 2, otherwise 1.
        backend: How the loop over time runs, see `backends.py`; `last_backend` is the one that ran last.
        learn_initial_state: Whether to learn an initial state for each layer and direction, starting at
            zero; it is used whenever no state is given.

    Raises:
        ValueError: `num_layers` is below one, a probability outside [0, 1], the backend unknown, or the states of
            further layers would have other sizes.
        TypeError: `cell` is not a cell (but a class, for example) or lacks the `like` that further layers need,
            `num_layers` is not an integer, or a switch is not a bool.
    """

    def __init__(
        self,
        cell: RecurrentCell,
        *,
        num_layers: int = 1,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        backend: Backend = "auto",
        learn_initial_state: bool = False,
    ) -> None:
        super().__init__()
        require_cell(cell)
        switches = {"batch_first": batch_first, "bidirectional": bidirectional}
        _check_options(num_layers, dropout, switches | {"learn_initial_state": learn_initial_state})
        check_backend(backend)
        self.input_size = cell.input_size
        self.hidden_size = cell.hidden_size
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.backend = backend
        self.last_backend: Backend | None = None
        self.cells = nn.ModuleList(_make_cells(cell, num_layers, self.num_directions))
        self.initial_state: nn.ParameterList | tuple[()] = ()  # an empty list would show wherever modules are listed
        if learn_initial_state:
            like = real_weight(cell, next(cell.parameters(), torch.empty(0)))
            begun = cell.initial_state(1, like.new_zeros(1, cell.input_size))
            _refuse_whole_states(cell, begun)
            pairs = zip(begun, cell.state_size, strict=True)
            zeros = [state.new_zeros(len(self.cells), size) for state, size in pairs]
            self.initial_state = nn.ParameterList(zeros)
        self.recorder: Any = None  # set by `seqsum.trace` while it records

    @property
    def num_directions(self) -> int:
        """Number of directions, `D`: 1 or 2."""
        return 2 if self.bidirectional else 1

    def suffix(self, index: int) -> str:
        """Return torch.nn's suffix for the layer and direction of a cell: `_l0`, `_l1_reverse`."""
        layer, direction = divmod(index, self.num_directions)
        return f"_l{layer}{'_reverse' if direction else ''}"

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: States | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        generator: Generator | None = None,
        constants: Constants | None = None,
    ) -> tuple[Tensor | PackedSequence, States]:
        """Run all layers over a batch of sequences.

        Args:
            input: `(T, B, F)`, or `(B, T, F)` with `batch_first`; `(T, F)` for a single sequence; or a
                packed sequence.
            hx: Initial state, `(L·D, B, S)`, or `(L·D, S)` for a single sequence; a tuple of them for a
                cell with several states, such as hidden and cell state. Default: zero, or the learned state.
            mask: Bool, `(T, B)`, or `(B, T)` with `batch_first`; `(T,)` for a single sequence; any pattern. Where it
                is False, the row's state is carried over, in both directions, and its output is zero.
            lengths: `(B,)`, number of valid steps at the start of each row, instead of a mask; not for a single
                sequence.
            generator: Random generator for all dropout. Default: torch's.
            constants: Tensors that stay the same at all steps: one for each of the cell's `constant_names`, and none
                for cells without, such as those of `RNN`, `LSTM` and `GRU`. `(B, …)` each, whatever `batch_first`
                is; without `B` for a single sequence; in the order of the input if that is packed. The cells of all
                layers and directions get them.

        Returns:
            Outputs of the last layer, `(T, B, D·O)` or in the form of the input, and the final states, in
            the form of `hx`: for each direction, the state after the last step it reads.

        Raises:
            ValueError: Sizes, types or devices don't fit, the time axis is empty, mask and lengths are both given, or
                the cell takes other constants.
            TypeError: The cell's `step` returns something else than an output and a list of states.
            RuntimeError: The backend, asked for by name, can't run the cell.
        """
        if isinstance(input, fx.Proxy):
            options = {"mask": mask, "lengths": lengths, "generator": generator, "constants": constants}
            return self.call_in_graph(input, hx, **options)
        if isinstance(input, PackedSequence):
            if mask is not None or lengths is not None:
                raise ValueError("`mask` and `lengths` don't go with a packed `input`, which has lengths of its own")
            return self._run_packed(input, hx, generator, constants)
        self._check_input(input)
        single = input.dim() == 2
        time_first = input.unsqueeze(1) if single else input.transpose(0, 1) if self.batch_first else input
        batch = input.shape[:0] if single else time_first.shape[1:2]
        states = None if hx is None else self._unwrap(hx, batch, input)
        mask = time_first_mask(input, mask, lengths, self.batch_first)
        given = self._list_constants(constants, batch, input)
        outputs, final = self._run(time_first, states, mask, generator, given)
        if single:
            return outputs.squeeze(1), self._wrap([state.squeeze(1) for state in final])
        return outputs.transpose(0, 1) if self.batch_first else outputs, self._wrap(final)

    def _run_packed(
        self, input: PackedSequence, hx: States | None, generator: Generator | None, constants: Constants | None
    ) -> tuple[PackedSequence, States]:
        self._refuse_whole(input.data)
        if input.data.dim() != 2:
            raise ValueError(f"packed `input` of shape {tuple(input.data.shape)} must have two axes, (ΣT, F)")
        self._check_features(input.data)
        padded, lengths = pad(input)
        states = None if hx is None else self._unwrap(hx, padded.shape[1:2], padded)
        states = None if states is None else reorder(states, input.sorted_indices)
        mask = time_first_mask(padded, None, lengths, batch_first=False)
        given = reorder_constants(self._list_constants(constants, padded.shape[1:2], padded), input.sorted_indices)
        outputs, final = self._run(padded, states, mask, generator, given)
        if self.recorder is not None:
            self.recorder.reorder(input.unsorted_indices)
        return pack_like(outputs, lengths, input), self._wrap(reorder(final, input.unsorted_indices))

    def _run(
        self,
        inputs: Tensor,
        hx: list[Tensor] | None,
        mask: Tensor | None,
        generator: Generator | None,
        given: GivenConstants,
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all layers, time first: `(T, B, F)`, states `(L·D, B, S)` -> `(T, B, D·O)`, final states."""
        if self.backend == "auto" and is_unrolled() and len(inputs) * len(self.cells) > MOST_COMPILED:
            return _run_outside_unless_backend_is_eager(self, inputs, hx, mask, generator, given)
        # A state sums over many steps and needs float32. So under autocast (`--trainer.precision=bf16-mixed`)
        # the recurrence keeps the type of its weights, while the encoder runs in the lower precision.
        autocast = autocasts(inputs.device)
        with torch.autocast(inputs.device.type, enabled=False) if autocast else nullcontext():
            if autocast:
                dtype = self._reference(inputs).dtype
                inputs = inputs.to(dtype)
                hx = None if hx is None else [_cast(states, dtype) for states in hx]
                given = [None if tensor is None else _cast(tensor, dtype) for tensor in given]
            final: list[list[Tensor]] = []
            outputs = inputs  # of the layer before
            for layer in range(self.num_layers):
                if layer and self.dropout and self.training:
                    outputs = outputs * dropout_mask(outputs, self.dropout, generator)
                results = []
                for index in range(layer * self.num_directions, (layer + 1) * self.num_directions):
                    state = None if hx is None else [states[index] for states in hx]
                    result, state = self._run_cell(index, outputs, state, mask, generator, given)
                    results.append(result)
                    final.append(state)
                outputs = torch.cat(results, dim=-1) if self.bidirectional else results[0]
            return outputs, [torch.stack(states) for states in zip(*final, strict=True)]

    def _run_cell(
        self,
        index: int,
        inputs: Tensor,
        state: list[Tensor] | None,
        mask: Tensor | None,
        generator: Generator | None,
        given: GivenConstants,
    ) -> tuple[Tensor, list[Tensor]]:
        """Run one layer in one direction: `(T, B, F)`, states `(B, S)` -> `(T, B, O)`, final states."""
        place, cell = self._find_cell(index)
        batch = inputs.shape[1]
        if state is None:
            state = [learned[index].expand(batch, -1) for learned in self.initial_state]
        state = state or cell.initial_state(batch, inputs)
        unroll = partial(self._unroll, index, cell, mask, generator, given)
        return call_with_hooks(place, cell, unroll, inputs, state)

    def _unroll(
        self,
        index: int,
        cell: RecurrentCell,
        mask: Tensor | None,
        generator: Generator | None,
        given: GivenConstants,
        inputs: Tensor,
        state: list[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """Do the work of `_run_cell` between the cell's hooks, which may have recomputed its weights."""
        weights = self._computed_weights(index, cell)
        if weights or has_hooks(cell):
            cell = with_weights(cell, weights)
        reverse = index % self.num_directions == 1
        if type(cell) not in NUM_GATES:  # others may use `view`, and with `batch_first` inputs are transposed
            inputs, state = _contiguous(inputs), [_contiguous(each) for each in state]
        state = state + cell.constants(inputs.shape[1], inputs, generator, *given)
        if self.recorder is not None:
            self.recorder.record(self.suffix(index), cell, inputs, state, mask, reverse)
        chosen = choose(cell, inputs, state, mask, self.backend)
        if chosen.backend != self.last_backend:  # setting an attribute of a module takes as long as a small product
            self.last_backend = chosen.backend
        try:
            outputs, final = run(cell, chosen, inputs, state, mask, reverse)
        finally:
            if is_copy(cell):
                hand_back_attributes(cell)
        return outputs, final[: len(cell.state_size)]

    def _computed_weights(self, index: int, cell: RecurrentCell) -> dict[str, Tensor]:
        """Return the cell's computed weights by name, see `computed_weights`."""
        return computed_weights(cell)

    def _reference(self, input: Tensor) -> Tensor:
        """Return a tensor with the type and device of the weights; `input` if the cell has no real ones."""
        cell = self._cell(0)
        for own in cell._parameters.values():  # searching all modules takes long on the host
            if own is not None and own.is_floating_point():
                is_elsewhere = own.is_meta and REPLACED in cell.__dict__  # until it runs
                return input.new_empty((), dtype=own.dtype) if is_elsewhere else own
        return real_weight(self, input)

    def _check_input(self, input: Tensor) -> None:
        if not isinstance(input, Tensor):
            raise ValueError(f"`input` (={type(input).__name__}) must be a tensor or a packed sequence")
        if input.is_nested:
            raise ValueError("`input` must be no nested tensor: pad it, and give `lengths`, or pack it")
        self._refuse_whole(input)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"`input` of shape {tuple(input.shape)} must have three axes, or two for a single sequence, "
                f"not {input.dim()}"
            )
        self._check_features(input)
        if (input.shape[0] if input.dim() == 2 or not self.batch_first else input.shape[1]) == 0:
            raise ValueError(f"`input` of shape {tuple(input.shape)} must have at least one time step")

    def _check_features(self, input: Tensor) -> None:
        check_features("`input`", input, self.input_size)
        check_like("`input`", input, self._reference(input))

    def _refuse_whole(self, input: Tensor) -> None:
        """Refuse whole numbers before their shape is looked at: those of words have no features."""
        if not (input.is_floating_point() or input.is_complex()) and self._reference(input).is_floating_point():
            raise ValueError(
                f"`input` of type {input.dtype} must be of the type of the weights: turn numbers of words or symbols "
                "into vectors before, by torch.nn.Embedding"
            )

    def _unwrap(self, hx: States, batch: Sequence[int], input: Tensor) -> list[Tensor]:
        """Check the user's state and return it as a list of `(L·D, B, S)`; `batch` is empty for a single sequence."""
        cell = self._cell(0)
        expected = [(self.num_layers * self.num_directions, *batch, size) for size in cell.state_size]
        states = list_states(hx, expected, "(L·D, B, S)" if batch else "(L·D, S)")
        check_states("`hx`", states, self._reference(input), partial(cell.initial_state, 1, input))
        return states if batch else [state.unsqueeze(1) for state in states]

    def _list_constants(self, constants: Constants | None, batch: Sequence[int], input: Tensor) -> GivenConstants:
        """Check the user's constants and return them as a list of `(B, …)`; see `_unwrap` for the arguments."""
        cell = self._cell(0)
        given = list_constants(cell, constants, batch)
        if given:
            check_constants(cell, given, input, self._reference(input))
        return given

    def _wrap(self, states: list[Tensor]) -> States:
        return states[0] if len(states) == 1 else tuple(states)

    def _cell(self, index: int) -> RecurrentCell:
        """Return the cell of `cells[index]`, which may be within a module of another library."""
        return self._find_cell(index)[1]

    def _find_cell(self, index: int) -> tuple[nn.Module, RecurrentCell]:
        """Return what to call for a cell, and the cell; see `cell_within`."""
        # without the checks of a `ModuleList`, which take long on the host
        module: Any = self._modules["cells"]._modules[str(index)]  # type: ignore[union-attr]  # always there
        return (module, module) if hasattr(type(module), "step") else cell_within(module)

    def reset_parameters(self) -> None:
        """Reset the parameters of all cells, and learned initial states to zero.

        The parameters behind this layer's pruned or parametrized weights get torch.nn's initial values.

        Raises:
            TypeError: A cell has parameters but no `reset_parameters`.
        """
        for cell in self.cells:
            _reset(cell)
        for name, parameter in self.named_parameters():
            if name.startswith("initial_state."):
                nn.init.zeros_(parameter)
            elif not name.startswith("cells."):
                uniform_as_torch(parameter, self.hidden_size)

    def extra_repr(self) -> str:
        return list_options(self, DEFAULTS).removeprefix(", ")

    def flatten_parameters(self) -> None:
        """Do nothing, since there are no buffers to flatten; for compatibility with `torch.nn.LSTM`."""


@_disable_dynamo
def _run_outside_unless_backend_is_eager(layer: Recurrent, *arguments: Any) -> tuple[Tensor, list[Tensor]]:
    """Run all layers between two graphs of torch.compile, as it does with those of torch.nn.

    With `fullgraph=True` torch raises an error that has this name.
    """
    return layer._run(*arguments)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast a floating-point tensor; others, such as counters, stay as they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _contiguous(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() else tensor.contiguous()  # a tensor subclass may do more than copy


def _make_cells(cell: RecurrentCell, num_layers: int, num_directions: int) -> Iterator[RecurrentCell]:
    """Yield the cells of all layers and directions, in the order of torch.nn's states."""
    last = cell
    for layer in range(num_layers):
        input_size = cell.input_size if layer == 0 else last.output_size * num_directions
        for direction in range(num_directions):
            last = cell if layer == direction == 0 else _another(cell, input_size)
            yield last


def _another(cell: RecurrentCell, input_size: int) -> RecurrentCell:
    name = type(cell).__name__
    if not hasattr(cell, "like"):
        raise TypeError(f"`cell` (={name}) must have `like(input_size)` for more layers or directions")
    another = cell.like(input_size)
    sizes, others = list(cell.state_size), list(another.state_size)
    if sizes != others:  # the layer's states are a tensor for all cells
        raise ValueError(
            f"`cell` (={name}) has states of sizes {sizes} with inputs of {cell.input_size}, but {others} with those "
            f"of {input_size} that the layer above reads: they must be alike in all layers"
        )
    return another


def _refuse_whole_states(cell: RecurrentCell, begun: Sequence[Tensor]) -> None:
    """Raise a ValueError if an initial state, such as a counter, is of a type that can't be learned."""
    for name, state in zip(cell.state_names, begun, strict=False):
        if not (state.is_floating_point() or state.is_complex()):
            raise ValueError(
                f"`learn_initial_state` (=True) does not go with {type(cell).__name__}: its state `{name}` is of type "
                f"{state.dtype}, which has no gradient"
            )


def _reset(module: nn.Module) -> None:
    """Call the module's `reset_parameters`, or that of its submodules if it has none."""
    if callable(reset := getattr(module, "reset_parameters", None)):
        reset()
        return
    if any(True for _ in module.parameters(recurse=False)):
        raise TypeError(f"{type(module).__name__} has parameters of its own and must have `reset_parameters`")
    for part in module.children():
        _reset(part)


def _check_options(num_layers: int, dropout: float, switches: dict[str, Any]) -> None:
    for name, switch in switches.items():
        check_switch(name, switch)
    check_size("num_layers", num_layers)
    check_probability("dropout", dropout)
    if dropout and num_layers == 1:
        warn_caller(f"`dropout` (={dropout}) works between layers, and `num_layers` is 1: it has no effect")
