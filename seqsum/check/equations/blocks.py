"""The user's parameters as blocks of one gate each, found by shape alone, however they are packed.

A block is a view: what is written into it lands in the user's parameter. These are understood, transposed or not:

    (G·H, F), (G·H, H), (G·H, F+H)   gates along rows, one after another or interleaved; any part of them in a matrix
    (G, H, F), (F, G, H), (H, F) …   stacked along any axis; one matrix a gate
    (G·H,), (G, H), (2, G·H), (H,)   biases and peepholes
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

# where the shapes don't tell: the input's blocks first or last, or every other one
SPLITS: dict[str, Callable[[list[Any]], tuple[list[Any], list[Any]]]] = {
    "first": lambda blocks: (blocks[: len(blocks) // 2], blocks[len(blocks) // 2 :]),
    "last": lambda blocks: (blocks[len(blocks) // 2 :], blocks[: len(blocks) // 2]),
    "even": lambda blocks: (blocks[::2], blocks[1::2]),
    "odd": lambda blocks: (blocks[1::2], blocks[::2]),
}


class Block(NamedTuple):
    """What belongs to one gate in a parameter.

    Attributes:
        name: Of the parameter.
        view: `(H, F)` for the input, `(H, H)` for the hidden state, `(H,)` for a bias.
        flipped: Whether the parameter has it as `(in, out)`.
        packed: Whether the parameter has more of them.
    """

    name: str
    view: Tensor
    flipped: bool = False
    packed: bool = False


@dataclass
class Blocks:
    """All blocks of a cell.

    Attributes:
        w: Of the input.
        u: Of the hidden state.
        vectors: Biases and peepholes, by parameter.
        other: Names of parameters that are none of these.
        joint: Names of the parameters that are for input and hidden state together.
        packed: Whether there are matrices with more than one gate.
    """

    w: list[Block] = field(default_factory=list)
    u: list[Block] = field(default_factory=list)
    vectors: dict[str, list[Block]] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)
    joint: list[str] = field(default_factory=list)
    packed: bool = False


def find_blocks(
    parameters: Mapping[str, Tensor],
    input_size: int,
    hidden_size: int,
    interleaved: bool = False,
    hidden_first: Collection[str] = (),
    split: str = "",
) -> Blocks:
    """Cut parameters into blocks.

    Args:
        parameters: By name, in the order in which they were registered.
        input_size, hidden_size: `F`, `H`.
        interleaved: Whether the rows of a matrix go around the gates, and not gate by gate.
        hidden_first: Names of the joint parameters that read `[h, x]`, and not `[x, h]`.
        split: Where `F` is `H`, which blocks are of the input: one of `SPLITS`.
    """
    blocks = Blocks()
    for name, parameter in parameters.items():
        for matrix, flipped in _matrices(parameter.detach(), input_size, hidden_size):
            if matrix is None:
                blocks.other.append(name)
            elif matrix.dim() == 1:
                count = len(matrix) // hidden_size
                views = [matrix[k::count] if interleaved else part for k, part in enumerate(matrix.split(hidden_size))]
                blocks.vectors.setdefault(name, []).extend(Block(name, view) for view in views)
            else:
                _cut(blocks, name, matrix, flipped, input_size, hidden_size, interleaved, name in hidden_first)
    if split:
        blocks.w, blocks.u = SPLITS[split](blocks.w)
    blocks.u = order_like(blocks.w, blocks.u)
    return blocks


def _matrices(tensor: Tensor, f: int, h: int) -> list[tuple[Tensor | None, bool]]:
    """The tensor as matrices `(n·H, K)` and vectors `(n·H,)`, and whether each is transposed for that."""
    tensor = tensor.squeeze() if tensor.dim() > 3 else tensor
    if tensor.dim() == 3 and tensor.shape[-1] == 1 and tensor.shape[0] > 4:  # of a convolution over one place
        tensor = tensor.squeeze(-1)
    if tensor.dim() == 3:
        return [found for part in tensor.unbind(_axis_of_gates(tensor, f, h)) for found in _matrices(part, f, h)]
    if tensor.dim() == 2 and 1 in tensor.shape and 1 not in (f, h):
        tensor = tensor.flatten()
    if tensor.dim() == 1 and len(tensor) % h == 0:
        return [(tensor, False)]
    if tensor.dim() == 2:
        rows, columns = tensor.shape
        widths = (f, h, f + h)
        if rows % h == 0 and columns in widths:
            return [(tensor, False)]
        if columns % h == 0 and rows in widths:
            return [(tensor.T, True)]
        if columns % h == 0 and rows <= 8:
            return [(row, False) for row in tensor]
        if rows % h == 0 and columns <= 8:
            return [(column, False) for column in tensor.T]
    return [(None, False)]


def _axis_of_gates(stack: Tensor, f: int, h: int) -> int:
    """The axis of a stack of matrices without which a matrix of units and features remains: the shortest such one."""
    fitting = []
    for axis, gates in enumerate(stack.shape):
        rest = [size for k, size in enumerate(stack.shape) if k != axis]
        if any(rest[k] == h and rest[1 - k] in (f, h, f + h) for k in (0, 1)):
            fitting.append((gates, axis))
    return min(fitting)[1] if fitting else 0


def _cut(
    blocks: Blocks, name: str, matrix: Tensor, flipped: bool, f: int, h: int, interleaved: bool, hidden_first: bool
) -> None:
    count = len(matrix) // h
    joint = matrix.shape[1] == f + h
    if joint and name not in blocks.joint:
        blocks.joint.append(name)
    blocks.packed |= count > 1
    for k in range(count):
        rows = matrix[k::count] if interleaved else matrix[k * h : (k + 1) * h]
        if joint:
            first, second = (rows[:, :h], rows[:, h:]) if hidden_first else (rows[:, f:], rows[:, :f])
            blocks.u.append(Block(name, first, flipped, count > 1))
            blocks.w.append(Block(name, second, flipped, count > 1))
        else:
            target = blocks.w if matrix.shape[1] == f else blocks.u
            target.append(Block(name, rows, flipped, count > 1))


def order_like(first: Sequence[Block], blocks: list[Block]) -> list[Block]:
    """Return blocks in the order of others, if what tells their names apart tells it: `W_i, W_f` and `U_f, U_i`."""
    theirs, own = tokens([block.name for block in first]), tokens([block.name for block in blocks])
    if len(set(own)) < len(own) or sorted(own) != sorted(theirs):
        return blocks
    return [blocks[own.index(token)] for token in theirs]


def tokens(names: Sequence[str]) -> list[str]:
    """What tells names apart: `i, f, g, o` of `W_ii, W_if, W_ig, W_io`."""
    if len(names) < 2 or len(set(names)) < len(names):
        return list(names)
    start = _shared(names)
    end = _shared([name[start:][::-1] for name in names])
    return [name[start : len(name) - end] for name in names]


def _shared(names: Sequence[str]) -> int:
    """How many letters all names begin with."""
    return next(
        (k for k, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), min(map(len, names))
    )
