"""Whether equations that hold for numbers of common size hold for none and for large ones: clamps and overflows."""

from __future__ import annotations

import copy

from torch import Tensor

from seqsum.check.equations.layouts import Layout
from seqsum.check.equations.reference import Weights
from seqsum.check.equations.search import EXACT, Search
from seqsum.check.report import Fault
from seqsum.check.subject import Subject

SCALES = ((0, 1), (10, 1), (1000, 1), (1, 20))  # of inputs and states, and of weights; most clamps lie at 1 to 50
LIMITING = r"clamp|clip|hardtanh|nan_to_num|minimum|maximum|exp\(|where\("


def require_every_scale(subject: Subject, search: Search, layout: Layout) -> None:
    """The reference's numbers come from small and large inputs, states and weights as well.

    A cell state clamped to bounds is a published variant (Sak, Senior and Beaufays 2014, "Long short-term memory
    recurrent neural network architectures for large scale acoustic modeling"), and noted.
    """
    names = ("output", *search.equations.states)
    for given, weights in SCALES:
        scaled = copy.copy(search)
        scaled.weights = _times(search.weights, weights)
        x, states = given * search.x, {name: given * state for name, state in search.states.items()}
        came, expected = scaled.run_cell(layout, x, states), scaled.run_reference(layout, (), x, states)
        differing = [k for k in range(len(names)) if not _same(came[k], expected[k])]
        if not differing:
            continue
        k = differing[-1]  # the cell state comes first
        place = int((came[k] - expected[k]).abs().nan_to_num(nan=float("inf")).argmax())
        wrong, right = came[k].flatten()[place].item(), expected[k].flatten()[place].item()
        clamped = given > 0 and names[k] == "cell" and _same(came[k], expected[k].clamp(-abs(wrong), abs(wrong)))
        raise Fault(
            f"its cell state is kept within ±{abs(wrong):g}, which torch's is not; else it is the reference's"
            if clamped
            else f"it gives the reference's numbers, but not for {'zeros' if given == 0 else 'large ones'}",
            expected=f"{names[k]}[{place}] = {right:.6g}",
            came=f"{names[k]}[{place}] = {wrong:.6g}",
            example=f"one step, with random {f'weights times {weights}' if given else 'weights'}, from inputs and "
            f"states {f'times {given}' if given else 'of zeros'}",
            where=subject.find_in_step(LIMITING) or subject.where(),
            status="noted" if clamped else "failed",
        )


def _times(weights: Weights, factor: float) -> Weights:
    return Weights(*({gate: factor * block for gate, block in part.items()} for part in weights))


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal to within rounding, by the size of the numbers."""
    return bool(((one - other).abs() <= EXACT * (1 + other.abs())).all())
