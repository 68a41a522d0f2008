"""Whether equations that hold for numbers of common size hold for none and for large ones: clamps and overflows."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from seqsum.check.equations.layouts import Layout
from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import Stage, Weights
from seqsum.check.equations.search import Search
from seqsum.check.result import Fault
from seqsum.check.subject import Subject

LARGE = 1000
SCALES = ((0, 1), (10, 1), (LARGE, 1), (1, 20))  # of inputs and states, and of weights; most clamps lie at 1 to 50
CLOSE = 1e-7  # relative, about what float32 can tell
LIMITING = r"clamp|clip|hardtanh|nan_to_num|minimum|maximum|exp\(|where\("


def require_every_scale(subject: Subject, search: Search, layout: Layout, mistakes: Sequence[Mistake] = ()) -> None:
    """The same equations give the cell's numbers for small and large inputs, states and weights as well.

    A cell state clamped to bounds is a published variant (Sak, Senior and Beaufays 2014, "Long short-term memory
    recurrent neural network architectures for large scale acoustic modeling"), and noted.
    """
    different = _different(subject, search, layout, mistakes)
    if different is None:
        _require_gradients(subject, search, layout)
        return
    fault, bound = different
    if bound is not None:
        clamped = _clamped(search, mistakes, bound)
        if _different(subject, search, layout, [*mistakes, clamped]) is None:
            fault.message, fault.status = clamped.sentence, "noted"
    raise fault


def _different(
    subject: Subject, search: Search, layout: Layout, mistakes: Sequence[Mistake]
) -> tuple[Fault, float | None] | None:
    """The first number that differs, and the bound that a cell state may be clamped to; None if none differs."""
    names = ("output", *search.equations.states)
    for given, weights in SCALES:
        scaled = _times(search, weights)
        x, states = given * search.x, {name: given * state for name, state in search.states.items()}
        came, expected = scaled.run_cell(layout, x, states), scaled.run_reference(layout, mistakes, x, states)
        size = max(1.0, *(state.abs().max().item() for state in (*states.values(), *expected)))
        differing = [k for k in range(len(names)) if not _same(came[k], expected[k], size)]
        if not differing:
            continue
        k = differing[-1]  # the cell state comes first
        place = int((came[k] - expected[k]).abs().nan_to_num(nan=float("inf")).argmax())
        wrong, right = came[k].flatten()[place].item(), expected[k].flatten()[place].item()
        where = "zeros" if given == 0 else "large ones" if wrong == wrong else "large ones, where it overflows"
        fault = Fault(
            f"it gives the reference's numbers, but not for {where}",
            expected=f"{names[k]}[{place}] = {right:.9g}",
            came=f"{names[k]}[{place}] = {wrong:.9g}",
            example=f"one step, with random {f'weights times {weights}' if given else 'weights'}, from inputs and "
            f"states {f'times {given}' if given else 'of zeros'}",
            where=subject.find_in_step(LIMITING) or subject.where(),
        )
        return fault, abs(wrong) if given > 0 and names[k] == "cell" else None
    return None


def _clamped(search: Search, mistakes: Sequence[Mistake], bound: float) -> Mistake:
    """The variant of the equations, with these mistakes, in which the cell state is kept within bounds."""
    equations = search.equations
    for mistake in mistakes:
        equations = mistake.apply(equations)
    cell: Stage = equations.stages["cell"]
    sentence = f"its cell state is kept within ±{bound:g}, which torch's is not; else it is the reference's"
    return Mistake("clamped", sentence, "", {"cell": lambda v: cell(v).clamp(-bound, bound)}, kind="variant")


def _require_gradients(subject: Subject, search: Search, layout: Layout) -> None:
    """Gradients of large numbers are numbers: `1 / (1 + exp(-x))` is right, and its derivative is ∞/∞."""
    x = (LARGE * search.x).requires_grad_()
    outputs = search.run_cell(layout, x, {name: LARGE * state for name, state in search.states.items()}, grad=True)
    total = sum(result.sum() for result in outputs)
    if not isinstance(total, Tensor) or not total.requires_grad:
        return
    (gradient,) = torch.autograd.grad(total, x, allow_unused=True, materialize_grads=True)
    if not gradient.isfinite().all():
        raise Fault(
            "its gradients are no numbers where inputs and states are large",
            expected="functions of torch, whose derivatives hold everywhere: `torch.sigmoid`, `torch.tanh`",
            came=f"a gradient of {gradient[~gradient.isfinite()][0].item():g} by the input",
            example=f"one step from inputs and states times {LARGE}, and backwards",
            where=subject.find_in_step(LIMITING) or subject.where(),
            status="noted",
        )


def _times(search: Search, factor: float) -> Search:
    """The same search with weights times a factor."""
    scaled = copy.copy(search)
    scaled.weights = Weights(*({gate: factor * block for gate, block in part.items()} for part in search.weights))
    return scaled


def _same(one: Tensor, other: Tensor, size: float) -> bool:
    """Equal to within rounding, by the size of the numbers that they were computed from."""
    return bool(((one - other).abs() <= CLOSE * size).all())
