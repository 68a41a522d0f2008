"""Known mistakes in an LSTM, as graders meet them."""

from __future__ import annotations

import torch

from seqsum.check.equations.gate_mistakes import hard_sigmoids, mistakes_of_gates, reading_cell
from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import LSTM, sigmoid, tanh

CELL = "cell' = f * cell + i * g"
HIDDEN = "hidden' = o * tanh(cell'), with the new cell state"


def _coupled(name: str, gate: str, other: str) -> Mistake:
    """A variant in which a gate has no weights and is what the other leaves."""
    word = LSTM.words[gate]
    return Mistake(
        name,
        f"an LSTM with coupled gates (Greff et al., 2017): its {word} is 1 − {other}",
        f"{'an' if gate == 'i' else 'a'} {word} with weights of its own",
        {gate: lambda v: 1 - sigmoid(v.sum(other))},
        kind="variant",
        gates=(other, "g", "o"),
    )


OF_THE_CELL_STATE = [
    Mistake(
        "candidate_not_gated",
        "your cell update is added whole: the input gate does not scale it",
        CELL,
        {"cell": lambda v: v.f * v.old_cell + v.g},
    ),
    Mistake(
        "forget_gate_unused",
        "your old cell state is kept whole: the forget gate does not scale it",
        CELL,
        {"cell": lambda v: v.old_cell + v.i * v.g},
    ),
    Mistake(
        "forget_gate_twice",
        "your forget gate is applied twice to the old cell state",
        CELL,
        {"cell": lambda v: v.f * v.f * v.old_cell + v.i * v.g},
    ),
    Mistake(
        "forget_gate_added",
        "your forget gate is added to the old cell state, and should scale it",
        CELL,
        {"cell": lambda v: v.f + v.old_cell + v.i * v.g},
    ),
    Mistake(
        "forget_gate_on_all",
        "your forget gate scales the new content as well as the old: it is applied to the sum",
        CELL,
        {"cell": lambda v: v.f * (v.old_cell + v.i * v.g)},
    ),
    Mistake(
        "input_gate_twice",
        "your input gate is applied twice to the cell update",
        CELL,
        {"cell": lambda v: v.f * v.old_cell + v.i * v.i * v.g},
    ),
    Mistake(
        "input_gate_added",
        "your input gate is added to the cell update, and should scale it",
        CELL,
        {"cell": lambda v: v.f * v.old_cell + v.i + v.g},
    ),
    Mistake(
        "input_gate_on_all",
        "your input gate scales the old cell state too: it is applied to the sum",
        CELL,
        {"cell": lambda v: v.i * (v.f * v.old_cell + v.g)},
    ),
    Mistake(
        "forget_gate_inverted",
        "your forget gate is the wrong way round: where it is open, the old cell state is dropped (1 − f)",
        CELL,
        {"cell": lambda v: (1 - v.f) * v.old_cell + v.i * v.g},
    ),
    Mistake(
        "coupled_gates",
        "your input gate is 1 − f, although it has weights of its own, which do nothing",
        CELL,
        {"cell": lambda v: v.f * v.old_cell + (1 - v.f) * v.g},
    ),
    Mistake(
        "coupled_gates_forget",
        "your forget gate is 1 − i, although it has weights of its own, which do nothing",
        CELL,
        {"cell": lambda v: (1 - v.i) * v.old_cell + v.i * v.g},
    ),
    Mistake(
        "forgets_hidden",
        "your forget gate scales the hidden state, where the cell state belongs",
        CELL,
        {"cell": lambda v: v.f * v.old_hidden + v.i * v.g},
    ),
    Mistake(
        "cell_product",
        "your two halves of the new cell state are multiplied, not added",
        CELL,
        {"cell": lambda v: v.f * v.old_cell * v.i * v.g},
    ),
    Mistake(
        "cell_difference",
        "your cell update is subtracted, not added",
        CELL,
        {"cell": lambda v: v.f * v.old_cell - v.i * v.g},
    ),
    Mistake(
        "cell_squashed",
        "your new cell state goes through tanh before it is kept: tanh belongs to the hidden state alone",
        CELL,
        {"cell": lambda v: tanh(v.f * v.old_cell + v.i * v.g)},
    ),
    Mistake(
        "cell_squashed_once",
        "your tanh of the cell state is kept as the cell state, and the hidden state reads that without another",
        f"{CELL}, and hidden' = o * tanh(cell')",
        {"cell": lambda v: tanh(v.f * v.old_cell + v.i * v.g), "hidden": lambda v: v.o * v.cell},
    ),
]

OF_THE_HIDDEN_STATE = [
    Mistake(
        "hidden_from_old_cell",
        "your hidden state is read from the cell state before its update",
        HIDDEN,
        {"hidden": lambda v: v.o * tanh(v.old_cell)},
    ),
    Mistake(
        "hidden_without_tanh",
        "the tanh of the cell state is missing in your hidden state",
        HIDDEN,
        {"hidden": lambda v: v.o * v.cell},
    ),
    Mistake(
        "hidden_tanh_twice",
        "your hidden state has the tanh of the cell state twice",
        HIDDEN,
        {"hidden": lambda v: v.o * tanh(tanh(v.cell))},
    ),
    Mistake(
        "hidden_tanh_outside",
        "your hidden state goes through another tanh, after the output gate",
        HIDDEN,
        {"hidden": lambda v: tanh(v.o * tanh(v.cell))},
    ),
    Mistake(
        "hidden_tanh_after_gate",
        "your tanh is taken after the output gate, not before it",
        HIDDEN,
        {"hidden": lambda v: tanh(v.o * v.cell)},
    ),
    Mistake(
        "hidden_sigmoid",
        "your hidden state has a sigmoid of the cell state, where tanh belongs",
        HIDDEN,
        {"hidden": lambda v: v.o * sigmoid(v.cell)},
    ),
    Mistake(
        "output_gate_unused",
        "your hidden state is the tanh of the cell state alone: the output gate does not scale it",
        HIDDEN,
        {"hidden": lambda v: tanh(v.cell)},
    ),
    Mistake(
        "output_gate_twice",
        "your output gate is applied twice",
        HIDDEN,
        {"hidden": lambda v: v.o * v.o * tanh(v.cell)},
    ),
    Mistake(
        "output_gate_added",
        "your output gate is added to the tanh of the cell state, and should scale it",
        HIDDEN,
        {"hidden": lambda v: v.o + tanh(v.cell)},
    ),
    Mistake(
        "hidden_from_update",
        "your hidden state is read from the cell update `g`, not from the cell state",
        HIDDEN,
        {"hidden": lambda v: v.o * tanh(v.g)},
    ),
    Mistake(
        "hidden_reads_candidate",
        "your output gate scales the cell update, not the tanh of the cell state",
        HIDDEN,
        {"hidden": lambda v: v.o * v.g},
    ),
    Mistake(
        "hidden_relu",
        "your hidden state has a relu of the cell state, where tanh belongs",
        HIDDEN,
        {"hidden": lambda v: v.o * torch.relu(v.cell)},
    ),
]

OF_THE_UPDATE = [
    Mistake(
        "update_without_tanh",
        "the tanh of your cell update is missing",
        "g = tanh(…)",
        {"g": lambda v: v.sum("g")},
    ),
    Mistake(
        "update_sigmoid",
        "your cell update has a sigmoid, where tanh belongs",
        "g = tanh(…)",
        {"g": lambda v: sigmoid(v.sum("g"))},
    ),
    Mistake(
        "update_tanh_twice",
        "your cell update goes through tanh twice",
        "g = tanh(…)",
        {"g": lambda v: tanh(tanh(v.sum("g")))},
    ),
    Mistake(
        "update_sigmoid_first",
        "your cell update goes through a sigmoid before its tanh",
        "g = tanh(…)",
        {"g": lambda v: tanh(sigmoid(v.sum("g")))},
    ),
    Mistake(
        "update_relu",
        "your cell update has a relu, where tanh belongs",
        "g = tanh(…)",
        {"g": lambda v: torch.relu(v.sum("g"))},
    ),
]

OF_STATES = [
    Mistake(
        "update_reads_cell",
        "your cell update reads the cell state, where the hidden state belongs",
        "g = tanh(W x + b + U hidden + c)",
        {"g": lambda v: tanh(v.x("g") + v.uh("g", v.old_cell) + v.c("g"))},
    ),
    Mistake(
        "states_swapped",
        "your states are returned in another order than the one in which they are read",
        "the new states in the order in which the old ones are read",
        {"returned": lambda v: (v.cell, v.hidden)},
    ),
    Mistake(
        "cell_not_updated",
        "your cell state is returned as it came in",
        "the new cell state",
        {"returned": lambda v: (v.hidden, v.old_cell)},
    ),
    Mistake(
        "hidden_not_updated",
        "your hidden state is returned as it came in",
        "the new hidden state",
        {"returned": lambda v: (v.old_hidden, v.cell)},
    ),
    Mistake(
        "hidden_twice",
        "your hidden state is returned as the cell state too",
        "hidden state and cell state",
        {"returned": lambda v: (v.hidden, v.hidden)},
    ),
    Mistake(
        "cell_twice",
        "your cell state is returned as the hidden state too",
        "hidden state and cell state",
        {"returned": lambda v: (v.cell, v.cell)},
    ),
    Mistake(
        "output_is_cell",
        "your output is the cell state, not the hidden state",
        "output = hidden'",
        {"output": lambda v: v.cell},
    ),
    Mistake(
        "output_is_gate",
        "your output is the output gate, not the hidden state",
        "output = hidden'",
        {"output": lambda v: v.o},
    ),
    Mistake(
        "reads_cell",
        "your gates read the cell state, where the hidden state belongs",
        "gates from input and hidden state",
        {
            "i": lambda v: sigmoid(v.x("i") + v.uh("i", v.old_cell) + v.c("i")),
            "f": lambda v: sigmoid(v.x("f") + v.uh("f", v.old_cell) + v.c("f")),
            "g": lambda v: tanh(v.x("g") + v.uh("g", v.old_cell) + v.c("g")),
            "o": lambda v: sigmoid(v.x("o") + v.uh("o", v.old_cell) + v.c("o")),
        },
    ),
]

VARIANTS = [
    Mistake(
        "identity_output",
        "an LSTM whose output is o * cell', without tanh, while its hidden state has it (seqsum's output_activation)",
        "output = hidden'",
        {"output": lambda v: v.o * v.cell},
        kind="variant",
    ),
    Mistake(
        "forget_bias",
        "an LSTM with 1 added to the forget gate's bias, as TensorFlow's `forget_bias`",
        "a bias that starts at 1 rather than a number in the equations",
        {"f": lambda v: sigmoid(v.sum("f") + 1)},
        kind="variant",
    ),
    *hard_sigmoids(LSTM, "ifo"),
    Mistake(
        "peepholes",
        "an LSTM with peepholes (Gers & Schmidhuber, 2000): i and f see the old cell state, o the new one",
        "gates that see input and hidden state alone",
        {
            "i": lambda v: sigmoid(v.sum("i") + v.weights.p["i"] * v.old_cell),
            "f": lambda v: sigmoid(v.sum("f") + v.weights.p["f"] * v.old_cell),
            "o": lambda v: sigmoid(v.sum("o") + v.weights.p["o"] * v.cell),
        },
        kind="variant",
        peepholes=True,
    ),
    Mistake(
        "peepholes_old",
        "an LSTM with peepholes whose output gate sees the old cell state, not the new one as in the paper",
        "o = σ(… + p * cell')",
        {
            "i": lambda v: sigmoid(v.sum("i") + v.weights.p["i"] * v.old_cell),
            "f": lambda v: sigmoid(v.sum("f") + v.weights.p["f"] * v.old_cell),
            "o": lambda v: sigmoid(v.sum("o") + v.weights.p["o"] * v.old_cell),
        },
        peepholes=True,
    ),
    Mistake(
        "no_forget_gate",
        "an LSTM without a forget gate, as in 1997: cell' = cell + i * g",
        "a forget gate (Gers et al., 2000)",
        {"f": lambda v: torch.ones_like(v.old_cell)},
        kind="variant",
        gates=("i", "g", "o"),
    ),
    _coupled("coupled_forget", "i", "f"),
    _coupled("coupled_input", "f", "i"),
    Mistake(
        "one_gate_for_both",
        "your input gate is the forget gate itself: it should be 1 − f, or have weights of its own",
        CELL,
        {"i": lambda v: sigmoid(v.sum("f"))},
        gates=("f", "g", "o"),
    ),
    Mistake(
        "no_input_gate",
        "your LSTM has no input gate: the cell update is added whole",
        CELL,
        {"i": lambda v: torch.ones_like(v.old_cell)},
        gates=("f", "g", "o"),
    ),
    Mistake(
        "no_output_gate",
        "your LSTM has no output gate: the hidden state is tanh(cell')",
        HIDDEN,
        {"o": lambda v: torch.ones_like(v.old_cell)},
        gates=("i", "f", "g"),
    ),
]

OF_THE_GATES = [
    *mistakes_of_gates(LSTM, "ifo"),
    *(reading_cell(LSTM, gate) for gate in "ifo"),
    reading_cell(LSTM, "o", new=True),
]

MISTAKES = [*OF_THE_CELL_STATE, *OF_THE_HIDDEN_STATE, *OF_THE_UPDATE, *OF_STATES, *OF_THE_GATES, *VARIANTS]
