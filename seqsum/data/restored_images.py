"""Images to restore from damaged ones: what an encoder can learn from without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from seqsum.data.base import Batch
from seqsum.data.damage import GREY, add_noise, holes
from seqsum.data.index_tables import IndexBatch
from seqsum.data.single_images import Images, ImageSet
from seqsum.errors import InputError, check_choice

Damage = Literal["none", "noise", "hole"]


class RestoredImages(Images):
    """One image a sequence, damaged, with its own pixels as targets: inputs `(B, 1, C, Y, X)`, targets `(B, C·Y·X)`.

    Targets are from 0 to 1. Labels are not used. Validation and test damage an image in the same way every time.

    Args:
        damage: `none`, for an autoencoder; `noise`, for a denoising one (Vincent et al., 2010); or `hole`, a grey
            square to be painted in (Pathak et al., 2016), whose pixels alone are scored.
        noise: Probability that `noise` replaces a number of the image by 0 or 1.
        hole: Pixel rows and columns of a `hole`, at most those of the image.
        dataset, root, batch_size, augment, elastic, flip, seed: See `Images`.
        images: For `predict`: image files, folders of images, and patterns such as `digits/*.png`. They are damaged as
            in a test.
    """

    is_capturable = True

    def __init__(
        self,
        damage: Damage = "none",
        noise: float = 0.3,
        hole: int = 12,
        dataset: ImageSet = "auto",
        root: str = "data",
        batch_size: int = 128,
        augment: bool = True,
        elastic: float = 0.0,
        flip: bool | None = None,
        seed: int = 0,
        images: str | list[str] | None = None,
    ) -> None:
        super().__init__(dataset, root, batch_size, augment, elastic, flip, seed, images)
        check_choice("--data.damage", damage, Damage)
        if not 0 <= noise <= 1:
            raise InputError(f"`--data.noise` (={noise}) must be between 0 and 1")
        size = self.sizes({"dataset": dataset})["image_size"]
        if not 1 <= hole <= size:
            raise InputError(f"`--data.hole` (={hole}) must be between 1 and {size}, the rows of an image")
        self.damage = damage
        self.noise = noise
        self.hole = hole

    @classmethod
    def sizes(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Return the sizes of a dataset, as `Images` does, without a number of classes."""
        return {name: size for name, size in Images.sizes(settings).items() if name != "num_classes"}

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn an index table `(B, 1)` into damaged images `(B, 1, C, Y, X)` and the pixels of whole ones."""
        return self._to_restore(self.pixels_of(batch), batch)

    def own_batches(self) -> list[Batch]:
        """Serve the user's images, damaged, as batches of one image, with their pixels as targets."""
        images = self._pixels(torch.cat([digits for digits, _ in self.own.sequences]))
        rows = torch.arange(len(images)).unsqueeze(1)
        shares = [slice(row, row + 1) for row in range(len(images))]
        return [self._to_restore(images[share], IndexBatch("test", rows, 0, share)) for share in shares]

    def describe(self) -> str:
        damages = {"none": "to be encoded", "noise": f"{self.noise:.0%} noise", "hole": f"holes of {self.hole} pixels"}
        return f"{self.dataset} images ({self.describe_splits()}), {damages[self.damage]}, without labels"

    def _to_restore(self, pixels: Tensor, batch: IndexBatch) -> Batch:
        """Damage whole images `(N, C, Y, X)` from 0 to 1."""
        targets, scored, damaged = pixels.flatten(1), None, pixels
        if self.damage == "noise" and len(pixels) > 0:
            damaged = add_noise(pixels, batch, self.noise)
        elif self.damage == "hole":
            inside = holes(pixels, batch, self.hole)
            damaged = pixels.masked_fill(inside, GREY)
            scored = inside.expand_as(pixels).flatten(1)
        return Batch(self._as_inputs(damaged), targets, target_mask=scored, rows=batch.rows)
