"""Ways to read a cell's blocks as the weights of a reference: which gate each is, which bias goes where."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import torch
from torch import Tensor

from seqsum.check.equations.blocks import SPLITS, Block, Blocks, find_blocks, order_like
from seqsum.check.equations.reference import Weights

PEEPHOLES = r"peep|^p_|\bp[ifo]\b|^w_?c[ifo]|v_[ifo]"
PEEPING = ("i", "f", "o")
FEW = 3  # gates whose biases are tried in every order
MOST = 4  # gates: where there are more matrices for input and hidden state together, they fit no reference


@dataclass(frozen=True)
class Vectors:
    """What the vectors of a cell are, one entry for each gate in the order of its blocks; None where it has none.

    Attributes:
        b, c: Biases that go with the input's and the hidden state's product.
        p: Peepholes, in an order of their own.
    """

    b: tuple[Block | None, ...]
    c: tuple[Block | None, ...]
    p: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One way to read the blocks.

    Attributes:
        blocks: The blocks.
        vectors: What its vectors are.
        order: The gate of each block, by letter.
        turned: Which blocks of the hidden state are used transposed, by index.
        recurrent_order: The gates of the hidden state's blocks, where their order is another.
        interleaved, hidden_first: As in `find_blocks`.
        state_order: Which state of the reference each of the cell's is.
    """

    blocks: Blocks
    vectors: Vectors
    order: tuple[str, ...]
    state_order: tuple[int, ...]
    turned: frozenset[int] = frozenset()
    recurrent_order: tuple[str, ...] = ()
    interleaved: bool = False
    hidden_first: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether nothing about it is odd: gates one after another, matrices used one way, all or none of each kind."""
        alike = len(self.turned) in (0, len(self.order)) and len(self.hidden_first) in (0, len(self.blocks.joint))
        return alike and not self.interleaved

    def biases(self) -> tuple[str, str]:
        """The gates that have a bias with the input's product, and with the hidden state's."""
        b, c = (
            "".join(sorted(gate for gate, vector in zip(self.order, vectors, strict=True) if vector is not None))
            for vectors in (self.vectors.b, self.vectors.c)
        )
        return b, c

    def reduce(self, weights: Weights) -> Weights:
        """The weights without the biases that the cell doesn't have."""
        b, c = self.biases()
        return weights._replace(
            b={gate: bias * (gate in b) for gate, bias in weights.b.items()},
            c={gate: bias * (gate in c) for gate, bias in weights.c.items()},
        )

    @torch.no_grad()
    def fill(self, weights: Weights) -> None:
        """Write the weights into the cell."""
        for k, gate in enumerate(self.order):
            self.blocks.w[k].view.copy_(weights.w[gate])
            for vector, bias in ((self.vectors.b[k], weights.b), (self.vectors.c[k], weights.c)):
                if vector is not None:
                    vector.view.copy_(bias[gate])
        for k, gate in enumerate(self.recurrent_order or self.order):
            self.blocks.u[k].view.copy_(weights.u[gate].T if k in self.turned else weights.u[gate])
        peeping = [gate for gate in self.order if gate in PEEPING]
        for vector, gate in zip(self.vectors.p, peeping, strict=False):
            vector.view.copy_(weights.p[gate])


def layouts(
    parameters: Mapping[str, Tensor],
    sizes: tuple[int, int],
    gates: Sequence[str],
    states: int,
    peepholes: bool,
    two_sided: bool,
) -> Iterator[Layout]:
    """All likely ways to read the parameters as weights for these gates; none if they don't fit.

    Args:
        parameters: Of the cell, by name.
        sizes: `F`, `H`.
        gates: Letters of the reference's gates.
        states: Of the reference.
        peepholes: Whether to look for peepholes.
        two_sided: Whether it matters which of the two products a bias goes with, as in the GRU's candidate.
    """
    for blocks, interleaved, hidden_first in _readings(parameters, sizes):
        if len(blocks.w) != len(gates) or len(blocks.u) != len(gates):
            continue
        arranged = arrange(blocks, len(gates), peepholes, two_sided)
        ways = product(arranged, permutations(gates), permutations(range(states)), _turns(blocks))
        for vectors, order, state_order, turned in ways:
            yield Layout(blocks, vectors, order, state_order, turned, (), interleaved, hidden_first)


def _readings(
    parameters: Mapping[str, Tensor], sizes: tuple[int, int]
) -> Iterator[tuple[Blocks, bool, frozenset[str]]]:
    """The blocks of the parameters in every packing that their shapes allow, and which it is."""
    first = find_blocks(parameters, *sizes)
    packed = (False, True) if first.packed else (False,)
    joint = _subsets(first.joint) if len(first.joint) <= MOST else []
    splits = tuple(SPLITS) if sizes[0] == sizes[1] and not first.joint else ("",)
    for interleaved, hidden_first, split in product(packed, joint, splits):
        yield find_blocks(parameters, *sizes, interleaved, hidden_first, split), interleaved, hidden_first


def _subsets(names: Sequence[str]) -> list[frozenset[str]]:
    """Every choice of some names, none and all first: which matrices may read the hidden state before the input."""
    found = [frozenset(chosen) for count in range(len(names) + 1) for chosen in combinations(names, count)]
    return sorted(found, key=lambda chosen: len(chosen) not in (0, len(names)))


def _turns(blocks: Blocks) -> list[frozenset[int]]:
    """Which of the hidden state's blocks may be used transposed: none, all, one, all but one."""
    every = frozenset(range(len(blocks.u)))
    ones = [frozenset({k}) for k in every] if len(every) > 1 else []
    return [frozenset(), every, *ones, *(every - one for one in ones)]


def arrange(blocks: Blocks, gates: int, peepholes: bool, two_sided: bool) -> Iterator[Vectors]:
    """What the vectors may be: those beside a matrix belong to it, the others are biases in turn, or peepholes."""
    b: list[Block | None] = [None] * gates
    c: list[Block | None] = [None] * gates
    free: list[Block] = []
    owners = Counter(map(_owner, blocks.vectors))
    for name, vectors in blocks.vectors.items():
        mates = [_mates(blocks.w, name), _mates(blocks.u, name)]
        joint = bool(mates[0])
        own = mates[0] or mates[1]
        beside_both = all(mates) and owners[_owner(name)] > 1  # as in torch.nn.LSTMCell, inside of a cell
        if len(own) == len(vectors) and not beside_both:
            for k, vector in zip(own, vectors, strict=True):
                (b if joint else c)[k] = vector
        else:
            free += vectors
    for biases, peeps in _peepholes(free, gates) if peepholes else [(free, [])]:
        for first, second in _biases(blocks, biases, b, c):
            yield Vectors(tuple(first), tuple(second), tuple(peeps))
            if two_sided and (any(first) or any(second)) and biases:
                yield Vectors(tuple(second), tuple(first), tuple(peeps))


def _mates(matrices: Sequence[Block], name: str) -> list[int]:
    """Indices of the blocks in the same submodule as a vector: `gate.weight` and `gate.bias`."""
    owner = _owner(name)
    return [k for k, block in enumerate(matrices) if owner and _owner(block.name) == owner]


def _owner(name: str) -> str:
    """Return the submodule of a parameter; the cell itself has no name."""
    return name.rpartition(".")[0]


def _peepholes(free: list[Block], gates: int) -> Iterator[tuple[list[Block], list[Block]]]:
    """Biases and peepholes, by name; if names don't tell, the last three or the first."""
    named = [block for block in free if re.search(PEEPHOLES, block.name.lower())]
    if len(named) == len(PEEPING):
        biases = [block for block in free if not any(block is other for other in named)]
        yield from ((biases, list(ordered)) for ordered in permutations(named))
    elif len(free) - len(PEEPING) in (0, gates, 2 * gates):
        yield free[:-3], free[-3:]
        yield free[3:], free[:3]


def _biases(
    blocks: Blocks, free: list[Block], b: list[Block | None], c: list[Block | None]
) -> Iterator[tuple[Sequence[Block | None], Sequence[Block | None]]]:
    """Biases of the two products, from those that belong to a matrix by name, `b` and `c`, and those that don't."""
    gates = len(b)
    if not free:
        yield b, c
    elif len(free) == gates and not (any(b) and any(c)):
        ordered = order_like(blocks.w, free)
        yield (b, ordered) if any(b) else (ordered, c)
    elif len(free) == 2 * gates and not any(b) and not any(c):
        yield order_like(blocks.w, free[:gates]), order_like(blocks.w, free[gates:])
        yield order_like(blocks.w, free[::2]), order_like(blocks.w, free[1::2])
    elif len(free) == 1 and all(b) and not any(c):  # one gate has two, as the candidate of a GRU
        yield from ((b, _at(place, free[0], gates)) for place in range(gates))
    elif len(free) == gates + 1 and not any(b) and not any(c):
        for extra in reversed(range(len(free))):  # in any place, the last first
            others = order_like(blocks.w, free[:extra] + free[extra + 1 :])
            orders = [list(each) for each in permutations(others)] if gates <= FEW else [others]
            yield from ((each, _at(place, free[extra], gates)) for each in orders for place in range(gates))
    elif len(free) < gates and not any(b):
        yield from ((found, c) for found in _some(blocks, free))


def _at(place: int, vector: Block, gates: int) -> list[Block | None]:
    return [vector if gate == place else None for gate in range(gates)]


def _some(blocks: Blocks, vectors: list[Block]) -> Iterator[tuple[Block | None, ...]]:
    """Biases for some gates: any of them."""
    gates = len(blocks.w)
    for places in permutations(range(gates), len(vectors)):
        found: list[Block | None] = [None] * gates
        for place, vector in zip(places, vectors, strict=True):
            found[place] = vector
        yield tuple(found)
