"""Finds the largest hidden size for a number of parameters, to compare networks of equal size."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from seqsum.errors import InputError


def largest_size(build: Callable[[int], nn.Module], budget: int) -> int:
    """Find the largest size for which `build(size)` has at most `budget` parameters.

    Args:
        build: Makes a network of a size; its number of parameters must grow with the size.
        budget: Largest number of parameters.

    Raises:
        InputError: A network of size 1 already has more parameters.
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
    """Count a network's parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def describe_size(network: nn.Module) -> str:
    """Say how many parameters a network has, and how many of them are frozen, if any are: `1,290 (650 frozen)`."""
    frozen = sum(parameter.numel() for parameter in network.parameters() if not parameter.requires_grad)
    return f"{count_parameters(network):,}{f' ({frozen:,} frozen)' if frozen else ''}"
