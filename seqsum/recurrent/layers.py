"""RNN, LSTM and GRU with the arguments, the results and the weights of their namesakes in torch.nn."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor, nn

from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import GRUCell, LSTMCell, Nonlinearity, OutputActivation, PackedCell, RNNCell
from seqsum.recurrent.recurrent import Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TORCH_NAME = re.compile(r"((?:weight|bias)_(?:ih|hh|hr))_l(\d+)(_reverse)?")


class Options(TypedDict, total=False):
    """The keyword arguments that `RNN`, `LSTM` and `GRU` share, see `TorchLike`."""

    backend: Backend
    learn_initial_state: bool
    recurrent_dropout: float
    layer_norm: bool
    recurrent_bias: bool
    device: torch.device | str | None
    dtype: torch.dtype | None


class TorchLike(Recurrent):
    """What `RNN`, `LSTM` and `GRU` have in common: torch.nn's arguments, and its names for the weights.

    Same arguments, same outputs, same gradients. Fresh weights start as `PackedCell` says, not as in torch.
    `load_state_dict` takes a state dict of torch.nn as well as its own; `layer.weight_hh_l0` and its like
    are the parameters of the cells.

    Args:
        make_cell: The first layer's forward cell, when called with the options that are the cell's. The
            three take `input_size` (features per step, `F`), `hidden_size` (units, `H`) and `bias` instead.
        num_layers: Layers, `L`; each reads the outputs of the one below.
        batch_first: Whether inputs and outputs are `(B, T, …)` rather than `(T, B, …)`.
        dropout: Probability of dropping an output of a layer that another reads, in training.
        bidirectional: Whether each layer also reads from the end.
        backend: How the loop over time runs: "auto", "eager", "script", "compile", "bptt", "native" or
            "triton"; see `seqsum/recurrent/backends.py`.
        learn_initial_state: Whether the state before the first step is learned, from zero.
        cell_options: `recurrent_dropout`, `layer_norm`, `recurrent_bias`, `device` and `dtype`, see `PackedCell`.

    Raises:
        ValueError: A size below one, a probability outside [0, 1], an unknown option.
    """

    def __init__(
        self,
        make_cell: Callable[..., PackedCell],
        num_layers: int,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        *,
        backend: Backend = "auto",
        learn_initial_state: bool = False,
        **cell_options: Any,
    ) -> None:
        cell = make_cell(**cell_options)
        super().__init__(
            cell,
            num_layers=num_layers,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            backend=backend,
            learn_initial_state=learn_initial_state,
        )
        self.bias = cell.bias
        self.recurrent_bias = cell.recurrent_bias
        self.register_load_state_dict_pre_hook(_from_torch_names)

    def torch_state_dict(self) -> dict[str, Tensor]:
        """The weights under the names of torch.nn, ready for its `load_state_dict`.

        Where a cell has one bias, torch's second one is zero.

        Raises:
            ValueError: There are weights that torch.nn has no place for, or the outputs would differ.
        """
        for name, beyond in (
            ("learn_initial_state", len(self.initial_state) > 0),
            ("layer_norm", getattr(self.cells[0], "layer_norm", False)),
            ("output_activation", getattr(self.cells[-1], "output_activation", "tanh") != "tanh"),
        ):
            if beyond:
                raise ValueError(f"`{name}` of this {type(self).__name__} has no counterpart in torch.nn")
        found: dict[str, Tensor] = {}
        for index, cell in enumerate(self.cells):
            weights = cell.state_dict()
            if self.bias and not self.recurrent_bias:
                weights["bias_hh"] = torch.zeros_like(weights["bias_ih"])
            found |= {name + self.suffix(index): tensor for name, tensor in weights.items()}
        return found

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer and direction, as in torch.nn."""
        return [list(cell.parameters()) for cell in self.cells]

    def find(self, torch_name: str) -> tuple[int, str] | None:
        """Index of the cell that has the weight of this name in torch.nn, and its name there."""
        match = _TORCH_NAME.fullmatch(torch_name)
        if match is None:
            return None
        index = int(match[2]) * self.num_directions + (match[3] is not None)
        fits = index < len(self.cells) and (match[3] is None or self.bidirectional)
        return (index, match[1]) if fits else None

    def __getattr__(self, name: str) -> Any:
        place = self.find(name) if name.startswith(("weight_", "bias_")) else None
        return super().__getattr__(name) if place is None else getattr(self.cells[place[0]], place[1])

    def __setattr__(self, name: str, value: Any) -> None:
        place = self.find(name) if name.startswith(("weight_", "bias_")) else None
        if place is None:
            super().__setattr__(name, value)
        else:
            setattr(self.cells[place[0]], place[1], value)

    def extra_repr(self) -> str:
        """As in torch.nn."""
        shown = [str(self.input_size), str(self.hidden_size)]
        for name, default in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0),
            ("bidirectional", False), ("recurrent_bias", True), ("backend", "auto"),
        ):  # fmt: skip
            if (value := getattr(self, name, default)) != default:
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)


class RNN(TorchLike):
    """A simple recurrent network that takes the place of `torch.nn.RNN`; the equation is in `RNNCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: See `TorchLike`.
        nonlinearity: "tanh" or "relu".
        options: See `TorchLike`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[Options],
    ) -> None:
        cell = partial(RNNCell, input_size, hidden_size, bias, nonlinearity)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)
        self.nonlinearity = nonlinearity


class LSTM(TorchLike):
    """A hand-written LSTM that takes the place of `torch.nn.LSTM`; the equations are in `LSTMCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: See `TorchLike`.
        proj_size: Size that the hidden state is projected to; 0 for none.
        output_activation: "tanh" or "identity", of the last layer; see `LSTMCell`.
        options: See `TorchLike`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        output_activation: OutputActivation = "tanh",
        **options: Unpack[Options],
    ) -> None:
        cell = partial(
            LSTMCell, input_size, hidden_size, bias, proj_size=proj_size, output_activation=output_activation
        )
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)
        self.proj_size = proj_size
        self.output_activation = output_activation
        for inner in list(self.cells)[: -self.num_directions]:  # what another layer reads stays as in torch
            setattr(inner, "output_activation", "tanh")  # noqa: B010  # to mypy it is any module


class GRU(TorchLike):
    """A gated recurrent unit that takes the place of `torch.nn.GRU`; the equations are in `GRUCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: See `TorchLike`.
        options: See `TorchLike`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **options: Unpack[Options],
    ) -> None:
        cell = partial(GRUCell, input_size, hidden_size, bias)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


def _from_torch_names(layer: TorchLike, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename `weight_ih_l0_reverse` to `cells.1.weight_ih` and so on, in place, before weights are loaded.

    The initial state that torch.nn knows is zero, so a learned one starts from there again.
    """
    renamed = False
    for key in [key for key in state_dict if key.startswith(prefix)]:
        if place := layer.find(key.removeprefix(prefix)):
            state_dict[f"{prefix}cells.{place[0]}.{place[1]}"] = state_dict.pop(key)
            renamed = True
    if renamed:
        for index, learned in enumerate(layer.initial_state):
            state_dict.setdefault(f"{prefix}initial_state.{index}", torch.zeros_like(learned))
