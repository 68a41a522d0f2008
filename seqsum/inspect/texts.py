"""What to look at in each figure, in plain words."""

from __future__ import annotations

from seqsum.data.sums import Operation

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

GATES = (
    "Inside layer {layer}",
    "What it does while it reads one sequence: time runs to the right, each row is one unit, sorted from those that "
    "rise with the sum to those that fall with it.",
)

PARTS = {
    "input_gate": "The input gate says how much of the new digit is written into the memory (1: all, 0: nothing).",
    "forget_gate": "The forget gate says how much of the old memory is kept: 1 for a unit that only counts.",
    "cell_update": "The cell update is what would be written, plus or minus. With alternating signs many rows "
    "change colour with the sign above.",
    "output_gate": "The output gate says how much of the memory is shown.",
    "reset_gate": "The reset gate says how much of the old state counts in the candidate.",
    "update_gate": "The update gate says how much of the old state is kept (1: all of it).",
    "candidate": "The candidate is the new state that would replace the old.",
    "memory": "The memory carries the count from step to step: look for rows that grow and fall with the sum.",
    "hidden": "The hidden state is what the next step and the next layer see.",
}

SKIPPED = "These could not be read, and the sums go on without them."

NO_GATES = (
    "No gates or states are shown: this cell is torch.nn's own, which keeps them to itself. Train with "
    "--model.cell=lstm (or gru, rnn) to see them."
)

METRICS = {
    "exact_final": "sequences with the right last sum",
    "exact_step": "right sums, of all steps",
    "mae": "mean absolute error of a sum",
    "loss": "loss, as in training",
}


def describe_gates(parts: list[str], layer: int) -> tuple[str, str]:
    """Title and text of a figure of gates and states.

    Args:
        parts: Names of what is shown.
        layer: Which one, from 1.
    """
    title, text = GATES
    return title.format(layer=layer), "\n".join([text, *(PARTS[part] for part in parts if part in PARTS)])


def describe_sums(operation: Operation) -> str:
    """The task as a formula."""
    return "+d₁ −d₂ +d₃ −d₄ …" if operation == "alternating" else "d₁ + d₂ + d₃ + …"
