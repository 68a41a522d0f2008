"""A network's convolutions by their names: filters, and what they make of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.errors import InputError
from seqsum.figures.convolutions import plot_feature_maps, plot_filters
from seqsum.figures.page import Section
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation

ENCODER = "encoder.module."  # prefix of the names in an encoder, left out


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return a network's two-dimensional convolutions by their names, without the prefix of those of an encoder."""
    modules = network.named_modules()
    return {name.removeprefix(ENCODER): module for name, module in modules if isinstance(module, nn.Conv2d)}


def chosen_convolutions(network: nn.Module, names: Sequence[str] | None) -> dict[str, nn.Conv2d]:
    """Return the convolutions with these names, or the first and the last.

    Raises:
        InputError: The network has no convolution of a name.
    """
    found = convolutions(network)
    if names is None:
        names = [*dict.fromkeys([*found][:1] + [*found][-1:])]
    for name in names:
        if name not in found:
            known = f"one of {', '.join(found)}" if found else "left out: this network has none"
            raise InputError(f"`convolutions` (={name}) must be {known}")
    return {name: found[name] for name in names}


@torch.no_grad()
def feature_maps(network: nn.Module, batch: Batch, convolution: nn.Conv2d) -> Tensor:
    """Compute what a convolution makes of the first image of a batch, `(C', Y', X')`."""
    kept: list[Tensor] = []
    hook = convolution.register_forward_hook(lambda _, __, maps: kept.append(maps[0]))
    try:
        network(batch.map(lambda tensor: tensor[:1]))
    finally:
        hook.remove()
    return kept[0]


def describe_convolutions(evaluation: Evaluation, names: Sequence[str] | None = None) -> list[Section]:
    """Make two sections for each convolution, of its filters and of its maps of the first image; see `FIGURES`.

    Args:
        evaluation: Its network must read images: inputs `(B, T, C, Y, X)`.
        names: Names of the convolutions; by default the first and the last.

    Raises:
        InputError: The network has no convolution of a name.
    """
    image = evaluation.first.inputs[0, 0]  # (C, Y, X)
    sections = []
    for name, convolution in chosen_convolutions(evaluation.network, names).items():
        title, text = captions.FIGURES["filters"]
        figure = plot_filters(convolution.weight)
        sections.append(Section(f"{title} of {name}", text, f"filters_{name}", figure))
        title, text = captions.FIGURES["feature_maps"]
        figure = plot_feature_maps(image, feature_maps(evaluation.network, evaluation.first, convolution))
        sections.append(Section(f"{title} of {name}", text, f"feature_maps_{name}", figure))
    return sections
