"""What a convolution looks for, its filters, and what it finds in an image, its feature maps."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.classified import as_picture
from seqsum.figures.style import FONT, GIVEN, colour_scale, common_style, new_figure, shown

FILTERS, INPUTS, MAPS = 16, 24, 32  # most that are drawn: more would be too small to see
PER_LINE = 8
GAP = 1  # pixels between two tiles
BETWEEN = "#cccccc"  # colour of the gaps: white is 0


@common_style
def plot_filters(weights: Tensor) -> Figure:
    """Draw the filters of a convolution: one tile each for grey images, in colour for three, else a row for each.

    Args:
        weights: `(C', C, Y, X)`: for each of the `C'` maps, its weights for each of the `C` maps that it reads.
    """
    weights = shown(weights)
    count, inputs = weights.shape[:2]
    if inputs == 1:
        return _drawn(tile(weights[:MAPS, 0], PER_LINE), _counted("filters", count, MAPS), weights)
    if inputs == 3:
        limit = max(float(weights.abs().max()), 1e-9)
        colours = [tile(weights[:MAPS, colour] / limit / 2 + 0.5, PER_LINE) for colour in range(3)]
        pixels = np.nan_to_num(np.stack(colours, axis=-1), nan=1.0)
        return _drawn(pixels, f"{_counted('filters', count, MAPS)}, grey: 0", None)
    note = f"rows: {_counted('filters', count, FILTERS)} · columns: {_counted('maps read', inputs, INPUTS)}"
    few = weights[:FILTERS, :INPUTS]
    return _drawn(tile(few.flatten(0, 1), few.shape[1]), note, weights)


@common_style
def plot_feature_maps(image: Tensor, maps: Tensor) -> Figure:
    """Draw an image and what a convolution makes of it, before normalisation and activation.

    Args:
        image: `(C, Y, X)`, of any scale.
        maps: The convolution's outputs `(C', Y', X')`.
    """
    image, maps = shown(image), shown(maps)
    pixels = tile(maps[:MAPS], PER_LINE)
    side = 0.75
    figure, axes = _axes(pixels, _counted("maps", len(maps), MAPS), left=side + 0.25)
    _show(axes, pixels, maps, figure)
    height = figure.get_figheight()
    spread = image.max() - image.min()
    of_image = figure.add_axes((0.08 / figure.get_figwidth(), (height - side - 0.3) / height, *_share(figure, side)))
    of_image.imshow(as_picture((image - image.min()) / spread.clamp(min=1e-9)), interpolation="nearest")
    of_image.set_axis_off()
    return figure


def tile(maps: Tensor, per_line: int) -> np.ndarray:
    """Put maps `(N, Y, X)` side by side, so many in a line, with gaps of NaN between them."""
    count, height, width = maps.shape
    per_line = min(per_line, count)
    lines = -(-count // per_line)
    pixels = np.full((lines * (height + GAP) - GAP, per_line * (width + GAP) - GAP), np.nan, dtype=np.float32)
    for place, of_map in enumerate(maps.numpy()):
        top, left = (place // per_line) * (height + GAP), (place % per_line) * (width + GAP)
        pixels[top : top + height, left : left + width] = of_map
    return pixels


def _counted(what: str, count: int, most: int) -> str:
    return f"{count} {what}" if count <= most else f"{most} of {count} {what}"


def _drawn(pixels: np.ndarray, note: str, values: Tensor | None) -> Figure:
    figure, axes = _axes(pixels, note)
    _show(axes, pixels, values, figure)
    return figure


def _axes(pixels: np.ndarray, note: str, left: float = 0.1) -> tuple[Figure, Axes]:
    """Make a figure whose axes have the shape of the pixels, with a note above them and room for a scale."""
    height, width = pixels.shape[:2]
    across = min(3.2, 4.5 * width / height)
    down = across * height / width
    figure = new_figure(left + across + 0.75, max(down, 0.8) + 0.4)
    total = figure.get_figheight()
    place = (left / figure.get_figwidth(), 1 - (0.3 + down) / total, across / figure.get_figwidth(), down / total)
    axes = figure.add_axes(place)
    axes.set_axis_off()
    figure.text(0.1 / figure.get_figwidth(), 1 - 0.16 / total, note, fontsize=8, color=GIVEN, va="center")
    return figure, axes


def _show(axes: Axes, pixels: np.ndarray, values: Tensor | None, figure: Figure) -> None:
    """Draw pixels and, if they are no colours, the scale of their values."""
    if values is None:
        axes.imshow(pixels, interpolation="nearest")
        return
    scaled = colour_scale(values.numpy(), least=1e-6, inside=0.995)
    scaled["cmap"] = colormaps[scaled["cmap"]].with_extremes(bad=BETWEEN)
    drawn = axes.imshow(pixels, interpolation="nearest", **scaled)
    box = axes.get_position()
    scale = figure.add_axes((box.x1 + 0.1 / figure.get_figwidth(), box.y0, 0.09 / figure.get_figwidth(), box.height))
    figure.colorbar(drawn, cax=scale).ax.tick_params(labelsize=FONT - 2, length=2)


def _share(figure: Figure, side: float) -> tuple[float, float]:
    return side / figure.get_figwidth(), side / figure.get_figheight()
