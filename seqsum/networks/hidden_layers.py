"""An encoder of hidden layers, which reads all numbers of a step's input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from seqsum.errors import check_choice, check_sizes
from seqsum.networks.encoders import Encoder, flatten_steps
from seqsum.networks.weight_starts import WeightStart, start_weights
from seqsum.recurrent.cells.base import check_probability

HiddenActivation = Literal["relu", "tanh", "sigmoid"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
PIXELS = 784  # of MNIST


class HiddenLayers(Encoder):
    """Linear layers, each followed by an activation and dropout: with a linear head, a multilayer perceptron.

    Args:
        sizes: Units of each layer; the last are the features.
        activation: `relu`, `tanh` or `sigmoid`.
        start: Start of the weights: `torch`, `he`, `glorot`, `normal` or `zeros`, see `start_weights`. From zeros, with
            a head that starts from zeros too, all units of a layer stay equal.
        dropout: Probability of dropping a unit, in training.
        input_size: Numbers in a step's input. On the command line it follows the data, if they know it; 784 otherwise.

    Raises:
        ValueError: There is no layer, a size is below one, a probability outside [0, 1], or a name unknown; in
            `forward`, `input_size` is not that of the input.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (128,),
        activation: HiddenActivation = "relu",
        start: WeightStart = "he",
        dropout: float = 0.0,
        input_size: int | None = None,
    ) -> None:
        super().__init__()
        if len(sizes) == 0 or min(sizes) < 1:
            raise ValueError(f"`sizes` (={list(sizes)}) must be one or more numbers of at least 1")
        check_choice("activation", activation, HiddenActivation)
        check_probability("dropout", dropout)
        input_size = PIXELS if input_size is None else input_size
        check_sizes(input_size=input_size)
        layers = [nn.Linear(*pair) for pair in pairwise([input_size, *sizes])]
        for layer in layers:
            start_weights(layer, start)
        self.input_size = input_size
        self.output_size = sizes[-1]
        parts = ((layer, ACTIVATIONS[activation](), nn.Dropout(dropout)) for layer in layers)
        self.layers = nn.Sequential(*(part for of_layer in parts for part in of_layer))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs `(N, …)` to features `(N, F)`."""
        return self.layers(flatten_steps(inputs, "input_size", self.input_size))
