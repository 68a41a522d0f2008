"""Captions: what each figure shows, and what to look at in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from seqsum.data.own import OwnInput
from seqsum.data.sums import Operation
from seqsum.figures.errors import LABELS
from seqsum.figures.page import Section, Table

FIGURES = {
    "sums": (
        "Digits and their running sums",
        "Sequences from the test split, whose digits the network was never trained on. Below each digit is the sum "
        "that the network has counted so far, in bold, and the true sum, in grey. A cross marks a mistake. "
        "The first sequences are the same in every test.",
    ),
    "wrong_sums": (
        "Sequences that went wrong",
        "The first test sequences with a mistake in them, to see what kind of mistake it is. A misread digit shifts "
        "every later sum by the same amount. Would you have read it right?",
    ),
    "predictions": (
        "Your digits and their running sums",
        "Below each digit is the sum that the network has counted so far, in bold; then the digit that it read, that "
        "is, what it added or subtracted; then the file. The digits are shown as the network gets them: cut out, "
        "scaled and centred like MNIST's. If a digit looks cut off or smeared here, the image is to blame, not the "
        "network.",
    ),
    "length_curve": (
        "How far it counts",
        "Black dots: the share of sequences of each length that end in exactly the right sum. The lines through them "
        "are 95 % intervals (Wilson). There are at least 2,000 sequences of each length: each test digit is used once "
        "where that makes enough of them; otherwise digits are drawn with replacement. The dashed line "
        "is the share of sequences whose digits are all read right: if one digit is with probability p, and each "
        "independently, all T are with probability p to the power of T. Dots on the line mean that the network adds "
        "perfectly and only misreads digits; dots below it mean that it loses count. Dots above it are possible: "
        "misread digits can cancel, most often in long sequences. Lengths that training sequences had are grey; all "
        "others were never seen.",
    ),
    "increment_errors": (
        "What goes wrong on long sequences",
        "Sequences of digits that the network reads correctly if it reads one alone, so every error is one of "
        "counting. Left: the root mean square error of what a step adds, by step; right: the same by the level of the "
        "sum before it. If a curve rises, what a digit adds has come to depend on the time that has passed or on the "
        "count itself. An error above about 0.5 divided by the root of the number of steps spoils the sum.",
    ),
    "long_run": (
        "One long sequence",
        "Above: the sum and what the network says. Below: the cell state of the three units that rise most with the "
        "sum and the three that fall most. Units that count follow the sum at every level; units that leak or saturate "
        "flatten.",
    ),
    "leaks": (
        "How much each unit forgets",
        "Each dot is a unit: to the right, how much of its cell state it loses in a step on average; upwards, how much "
        "the sum depends on it. A count survives T steps in units that lose much less than 1/T, so the upper dots must "
        "be far to the left.",
    ),
    "codes": (
        "How ambiguous digits are passed on",
        "The test digits whose largest code has the smallest share. Below each are bars as long as the shares of its "
        "two largest codes (black: the one that is passed on, if the codebook chooses), and beside them the digit that "
        "each alone is read as; then what the mixture of all codes is read as. A mixture of a 4 and a 9 is read as "
        "neither.",
    ),
    "errors": (
        "Errors along the sequence",
        "Each step adds a digit that may be misread, and mistakes stay in the sum, so both curves rise. Misread digits "
        "explain a nearly straight rise; a curve that bends upwards means that the count itself drifts.",
    ),
    "predicted_against_true": (
        "Predicted against true sums",
        "Each dot is one step of a test sequence. Dots in the grey band round to the true sum. Look at where the "
        "crosses are: scattered everywhere if digits are misread; at both ends, bending away from the band, if the "
        "network can't count that far.",
    ),
    "confusion": (
        "Which digit is taken for which",
        "What each step added to the predicted sum, against the true digit. The diagonal is right. Bold numbers off "
        "the diagonal are confusions; with handwriting mostly those that people make too, such as 4 and 9. The "
        f"{LABELS} most frequent have numbers, by their share of the true digit; rarer ones have only a pale colour. "
        "“Other” is no digit: the sum changed by less than 0 or more than 9.",
    ),
    "number_line": (
        "The number line",
        "The hidden state of the last recurrent layer after each step, projected onto the two directions in which it "
        "varies most and coloured by the true sum. If the colours are ordered from one side to the other, the network "
        "has found a number line by itself. With alternating signs, the states after plus (circles) and after minus "
        "(squares) often form two lines, because the network must remember which sign comes next. The black path is "
        "one sequence.",
    ),
}

FIGURES |= {
    "test_sequences": FIGURES["sums"],
    "decisions": (
        "Decisions after every step",
        "Each image as the network reads it, and beside it the probability of every class after each step. Dots mark "
        "the decisions, the line the step after which the decision no longer changes. Look at how few steps are "
        "enough, and which classes are told apart last.",
    ),
    "settling": (
        "When decisions settle",
        "The share of sequences that are classified correctly after each step, and the share whose decision no later "
        "step changes. Where the second curve is above the first, some decisions are final but wrong.",
    ),
    "states": (
        "Inside {layer} while it reads an image",
        "The image, and the value of each unit at each step, aligned with the row or column that the step reads.",
    ),
    "test_continuations": (
        "Continued curves",
        "The network reads the first samples; after them each prediction is its next input. Grey is the true curve. "
        "Look at when amplitude or phase drift away: small errors feed back and grow.",
    ),
    "continuation": (
        "Your curve, continued",
        "The network has read your samples; after them each prediction is its next input.",
    ),
    "recall": (
        "Recalled symbols",
        "The darker, the more probable the symbol. Open circles are symbols read, dots are symbols recalled correctly, "
        "and a cross is the symbol that should have been recalled. In pale columns the network is unsure.",
    ),
    "recall_by_place": (
        "Recall by place",
        "The share of symbols that are recalled at each place of the sequence. If the curve falls at an end, the "
        "network forgets what it read first, or last.",
    ),
}

FIGURES |= {
    "accuracy_by_length": (
        "Accuracy against length",
        "Texts sorted by the number of words that the network read, in groups of about the same size; below each group "
        "are its lengths and the number of its texts. Dots are the share of right answers, lines are 95 % intervals "
        "(Wilson). If the dots fall to the right, the network forgets; if the interval of a group lies on the dashed "
        "line, the mean of all, its length makes no difference that these texts could show.",
    ),
    "surest_mistakes": (
        "Mistakes that the network was surest of",
        "Wrong answers with the highest probabilities. Look for the kind of mistake: irony, praise for another film, a "
        "mixed verdict, or a label that you would not have given either.",
    ),
    "own_texts": ("Your texts", "The answer to each text, and the probability that the network gives it."),
}

FIGURES |= {
    "misread": (
        "Misread images",
        "Wrong answers with the highest probabilities: the answer with its probability in orange, then the true class "
        "with the probability that the network gave it. Would you have read them right?",
    ),
    "mistaken": ("Which class is taken for which", "The most frequent mistakes of the test."),
    "own_images": (
        "Your images",
        "Each image as the network reads it, its answer, and how probable the network thinks it is.",
    ),
    "filters": (
        "Filters",
        "Weights of the convolution: blue is negative, red is positive. Those for red, green and blue are shown in "
        "these colours: grey is 0, brighter is positive. A filter answers where an image looks like it: in a first "
        "layer often edges and strokes of one direction.",
    ),
    "feature_maps": (
        "Feature maps",
        "What the convolution makes of the image on the left, before normalisation and activation: red where a filter "
        "fits, blue where its opposite would. Deeper maps have fewer pixels, and each sees more of the image.",
    ),
}

FIGURES |= {
    "restored": (
        "Restored images",
        "Above, images of the split as the network reads them; below, what it makes of them. Where they were damaged, "
        "the last row is what they were. What the network can't restore, its features do not contain.",
    ),
    "own_restored": ("Your images, restored", "What the network read, what it made of it, and your image as it was."),
}
FIGURES |= {
    "translations": (
        "Translations",
        "Sentences of one batch, which are of about the same length: what the network read, what a person wrote for "
        "it, and what the network writes. A good translation may use other words than the reference.",
    ),
    "attention": (
        "Attention",
        "A row for each word as it was written, a column for each word that was read; the brighter, the more the step "
        "attended to it. Rows sum to 1. Languages of the same order give a diagonal; look where it bends, at verbs "
        "that stand elsewhere and at words that became several.",
    ),
    "own_translations": (
        "Your sentences",
        "What the network wrote, and which words it did not know. A translation that is cut off has reached the most "
        "tokens, `--model.objective.longest`.",
    ),
}
FIGURES["own_attention"] = FIGURES["attention"]
FIGURES["continuations"] = FIGURES["test_continuations"]

GATES = (
    "Inside {layer}",
    "Gates and states while the layer reads one sequence: time runs to the right, each row is one unit.",
)
BACKWARDS = "This direction reads from the last step to the first: each column has seen those on its right."
ORDER = "Units are sorted: first those that rise with the sum, last those that fall with it."

PARTS = {
    "input_gate": "The input gate scales what is written into the cell state (1: all of it, 0: nothing).",
    "forget_gate": "The forget gate scales how much of the old cell state is kept (1: all of it).",
    "cell_update": "The cell update is what would be written, positive or negative.",
    "output_gate": "The output gate scales how much of the cell state the hidden state shows.",
    "reset_gate": "The reset gate scales how much of the old state enters the candidate.",
    "update_gate": "The update gate scales how much of the old state is kept (1: all of it).",
    "candidate": "The candidate is the new state that would replace the old one.",
    "cell_state": "The cell state carries what was written from step to step.",
    "hidden": "The hidden state is what the next step reads.",
}
PARTS_OF_SUMS = {
    "forget_gate": "It is 1 for a unit that only counts.",
    "cell_update": "With alternating signs many rows change colour with the sign above.",
    "cell_state": "Look for rows that rise and fall with the sum.",
}
NOT_HIDDEN = "The head and the next layer read something else: the cell state times the output gate, without tanh."

WORDS = (
    "The network was asked after every word. The colour of a word is the change that it made to the log-odds, "
    "log(p / (1 − p)) for the probability p of the label on the right of the scale: +0.69 doubles the odds. Unlike "
    "changes of p itself, which shrink towards 0 and 1 however strong a word is, they add up, from even odds to the "
    "answer. In a network that averages over words, the later of many words move it less. Point at a word for its "
    "value. Words underlined with dots are not in the vocabulary: the network reads them all as the same word."
)
NO_WORDS = "This network can't be asked after every word, which needs a method `by_step`: no words are coloured."

SKIPPED = "These could not be read; the results leave them out."

NO_GATES = (
    "No gates or states are shown: they are those of the default network, with a cell that is not torch.nn's own, such "
    "as --model.cell=lstm."
)

METRICS = {
    "accuracy": "right decisions",
    "accuracy_step": "right decisions, over all steps",
    "perplexity": "how many tokens the next one might as well be",
    "bleu": "agreement of sentences with their references, 0 to 100",
    "exact_recall": "sequences recalled without a mistake",
    "mse": "mean squared error",
    "exact_final": "sequences with the right final sum",
    "exact_step": "right sums, over all steps",
    "mae": "mean absolute error",
    "loss": "loss, as in training",
}


def section(name: str, figure: Figure, remark: str = "") -> Section:
    """Make a section of a figure and its caption.

    Args:
        name: Name of the figure. Numbers of sequences and layers in it, as in `states_1_l0`, choose no other caption.
        figure: The figure.
        remark: Appended to the caption.
    """
    known = re.fullmatch(r"(.+?)(?:_\d+)?(?:_(l\d+(?:_reverse)?))?", name)
    title, text = FIGURES.get(known[1] if known else name, (name.replace("_", " ").capitalize(), ""))
    layer = _layer_of(known[2] if known and known[2] else "l0")
    return Section(title.format(layer=layer), f"{text} {remark}".strip(), name, figure)


def sections(figures: Mapping[str, Figure]) -> list[Section]:
    """Make a section of each figure; see `section`."""
    return [section(name, figure) for name, figure in figures.items()]


def _layer_of(suffix: str) -> str:
    """Name the layer and direction of a suffix: `l1_reverse` is "layer 2, backwards"."""
    number, _, reverse = suffix.removeprefix("l").partition("_")
    return f"layer {int(number) + 1}{', backwards' if reverse else ''}"


def skipped(own: OwnInput) -> list[Section]:
    """Make a section that lists what could not be read of a user's input; none if everything was."""
    rows = [(source, reason.replace("`", "")) for source, reason in own.skipped]  # which is also printed
    return [Section("Skipped", SKIPPED, table=Table(("file", "why"), rows))] if rows else []


def describe_gates(
    parts: Sequence[str], suffix: str, of_sums: bool = False, shows_cell_state: bool = False
) -> tuple[str, str]:
    """Return title and text for a figure of gates and states.

    Args:
        parts: Names of the gates and states shown.
        suffix: Suffix of the layer and direction, such as `l0` or `l1_reverse`.
        of_sums: Whether the sequence is one of digits to add up, with units sorted by how they rise with the sum.
        shows_cell_state: Whether the layer's output is not its hidden state, see `LSTMCell`.
    """
    more = (PARTS_OF_SUMS if of_sums else {}) | ({"hidden": NOT_HIDDEN} if shows_cell_state else {})
    title, text = GATES
    text = f"{text} {BACKWARDS}" if suffix.endswith("_reverse") else text
    text = f"{text} {ORDER}" if of_sums else text
    lines = [f"{PARTS[part]} {more.get(part, '')}".strip() for part in parts if part in PARTS]
    return title.format(layer=_layer_of(suffix)), "\n".join([text, *lines])


def describe_sums(operation: Operation) -> str:
    """Write the task as a formula."""
    return "+d₁ −d₂ +d₃ −d₄ …" if operation == "alternating" else "d₁ + d₂ + d₃ + …"
