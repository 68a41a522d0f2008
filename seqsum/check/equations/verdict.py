"""The check of the equations, in words: right, a known variant, a known mistake, or none of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from seqsum.check.adapter import users_name
from seqsum.check.equations.examples import numbers_of, smallest_example
from seqsum.check.equations.layouts import Layout
from seqsum.check.equations.lines import LINES
from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import REFERENCES, Equations
from seqsum.check.equations.scale import require_every_scale
from seqsum.check.equations.search import EXACT, Match, Search
from seqsum.check.equations.standing import (
    remarks,
    require_biases,
    require_gates,
    require_names,
    require_one_order,
    require_state_names,
    require_straight,
    unlikelihood,
)
from seqsum.check.registry import check
from seqsum.check.result import Fault
from seqsum.check.subject import Subject

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@check("its equations", needs=("step_returns", "shapes", "rows_independent", "deterministic"))
def equations(subject: Subject) -> str | None:
    """With the same weights, whatever their names and packing, it gives the reference's numbers."""
    if subject.like is None:
        return recognise(subject)
    reference = REFERENCES[subject.like]
    _require_sizes(subject, reference)
    search = Search(subject, reference)
    cost = unlikelihood(subject, reference)
    match = search.find(cost)
    if match is None:
        _look_without_norms(subject, reference)
        raise _unknown(subject, search, search.nearest(cost))
    _require(subject, search, match)
    return _told(subject, reference, match)


def _told(subject: Subject, reference: Equations, match: Match) -> str:
    """What a cell is that gives the reference's numbers, and how its weights stand."""
    return "; ".join([f"torch.nn.{reference.name.upper()}Cell's", *remarks(subject, reference, match.layout)])


def _require(subject: Subject, search: Search, match: Match, standing: bool = True) -> None:
    """Raise what is wrong with a match, or else what is worth knowing about it.

    Args:
        subject: The cell.
        search: What found the match.
        match: Equations that give its numbers in a step from random ones of common size, and how its weights stand.
        standing: Whether to ask how the gates stand and what they are called, too.
    """
    found: list[Fault] = [_known(subject, search, match)] if match.mistakes else []
    layout, reference = match.layout, search.equations
    requirements: list[Callable[[], None]] = [
        partial(require_state_names, subject, reference, layout),
        partial(require_biases, subject, reference, layout),
        partial(require_every_scale, subject, search, layout, match.mistakes),
        partial(_require_zero_start, subject, reference, layout),
    ]
    if standing and match.is_right:
        requirements.insert(0, partial(_require_standing, subject, search, match))
    for require in requirements:
        if any(fault.status == "failed" for fault in found):
            break
        try:
            require()
        except Fault as fault:
            found.append(fault)
    if found:
        raise min(found, key=lambda fault: fault.status != "failed")  # the first that failed, else the first


def _require_standing(subject: Subject, search: Search, match: Match) -> None:
    require_one_order(subject, match.layout)
    require_names(subject, search, match.layout)
    require_straight(subject, match.layout)
    require_gates(subject, search, match.layout, match.mistakes)


def _require_zero_start(subject: Subject, reference: Equations, layout: Layout) -> None:
    """Sequences begin from zeros, as torch's do; learned states are a variant."""
    begun = subject.cell.initial_state(1, subject.inputs(1))
    names = [reference.states[k] for k in layout.state_order]
    others = [(name, state) for name, state in zip(names, begun, strict=True) if state.any()]
    for name, state in sorted(others, key=lambda other: other[1].requires_grad):  # what is wrong before what is learned
        learned = state.requires_grad
        raise Fault(
            f"{reference.article} whose sequences begin from learned states"
            if learned
            else f"the {name} state begins with other numbers than zero",
            expected="zeros before the first step",
            came=f"{name}[0] = {state[0, 0].item():.6g}",
            example="`initial_state` of one row",
            where=subject.where("initial_state"),
            status="noted" if learned else "failed",
        )


def _look_without_norms(subject: Subject, reference: Equations) -> None:
    """Say that it is the reference with layer normalisation, if it is."""
    cell = subject.fresh()
    norms = [(name, part) for name, part in cell.named_modules() if isinstance(part, NORMS)]
    if not norms:
        return
    for name, _ in norms:
        cell.set_submodule(name, nn.Identity())
    search = Search(subject, reference, cell)
    match = search.find(unlikelihood(subject, reference))
    if match is not None:
        if match.is_right:
            _require_standing(subject, search, match)
        names = ", ".join(f"`{users_name(name)}`" for name, _ in norms)
        found = _known(subject, search, match) if match.mistakes else None
        message = f"{reference.article} with layer normalisation: without {names}, "
        if found is not None and found.status == "failed":
            found.message = message + found.message
            raise found
        raise Fault(
            message + (found.message if found else "the reference"),
            expected=f"{reference.article} that normalises nothing",
            came="other numbers with the norms than without them",
            where=subject.find("Norm") or subject.where(),
            status="noted",
        )


def recognise(subject: Subject) -> str:
    """Which of the references a cell computes, or comes near to; for one that nobody said what it is to be."""
    for reference in REFERENCES.values():
        if len(reference.states) != len(subject.cell.state_size) or set(_sizes(subject)) != {subject.cell.hidden_size}:
            continue
        search = Search(subject, reference)
        match = search.find(unlikelihood(subject, reference), pairs=False)
        if match is None:
            continue
        try:
            _require(subject, search, match, standing=False)
        except Fault as fault:
            fault.status, fault.message = "noted", f"its own, and nearly {reference.article}'s: {fault.message}"
            raise
        return _told(subject, reference, match)
    return "those of none of torch.nn's cells: its own. Say `like=` to hold it against one of them"


def _sizes(subject: Subject) -> list[int]:
    return [subject.cell.output_size, *subject.cell.state_size]


def _require_sizes(subject: Subject, reference: Equations) -> None:
    cell = subject.cell
    if len(cell.state_size) != len(reference.states):
        raise Fault(
            f"it has another number of states than {reference.article}",
            expected=reference.states_listed,
            came=f"{len(cell.state_size)}: {', '.join(cell.state_names)}",
            where=subject.where("__init__"),
        )
    if set(_sizes(subject)) != {cell.hidden_size}:
        raise Fault(
            f"{reference.article}'s output and states are all of `hidden_size`",
            expected=str([cell.hidden_size] * len(_sizes(subject))),
            came=str(_sizes(subject)),
            where=subject.where("__init__"),
        )


def _known(subject: Subject, search: Search, match: Match) -> Fault:
    """The fault that a match with mistakes is."""
    variants = [mistake for mistake in match.mistakes if mistake.kind == "variant"]
    mistakes = [mistake for mistake in match.mistakes if mistake.kind == "mistake"]
    named = mistakes or variants  # beside a mistake, a variant is no reason to change anything
    example, expected, came = smallest_example(search, match.layout)
    sentence = "; and ".join(mistake.sentence for mistake in named)
    return Fault(
        "; else ".join([sentence, *(mistake.sentence for mistake in variants if mistakes)]),
        expected="; ".join([*dict.fromkeys(mistake.instead for mistake in named), expected]),
        came=came,
        example=example,
        where=_line_of(subject, named) or subject.where(),
        status="failed" if mistakes else "noted",
        data={"mistakes": [mistake.name for mistake in match.mistakes], **numbers_of(search, match.layout)},
    )


def _line_of(subject: Subject, mistakes: Sequence[Mistake]) -> str:
    """The first line that looks like one of the mistakes, or like one that computes what they change."""
    stages = [stage for mistake in mistakes for stage in (*mistake.stages, *mistake.factors)]
    stages += [block.partition("_")[2] for mistake in mistakes for block in mistake.uses]  # the gates that read them
    patterns = [mistake.pattern for mistake in mistakes if mistake.pattern]
    patterns += [LINES[stage] for stage in stages if stage in LINES]
    patterns += [LINES["output"]] if "hidden" in stages else []  # many return it without giving it a name
    patterns += [LINES["cell"], LINES["hidden"]]  # in which a gate may stand without a name of its own
    return next(filter(None, map(subject.find_in_step, patterns)), "")


def _require_no_readout(subject: Subject, reference: Equations) -> None:
    """Say so, where weights are there that the output alone is computed with, and no state."""
    if readout := subject.parameters_of_the_output():
        layer = sorted(readout)[0].split(".")[0]
        raise Fault(
            f"`{layer}` reads the output from the state, which {reference.article} does not",
            expected="the hidden state as output, and the readout behind the layer, for all steps at once",
            came=f"{', '.join(f'`{name}`' for name in sorted(readout))}, on which no state depends",
            where=subject.find_in_step(rf"self\.{layer}\b") or subject.where(),
        )


def _require_own_layers(subject: Subject) -> None:
    """Say so, where a layer is there twice, as `[nn.Linear(…)] * 4` makes it."""
    first: dict[int, str] = {}
    for name, part in subject.module.named_modules(remove_duplicate=False):
        other = first.setdefault(id(part), name)
        if other != name and any(True for _ in part.parameters()):
            raise Fault(
                f"`{other}` and `{name}` are the same layer, with the same weights",
                expected="a layer for each: `[nn.Linear(…) for _ in range(4)]`, where `[nn.Linear(…)] * 4` has one",
                came=f"one {type(part).__name__} under both names",
                where=subject.find(r"\] *\*|\* *\[") or subject.find(rf"self\.{name.split('.')[0]}\b"),
            )


def _unknown(subject: Subject, search: Search, match: Match | None) -> Fault:
    """The fault that nothing known gives these numbers."""
    reference = search.equations
    if match is None:
        _require_no_readout(subject, reference)
        _require_own_layers(subject)
        shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in subject.parameters().items()) or "none"
        g, (f, h) = len(reference.gates), search.sizes
        return Fault(
            f"its weights are not those of {reference.article}",
            expected=f"for each of {g} gates, in any packing, a ({h}, {f}) for the input and a ({h}, {h}) for the "
            f"hidden state, with F = {f} and H = {h}",
            came=shapes,
            where=subject.where("__init__"),
        )
    names = ("output", *reference.states)
    right = [name for name, d in zip(names, match.differences, strict=True) if d < EXACT]
    example, expected, came = smallest_example(search, match.layout)
    agree = (
        f"{' and '.join(right)} agree{'s' if len(right) == 1 else ''}, the rest does not" if right else "nothing agrees"
    )
    return Fault(
        f"other equations than {reference.article}'s, and no mistake that is known here ({agree})",
        expected=expected,
        came=came,
        example=f"{example}, gates read in the order {', '.join(match.layout.order)}",
        where=subject.where(),
        data=numbers_of(search, match.layout),
    )
