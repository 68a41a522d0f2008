"""Encoders: turn a single step's input into the features that the recurrence reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from seqsum.errors import InputError, check_sizes

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own from Python 3.11 on

    from seqsum.data.base import SequenceData


class Encoder(nn.Module):
    """Maps one step's input `(N, …)` to features `(N, output_size)`.

    Attributes:
        output_size: Features, `F`.
        frozen: Whether the encoder stays as it is, always in evaluation, while the rest of the network learns.
        held: Layers that stay as they are while others of the encoder learn.
        hurries: Whether the rest of the network learns: a frozen encoder may then spend less time on an input.
        follows: Arguments that follow a size of the data of another name, see `SequenceData.sizes`.
    """

    follows: ClassVar[Mapping[str, str]] = {}
    output_size: int
    frozen: bool = False
    held: tuple[nn.Module, ...] = ()
    hurries: bool = False

    def freeze(self, layers: Iterable[nn.Module] | None = None) -> None:
        """Stop learning, or let some layers stop: weights and running statistics stay as they are."""
        self.frozen = layers is None
        self.held = () if layers is None else tuple(layers)
        for layer in (self,) if layers is None else self.held:
            layer.requires_grad_(False)
        self.train(self.training)

    def begin(self, data: SequenceData | None) -> None:
        """Prepare for a training on these data, which have been read; nothing by default.

        Args:
            data: The data, or None if the training has only loaders.
        """

    def check_start(self) -> None:
        """Check, where a training begins, that what is not trained has been trained before; nothing by default.

        Raises:
            InputError: It has not.
        """

    def train(self, mode: bool = True) -> Self:
        """Set the mode, which for what is frozen is always evaluation."""
        self.hurries = mode
        super().train(mode and not self.frozen)
        for layer in self.held:
            layer.eval()
        return self


class Flatten(Encoder):
    """Flattens a step's input to a vector: for inputs that are features already, such as a row of pixels.

    Args:
        output_size: Numbers in a step's input, `F`. On the command line it follows the data, if they know it; 28
            otherwise.

    Raises:
        ValueError: The size is below one.
        InputError: In `forward`, the inputs are no floating-point numbers, or of another size.
    """

    follows: ClassVar[Mapping[str, str]] = {"output_size": "input_size"}

    def __init__(self, output_size: int | None = None) -> None:
        super().__init__()
        self.output_size = 28 if output_size is None else output_size
        check_sizes(output_size=self.output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Flatten inputs `(N, …)` to features `(N, F)`."""
        return flatten_steps(inputs, "output_size", self.output_size)


def flatten_steps(inputs: Tensor, name: str, size: int) -> Tensor:
    """Flatten inputs `(N, …)` to `(N, F)`; raise an InputError if that can't be, or `F` isn't the argument `name`."""
    if not inputs.is_floating_point():
        raise InputError(
            f"the encoder reads numbers at each step, and these data have inputs of type {inputs.dtype}: "
            "`--model.encoder` may be Embed for word ids"
        )
    numbers = inputs.flatten(1) if inputs.dim() > 1 else inputs.unsqueeze(1)
    if numbers.shape[1] != size:
        raise InputError(
            f"`{name}` (={size}) of the encoder must be the {numbers.shape[1]} numbers that a step's input has"
        )
    return numbers
