"""Which classes an experiment is made of by default, and a parser that keeps each class's defaults to itself."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

DEFAULT_CLASSES = {
    "data": "seqsum.data.DigitSums",
    "model.encoder": "seqsum.networks.ConvEncoder",
    "model.objective": "seqsum.objectives.RunningSum",
}


class OwnDefaultsParser(LightningArgumentParser):
    """Lightning's parser, where a class that takes the place of another takes over what was given, and no default.

    jsonargparse hands on all values that both classes take: `CopyMemory` would get the batch size of `DigitSums`.
    """

    def set_default_classes(self) -> None:
        """Name the classes of `DEFAULT_CLASSES` as the defaults."""
        self.set_defaults({group: {"class_path": default} for group, default in DEFAULT_CLASSES.items()})

    def get_defaults(self, *args: Any, **kwargs: Any) -> Namespace:
        """Of each default class its name alone: jsonargparse adds the defaults of the class chosen at the end."""
        defaults = super().get_defaults(*args, **kwargs)
        for group in DEFAULT_CLASSES.keys() & {action.dest for action in self._actions}:
            defaults[group] = Namespace(class_path=DEFAULT_CLASSES[group])
        return defaults
