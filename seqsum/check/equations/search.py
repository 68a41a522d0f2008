"""Looks for the equations and the layout that give a cell's own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from seqsum.check.adapter import users_name
from seqsum.check.equations.catalogue import CATALOGUE, candidates
from seqsum.check.equations.layouts import Layout, layouts
from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import Equations, Weights, draw_weights, evaluate
from seqsum.check.subject import Subject, draw
from seqsum.recurrent import RecurrentCell

EXACT = 1e-9  # in float64
ROWS = 2


@dataclass(frozen=True)
class Match:
    """Equations and a layout.

    Attributes:
        layout: How the cell's parameters are read.
        mistakes: What is different from the reference's equations; empty if nothing is.
        differences: Of `Search.nearest`: the largest difference of the output and of each state.
    """

    layout: Layout
    mistakes: tuple[Mistake, ...]
    differences: tuple[float, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether nothing in it is wrong: it is the reference, or known variants of it."""
        return all(mistake.kind == "variant" for mistake in self.mistakes)


class Search:
    """Runs one cell with the weights of a reference, in every layout.

    Args:
        subject: The cell.
        equations: The reference.
        cell: Another than the subject's, such as one without some of its parts.
    """

    def __init__(self, subject: Subject, equations: Equations, cell: RecurrentCell | None = None) -> None:
        self.subject = subject
        self.cell = _with_plain_weights(cell or subject.fresh())
        self.equations = equations
        self.sizes = (self.cell.input_size, self.cell.hidden_size)
        self.weights = draw_weights(equations.gates, *self.sizes)
        self.x = draw((ROWS, self.sizes[0]), 51)
        self._initial = subject.parameters_of_the_start()
        self.gives_output = not subject.wrapped or not self._is_output_first_state(subject)
        self.states = {name: draw((ROWS, self.sizes[1]), 52 + k) for k, name in enumerate(equations.states)}

    def _is_output_first_state(self, subject: Subject) -> bool:
        """Whether a plain module returns its states alone, of which the adapter takes the first for the output."""
        output, new = subject.cell.step(subject.cell.project(self.x), subject.state(ROWS))
        return output is new[0]

    def shapes_of_gates(self) -> list[tuple[tuple[str, ...], bool]]:
        """Gates that a cell may have weights for, and whether it has peepholes; all gates and none of these first."""
        found = [(self.equations.gates, False)]
        for mistake in CATALOGUE[self.equations.name]:
            shape = (mistake.gates or self.equations.gates, mistake.peepholes)
            if shape not in found:
                found.append(shape)
        return found

    def read(self, gates: tuple[str, ...], peepholes: bool) -> list[Layout]:
        """All layouts of the cell's parameters as weights for these gates."""
        parameters = {users_name(name): p for name, p in self.cell.named_parameters()}
        for name in self._initial:
            del parameters[name]
        states, two_sided = len(self.equations.states), self.equations.name == "gru"
        return list(layouts(parameters, self.sizes, gates, states, peepholes, two_sided))

    def run_cell(
        self, layout: Layout, x: Tensor | None = None, states: dict[str, Tensor] | None = None, *, grad: bool = False
    ) -> list[Tensor]:
        """One step of the cell with the reference's weights: output and states, in the reference's order."""
        x, named = self.x if x is None else x, list((states or self.states).values())
        layout.fill(self.weights)
        given = [named[k].clone() for k in layout.state_order]
        with torch.set_grad_enabled(grad):
            output, new = self.cell.step(self.cell.project(x), given + self.subject.constants(self.cell, len(x), x))
        results = [new[layout.state_order.index(k)] for k in range(len(named))]
        return [output if self.gives_output else results[0], *results]  # the hidden state is what it puts out

    @torch.no_grad()
    def run_gates(self, layout: Layout) -> list[Tensor]:
        """What `gates` of the cell gives in the same step."""
        layout.fill(self.weights)
        given = [list(self.states.values())[k] for k in layout.state_order]
        constants = self.subject.constants(self.cell, ROWS, self.x)
        return list(self.cell.gates(self.cell.project(self.x), given + constants))

    @torch.no_grad()
    def gates_of_reference(self, layout: Layout, variants: Sequence[Mistake]) -> dict[str, Tensor]:
        """The gates of the reference, or of variants of it, in the same step, by letter."""
        equations = self.equations
        for variant in variants:
            equations = variant.apply(equations)
        values = evaluate(equations, layout.reduce(self.weights), self.x, self.states)
        return {gate: getattr(values, gate) for gate in layout.order}

    def run_reference(
        self,
        layout: Layout,
        mistakes: Sequence[Mistake],
        x: Tensor | None = None,
        states: dict[str, Tensor] | None = None,
    ) -> list[Tensor]:
        """The same step of the reference, with mistakes."""
        return self._evaluate(mistakes, layout.reduce(self.weights), {}, x, states)

    @torch.no_grad()
    def _evaluate(
        self,
        mistakes: Sequence[Mistake],
        weights: Weights,
        products: dict[str, Tensor],
        x: Tensor | None = None,
        states: dict[str, Tensor] | None = None,
    ) -> list[Tensor]:
        equations = self.equations
        for mistake in mistakes:
            equations = mistake.apply(equations)
        return evaluate(equations, weights, self.x if x is None else x, states or self.states, products).results

    def find(self, cost: Callable[[Layout], float], pairs: bool = True) -> Match | None:
        """The match with the fewest mistakes, and among these of the least cost; None if there is none.

        Few layouts and few mistakes are tried first, and all of them only where these don't do. Two mistakes at once
        are tried only with `pairs`.
        """
        read = {shape: self.read(*shape) for shape in self.shapes_of_gates()}
        for two, odd in ((False, False), (False, True), *([(True, False)] if pairs else [])):
            found: list[Match] = []
            for (gates, peepholes), every in read.items():
                known = candidates(self.equations, gates, peepholes, two)
                found += self._matches([layout for layout in every if layout.is_plain or odd], known)
            if found:
                return min(found, key=lambda match: (_weight(match.mistakes), cost(match.layout)))
        crossed = self._matches(self._cross(read[self.equations.gates, False]), [()])
        return min(crossed, key=lambda match: cost(match.layout), default=None)

    def _cross(self, read: Sequence[Layout]) -> list[Layout]:
        """Layouts in which the hidden state's gates stand in another order than the input's."""
        plain = [layout for layout in read if layout.is_plain and not layout.turned]
        orders = list(permutations(self.equations.gates))
        return [replace(layout, recurrent_order=order) for layout in plain for order in orders if order != layout.order]

    def _matches(self, read: Sequence[Layout], known: Sequence[tuple[Mistake, ...]]) -> Iterator[Match]:
        """Layouts and mistakes that give the cell's own numbers."""
        by_biases: dict[tuple[str, str], list[Layout]] = {}
        for layout in read:  # those with the same biases have the same reference
            by_biases.setdefault(layout.biases(), []).append(layout)
        for alike in by_biases.values():
            weights, products = alike[0].reduce(self.weights), dict[str, Tensor]()
            results = (self._evaluate(mistakes, weights, products) for mistakes in known)
            theirs = torch.stack([self._flat(result) for result in results])
            ours = torch.stack([self._flat(self.run_cell(layout)) for layout in alike])
            distances = torch.cdist(ours, theirs, p=float("inf"))
            for row, layout in enumerate(alike):
                for column in (distances[row] < EXACT).nonzero().flatten().tolist():
                    yield Match(layout, known[column])

    def _flat(self, results: Sequence[Tensor]) -> Tensor:
        """All that the cell itself returns, in a row."""
        return torch.cat([result.flatten() for result in results[0 if self.gives_output else 1 :]])

    def nearest(self, cost: Callable[[Layout], float]) -> Match | None:
        """The layout in which most of the reference's results are right; None if the parameters don't fit.

        Of several the likeliest: how far wrong numbers are off tells nothing.
        """
        found = []
        shapes = [shape for shape in self.shapes_of_gates() if shape[0] == self.equations.gates]
        for layout in (layout for shape in shapes for layout in self.read(*shape)):
            pairs = zip(self.run_cell(layout), self.run_reference(layout, ()), strict=True)
            differences = tuple((one - other).abs().max().item() for one, other in pairs)
            found.append(Match(layout, (), differences))
        return min(
            found,
            key=lambda match: (sum(d > EXACT for d in match.differences), cost(match.layout)),
            default=None,
        )


def _with_plain_weights(cell: RecurrentCell) -> RecurrentCell:
    """Let a copy of a cell hold its weights as they are: of a parametrized one, other numbers are the parameters."""
    for part in filter(is_parametrized, list(cell.modules())):
        parametrized = cast("nn.ModuleDict", part.parametrizations)
        weights = {name: getattr(part, name).detach().clone() for name in parametrized}
        # not `remove_parametrizations`, which takes the weight from the class that all copies share
        part.__class__ = type_before_parametrizations(part)
        del part.parametrizations
        for name, weight in weights.items():
            part.register_parameter(name, nn.Parameter(weight))
    return cell


def _weight(mistakes: Sequence[Mistake]) -> float:
    """How much is different: a known variant counts for less than a mistake."""
    return sum(0.9 if mistake.kind == "variant" else 1 for mistake in mistakes)
