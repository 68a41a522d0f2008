"""The equations that a cell is held against, cut into stages, so that a mistake is a stage that reads differently.

Each stage is a function of what was computed before it, by name. `i` of the LSTM, for instance, is

    lambda v: torch.sigmoid(v.x("i") + v.h("i"))

`v.x(gate)` is the input's product with its bias, `v.h(gate)` the hidden state's with its own. The stages are torch.nn's
equations; a test holds them against torch.nn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqsum.check.subject import draw

sigmoid, tanh = torch.sigmoid, torch.tanh


class Weights(NamedTuple):
    """Blocks of weights by gate.

    Attributes:
        w: Of the input, `(H, F)` each.
        u: Of the hidden state, `(H, H)` each.
        b, c: Biases that go with the input's and the hidden state's product, `(H,)` each.
        p: Peepholes from the cell state, `(H,)` each.
    """

    w: dict[str, Tensor]
    u: dict[str, Tensor]
    b: dict[str, Tensor]
    c: dict[str, Tensor]
    p: dict[str, Tensor]


class Values:
    """What a step has computed so far, as attributes; weights, input and the states before it to begin with.

    Args:
        weights: The blocks.
        inputs: `(B, F)`.
        states: Those before the step, by name, `(B, H)` each: `hidden` becomes `old_hidden`.
        factors: Which products and biases count by another factor than one.
        products: Keeps products that many variants of the equations share.
    """

    def __init__(
        self,
        weights: Weights,
        inputs: Tensor,
        states: Mapping[str, Tensor],
        factors: Mapping[str, float],
        products: dict[str, Tensor],
    ) -> None:
        self.weights = weights
        self.inputs = inputs
        self.factors = factors
        self.products = products
        for name, state in states.items():
            setattr(self, f"old_{name}", state)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the stage {name!r} comes later")

    @property
    def results(self) -> list[Tensor]:
        """The output, and the new states in the order in which they are returned."""
        return [self.output, *self.returned]

    def uh(self, gate: str, hidden: Tensor | None = None) -> Tensor:
        """The hidden state's product, without bias; or that of another tensor."""
        if hidden is not None:
            return hidden @ self.weights.u[gate].T
        if (key := f"u{gate}") not in self.products:
            self.products[key] = self.old_hidden @ self.weights.u[gate].T
        return self.products[key]

    def wx(self, gate: str) -> Tensor:
        """The input's product, without bias."""
        if (key := f"w{gate}") not in self.products:
            self.products[key] = self.inputs @ self.weights.w[gate].T
        return self.products[key]

    def c(self, gate: str) -> Tensor:
        """The bias of the hidden state's product."""
        return self.scaled(self.weights.c[gate], "c", gate)

    def x(self, gate: str) -> Tensor:
        """The input's product and its bias."""
        return self.scaled(self.wx(gate), "x", gate) + self.scaled(self.weights.b[gate], "b", gate)

    def h(self, gate: str) -> Tensor:
        """The hidden state's product and its bias."""
        return self.scaled(self.uh(gate), "h", gate) + self.c(gate)

    def sum(self, gate: str) -> Tensor:
        """What goes into the gate: both products, both biases."""
        return self.x(gate) + self.h(gate)

    def scaled(self, part: Tensor, name: str, gate: str) -> Tensor:
        """A part by its factor, that of all gates or that of its own."""
        if not self.factors:
            return part
        return part * self.factors.get(name, 1) * self.factors.get(f"{name}_{gate}", 1)


Stage = Callable[[Values], Any]


class Equations(NamedTuple):
    """A cell as stages.

    Attributes:
        name: `lstm`, `gru` or `rnn`.
        gates: Their letters, in torch's order.
        states: Their names, in torch's order.
        words: What each letter is called.
        stages: By name, in order. The last two are `output` and `returned`, the tuple of new states.
        factors: Which products and biases count by another factor than one.
        uses: Which blocks are another gate's: `{"u_f": "i"}` for the forget gate with the input gate's `u`.
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    words: dict[str, str]
    stages: dict[str, Stage]
    factors: Mapping[str, float] = MappingProxyType({})
    uses: Mapping[str, str] = MappingProxyType({})

    @property
    def article(self) -> str:
        """What a cell of these equations is: "an LSTM"."""
        return f"{'a' if self.name == 'gru' else 'an'} {self.name.upper()}"

    @property
    def states_listed(self) -> str:
        """How many states it has, and which: "2: hidden, cell"."""
        return f"{len(self.states)}: {', '.join(self.states)}"


def evaluate(
    equations: Equations,
    weights: Weights,
    inputs: Tensor,
    states: Mapping[str, Tensor],
    products: dict[str, Tensor] | None = None,
) -> Values:
    """One step: what each stage gives, as attributes, and `results`; see `Values`."""
    if equations.uses:
        weights, products = exchange(weights, equations.uses), None
    values = Values(weights, inputs, states, equations.factors, {} if products is None else products)
    for name, stage in equations.stages.items():
        setattr(values, name, stage(values))
    return values


def exchange(weights: Weights, uses: Mapping[str, str]) -> Weights:
    """The weights with another gate's blocks in some places; see `Equations.uses`."""
    blocks = {kind: dict(part) for kind, part in weights._asdict().items()}
    for place, source in uses.items():
        kind, gate = place.split("_")
        blocks[kind][gate] = getattr(weights, kind)[source]
    return Weights(**blocks)


def change(
    equations: Equations, stages: Mapping[str, Stage], factors: Mapping[str, float], uses: Mapping[str, str]
) -> Equations:
    """The same with other stages, factors and blocks in place of some."""
    if unknown := stages.keys() - equations.stages.keys():
        raise ValueError(f"{sorted(unknown)} are no stages of {equations.name}")
    return equations._replace(
        stages={**equations.stages, **stages},
        factors={**equations.factors, **factors},
        uses={**equations.uses, **uses},
    )


def draw_weights(gates: tuple[str, ...], input_size: int, hidden_size: int) -> Weights:
    """Random weights, none near zero in effect, for gates of these letters, the same in every run."""
    h, f = hidden_size, input_size
    shapes = {"w": (h, f), "u": (h, h), "b": (h,), "c": (h,), "p": (h,)}
    drawn: dict[str, dict[str, Tensor]] = {}
    for number, (kind, shape) in enumerate(shapes.items()):
        size = 0.7 if len(shape) == 1 else 1.2 * shape[1] ** -0.5
        drawn[kind] = {gate: size * draw(shape, 100 * number + ord(gate)) for gate in gates}
    return Weights(**drawn)


LSTM = Equations(
    name="lstm",
    gates=("i", "f", "g", "o"),
    states=("hidden", "cell"),
    words={"i": "input gate", "f": "forget gate", "g": "cell update", "o": "output gate"},
    stages={
        "i": lambda v: sigmoid(v.sum("i")),
        "f": lambda v: sigmoid(v.sum("f")),
        "g": lambda v: tanh(v.sum("g")),
        "cell": lambda v: v.f * v.old_cell + v.i * v.g,
        "o": lambda v: sigmoid(v.sum("o")),
        "hidden": lambda v: v.o * tanh(v.cell),
        "output": lambda v: v.hidden,
        "returned": lambda v: (v.hidden, v.cell),
    },
)

GRU = Equations(
    name="gru",
    gates=("r", "z", "n"),
    states=("hidden",),
    words={"r": "reset gate", "z": "update gate", "n": "candidate"},
    stages={
        "r": lambda v: sigmoid(v.sum("r")),
        "z": lambda v: sigmoid(v.sum("z")),
        "recalled": lambda v: v.r * v.h("n"),
        "n": lambda v: tanh(v.x("n") + v.recalled),
        "hidden": lambda v: (1 - v.z) * v.n + v.z * v.old_hidden,
        "output": lambda v: v.hidden,
        "returned": lambda v: (v.hidden,),
    },
)

RNN = Equations(
    name="rnn",
    gates=("h",),
    states=("hidden",),
    words={"h": "hidden state"},
    stages={
        "hidden": lambda v: tanh(v.sum("h")),
        "output": lambda v: v.hidden,
        "returned": lambda v: (v.hidden,),
    },
)

REFERENCES = {equations.name: equations for equations in (LSTM, GRU, RNN)}
