"""What an entry of the catalogue is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from seqsum.check.equations.reference import Equations, Stage, change


@dataclass(frozen=True)
class Mistake:
    """A known way to write other equations than the reference's.

    Attributes:
        name: In a few letters, for tests and machines.
        sentence: What the user's cell does, in one sentence.
        instead: What the reference does.
        stages: Those that read differently.
        factors: Of products and biases.
        uses: Blocks of weights that are another gate's.
        kind: "mistake", or "variant" for what is published and right in its own way.
        gates: Letters of the gates that have weights, in case not all do.
        peepholes: Whether it has weights from the cell state to the gates.
        pattern: What the user's line may look like, as a regular expression, to point at.
    """

    name: str
    sentence: str
    instead: str
    stages: dict[str, Stage] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    uses: dict[str, str] = field(default_factory=dict)
    kind: Literal["mistake", "variant"] = "mistake"
    gates: tuple[str, ...] | None = None
    peepholes: bool = False
    pattern: str = ""

    def apply(self, equations: Equations) -> Equations:
        """The equations with this mistake in them."""
        return change(equations, self.stages, self.factors, self.uses)

    @property
    def touches(self) -> set[str]:
        """Names of what it changes: two mistakes that touch the same can't be told apart."""
        return {*self.stages, *self.factors, *self.uses}
