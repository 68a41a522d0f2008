"""Networks of equal size: the hidden size that a number of parameters allows."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from seqsum.errors import InputError


def largest_size(build: Callable[[int], nn.Module], budget: int) -> int:
    """The largest size for which what `build` makes has at most `budget` parameters.

    Args:
        build: Makes a network from a size; the larger, the more parameters.
        budget: Of parameters.

    Raises:
        InputError: Even with size 1 there are more.
    """
    if (least := count_parameters(build(1))) > budget:
        raise InputError(f"`budget` (={budget}) must be at least {least}, the parameters of a network of size 1")
    fits, too_large = 1, 2
    while count_parameters(build(too_large)) <= budget:
        fits, too_large = too_large, 2 * too_large
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if count_parameters(build(middle)) <= budget:
            fits = middle
        else:
            too_large = middle
    return fits


def count_parameters(network: nn.Module) -> int:
    """Numbers that a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())
