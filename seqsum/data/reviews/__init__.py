"""The Large Movie Review Dataset: its files, its download, a made-up one in its place, and all of it as word ids."""

from seqsum.data.reviews.corpus import Corpus, Reviews, encode, join, load_corpus
from seqsum.data.reviews.download import download_corpus
from seqsum.data.reviews.files import ReviewFile, find_corpus, read_files
from seqsum.data.reviews.made import make_reviews

__all__ = [
    "Corpus",
    "ReviewFile",
    "Reviews",
    "download_corpus",
    "encode",
    "find_corpus",
    "join",
    "load_corpus",
    "make_reviews",
    "read_files",
]
