"""Known mistakes in the function of a gate, of any cell that has sigmoids for gates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import Equations, Stage, Values, sigmoid, tanh

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "tanh": (tanh, "{} a tanh, where the sigmoid belongs"),
    "bare": (lambda x: x, "{} no sigmoid: it is missing"),
    "sigmoid_twice": (lambda x: sigmoid(sigmoid(x)), "{} two sigmoids, one after the other"),
    "relu": (torch.relu, "{} a relu, where the sigmoid belongs"),
    "softmax": (lambda x: torch.softmax(x, -1), "{} a softmax over the units, where the sigmoid belongs"),
}


def mistakes_of_gates(equations: Equations, gates: str) -> list[Mistake]:
    """Another function than the sigmoid, in one of the gates or in all of them."""
    found = []
    for name, (function, words) in FUNCTIONS.items():
        stages = {gate: _with(function, gate) for gate in gates}
        for gate, stage in stages.items():
            sentence, right = words.format(f"your {equations.words[gate]} has"), f"{gate} = σ(W x + b + U hidden + c)"
            found.append(Mistake(f"{gate}_{name}", sentence, right, {gate: stage}))
        sentence = words.format(f"your gates {' and '.join(gates)} have")
        found.append(Mistake(f"gates_{name}", sentence, f"sigmoids for {' and '.join(gates)}", stages))
    return found


HARD: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "hard_sigmoid": (lambda x: (0.2 * x + 0.5).clamp(0, 1), "clamp(0.2 x + 0.5, 0, 1), as early versions of Keras had"),
    "hardsigmoid": (torch.nn.functional.hardsigmoid, "clamp(x / 6 + 0.5, 0, 1), as `F.hardsigmoid` and Keras 3 have"),
}


def hard_sigmoids(equations: Equations, gates: str) -> list[Mistake]:
    """Hard sigmoids in all gates."""
    return [
        Mistake(
            name,
            f"{equations.article} with hard sigmoids, {words} them",
            "sigmoids",
            {gate: _with(function, gate) for gate in gates},
            kind="variant",
        )
        for name, (function, words) in HARD.items()
    ]


def _with(function: Callable[[Tensor], Tensor], gate: str) -> Stage:
    return lambda v: function(v.sum(gate))


def reading_cell(equations: Equations, gate: str, new: bool = False) -> Mistake:
    """A gate of the LSTM that reads a cell state where the hidden state belongs."""
    which = "new" if new else "old"

    def stage(v: Values) -> Tensor:
        return sigmoid(v.x(gate) + v.uh(gate, v.cell if new else v.old_cell) + v.c(gate))

    return Mistake(
        f"{gate}_reads_{which}_cell",
        f"your {equations.words[gate]} reads the {which} cell state, where the hidden state belongs",
        f"{gate} = σ(W x + b + U hidden + c)",
        {gate: stage},
    )
