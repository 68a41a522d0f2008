"""Fifty analogies of words that are frequent in film reviews, and how many of them word vectors solve."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from seqsum.data.text import Vocabulary
from seqsum.networks.nearest import nearest

# a − b + c should be d: one in a line, by kind
ANALOGIES = {
    "gender": """
        king man woman queen
        actor man woman actress
        boy man woman girl
        husband man woman wife
        father man woman mother
        he man woman she
        son boy girl daughter
        brother boy girl sister
        him he she her
        himself he she herself
    """,
    "plural": """
        movies movie film films
        actors actor actress actresses
        scenes scene character characters
        directors director writer writers
        endings ending plot plots
        women woman man men
        children child girl girls
        songs song story stories
        years year day days
        sequels sequel remake remakes
    """,
    "tense": """
        was is are were
        had has does did
        went go come came
        made make take took
        saw see watch watched
        thought think know knew
        loved love hate hated
        said say tell told
        gets get make makes
        playing play act acting
    """,
    "degree": """
        better good bad worse
        best good bad worst
        worse bad good better
        bigger big small smaller
        older old young younger
        greatest great good best
        funniest funny scary scariest
        later late early earlier
        higher high low lower
        darker dark light lighter
    """,
    "film": """
        acted acting writing wrote
        directed director writer wrote
        comedies comedy drama dramas
        funny comedy horror scary
        laugh funny sad cry
        hitchcock psycho jaws spielberg
        actress actor hero heroine
        singing song dance dancing
        french france germany german
        italian italy japan japanese
    """,
}


class Analogy(NamedTuple):
    """`a − b + c` should be `answer`."""

    a: str
    b: str
    c: str
    answer: str


class Solved(NamedTuple):
    """An analogy and the words nearest to `a − b + c`, the nearest first."""

    kind: str
    analogy: Analogy
    found: list[str]

    @property
    def right(self) -> bool:
        """Whether the nearest word is the answer."""
        return self.found[0] == self.analogy.answer


def by_kind() -> dict[str, list[Analogy]]:
    """Read the list."""
    return {kind: [Analogy(*line.split()) for line in lines.strip().splitlines()] for kind, lines in ANALOGIES.items()}


def solve(vectors: Tensor, vocabulary: Vocabulary, shown: int = 5) -> list[Solved]:
    """Find the words nearest to `a − b + c` for all analogies whose words have vectors.

    The vectors have length 1 before they are added, and the three words themselves are no answers (Mikolov et al.,
    2013).

    Args:
        vectors: `(V, F)`, in the order of the vocabulary.
        vocabulary: The words.
        shown: Words to return for each.
    """
    unit = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
    solved = []
    for kind, analogies in by_kind().items():
        for analogy in analogies:
            if any(word not in vocabulary.ids for word in analogy):
                continue
            a, b, c, _ = vocabulary.encode(analogy)
            found = nearest(unit, unit[a] - unit[b] + unit[c], shown, without=[a, b, c])
            solved.append(Solved(kind, analogy, [vocabulary.words[number] for number in found]))
    return solved
