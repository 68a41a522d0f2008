"""A training step on film reviews of unequal length: buckets and a mask, packed sequences, Keras with its mask."""

from seqsum.benchmarks.reviews.command import add_arguments, run

__all__ = ["add_arguments", "run"]
