"""What to look at in each figure, in plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from seqsum.data.sums import Operation
from seqsum.figures.page import Section

FIGURES = {
    "sums": (
        "Digits and their running sums",
        "Sequences from the test split, whose digits the network has never been trained on. In bold below a digit is "
        " the sum that the network has counted up to there, in grey the true one. A mistake has a cross. "
        "The first sequences are the same in every test.",
    ),
    "wrong_sums": (
        "Sequences that went wrong",
        "The first test sequences with a mistake in them, to see what kind of mistake it is. A digit that is read "
        "wrong spoils every later sum by the same amount. Would you have read it right?",
    ),
    "predictions": (
        "Your digits and their running sums",
        "In bold below each digit is the sum that the network has counted up to there; below that, the digit that "
        "it read, which is what it added or subtracted, and the file. The digits are shown as the network gets "
        "them: cut out, scaled and centred as MNIST's are. If one looks cut off or smeared here, the picture is to "
        "blame and not the network.",
    ),
    "length_curve": (
        "How far it counts",
        "The black dots: of sequences of each length, how many end in exactly the right sum; the lines through them "
        "are 95 % intervals (Wilson), wide where the test split has digits for few sequences only. The dashed line "
        "is the ceiling of independent digits: if a single digit is read right with probability p, all T are with "
        "p to the power of T. Where the dots lie on the line, the network adds without fault and all that is lost is "
        "lost in reading; where they fall below, it loses count. Dots a little above it are possible, since two "
        "misread digits can cancel. Lengths outside the grey band were never seen in training.",
    ),
    "errors": (
        "Errors along the sequence",
        "Each step adds a digit that may be misread, and mistakes stay in the sum: so both curves rise. A nearly "
        "straight rise is what misread digits explain; one that bends upwards means that the count itself drifts.",
    ),
    "predicted_against_true": (
        "Predicted against true sums",
        "A dot for each step of each test sequence. Dots in the grey band round to the true sum. Look at where the "
        "crosses are: all over, and some digits off, when digits are misread; at both ends, and bending away "
        "from the band, when the network can't count that far.",
    ),
    "confusion": (
        "Which digit is taken for which",
        "What each step added to the predicted sum, against the digit that was there. The diagonal is right. Bold "
        "numbers beside it are the confusions; with handwriting mostly those of people too, such as 4 and 9. "
        "“Other” is no digit at all: the sum jumped by less than 0 or more than 9.",
    ),
    "number_line": (
        "The number line",
        "The network has many units, but what it says is one number. This is the hidden state of its last recurrent "
        "layer after each step, flattened to the two directions in which it varies most, in the colour of the true "
        "sum. Colours in an order from one side to the other are a number line that the network found by itself. "
        "With alternating signs the states after plus (circles) and after minus (squares) often form two of them: "
        "it must remember which sign comes next. The black path is one sequence.",
    ),
}

FIGURES |= {
    "test_sequences": FIGURES["sums"],
    "decisions": (
        "Decisions after every step",
        "Each image as the network reads it, and beside it the probability of every class after each step. Dots are "
        "the decisions, the line is where the last one settles. Look at how few steps are enough, and which classes "
        "are told apart last.",
    ),
    "settling": (
        "When decisions settle",
        "How many sequences are classified rightly after each step, and how many have a decision that no later step "
        "changes. Where the second curve is above the first, networks have made up their mind, and wrongly.",
    ),
    "states": (
        "Inside layer {layer} while it reads an image",
        "The image, and what each unit does at each step, aligned with the row or column that is read there.",
    ),
    "test_continuations": (
        "Curves that go on by themselves",
        "The network reads the first samples; from there on each prediction is its next input. Grey is the true curve. "
        "Look at when amplitude or phase go astray: small errors feed on themselves.",
    ),
    "continuation": (
        "Your curve, and how it goes on",
        "The network has read your samples; from there on each prediction is its next input.",
    ),
    "recall": (
        "Symbols that are recalled",
        "The darker, the more probable the symbol. Open circles are read, dots recalled rightly; a cross is the symbol "
        "that should have been recalled. Faint columns are places at which the network is not sure.",
    ),
    "recall_by_place": (
        "Which places are recalled",
        "How many symbols are recalled at each place of the sequence. Where the curve falls, a network forgets what it "
        "read last, or first.",
    ),
}

FIGURES["continuations"] = FIGURES["test_continuations"]

GATES = (
    "Inside layer {layer}",
    "What it does while it reads one sequence: time runs to the right, each row is one unit.",
)
ORDER = "Units are sorted from those that rise with the sum to those that fall with it."

PARTS = {
    "input_gate": "The input gate says how much of the new digit is written into the cell state (1: all, 0: nothing).",
    "forget_gate": "The forget gate says how much of the old cell state is kept: 1 for a unit that only counts.",
    "cell_update": "The cell update is what would be written, plus or minus. With alternating signs many rows "
    "change colour with the sign above.",
    "output_gate": "The output gate says how much of the cell state is shown.",
    "reset_gate": "The reset gate says how much of the old state counts in the candidate.",
    "update_gate": "The update gate says how much of the old state is kept (1: all of it).",
    "candidate": "The candidate is the new state that would replace the old.",
    "cell_state": "The cell state carries the count from step to step: look for rows that grow and fall with the sum.",
    "hidden": "The hidden state is what the next step and the next layer see.",
}

SKIPPED = "These could not be read, and the sums go on without them."

NO_GATES = (
    "No gates or states are shown: this cell is torch.nn's own, which keeps them to itself. Train with "
    "--model.cell=lstm (or gru, rnn) to see them."
)

METRICS = {
    "accuracy": "right decisions",
    "accuracy_step": "right decisions, of all steps",
    "exact_recall": "sequences recalled without a mistake",
    "mse": "mean squared error of the next sample",
    "exact_final": "sequences with the right last sum",
    "exact_step": "right sums, of all steps",
    "mae": "mean absolute error",
    "loss": "loss, as in training",
}


def section(name: str, figure: Figure, remark: str = "") -> Section:
    """A figure with what to look at in it.

    Args:
        name: Of the figure; one of a layer or a sequence, such as `states_1_l0`, has the words of `states`.
        figure: That it is.
        remark: After these words.
    """
    known = re.fullmatch(r"(.+?)((?:_\d+)?_l(\d+)(?:_reverse)?)?", name)
    title, text = FIGURES.get(known[1] if known else name, (name.replace("_", " ").capitalize(), ""))
    layer = int(known[3]) + 1 if known and known[3] else 1
    return Section(title.format(layer=layer), f"{text} {remark}".strip(), name, figure)


def describe_gates(parts: Sequence[str], layer: int, ordered: bool = True) -> tuple[str, str]:
    """Title and text of a figure of gates and states.

    Args:
        parts: Names of what is shown.
        layer: Which one, from 1.
        ordered: Whether units stand in the order in which they rise with the sum.
    """
    title, text = GATES
    text = f"{text} {ORDER}" if ordered else text
    return title.format(layer=layer), "\n".join([text, *(PARTS[part] for part in parts if part in PARTS)])


def describe_sums(operation: Operation) -> str:
    """The task as a formula."""
    return "+d₁ −d₂ +d₃ −d₄ …" if operation == "alternating" else "d₁ + d₂ + d₃ + …"
