"""The Large Movie Review Dataset: its files, its download, a made-up one in its place, and all of it as word ids."""

from seqsum.data.reviews.corpus import Corpus, Reviews, join
from seqsum.data.reviews.obtain import obtain_corpus

__all__ = ["Corpus", "Reviews", "join", "obtain_corpus"]
