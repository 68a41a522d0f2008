"""Turns a user's own images into digits like MNIST's: files -> frames -> ink -> pieces -> digits, one module each."""

from seqsum.data.images.files import read_images

__all__ = ["read_images"]
