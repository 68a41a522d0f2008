"""Known mistakes in a simple recurrent network, as graders meet them."""

from __future__ import annotations

import torch

from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import sigmoid, tanh

HIDDEN = "hidden' = tanh(W x + b + U hidden + c)"

MISTAKES = [
    Mistake("without_tanh", "the tanh is missing: your cell is linear", HIDDEN, {"hidden": lambda v: v.sum("h")}),
    Mistake(
        "sigmoid", "your cell has a sigmoid, where tanh belongs", HIDDEN, {"hidden": lambda v: sigmoid(v.sum("h"))}
    ),
    Mistake(
        "tanh_twice", "your new state goes through tanh twice", HIDDEN, {"hidden": lambda v: tanh(tanh(v.sum("h")))}
    ),
    Mistake(
        "softmax",
        "your new state is a softmax over the units",
        HIDDEN,
        {"hidden": lambda v: torch.softmax(v.sum("h"), -1)},
    ),
    Mistake(
        "tanh_of_each",
        "your tanh is taken of the two products one by one, and not of their sum",
        HIDDEN,
        {"hidden": lambda v: tanh(v.x("h")) + tanh(v.h("h"))},
    ),
    Mistake(
        "tanh_of_input",
        "your tanh is taken of the input's product alone",
        HIDDEN,
        {"hidden": lambda v: tanh(v.x("h")) + v.h("h")},
    ),
    Mistake(
        "tanh_of_state",
        "your tanh is taken of the state's product alone",
        HIDDEN,
        {"hidden": lambda v: v.x("h") + tanh(v.h("h"))},
    ),
    Mistake(
        "product",
        "your two products are multiplied, not added",
        HIDDEN,
        {"hidden": lambda v: tanh(v.x("h") * v.h("h"))},
    ),
    Mistake(
        "residual",
        "your old state is added to the new one",
        HIDDEN,
        {"hidden": lambda v: v.old_hidden + tanh(v.sum("h"))},
    ),
    Mistake(
        "state_without_weights",
        "your state is added without its weights",
        HIDDEN,
        {"hidden": lambda v: tanh(v.x("h") + v.old_hidden)},
    ),
    Mistake(
        "output_before_tanh",
        "your output is what goes into the tanh",
        "output = hidden'",
        {"output": lambda v: v.sum("h")},
    ),
    Mistake(
        "state_before_tanh",
        "the state that you return is what goes into the tanh",
        "the new hidden state",
        {"returned": lambda v: (v.sum("h"),)},
    ),
    Mistake(
        "hidden_not_updated",
        "your hidden state is returned as it came in",
        "the new hidden state",
        {"returned": lambda v: (v.old_hidden,)},
    ),
    Mistake(
        "relu",
        "a simple recurrent network with relu, as torch.nn.RNN(nonlinearity='relu')",
        HIDDEN,
        {"hidden": lambda v: torch.relu(v.sum("h"))},
        kind="variant",
    ),
]
