"""Known mistakes in a GRU, as graders meet them."""

from __future__ import annotations

import torch

from seqsum.check.equations.gate_mistakes import hard_sigmoids, mistakes_of_gates
from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import GRU, sigmoid, tanh

HIDDEN = "hidden' = (1 - z) * n + z * hidden"
CANDIDATE = "n = tanh(W x + b + r * (U hidden + c))"

OF_THE_HIDDEN_STATE = [
    Mistake(
        "update_inverted",
        "your update gate is the other way round, `1 − z`: open, it takes the candidate, as in Chung et al. (2014); "
        "in torch, Keras and Cho et al. (2014) it keeps the old state",
        HIDDEN,
        {"hidden": lambda v: v.z * v.n + (1 - v.z) * v.old_hidden},
    ),
    Mistake(
        "candidate_not_gated",
        "your candidate is added whole: 1 − z does not scale it",
        HIDDEN,
        {"hidden": lambda v: v.n + v.z * v.old_hidden},
    ),
    Mistake(
        "state_not_gated",
        "your old state is kept whole: z does not scale it",
        HIDDEN,
        {"hidden": lambda v: (1 - v.z) * v.n + v.old_hidden},
    ),
    Mistake(
        "candidate_gate_added",
        "1 − z is added to your candidate, and should scale it",
        HIDDEN,
        {"hidden": lambda v: 1 - v.z + v.n + v.z * v.old_hidden},
    ),
    Mistake(
        "update_gate_added",
        "your update gate is added to the old state, and should scale it",
        HIDDEN,
        {"hidden": lambda v: (1 - v.z) * v.n + v.z + v.old_hidden},
    ),
    Mistake(
        "same_gate_twice",
        "your update gate scales old state and candidate alike: one of them should have 1 − z",
        HIDDEN,
        {"hidden": lambda v: v.z * v.n + v.z * v.old_hidden},
    ),
    Mistake(
        "same_inverse_twice",
        "1 − z scales old state and candidate alike in your cell: the old state should have z",
        HIDDEN,
        {"hidden": lambda v: (1 - v.z) * v.n + (1 - v.z) * v.old_hidden},
    ),
    Mistake(
        "hidden_squashed",
        "your new state goes through another tanh",
        HIDDEN,
        {"hidden": lambda v: tanh((1 - v.z) * v.n + v.z * v.old_hidden)},
    ),
    Mistake(
        "state_reset_twice",
        "your old state is reset where it is kept: the reset gate belongs to the candidate alone",
        HIDDEN,
        {"hidden": lambda v: (1 - v.z) * v.n + v.z * v.r * v.old_hidden},
    ),
    Mistake(
        "hidden_is_candidate",
        "your new state is the candidate alone: the update gate is not used",
        HIDDEN,
        {"hidden": lambda v: v.n},
    ),
]

OF_THE_CANDIDATE = [
    Mistake(
        "reset_before_bias",
        "the bias of your candidate's recurrent product is outside of the reset gate",
        CANDIDATE,
        {"recalled": lambda v: v.r * v.uh("n") + v.c("n")},
    ),
    Mistake(
        "reset_unused",
        "your reset gate is not used in the candidate",
        CANDIDATE,
        {"recalled": lambda v: v.h("n")},
    ),
    Mistake(
        "reset_added",
        "your reset gate is added to the candidate's recurrent product, and should scale it",
        CANDIDATE,
        {"recalled": lambda v: v.r + v.h("n")},
    ),
    Mistake(
        "reset_on_all",
        "your reset gate scales the input's part of the candidate too",
        CANDIDATE,
        {"n": lambda v: tanh(v.r * v.sum("n"))},
    ),
    Mistake(
        "reset_on_input",
        "your reset gate scales the input's part of the candidate, not the state's",
        CANDIDATE,
        {"n": lambda v: tanh(v.r * v.x("n") + v.h("n"))},
    ),
    Mistake(
        "reset_outside",
        "your reset gate scales the candidate after its tanh",
        CANDIDATE,
        {"n": lambda v: v.r * tanh(v.sum("n"))},
    ),
    Mistake(
        "reset_inverted",
        "your reset gate is the wrong way round, `1 − r`",
        CANDIDATE,
        {"r": lambda v: 1 - sigmoid(v.sum("r"))},
        pattern=r"\b1(\.0*)?\s*-\s*r",
    ),
    Mistake(
        "candidate_without_tanh",
        "the tanh of your candidate is missing",
        CANDIDATE,
        {"n": lambda v: v.x("n") + v.recalled},
    ),
    Mistake(
        "candidate_sigmoid",
        "your candidate has a sigmoid, where tanh belongs",
        CANDIDATE,
        {"n": lambda v: sigmoid(v.x("n") + v.recalled)},
    ),
    Mistake(
        "candidate_tanh_twice",
        "your candidate goes through tanh twice",
        CANDIDATE,
        {"n": lambda v: tanh(tanh(v.x("n") + v.recalled))},
    ),
    Mistake(
        "candidate_relu",
        "your candidate has a relu, where tanh belongs",
        CANDIDATE,
        {"n": lambda v: torch.relu(v.x("n") + v.recalled)},
    ),
    Mistake(
        "candidate_adds_state",
        "your candidate reads the reset state without its weights, r * hidden",
        CANDIDATE,
        {"recalled": lambda v: v.r * v.old_hidden},
    ),
]

OF_STATES = [
    Mistake(
        "output_is_candidate",
        "your output is the candidate, not the new state",
        "output = hidden'",
        {"output": lambda v: v.n},
    ),
    Mistake(
        "hidden_not_updated",
        "your hidden state is returned as it came in",
        "the new hidden state",
        {"returned": lambda v: (v.old_hidden,)},
    ),
    Mistake(
        "candidate_returned",
        "your candidate is returned as the new state",
        "the new hidden state",
        {"returned": lambda v: (v.n,)},
    ),
]

OF_GATES = [
    Mistake(
        "update_reads_reset",
        "your update gate reads the state after its reset: both gates read the old one",
        "z = σ(W x + b + U hidden + c)",
        {"z": lambda v: sigmoid(v.x("z") + v.uh("z", v.r * v.old_hidden) + v.c("z"))},
    ),
    *mistakes_of_gates(GRU, "rz"),
]

VARIANTS = [
    *hard_sigmoids(GRU, "rz"),
    Mistake(
        "reset_before",
        "a GRU whose reset gate comes before the product, U (r * hidden), as in Cho et al. (2014) and Keras with "
        "reset_after=False; torch resets after it",
        CANDIDATE,
        {"recalled": lambda v: v.uh("n", v.r * v.old_hidden) + v.c("n")},
        kind="variant",
    ),
    Mistake(
        "no_reset_gate",
        "your GRU has no reset gate: its candidate reads the whole state",
        CANDIDATE,
        {"r": lambda v: torch.ones_like(v.old_hidden)},
        gates=("z", "n"),
    ),
    Mistake(
        "minimal",
        "a minimal gated unit (Zhou et al., 2016): one gate both resets and updates",
        "two gates",
        {
            "r": lambda v: v.inputs.new_zeros(()),
            "z": lambda v: sigmoid(v.sum("z")),
            "recalled": lambda v: v.uh("n", v.z * v.old_hidden) + v.c("n"),
            "hidden": lambda v: v.z * v.n + (1 - v.z) * v.old_hidden,
        },
        kind="variant",
        gates=("z", "n"),
    ),
]


MISTAKES = [*OF_THE_HIDDEN_STATE, *OF_THE_CANDIDATE, *OF_STATES, *OF_GATES, *VARIANTS]
