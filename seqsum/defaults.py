"""Which classes an experiment is made of by default, and a parser that keeps each class's defaults to itself."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any, cast

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from seqsum.errors import InputError
from seqsum.module import is_same

DEFAULT_CLASSES = {
    "data": "seqsum.data.DigitSums",
    "model.encoder": "seqsum.networks.ConvEncoder",
    "model.objective": "seqsum.objectives.RunningSum",
}


def drop_default_encoder(model: Namespace) -> None:
    """Leave out the default network's encoder, which the parser always adds, where the user names a network.

    Raises:
        InputError: The user has named an encoder too, or given it arguments.
    """
    if model.get("network") is None or model.get("encoder") is None:
        return
    if not _is_default("model.encoder", model.encoder):
        raise InputError(
            "`encoder` is of the default network: a `network` of your own has arguments of its own, those that its "
            "class has"
        )
    model.encoder = None


def _is_default(group: str, setting: Namespace) -> bool:
    """Whether a class is the default one, with its default arguments."""
    if setting.class_path != DEFAULT_CLASSES[group]:
        return False
    parameters = inspect.signature(cast("type", pydoc.locate(setting.class_path))).parameters
    given = vars(setting.get("init_args") or Namespace())
    return all(is_same(value, parameters[name].default) for name, value in given.items())


def by_flag(settings: Namespace) -> dict[str, Any]:
    """Settings under the names of their flags, such as `data.batch_size`; those from files as the others."""
    values = vars(settings.as_flat())
    values.pop("config", None)
    return {name.replace(".init_args", "").removesuffix(".class_path"): value for name, value in values.items()}


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
