"""RNN, LSTM and GRU with the arguments, results and weights of their namesakes in torch.nn."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypedDict, cast

import torch
from torch import Tensor

from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import GRUCell, LSTMCell, Nonlinearity, OutputActivation, PackedCell, RecurrentCell, RNNCell
from seqsum.recurrent.cells.base import check_switch, list_options
from seqsum.recurrent.names import WeightNames
from seqsum.recurrent.recurrent import Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack


DEFAULTS: dict[str, Any] = {  # the options that `repr` shows, in torch.nn's order, and their defaults
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
    """Base class of `RNN`, `LSTM` and `GRU`, with torch.nn's arguments and its names for the weights.

    Arguments, outputs and gradients are the same as in torch.nn; initial weights are those of `PackedCell`.
    `load_state_dict` accepts state dicts of torch.nn, too. Names such as `layer.weight_hh_l0` refer to the
    parameters of the cells, also in `torch.nn.utils`. `docs/differences.md` lists the intended differences
    from torch.nn.

    Args:
        make_cell: Makes the first layer's forward cell from `cell_options`. `RNN`, `LSTM` and `GRU` take
            `input_size` (features per step, `F`), `hidden_size` (units, `H`) and `bias` instead.
        num_layers: Number of layers, `L`; each reads the outputs of the one below.
        batch_first: Whether inputs and outputs are `(B, T, …)` rather than `(T, B, …)`.
        dropout: Probability, in training, of dropping an output of any layer except the last.
        bidirectional: Whether each layer also reads the sequence backwards.
        backend: How the loop over time runs: "auto", "eager", "script", "compile", "bptt", "native" or
            "triton"; see `seqsum/recurrent/backends.py`.
        learn_initial_state: Whether to learn the initial state, starting at zero.
        cell_options: `device`, `dtype`, `recurrent_dropout`, `layer_norm` and `recurrent_bias`, see `PackedCell`.

    Attributes:
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU", as in torch.nn.
        proj_size: Size of the projected hidden state; 0 for no projection.

    Raises:
        TypeError: A size is not an integer, a switch is not a bool, or an option is unknown.
        ValueError: A size is below one, a probability outside [0, 1], or an option has an unknown value.
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
        try:
            cell = make_cell(**cell_options)
        except TypeError as error:
            unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if unknown is None or unknown[1] not in cell_options:
                raise
            raise TypeError(f"{type(self).__name__} has no argument `{unknown[1]}`") from error
        check_switch("bias", cell.bias)
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
        """Return a state dict that the torch.nn layer can load.

        With `recurrent_bias=False`, torch's second bias is zero.

        Raises:
            ValueError: torch.nn has no such weights (learned initial state, layer norm) or would compute
                other outputs (`output_activation="identity"`).
        """
        cells = [self._cell(index) for index in range(len(self.cells))]  # which may have been changed since
        for name, beyond in (
            ("learn_initial_state", len(self.initial_state) > 0),
            ("layer_norm", any(getattr(cell, "layer_norm", False) for cell in cells)),
            ("output_activation", any(getattr(cell, "output_activation", "tanh") != "tanh" for cell in cells)),
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
        """List torch.nn's names of all weights."""
        return list(self.weight_places)

    @property
    def _all_weights(self) -> list[list[str]]:
        """List torch.nn's names of the weights of each layer and direction."""
        return [[name + self.suffix(index) for name in self.weight_names] for index in range(len(self.cells))]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """List the weights of each layer and direction, as torch.nn does."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in self.__dict__.get("weight_places", ()):
                raise
            index, there = self.weight_places[name]
            return getattr(self._cell(index), there)  # pruned or parametrized in the cell itself

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.weight_places})

    def _computed_weights(self, index: int, cell: RecurrentCell) -> dict[str, Tensor]:
        """Include weights that are pruned or parametrized on this layer, under torch.nn's names."""
        computed = super()._computed_weights(index, cell)
        for name in self.weight_names:
            if not (name in cell._parameters or name in computed or hasattr(cell, name)):
                computed[name] = getattr(self, name + self.suffix(index))
        return computed

    def extra_repr(self) -> str:
        """List sizes and changed options, as torch.nn does."""
        return f"{self.input_size}, {self.hidden_size}{list_options(self, DEFAULTS)}"


class RNN(TorchLike):
    """Simple recurrent network (Elman, 1990), a replacement for `torch.nn.RNN`; `RNNCell` has the equation.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: See `TorchLike`.
        nonlinearity: "tanh" or "relu".
        options: See `TorchLike`.

    Shapes of inputs and results are in `forward`.

    Raises:
        TypeError, ValueError: See `TorchLike`.
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
        """Nonlinearity of all cells, "tanh" or "relu"."""
        return cast(RNNCell, self._cell(0)).nonlinearity

    @property
    def mode(self) -> str:  # type: ignore[override]
        """Return torch.nn's name for the kind of layer, "RNN_TANH" or "RNN_RELU"."""
        return f"RNN_{self.nonlinearity.upper()}"


class LSTM(TorchLike):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997; forget gate: Gers et al., 2000).

    A replacement for `torch.nn.LSTM`; `LSTMCell` has the equations.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: See `TorchLike`.
        proj_size: Size of the projected hidden state; 0 for no projection.
        output_activation: "tanh" or "identity" for the last layer, see `LSTMCell`; the other layers have "tanh".
        options: See `TorchLike`.

    Shapes of inputs and results are in `forward`.

    Raises:
        TypeError, ValueError: See `TorchLike`.
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
        for inner in list(self.cells)[: -self.num_directions]:  # outputs that another layer reads stay as in torch
            setattr(inner, "output_activation", "tanh")  # noqa: B010  # mypy doesn't know that it is a cell

    @property
    def output_activation(self) -> OutputActivation:
        """Output activation of the last layer, "tanh" or "identity"."""
        return cast(LSTMCell, self._cell(len(self.cells) - 1)).output_activation


class GRU(TorchLike):
    """Gated recurrent unit (Cho et al., 2014), a replacement for `torch.nn.GRU`; `GRUCell` has the equations.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: See `TorchLike`.
        options: See `TorchLike`.

    Shapes of inputs and results are in `forward`.

    Raises:
        TypeError, ValueError: See `TorchLike`.
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

    torch.nn's initial state is zero, so a learned one is set to zero.
    """
    renamed = False
    for key in [key for key in state_dict if key.startswith(prefix)]:
        own = key.removeprefix(prefix)
        if own in layer.weight_places and own not in layer._buffers:  # a weight may have become a buffer of the layer
            index, name = layer.weight_places[own]
            state_dict[f"{prefix}cells.{index}.{name}"] = state_dict.pop(key)
            renamed = True
    if renamed:
        for index, learned in enumerate(layer.initial_state):
            state_dict.setdefault(f"{prefix}initial_state.{index}", torch.zeros_like(learned))
