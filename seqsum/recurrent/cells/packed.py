"""Base class of the built-in cells: one weight matrix holds all gates, as in torch.nn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from seqsum.recurrent.cells.base import RecurrentCell, check_probability, check_switch, list_options
from seqsum.recurrent.warn import warn_caller

DEFAULTS: dict[str, Any] = {  # the options that `repr` shows, and their defaults
    **{"proj_size": 0, "bias": True, "nonlinearity": "tanh", "output_activation": "tanh"},
    **{"recurrent_dropout": 0.0, "layer_norm": False, "recurrent_bias": True},
}


class PackedCell(RecurrentCell):
    """Base class for cells with one weight matrix for all gates, packed and named as in torch.nn.

        weight_ih (G·H, F) · weight_hh (G·H, P) · bias_ih (G·H,) · bias_hh (G·H,)

    `P` is the size of the hidden state. Initial values differ from torch's. For each gate, recurrent weights
    are orthogonal (Saxe et al., 2014), so that gradients neither grow nor shrink on their way back through
    time, and input weights are Glorot-uniform (Glorot & Bengio, 2010). Biases are zero.

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        bias: Whether the gates have biases.
        num_gates: Blocks of `H` rows in the weights, `G`.
        state_size, output_size: See `RecurrentCell`.
        recurrent_dropout: Probability of dropping a unit of the hidden state before the gates read it, in
            training. One mask serves all steps of a sequence (Gal & Ghahramani, 2016).
        layer_norm: Whether to normalise the input's and the hidden state's contributions to the gates,
            each over all `G·H` and with its own gain, before biases are added (Ba et al., 2016).
        recurrent_bias: Whether there is a second bias, `bias_hh`, as in torch. It is redundant for all but the
            GRU's candidate, because it is added to `bias_ih`.
        device, dtype: Device and type of the parameters.

    Raises:
        TypeError: A size is not an integer, or a switch is not a bool.
        ValueError: A size is below one, or a probability outside [0, 1].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        num_gates: int,
        state_size: Sequence[int] | None = None,
        output_size: int | None = None,
        recurrent_dropout: float = 0.0,
        layer_norm: bool = False,
        recurrent_bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, state_size=state_size, output_size=output_size)
        if type(bias) is not int or bias not in (0, 1):  # which torch's cells take, and code such as Tacotron 2's gives
            check_switch("bias", bias)
        for name, switch in (("layer_norm", layer_norm), ("recurrent_bias", recurrent_bias)):
            check_switch(name, switch)
        check_probability("recurrent_dropout", recurrent_dropout)
        rows = num_gates * hidden_size
        self.bias = bias
        self.recurrent_bias = recurrent_bias
        self.recurrent_dropout = recurrent_dropout
        self.layer_norm = layer_norm
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.state_size[0], device=device, dtype=dtype))
        self.bias_ih = nn.Parameter(torch.empty(rows, device=device, dtype=dtype)) if bias else None
        two = bias and recurrent_bias
        self.bias_hh = nn.Parameter(torch.empty(rows, device=device, dtype=dtype)) if two else None
        self.norm_ih, self.norm_hh = (
            nn.LayerNorm(rows, bias=False, device=device, dtype=dtype) if layer_norm else unchanged for _ in range(2)
        )

    def reset_parameters(self) -> None:
        """Initialize all parameters, see the class docstring; modules inside, such as a subclass's, by themselves.

        The parameters behind a pruned or parametrized weight get torch.nn's initial values.
        """
        named: dict[str, Any] = dict(self.named_children())
        resettable = {name: part for name, part in named.items() if hasattr(part, "reset_parameters")}
        for part in resettable.values():
            part.reset_parameters()
        for name, parameter in self.named_parameters():
            if name.partition(".")[0] not in resettable:
                self.start(name, parameter.detach())

    def start(self, name: str, parameter: Tensor) -> None:
        """Fill the parameter called `name` with its initial values."""
        if name == "weight_ih":
            for gate in parameter.split(self.hidden_size):
                nn.init.xavier_uniform_(gate)
        elif name == "weight_hh":
            for gate in parameter.split(self.hidden_size):
                # draw in float32 at least: 16-bit types have no QR decomposition
                drawn = torch.empty_like(gate, dtype=torch.promote_types(gate.real.dtype, torch.float32))
                gate.copy_(nn.init.orthogonal_(drawn))
        elif name in ("bias_ih", "bias_hh"):
            nn.init.zeros_(parameter)
        else:
            uniform_as_torch(parameter, self.hidden_size)

    def extra_repr(self) -> str:
        return super().extra_repr() + list_options(self, DEFAULTS)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "qconfig":  # torch.ao.quantization sets it on every module that it visits
            warn_caller(
                f"quantization leaves {type(self).__name__} as it is: torch.ao.quantization only knows the cells and "
                "layers of torch.nn; they load the `torch_state_dict()` of a layer"
            )
        super().__setattr__(name, value)

    def project(self, input: Tensor) -> Tensor:
        """Compute `W_i x` plus the biases for all gates, `(…, F) -> (…, G·H)`."""
        if self.bias_ih is None:
            return self.project_with(input, self.bias_hh)
        if self.bias_hh is None:
            return self.project_with(input, self.bias_ih)
        return self.project_with(input, self.bias_ih + self.bias_hh)

    def project_with(self, input: Tensor, bias: Tensor | None) -> Tensor:
        """Compute `W_i x`, normalised with `layer_norm`, plus the given bias."""
        if not self.layer_norm:
            return F.linear(input, self.weight_ih, bias)
        projected = self.norm_ih(F.linear(input, self.weight_ih))
        return projected if bias is None else projected + bias

    def recur(self, state: list[Tensor]) -> Tensor:
        """Compute `W_h hidden` for all gates, `(…, P) -> (…, G·H)`, without bias; applies dropout and `layer_norm`."""
        hidden = state[0]
        if len(state) > len(self.state_size):
            hidden = hidden * state[len(self.state_size)]
        return self.norm_hh(F.linear(hidden, self.weight_hh))

    def constants(
        self, batch_size: int, like: Tensor, generator: Generator | None = None, *given: Tensor | None
    ) -> list[Tensor]:
        """Draw the hidden state's dropout mask `(B, P)`, zeros and 1 / (1 - p); none in evaluation or for p = 0.

        A subclass's own constants follow the mask. Since `recur` takes the first constant for the mask, it is then
        returned in evaluation too, as ones.
        """
        others = super().constants(batch_size, like, generator, *given)
        if self.training and self.recurrent_dropout:
            mask = dropout_mask(like.new_empty(batch_size, self.state_size[0]), self.recurrent_dropout, generator)
            return [mask, *others]
        return [like.new_ones(batch_size, self.state_size[0]), *others] if others else []


def unchanged(values: Tensor) -> Tensor:
    """Return the values, in place of a normalisation; a function, since tools would list a module."""
    return values


def uniform_as_torch(parameter: Tensor, hidden_size: int) -> None:
    """Fill the parameter uniformly in ±1/√H, as torch.nn's recurrent layers do."""
    bound = hidden_size**-0.5
    nn.init.uniform_(parameter, -bound, bound)


def dropout_mask(like: Tensor, probability: float, generator: Generator | None) -> Tensor:
    """Draw a dropout mask in the shape of `like`: zero with the given probability, else 1 / (1 - probability)."""
    kept = torch.empty_like(like).bernoulli_(1 - probability, generator=generator)
    return kept if probability == 1 else kept.div_(1 - probability)
