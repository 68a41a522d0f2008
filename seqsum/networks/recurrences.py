"""Builds the recurrence that the command line names."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from seqsum.recurrent import GRU, LSTM, RNN, Recurrent, RecurrentCell
from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import OutputActivation
from seqsum.recurrent.cells.base import check_probability
from seqsum.recurrent.cells.constructor import arguments_of
from seqsum.recurrent.explain import say_check
from seqsum.recurrent.layers import TorchLike
from seqsum.recurrent.unregistered import find_unregistered

Bias = Literal["two", "one", "none"]


def build_recurrence(
    cell: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    backend: Backend = "auto",
    output_activation: OutputActivation | None = None,
    bias: Bias = "two",
    learn_initial_state: bool = False,
    forget_bias: float | Mapping[str, float] | None = None,
    bidirectional: bool = False,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    cell_options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build the recurrent layers of a `cell`: batch first, `(B, T, F)` -> `(B, T, D·H)`.

    Args:
        cell: One of the hand-written `LAYERS`; one of `TORCH_LAYERS`, torch's own with the initial weights that the
            hand-written one has under the same seed; or the path of a class that follows the contract of
            `RecurrentCell`, such as `my_cells.MyCell`, constructed from input and hidden size.
        input_size: Features per step, `F`.
        hidden_size: Units of each layer and direction, `H`.
        num_layers: Number of layers, `L`.
        backend: How the hand-written loop over time runs.
        output_activation: For `lstm` only. None is "identity", because running sums grow beyond those seen in
            training, but "tanh" with `proj_size`, which has no other. The other built-in cells have only "tanh"; not
            supported by your own cell classes.
        bias: Biases of each gate: two, as in torch, one or none; not supported by your own cell classes.
        learn_initial_state: Whether the initial state is learned; not supported by torch's own layers.
        forget_bias: Initial bias of the gate that keeps the state, for `lstm` and `gru` only; or initial biases of
            several gates by name. None is 1 for the LSTM's forget gate and 0 for all other gates.
        bidirectional: Whether each layer also reads the sequence backwards; `D` is then 2, otherwise 1.
        dropout: Probability, in training, of dropping an output of any layer except the last; needs two layers.
        recurrent_dropout: Probability, in training, of hiding a unit of the hidden state from the gates, the same at
            all steps of a sequence; not supported by torch's own layers, nor by your own cell classes unless they have
            an argument of that name.
        cell_options: Further arguments of your own cell's class; of hand-written cells those in `CELL_OPTIONS`.

    Raises:
        TypeError: `cell` is no text.
        ValueError: The cell is unknown, a size is below one, or the cell lacks an option or a gate.
    """
    if not isinstance(cell, str):  # checkpoints must be able to name it
        kind = cell if isinstance(cell, type) else type(cell)
        path = f"{kind.__module__}.{kind.__qualname__}"
        raise TypeError(f"`cell` (={cell!r}) must be given as text, here {path!r}; to give a module, build a `network`")
    if cell in (LAYERS.keys() | TORCH_LAYERS.keys()) - {"lstm"} and output_activation not in (None, "tanh"):
        raise ValueError(f"`output_activation` (={output_activation!r}) must be 'tanh' for `cell` {cell!r}")
    if forget_bias is not None and (cell not in KEEPING_GATES or bias == "none"):
        raise ValueError(
            f"`forget_bias` (={forget_bias}) must be left out for `cell` {cell!r} with `bias` {bias!r}: "
            f"it sets a gate's bias, which only {' and '.join(KEEPING_GATES)} with biases have"
        )
    check_probability("dropout", dropout)
    check_probability("recurrent_dropout", recurrent_dropout)
    if dropout and num_layers == 1:
        raise ValueError(f"`dropout` (={dropout}) works between layers, so `num_layers` (=1) must be at least 2")
    further = dict(cell_options or {})
    if cell in LAYERS or cell in TORCH_LAYERS:
        _check_options(cell, further, CELL_OPTIONS.get(cell, ()))
    options: dict[str, Any] = {"num_layers": num_layers, "batch_first": True}
    options |= {"bidirectional": bidirectional, "dropout": dropout}
    if cell in TORCH_LAYERS:
        _refuse_for_torch(cell, backend, bias, learn_initial_state, recurrent_dropout)
        return _torch_layers(cell, input_size, hidden_size, bias=bias != "none", **options)
    options |= {"backend": backend, "learn_initial_state": learn_initial_state}
    if cell not in LAYERS:
        _import_cell(cell)  # an unknown name is said before what does not go with it
        _refuse_for_own(cell, output_activation, bias)
        if recurrent_dropout:
            further["recurrent_dropout"] = recurrent_dropout
        return Recurrent(_own_cell(cell, input_size, hidden_size, further), **options)
    if cell == "lstm":
        options["output_activation"] = output_activation or ("tanh" if further.get("proj_size") else "identity")
    options |= {"bias": bias != "none", "recurrent_bias": bias == "two", "recurrent_dropout": recurrent_dropout}
    layers = LAYERS[cell](input_size, hidden_size, **options, **further)
    if forget_bias is not None:
        starts = forget_bias if isinstance(forget_bias, Mapping) else {KEEPING_GATES[cell]: forget_bias}
        _start_gates(layers, starts)
    return layers


def sizes_of(layers: nn.Module) -> tuple[int, list[int]]:
    """Return the features of each direction's outputs and those of each of its states, of layers as they are built."""
    if isinstance(layers, Recurrent):
        last = cast("RecurrentCell", layers.cells[-1])
        return last.output_size, list(last.state_size)
    hidden_size = cast("int", layers.hidden_size)
    width: int = getattr(layers, "proj_size", 0) or hidden_size  # layers of a user's own may have none
    return width, [width, hidden_size] if isinstance(layers, nn.LSTM) else [width]


def _refuse_for_own(cell: str, output_activation: OutputActivation | None, bias: Bias) -> None:
    """Refuse what a user's own cell decides by itself."""
    made = f"must be left out for `cell` {cell!r}, which has the"
    if output_activation is not None:
        raise ValueError(f"`output_activation` (={output_activation!r}) {made} outputs it makes")
    if bias != "two":
        raise ValueError(f"`bias` (={bias!r}) {made} biases it makes")


def _refuse_for_torch(
    cell: str, backend: Backend, bias: Bias, learn_initial_state: bool, recurrent_dropout: float
) -> None:
    """Refuse what torch's own layers don't have."""
    if backend != "auto":
        raise ValueError(f"`backend` (={backend!r}) must be 'auto' for `cell` {cell!r}, which is torch's own")
    if bias == "one":
        raise ValueError(f"`bias` (={bias!r}) must be 'two' or 'none' for `cell` {cell!r}, which is torch's own")
    if learn_initial_state:
        raise ValueError(f"`initial_state` (='learned') does not go with `cell` {cell!r}, which is torch's own")
    if recurrent_dropout:
        raise ValueError(
            f"`recurrent_dropout` (={recurrent_dropout}) does not go with `cell` {cell!r}, which is torch's own"
        )


def _torch_layers(cell: str, input_size: int, hidden_size: int, **options: Any) -> nn.Module:
    torch_class, hand_written = TORCH_LAYERS[cell]
    with torch.device("meta"):  # skip torch's initialisation, whose random numbers would shift all later ones
        layers = torch_class(input_size, hidden_size, **options).to_empty(device="cpu")
    layers.load_state_dict(hand_written(input_size, hidden_size, **options).torch_state_dict())
    return layers


def _own_cell(path: str, input_size: int, hidden_size: int, options: Mapping[str, Any]) -> Any:
    """Make a user's own cell."""
    found = _import_cell(path)
    try:
        positional, named = arguments_of(found, {"input_size": input_size, "hidden_size": hidden_size}, options)
    except TypeError as error:
        raise ValueError(
            f"`cell` (={path!r}) can't be made: {error}. Arguments besides sizes are given by `cell_options`"
        ) from error
    try:
        made = found(*positional, **named)
    except Exception as error:  # whatever a user's constructor raises
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"`cell` (={path!r}) can't be made: {said}. {say_check(found)}") from error
    for lost in find_unregistered(made):
        if lost.takes_gradients:
            warnings.warn(
                f"`{lost.path}` of {found.__name__} is none of its parameters or modules: its weights are neither "
                f"trained nor saved. {say_check(found)}",
                stacklevel=3,
            )
            break
    return made


def _check_options(cell: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := [name for name in options if name not in known]:
        others = f"only {' and '.join(known)}" if known else "which is torch's own"
        raise ValueError(f"`cell_options` (={dict(options)}): `cell` {cell!r} has no `{unknown[0]}`, {others}")


def _identity_rnn(input_size: int, hidden_size: int, **options: Any) -> RNN:
    """Build ReLU layers with identity recurrent weights: at first they keep their state (Le et al., 2015)."""
    layers = RNN(input_size, hidden_size, nonlinearity="relu", **options)
    for cell in layers.cells:
        nn.init.eye_(cell.get_parameter("weight_hh"))
    return layers


def _start_gates(layers: TorchLike, starts: Mapping[str, float]) -> None:
    """Initialise the input biases of the given gates, in all layers."""
    names = cast("RecurrentCell", layers.cells[0]).gate_names
    if unknown := starts.keys() - set(names):
        raise ValueError(f"`forget_bias` (={dict(starts)}): there is no {sorted(unknown)[0]} among {', '.join(names)}")
    for cell in layers.cells:
        of_gates = dict(zip(names, cell.get_parameter("bias_ih").split(layers.hidden_size), strict=True))
        for name, value in starts.items():
            nn.init.constant_(of_gates[name], value)


def _import_cell(path: str) -> type:
    module_name, _, class_name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name) if module_name else None
    except (ImportError, AttributeError) as error:
        raise ValueError(f"`cell` (={path!r}) can't be imported: {error}{_suggest(path)}") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        known = [*LAYERS, *TORCH_LAYERS]
        raise ValueError(f"`cell` (={path!r}) must be one of {known}, or the path of a class such as my_cells.MyCell")
    if issubclass(found, nn.RNNBase | nn.RNNCellBase | Recurrent):  # whole layers, and cells of another contract
        kind = next((name for name in ("lstm", "gru", "rnn") if name in class_name.lower()), "NAME")
        ready = f"{kind!r}" if issubclass(found, Recurrent) else f"'torch_{kind}', or {kind!r} for the hand-written one"
        raise ValueError(f"`cell` (={path!r}) is no RecurrentCell: give {ready}")
    return found


def _suggest(path: str) -> str:
    """What to write instead of a path: of a file, as `seqsum.check` takes it, or of a class whose name is misspelt."""
    file, _, name = path.partition(":")
    if file.endswith(".py"):
        parts, is_elsewhere = Path(file).with_suffix("").parts, Path(file).is_absolute() or ".." in Path(file).parts
        written = ".".join(parts[-1:] if is_elsewhere else parts)
        return f". Write `{written}.{name or 'NAME'}`{', with its folder in PYTHONPATH' if is_elsewhere else ''}"
    module_name, _, class_name = path.rpartition(".")
    known = vars(sys.modules[module_name]) if module_name in sys.modules else {}
    classes = [name for name, found in known.items() if isinstance(found, type) and issubclass(found, nn.Module)]
    near = get_close_matches(class_name, classes, 1, 0.6)
    return f": did you mean `{module_name}.{near[0]}`?" if near else ""


LAYERS: dict[str, Callable[..., TorchLike]] = {"rnn": RNN, "irnn": _identity_rnn, "lstm": LSTM, "gru": GRU}
CELL_OPTIONS: dict[str, tuple[str, ...]] = {  # what has no option of its own on the command line
    "rnn": ("layer_norm", "nonlinearity"),
    "irnn": ("layer_norm",),
    "lstm": ("layer_norm", "proj_size"),
    "gru": ("layer_norm",),
}
KEEPING_GATES = {"lstm": "forget_gate", "gru": "update_gate"}  # gates that keep the state when open
TORCH_LAYERS: dict[str, tuple[Callable[..., nn.RNNBase], Callable[..., TorchLike]]] = {
    "torch_rnn": (nn.RNN, RNN),
    "torch_lstm": (nn.LSTM, LSTM),
    "torch_gru": (nn.GRU, GRU),
}
