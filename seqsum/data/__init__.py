"""Data: a LightningDataModule for each kind of sequence, of digits, pixels, words, sentences, symbols and samples."""

from seqsum.data.base import Batch, ScoredSteps, SequenceData, unlabelled
from seqsum.data.copy_memory import CopyMemory
from seqsum.data.digit_data import DigitData
from seqsum.data.digit_rows import DigitRows
from seqsum.data.digit_sums import DigitSums
from seqsum.data.digits import Digits, load_splits, resolve_dataset
from seqsum.data.encoded_sums import EncodedSums
from seqsum.data.film_reviews import FilmReviews
from seqsum.data.restored_images import RestoredImages
from seqsum.data.sine_curves import SineCurves
from seqsum.data.single_images import Images
from seqsum.data.sums import deal, increments, read_digits, running_targets, scan_targets, signs
from seqsum.data.translation import Translation
from seqsum.data.word_pairs import WordPairs

__all__ = [
    "Batch",
    "CopyMemory",
    "DigitData",
    "DigitRows",
    "DigitSums",
    "Digits",
    "EncodedSums",
    "FilmReviews",
    "Images",
    "RestoredImages",
    "ScoredSteps",
    "SequenceData",
    "SineCurves",
    "Translation",
    "WordPairs",
    "deal",
    "increments",
    "load_splits",
    "read_digits",
    "resolve_dataset",
    "running_targets",
    "scan_targets",
    "signs",
    "unlabelled",
]
