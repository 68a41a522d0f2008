"""The corpus that a user's settings mean."""

from __future__ import annotations

import warnings
from pathlib import Path

from seqsum.data.downloads import DEFAULT_ROOT, MissingDataError, warn_of_unused
from seqsum.data.reviews.corpus import Corpus, encode, load_corpus
from seqsum.data.reviews.download import download_corpus
from seqsum.data.reviews.files import find_corpus
from seqsum.data.reviews.made import make_reviews
from seqsum.paths import expand_home


def obtain_corpus(dataset: str, root: Path) -> tuple[str, Corpus]:
    """Read or download the real reviews, or make some up.

    Args:
        dataset: `imdb`, `made`, or `auto`, which is `imdb` if it is in `root` or can be downloaded there, otherwise
            `made`, with a warning.
        root: Folder of the corpus.

    Returns:
        The dataset, `imdb` or `made`, and the corpus.

    Raises:
        MissingDataError: `imdb` is not in `root` and can't be downloaded.
        InputError: The corpus can't be read.
    """
    root = Path(expand_home(root))
    if dataset == "made" and str(root) != DEFAULT_ROOT and find_corpus(root):
        warn_of_unused(root, "imdb", "made")
    if dataset != "made":
        try:
            return "imdb", load_corpus(find_corpus(root) or download_corpus(root))
        except MissingDataError as error:
            if dataset == "imdb":
                raise
            warnings.warn(
                f"THESE ARE NOT REAL REVIEWS: the run uses made-up sentences. {error} "
                "Its figures can't be compared with those of real reviews.",
                stacklevel=2,
            )
    return "made", encode(make_reviews())
