"""The simplest step that shows a difference, and all numbers of one for a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.check.equations.layouts import Layout
from seqsum.check.equations.search import Search
from seqsum.check.subject import draw


def smallest_example(search: Search, layout: Layout) -> tuple[str, str, str]:
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


def numbers_of(search: Search, layout: Layout) -> dict[str, object]:
    """Results of the cell and the reference, for a picture."""
    names = ("output", *search.equations.states)
    pairs = zip(names, search.run_reference(layout, ()), search.run_cell(layout), strict=True)
    return {"results": {name: {"expected": e.flatten().tolist(), "came": c.flatten().tolist()} for name, e, c in pairs}}
