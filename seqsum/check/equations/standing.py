"""How a cell's weights stand: which gate is where, which way round, and whether that fits what the user calls them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor

from seqsum.check.equations.blocks import Block
from seqsum.check.equations.layouts import Layout
from seqsum.check.equations.lines import LINES
from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.names import LETTERS, declared_order, read_gate_names
from seqsum.check.equations.reference import REFERENCES, Equations
from seqsum.check.equations.search import EXACT, Search
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import Subject

KNOWN_ORDERS = {
    ("i", "g", "f", "o"): "TensorFlow's",
    ("i", "o", "f", "g"): "ONNX's",
    ("z", "r", "n"): "Keras's",
}
STATES = {  # what states are called
    "hidden": re.compile(r"(h|hx|hy|ht|hidden|h_\w+|hidden_state|hidden_t)$"),
    "cell": re.compile(r"(c|cx|cy|ct|cell|c_\w+|cell_state|cell_t|carry|memory)$"),
}
TORCHS = {"weight_ih", "weight_hh"}


def unlikelihood(subject: Subject, reference: Equations) -> Callable[[Layout], float]:
    """How unlikely a layout is, where several give the same numbers."""
    orders: dict[tuple[str, ...], tuple[str, ...] | None] = {}

    def cost(layout: Layout) -> float:
        key = tuple(block.name for block in layout.blocks.w)
        if key not in orders:
            found = declared_order(layout.blocks, subject.run_at_a_step, reference.name, reference.gates)
            orders[key] = found and found[1]
        wanted = orders[key] or reference.gates
        wrong = sum(a != b for a, b in zip(layout.order, wanted, strict=False))
        turned = len(layout.turned) not in (0, len(layout.order))
        swapped = layout.state_order != tuple(range(len(reference.states)))
        return wrong + 10 * swapped + 5 * turned + layout.interleaved + bool(_crooked(layout))

    return cost


def _is_crooked(w: Block, u: Block, turned: bool) -> bool:
    """Whether a block of the hidden state is used the other way round than it is written.

    A linear layer's weight is (out, in), and of two plain parameters both are the one or the other. A square matrix
    beside a linear layer may be either.
    """
    used_flipped = u.flipped != turned  # as (in, out)
    if _is_of_linear(u) or u.packed:
        return turned
    return not _is_of_linear(w) and used_flipped != w.flipped


def _is_of_linear(block: Block) -> bool:
    """Whether a matrix is a layer's `weight`, or one that a cell of torch's holds; others may be of any module."""
    return ".weight" in block.name


def _crooked(layout: Layout) -> list[int]:
    """Blocks of the hidden state that are used the wrong way round."""
    pairs = enumerate(zip(layout.blocks.w, layout.blocks.u, strict=True))
    found = [k for k, (w, u) in pairs if _is_crooked(w, u, k in layout.turned)]
    return found or (sorted(layout.turned) if len(layout.turned) not in (0, len(layout.order)) else [])


def require_straight(subject: Subject, layout: Layout) -> None:
    """Square matrices are multiplied from the side that the others are."""
    crooked = _crooked(layout)
    if not crooked:
        return
    names = ", ".join(dict.fromkeys(f"`{layout.blocks.u[k].name}`" for k in crooked))
    whole = len(crooked) == len(layout.order)
    some = "" if whole else f", its part of the {_words(subject, layout, crooked)},"
    raise Fault(
        f"the square matrix {names}{some} is used transposed",
        expected="the hidden state multiplied from the same side as the input: `h @ U.T` beside `x @ W.T`",
        came="another side: it trains, but weights from elsewhere mean something else in it",
        example="any: with the matrix transposed, the numbers are the reference's",
        where=subject.find_in_step(rf"\b{layout.blocks.u[crooked[0]].name.split('.')[0]}\b") or subject.where(),
    )


def _words(subject: Subject, layout: Layout, indices: list[int]) -> str:
    words = REFERENCES[subject.like].words if subject.like else {}
    return " and ".join(words.get(layout.order[k], layout.order[k]) for k in indices)


def require_one_order(subject: Subject, layout: Layout) -> None:
    """The gates of the hidden state's weights stand in the order of the input's."""
    if layout.recurrent_order:
        raise Fault(
            "the hidden state's weights are used for other gates than the input's in the same place",
            expected=f"one order for both, such as that of the input's weights: {', '.join(layout.order)}",
            came=f"{', '.join(layout.recurrent_order)} for the hidden state's weights",
            example="any: with the weights in the same order, the numbers are the reference's",
            where=subject.find_in_step(rf"\b{layout.blocks.u[0].name.split('.')[0]}\b") or subject.where(),
        )


def require_names(subject: Subject, search: Search, layout: Layout) -> None:
    """What the user calls a gate is that gate."""
    reference = search.equations
    found = declared_order(layout.blocks, subject.run_at_a_step, reference.name, reference.gates)
    if found is None or found[1] == layout.order:
        return
    names, _ = found
    wrong = [(n, called, is_) for n, called, is_ in zip(names, found[1], layout.order, strict=True) if called != is_]
    words = [f"what you call `{name}` works as the {reference.words[gate]}" for name, _, gate in wrong]
    raise Fault(
        f"gates are swapped: {', '.join(words)}",
        expected=f"{', '.join(names)} as {', '.join(reference.words[gate] for gate in found[1])}",
        came=f"{', '.join(names)} as {', '.join(reference.words[gate] for gate in layout.order)}",
        example="any: with the names changed, the numbers are the reference's",
        where=subject.find_in_step(LINES["cell" if reference.name == "lstm" else "hidden"]) or subject.where(),
    )


def require_gates(subject: Subject, search: Search, layout: Layout, variants: Sequence[Mistake]) -> None:
    """What `gates` gives under the name of a gate is that gate."""
    reference, names = search.equations, tuple(subject.cell.gate_names)
    called = {} if subject.wrapped or reference.name not in LETTERS else read_gate_names(names, reference)
    if not called:
        return
    came: dict[str, Any] = {}
    with suppress(*USER_ERRORS):
        came = dict(zip(names, search.run_gates(layout), strict=True))
    if not came or not all(isinstance(gate, Tensor) for gate in came.values()):
        return  # a finding of `gates_named`
    expected = search.gates_of_reference(layout, variants)
    for name, letter in called.items():
        if letter not in expected:  # of a variant without it
            continue
        if _are_equal(came[name], expected[letter]):
            continue
        is_ = next((f"the {reference.words[g]}" for g, e in expected.items() if _are_equal(came[name], e)), "")
        right, same_shape = reference.words[letter], came[name].shape == expected[letter].shape
        unit = int((came[name] - expected[letter]).abs().argmax()) if same_shape else 0
        number = f"{name}[{unit}] = {{:.6f}}"
        raise Fault(
            f"what `gates` gives as `{name}` is {is_ or f'not the {right}'}",
            expected=f"the {right}, behind its activation: {number.format(expected[letter].flatten()[unit])}",
            came=number.format(came[name].flatten()[unit]),
            example="a random input from a random state; figures and `seqsum.trace` show what `gates` gives",
            where=subject.find_in(["gates"], LINES["output"]) or subject.where("gates"),
        )


def _are_equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one - other).abs() < EXACT).all())


def require_state_names(subject: Subject, reference: Equations, layout: Layout) -> None:
    """What the user calls a state is that state; other names than the reference's tell nothing."""
    names_of = subject.cell.state_names
    called = [next((s for s, names in STATES.items() if names.match(n.lower())), None) for n in names_of]
    works = [reference.states[k] for k in layout.state_order]
    if subject.wrapped or sorted(map(str, called)) != sorted(works) or called == works:
        return
    names = ", ".join(subject.cell.state_names)
    raise Fault(
        f"states are swapped: `state_names` calls them {names}, and they work as {', '.join(works)}",
        expected=f"names in the order of the states, or the states in the order of their names: {names}",
        came=", ".join(works),
        example="any: with the names changed, the numbers are the reference's",
        where=subject.find(r"\bstate_names\b") or subject.find_in_step(r"\bstate\[") or subject.where(),
    )


def require_biases(subject: Subject, reference: Equations, layout: Layout) -> None:
    """All gates have a bias, or none."""
    having = set("".join(layout.biases()))
    without = [gate for gate in layout.order if gate not in having]
    if having and without:
        which = " and ".join(reference.words[gate] for gate in without)
        have = "has" if len(without) == 1 else "have"
        raise Fault(
            f"your {which} {have} no bias, though other gates have one",
            expected="a bias for each gate, or for none",
            came=f"biases for the {' and '.join(reference.words[gate] for gate in layout.order if gate in having)}",
            where=subject.where("__init__"),
            status="noted",
        )


def remarks(subject: Subject, reference: Equations, layout: Layout) -> Iterator[str]:
    """What is worth knowing about how the weights stand."""
    if len(layout.order) > 1 and layout.order != reference.gates:
        known = KNOWN_ORDERS.get(layout.order)
        yield f"your gates stand in the order {', '.join(layout.order)}{f' ({known})' if known else ''}"
        if subject.parameters().keys() >= TORCHS:
            yield f"torch's weights of the same names stand in the order {', '.join(reference.gates)}"
    if layout.state_order != tuple(range(len(reference.states))):
        yield "your state is (cell, hidden), where torch has (hidden, cell)"
    if layout.interleaved:
        yield "your gates are interleaved, row by row"
    if layout.blocks.joint:
        yield _told_of_joint(layout)
    if not any(layout.vectors.b) and not any(layout.vectors.c):
        yield "without biases"
    if layout.blocks.other:
        yield f"as its other weights start: {', '.join(layout.blocks.other)}"


def _told_of_joint(layout: Layout) -> str:
    """What the matrices for input and hidden state together read first."""
    kinds: dict[str, list[str]] = {}
    for name in layout.blocks.joint:
        kinds.setdefault("[h, x]" if name in layout.hidden_first else "[x, h]", []).append(f"`{name}`")
    if len(kinds) == 1:
        return f"one matrix for {min(kinds)}"
    return " and ".join(f"{', '.join(names)} for {read}" for read, names in kinds.items())
