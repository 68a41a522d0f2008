"""All known mistakes and variants by cell: its own, and those that every cell may have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations

from seqsum.check.equations import gru_mistakes, lstm_mistakes, rnn_mistakes
from seqsum.check.equations.mistake import Mistake
from seqsum.check.equations.reference import REFERENCES, Equations

OWN = {"lstm": lstm_mistakes.MISTAKES, "gru": gru_mistakes.MISTAKES, "rnn": rnn_mistakes.MISTAKES}


def _of_every_cell(equations: Equations) -> Iterator[Mistake]:
    both = "each bias added once"
    yield Mistake("bias_missing", "your biases are never added", both, factors={"b": 0, "c": 0})
    yield Mistake("bias_twice", "your biases are added twice", both, factors={"b": 2, "c": 2})
    yield Mistake("input_bias_missing", "the bias of the input's product is never added", both, factors={"b": 0})
    yield Mistake("recurrent_bias_missing", "the bias of the recurrent product is never added", both, factors={"c": 0})
    yield Mistake("input_bias_twice", "the bias of the input's product is added twice", both, factors={"b": 2})
    yield Mistake("recurrent_bias_twice", "the bias of the recurrent product is added twice", both, factors={"c": 2})
    yield Mistake(
        "one_bias_for_both",
        "the bias of the input's product is added twice, and that of the recurrent product never",
        both,
        factors={"b": 2, "c": 0},
    )
    yield Mistake(
        "hidden_not_read", "your gates do not read the hidden state", "gates from input and state", factors={"h": 0}
    )
    yield Mistake("input_not_read", "your gates do not read the input", "gates from input and state", factors={"x": 0})
    yield Mistake(
        "output_is_old",
        "your output is the hidden state before the step",
        "output = hidden'",
        {"output": lambda v: v.old_hidden},
    )
    for gate, word in equations.words.items() if len(equations.gates) > 1 else ():
        once = f"each bias of the {word} added once"
        yield Mistake(
            f"{gate}_bias_missing", f"your {word} has no bias", once, factors={f"b_{gate}": 0, f"c_{gate}": 0}
        )
        yield Mistake(
            f"{gate}_bias_twice",
            f"the bias of your {word} is added twice",
            once,
            factors={f"b_{gate}": 2, f"c_{gate}": 2},
        )
        yield Mistake(
            f"{gate}_hidden_not_read",
            f"your {word} does not read the hidden state",
            f"the {word} from input and hidden state",
            factors={f"h_{gate}": 0},
        )


PARTS = {
    "w": "your {gate} has the {other}'s weights of the input",
    "u": "your {gate} has the {other}'s weights of the hidden state",
    "b": "your {gate} has the {other}'s bias",
    "wb": "your {gate} has the {other}'s layer of the input",
    "uc": "your {gate} has the {other}'s layer of the hidden state",
    "wubc": "your {other} stands where the {gate} belongs",
}


def _of_wrong_blocks(equations: Equations) -> Iterator[Mistake]:
    """Copied lines in which the name of a weight was not changed."""
    for gate, other in permutations(equations.gates, 2):
        names = {"gate": equations.words[gate], "other": equations.words[other]}
        for kinds, sentence in PARTS.items():
            yield Mistake(
                f"{gate}_has_{kinds}_of_{other}",
                sentence.format(**names),
                f"weights and biases of its own for the {names['gate']}",
                uses={f"{kind}_{gate}": other for kind in kinds},
            )


CATALOGUE: dict[str, list[Mistake]] = {
    name: [*OWN[name], *_of_every_cell(equations), *_of_wrong_blocks(equations)]
    for name, equations in REFERENCES.items()
}


def candidates(equations: Equations, gates: tuple[str, ...], peepholes: bool, pairs: bool) -> list[tuple[Mistake, ...]]:
    """What may be wrong with a cell that has weights for these gates: nothing, one mistake, or two.

    Args:
        equations: The reference.
        gates, peepholes: What the cell has weights for.
        pairs: Whether two mistakes are thought of as well.
    """
    known = CATALOGUE[equations.name]
    anywhere = [mistake for mistake in known if mistake.gates is None and not mistake.peepholes]
    if gates == equations.gates and not peepholes:
        bases: list[tuple[Mistake, ...]] = [()]
    else:
        bases = [(m,) for m in known if m.peepholes == peepholes and (m.gates or equations.gates) == gates]
    found = [*bases, *((*base, other) for base in bases for other in anywhere if _apart(*base, other))]
    if pairs:
        likely = [mistake for mistake in anywhere if not mistake.uses]
        found += [(*base, *two) for base in bases for two in combinations(likely, 2) if _apart(*base, *two)]
    return found


def _apart(*mistakes: Mistake) -> bool:
    """Whether no two of them touch the same."""
    return all(not one.touches & two.touches for one, two in combinations(mistakes, 2))
