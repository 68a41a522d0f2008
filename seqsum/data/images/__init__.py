"""A user's own images as digits like MNIST's: files -> frames -> ink -> pieces -> digits, a module for each step."""

from seqsum.data.images.files import read_images

__all__ = ["read_images"]
