"""RNN, LSTM and GRU with the arguments, the results and the weights of their namesakes in torch.nn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypedDict, cast

import torch
from torch import Tensor

from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import GRUCell, LSTMCell, Nonlinearity, OutputActivation, PackedCell, RecurrentCell, RNNCell
from seqsum.recurrent.cells.base import list_options
from seqsum.recurrent.names import WeightNames
from seqsum.recurrent.recurrent import Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack


DEFAULTS: dict[str, Any] = {  # of the options that the layers show, in the order of torch.nn
    **{"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False},
    **{"recurrent_bias": True, "backend": "auto"},
}


class Options(TypedDict, total=False):
    """The keyword arguments that `RNN`, `LSTM` and `GRU` share, see `TorchLike`."""

    backend: Backend
    learn_initial_state: bool
    recurrent_dropout: float
    layer_norm: bool
    recurrent_bias: bool


class TorchLike(Recurrent):
    """What `RNN`, `LSTM` and `GRU` have in common: torch.nn's arguments, and its names for the weights.

    Same arguments, same outputs, same gradients. Fresh weights start as `PackedCell` says, not as in torch.
    `load_state_dict` takes a state dict of torch.nn as well as its own; `layer.weight_hh_l0` and its like
    are the parameters of the cells, for `torch.nn.utils` too. Where the layers differ from torch.nn's on purpose
    is listed in `docs/differences.md`.

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
        cell_options: `device`, `dtype`, `recurrent_dropout`, `layer_norm` and `recurrent_bias`, see `PackedCell`.

    Attributes:
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU", as in torch.nn.
        proj_size: Size that the hidden state is projected to; 0 for none.

    Raises:
        TypeError: A size that is not whole, a switch that is not a bool, an unknown option.
        ValueError: A size below one, a probability outside [0, 1].
    """

    mode: str

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
        self.proj_size = getattr(cell, "proj_size", 0)
        self.recurrent_bias = cell.recurrent_bias
        self.weight_names = [name for name, _ in cell.named_parameters(recurse=False)]
        places = product(range(len(self.cells)), self.weight_names)
        self.weight_places = {name + self.suffix(index): (index, name) for index, name in places}
        self._parameters = WeightNames(self._parameters, self._modules, self.weight_places)
        self.register_load_state_dict_pre_hook(_from_torch_names)
        if type(self).reset_parameters is not Recurrent.reset_parameters:  # otherwise the cells have done it
            self.reset_parameters()

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
        for name in self.weight_places:
            found[name] = getattr(self, name).detach()
            if name.startswith("bias_ih") and not self.recurrent_bias:
                found[name.replace("ih", "hh")] = torch.zeros_like(found[name])
        return found

    @property
    def _flat_weights_names(self) -> list[str]:
        """Names of all weights, as in torch.nn."""
        return list(self.weight_places)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of each layer and direction, as in torch.nn."""
        suffixes = map(self.suffix, range(len(self.cells)))
        return [[getattr(self, name + suffix) for name in self.weight_names] for suffix in suffixes]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in self.__dict__.get("weight_places", ()):
                raise
            index, there = self.weight_places[name]
            return getattr(self.cells[index], there)  # pruned or parametrized in the cell itself

    def _computed_weights(self, index: int, cell: RecurrentCell) -> dict[str, Tensor]:
        """Also those that are pruned or parametrized by torch's names, in this layer."""
        computed = super()._computed_weights(index, cell)
        for name in self.weight_names:
            if not (name in cell._parameters or name in computed or hasattr(cell, name)):
                computed[name] = getattr(self, name + self.suffix(index))
        return computed

    def extra_repr(self) -> str:
        """As in torch.nn."""
        return f"{self.input_size}, {self.hidden_size}{list_options(self, DEFAULTS)}"


class RNN(TorchLike):
    """A simple recurrent network that takes the place of `torch.nn.RNN`; the equation is in `RNNCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: See `TorchLike`.
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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Options],
    ) -> None:
        cell = partial(RNNCell, input_size, hidden_size, bias, nonlinearity, device, dtype)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)

    @property
    def nonlinearity(self) -> Nonlinearity:
        """Of all cells, "tanh" or "relu"."""
        return cast(RNNCell, self.cells[0]).nonlinearity

    @property
    def mode(self) -> str:  # type: ignore[override]
        """As in torch.nn."""
        return f"RNN_{self.nonlinearity.upper()}"


class LSTM(TorchLike):
    """A hand-written LSTM that takes the place of `torch.nn.LSTM`; the equations are in `LSTMCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: See `TorchLike`.
        proj_size: Size that the hidden state is projected to; 0 for none.
        output_activation: "tanh" or "identity", of the last layer; see `LSTMCell`.
        options: See `TorchLike`.
    """

    mode = "LSTM"

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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        output_activation: OutputActivation = "tanh",
        **options: Unpack[Options],
    ) -> None:
        beyond: dict[str, Any] = {"proj_size": proj_size, "output_activation": output_activation}
        cell = partial(LSTMCell, input_size, hidden_size, bias, device, dtype, **beyond)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)
        for inner in list(self.cells)[: -self.num_directions]:  # what another layer reads stays as in torch
            setattr(inner, "output_activation", "tanh")  # noqa: B010  # to mypy it is any module

    @property
    def output_activation(self) -> OutputActivation:
        """Of the last layer, "tanh" or "identity"."""
        return cast(LSTMCell, self.cells[-1]).output_activation


class GRU(TorchLike):
    """A gated recurrent unit that takes the place of `torch.nn.GRU`; the equations are in `GRUCell`.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: See `TorchLike`.
        options: See `TorchLike`.
    """

    mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Options],
    ) -> None:
        cell = partial(GRUCell, input_size, hidden_size, bias, device, dtype)
        super().__init__(cell, num_layers, batch_first, dropout, bidirectional, **options)


def _from_torch_names(layer: TorchLike, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename `weight_ih_l0_reverse` to `cells.1.weight_ih` and so on, in place, before weights are loaded.

    The initial state that torch.nn knows is zero, so a learned one starts from there again.
    """
    renamed = False
    for key in [key for key in state_dict if key.startswith(prefix)]:
        if place := layer.weight_places.get(key.removeprefix(prefix)):
            index, name = place
            state_dict[f"{prefix}cells.{index}.{name}"] = state_dict.pop(key)
            renamed = True
    if renamed:
        for index, learned in enumerate(layer.initial_state):
            state_dict.setdefault(f"{prefix}initial_state.{index}", torch.zeros_like(learned))
