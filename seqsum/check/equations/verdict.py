"""The check of the equations, in words: right, a known variant, a known mistake, or none of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from seqsum.check.equations.blocks import Block
from seqsum.check.equations.layouts import Layout
from seqsum.check.equations.names import declared_order
from seqsum.check.equations.reference import REFERENCES, Equations
from seqsum.check.equations.search import EXACT, Match, Search
from seqsum.check.registry import check
from seqsum.check.report import Fault
from seqsum.check.subject import Subject, draw

KNOWN_ORDERS = {
    ("i", "g", "f", "o"): "TensorFlow's",
    ("i", "o", "f", "g"): "ONNX's",
    ("z", "r", "n"): "Keras's",
}
TORCHS = {"weight_ih", "weight_hh"}
LINES = {  # what a line that computes a stage may look like
    "hidden": r"^(h|hidden|hy|ht|h_\w+|new_h\w*|hidden_\w+|next_h\w*)\s*=",
    "cell": r"^(c|cell|memory|cy|ct|c_\w+|new_c\w*|cell_\w+|next_c\w*|memory_\w+)\s*=",
    "output": r"^return\b",
    "returned": r"^return\b",
    "g": r"^(g|c_?hat|c_?tilde|cand\w*|g_\w+|cell_\w+|c_bar|update)\s*=",
    "n": r"^(n|n_\w+|cand\w*|h_?hat|h_?tilde|new\w*)\s*=",
    "i": r"^(i|i_\w+|input_gate|it)\s*=",
    "f": r"^(f|f_\w+|forget_gate|ft)\s*=",
    "o": r"^(o|o_\w+|output_gate|ot)\s*=",
    "r": r"^(r|r_\w+|reset\w*|rt)\s*=",
    "z": r"^(z|z_\w+|update\w*|u|zt)\s*=",
}
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@check("its equations", needs=("step_returns", "shapes", "rows_independent", "deterministic"))
def equations(subject: Subject) -> str | None:
    """With the same weights, whatever their names and packing, it gives the reference's numbers."""
    if subject.like is None:
        return recognise(subject)
    reference = REFERENCES[subject.like]
    _require_sizes(subject, reference)
    search = Search(subject, reference)
    cost = _cost(subject, reference)
    match = search.find(cost)
    if match is None:
        _look_without_norms(subject, reference)
        raise _unknown(subject, search, search.nearest(cost))
    if match.mistakes:
        raise _known(subject, search, match)
    _require_one_order(subject, match.layout)
    _require_names(subject, search, match.layout)
    _require_straight(subject, match.layout)
    return ", ".join([f"torch.nn.{reference.name.upper()}Cell's", *_remarks(subject, reference, match.layout)])


def _look_without_norms(subject: Subject, reference: Equations) -> None:
    """Say that it is the reference with layer normalisation, if it is."""
    cell = subject.fresh()
    norms = [(name, part) for name, part in cell.named_modules() if isinstance(part, NORMS)]
    for name, _ in norms:
        cell.set_submodule(name, nn.Identity())
    match = Search(subject, reference, cell).find(_cost(subject, reference)) if norms else None
    if match is not None:
        names = ", ".join(f"`{name.removeprefix('module.')}`" for name, _ in norms)
        mistakes = "; and ".join(mistake.sentence for mistake in match.mistakes)
        raise Fault(
            f"{_article(reference)} with layer normalisation: without {names}, {mistakes or 'the reference'}",
            expected=f"{_article(reference)} that normalises nothing",
            came="other numbers with the norms than without them",
            where=subject.find("Norm") or subject.where(),
            status="failed" if any(mistake.kind == "mistake" for mistake in match.mistakes) else "noted",
        )


def recognise(subject: Subject) -> str:
    """Which of the references a cell computes, or comes near to; for one that nobody said what it is to be."""
    for reference in REFERENCES.values():
        if len(reference.states) != len(subject.cell.state_size) or set(_sizes(subject)) != {subject.cell.hidden_size}:
            continue
        search = Search(subject, reference)
        match = search.find(_cost(subject, reference), pairs=False)
        if match is not None and not match.mistakes:
            return ", ".join([f"torch.nn.{reference.name.upper()}Cell's", *_remarks(subject, reference, match.layout)])
        if match is not None:
            fault = _known(subject, search, match)
            fault.status, fault.message = "noted", f"nearly {_article(reference)}'s: {fault.message}"
            raise fault
    return "those of none of torch.nn's cells: its own. Say `like=` to hold it against one of them"


def _sizes(subject: Subject) -> list[int]:
    return [subject.cell.output_size, *subject.cell.state_size]


def _require_sizes(subject: Subject, reference: Equations) -> None:
    cell = subject.cell
    if len(cell.state_size) != len(reference.states):
        raise Fault(
            f"{_article(reference)} has another number of states",
            expected=f"{len(reference.states)}: {', '.join(reference.states)}",
            came=f"{len(cell.state_size)}: {', '.join(cell.state_names)}",
            where=subject.where("__init__"),
        )
    if set(_sizes(subject)) != {cell.hidden_size}:
        raise Fault(
            f"{_article(reference)}'s output and states are all of `hidden_size`",
            expected=str([cell.hidden_size] * len(_sizes(subject))),
            came=str(_sizes(subject)),
            where=subject.where("__init__"),
        )


def _article(reference: Equations) -> str:
    return f"{'a' if reference.name == 'gru' else 'an'} {reference.name.upper()}"


def _cost(subject: Subject, reference: Equations) -> Callable[[Layout], float]:
    """How unlikely a layout is, where several give the same numbers."""
    orders: dict[tuple[str, ...], tuple[str, ...] | None] = {}

    def cost(layout: Layout) -> float:
        key = tuple(block.name for block in layout.blocks.w)
        if key not in orders:
            found = declared_order(layout.blocks, subject.kind, reference.name, reference.gates)
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
    if "." in u.name or u.packed:
        return turned
    return "." not in w.name and used_flipped != w.flipped


def _crooked(layout: Layout) -> list[int]:
    """Blocks of the hidden state that are used the wrong way round."""
    pairs = enumerate(zip(layout.blocks.w, layout.blocks.u, strict=True))
    found = [k for k, (w, u) in pairs if _is_crooked(w, u, k in layout.turned)]
    return found or (sorted(layout.turned) if len(layout.turned) not in (0, len(layout.order)) else [])


def _require_straight(subject: Subject, layout: Layout) -> None:
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


def _require_one_order(subject: Subject, layout: Layout) -> None:
    """The gates of the hidden state's weights stand in the order of the input's."""
    if layout.recurrent_order:
        raise Fault(
            "the hidden state's weights are used for other gates than the input's in the same place",
            expected=f"one order for both, such as that of the input's weights: {', '.join(layout.order)}",
            came=f"{', '.join(layout.recurrent_order)} for the hidden state's weights",
            example="any: with the weights in the same order, the numbers are the reference's",
            where=subject.find_in_step(rf"\b{layout.blocks.u[0].name.split('.')[0]}\b") or subject.where(),
        )


def _require_names(subject: Subject, search: Search, layout: Layout) -> None:
    """What the user calls a gate is that gate."""
    reference = search.equations
    found = declared_order(layout.blocks, subject.kind, reference.name, reference.gates)
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


def _remarks(subject: Subject, reference: Equations, layout: Layout) -> Iterator[str]:
    """What is worth knowing about how the weights stand."""
    if len(layout.order) > 1 and layout.order != reference.gates:
        known = KNOWN_ORDERS.get(layout.order)
        yield f"your gates stand in the order {', '.join(layout.order)}{f', {known}' if known else ''}"
        if subject.parameters().keys() >= TORCHS:
            yield f"while torch's weights of the same names stand in the order {', '.join(reference.gates)}"
    if layout.state_order != tuple(range(len(reference.states))):
        yield "your state is (cell, hidden), where torch has (hidden, cell)"
    if layout.interleaved:
        yield "the rows of your weights go around the gates"
    if layout.blocks.joint:
        yield f"one matrix for {'[h, x]' if layout.hidden_first else '[x, h]'}"
    if not any(layout.vectors.b) and not any(layout.vectors.c):
        yield "without biases"
    if layout.blocks.other:
        yield f"as its other weights start: {', '.join(layout.blocks.other)}"


def _known(subject: Subject, search: Search, match: Match) -> Fault:
    """The fault that a match with mistakes is."""
    variant = all(mistake.kind == "variant" for mistake in match.mistakes)
    example, expected, came = _smallest(search, match.layout, match)
    stages = [stage for mistake in match.mistakes for stage in (*mistake.stages, *mistake.factors)]
    patterns = [mistake.pattern for mistake in match.mistakes if mistake.pattern]
    patterns += [LINES[stage] for stage in stages if stage in LINES]
    lines = (subject.find_in_step(pattern) for pattern in patterns)
    return Fault(
        "; and ".join(mistake.sentence for mistake in match.mistakes),
        expected="; ".join([*dict.fromkeys(mistake.instead for mistake in match.mistakes), expected]),
        came=came,
        example=example,
        where=next(filter(None, lines), "") or subject.where(),
        status="noted" if variant else "failed",
        data={"mistakes": [mistake.name for mistake in match.mistakes], **_numbers(search, match.layout)},
    )


def _smallest(search: Search, layout: Layout, match: Match | None) -> tuple[str, str, str]:
    """The simplest step on one row that differs, the number expected, and that which came."""
    f, h = search.sizes
    zero = {name: torch.zeros(1, h).double() for name in search.equations.states}
    some = {name: draw((1, h), 61 + k) for k, name in enumerate(search.equations.states)}
    tried: list[tuple[str, Tensor, dict[str, Tensor]]] = [
        ("an input of zeros from a state of zeros", torch.zeros(1, f).double(), zero),
        ("a random input from a state of zeros", draw((1, f), 60), zero),
        *(
            (
                f"an input of zeros, and only the {name} state random",
                torch.zeros(1, f).double(),
                {**zero, name: some[name]},
            )
            for name in search.equations.states
        ),
        ("a random input and a random state", draw((1, f), 60), some),
    ]
    names = ("output", *search.equations.states)
    for text, x, states in tried:
        came = search.run_cell(layout, x, states)
        expected = search.run_reference(layout, (), x, states)
        order = [*range(len(names) - 1, 0, -1), 0]  # the cell state comes first, the output last
        for k in order:
            difference = (came[k] - expected[k]).abs().flatten()
            if difference.max() > 1e-6:
                unit = int(difference.argmax())
                numbers = (f"{names[k]}[{unit}] = {r[k].flatten()[unit]:.6f}" for r in (expected, came))
                return (f"one step on one row: {text}", *numbers)  # type: ignore[return-value]  # they are two
    return "", "", ""


def _numbers(search: Search, layout: Layout) -> dict[str, object]:
    """Results of the cell and the reference, for a picture."""
    names = ("output", *search.equations.states)
    pairs = zip(names, search.run_reference(layout, ()), search.run_cell(layout), strict=True)
    return {"results": {name: {"expected": e.flatten().tolist(), "came": c.flatten().tolist()} for name, e, c in pairs}}


def _unknown(subject: Subject, search: Search, match: Match | None) -> Fault:
    """The fault that nothing known gives these numbers."""
    reference = search.equations
    if match is None:
        shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in subject.parameters().items()) or "none"
        g, (f, h) = len(reference.gates), search.sizes
        return Fault(
            f"its weights are not those of {_article(reference)}",
            expected=f"for each of {g} gates, in any packing, a ({h}, {f}) for the input and a ({h}, {h}) for the "
            f"hidden state, with F = {f} and H = {h}",
            came=shapes,
            where=subject.where("__init__"),
        )
    names = ("output", *reference.states)
    right = [name for name, d in zip(names, match.differences, strict=True) if d < EXACT]
    example, expected, came = _smallest(search, match.layout, match)
    agree = (
        f"{' and '.join(right)} agree{'s' if len(right) == 1 else ''}, the rest does not" if right else "nothing agrees"
    )
    return Fault(
        f"other equations than {_article(reference)}'s, and no mistake that is known here ({agree})",
        expected=expected,
        came=came,
        example=f"{example}, gates read in the order {', '.join(match.layout.order)}, which comes nearest",
        where=subject.where(),
        data=_numbers(search, match.layout),
    )
