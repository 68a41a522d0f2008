"""The default classes of an experiment, and a parser that doesn't pass one class's defaults to another."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Iterator, Mapping
from typing import Any, cast

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from seqsum.data.base import SequenceData
from seqsum.errors import InputError, missing_size
from seqsum.module_arguments import is_same
from seqsum.networks.starts import STARTS
from seqsum.networks.words import WordEncoder

DEFAULT_CLASSES = {
    "data": "seqsum.data.DigitSums",
    "model.encoder": "seqsum.networks.ConvEncoder",
    "model.objective": "seqsum.objectives.RunningSum",
}


def drop_default_encoder(model: Namespace) -> None:
    """Remove the encoder, which the parser always adds, if the user names a network.

    Raises:
        InputError: The user has also named an encoder or its arguments.
    """
    if model.get("network") is None or model.get("encoder") is None:
        return
    if not _is_default_encoder(model.encoder):
        raise InputError(
            "`encoder` belongs to the default network: your own `network` takes only the arguments of its class"
        )
    model.encoder = None


def _is_default_encoder(setting: Namespace) -> bool:
    """Whether the setting is the default encoder with its default arguments."""
    if setting.class_path != DEFAULT_CLASSES["model.encoder"]:
        return False
    parameters = inspect.signature(cast("type", pydoc.locate(setting.class_path))).parameters
    given = vars(setting.get("init_args") or Namespace())
    return all(is_same(value, parameters[name].default) for name, value in given.items())


def follow_data(settings: Namespace) -> Namespace:
    """Copy the settings, and set what follows the sizes of the data, such as an encoder's `vocabulary_size`.

    See `SequenceData.sizes`. The settings themselves, which are saved, keep what the user gave: with other data, the
    model follows those.

    Raises:
        InputError: The user has given such an argument another size, or an encoder of words has none.
    """
    data = settings.get("data") or Namespace()
    if data.get("class_path") is None or settings.get("model") is None:
        return settings
    kind = cast("type[SequenceData]", pydoc.locate(data.class_path))
    sizes = kind.sizes(vars(data.get("init_args") or Namespace()))
    settings = settings.clone()
    for place, part in _classes("model", settings.model):
        made = cast("type", pydoc.locate(part.class_path))
        for argument, size in _followed(made, sizes).items():
            given = part.init_args.get(argument)
            if given not in (None, size):
                raise InputError(_conflict(place, argument, given, size, data))
            part.init_args[argument] = size
        if issubclass(made, WordEncoder) and part.init_args.get("vocabulary_size") is None:
            raise missing_size(f"--{place}.vocabulary_size", "vocabulary_size")  # without the parser's words around it
    return settings


def _classes(place: str, setting: Namespace) -> Iterator[tuple[str, Namespace]]:
    """Yield every class with arguments in a setting, and the flag that names it."""
    if setting.get("class_path") is not None and isinstance(setting.get("init_args"), Namespace):
        yield place, setting
        setting = setting.init_args
    for name, inner in vars(setting).items():
        if isinstance(inner, Namespace):
            yield from _classes(f"{place}.{name}", inner)


def _followed(made: type, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the arguments of a class that follow the data, with their sizes: those that have no default."""
    named = getattr(made, "follows", {})
    parameters = inspect.signature(made).parameters.values()
    free = [each.name for each in parameters if each.default is None or each.default is inspect.Parameter.empty]
    return {name: sizes[named.get(name, name)] for name in free if named.get(name, name) in sizes}


def check_required(settings: Namespace) -> None:
    """Check that every class has the arguments that have no default; jsonargparse gives it None.

    Raises:
        InputError: One is missing.
    """
    for group in ("data", "model"):
        for place, part in _classes(group, settings.get(group) or Namespace()):
            made = pydoc.locate(part.class_path)
            for name, parameter in inspect.signature(cast("type", made)).parameters.items():
                needed = parameter.default is parameter.empty and "None" not in str(parameter.annotation)
                if needed and name in part.init_args and part.init_args[name] is None:
                    raise InputError(f"`--{place}.{name}` must be given: {part.class_path} has no default for it")


def _conflict(place: str, argument: str, given: Any, size: int, data: Namespace) -> str:
    followed = f"the `--data.{argument}` (={size}), which it follows"
    if argument not in (data.get("init_args") or ()):
        followed = f"{size}, which it follows from the data"
    return f"`--{place}.{argument}` (={given}) must be left out, or be {followed}"


def go_on(settings: Namespace) -> Namespace:
    """Copy the settings without files to start from if there is a checkpoint, whose weights replace theirs."""
    if not settings.get("ckpt_path"):
        return settings
    settings = settings.clone()
    for name in vars(settings.as_flat()):
        if name.startswith("model.") and name.rpartition(".")[2] in STARTS:
            settings[name] = None
    return settings


def by_flag(settings: Namespace) -> dict[str, Any]:
    """Return settings by the names of their flags, such as `data.batch_size`, without the names of files."""
    values = vars(settings.as_flat())
    values.pop("config", None)
    return {name.replace(".init_args", "").removesuffix(".class_path"): value for name, value in values.items()}


class OwnDefaultsParser(LightningArgumentParser):
    """Lightning's parser, in which a class that replaces another takes over its given arguments, but not its defaults.

    jsonargparse passes on all arguments that both classes have: `CopyMemory` would get the batch size of `DigitSums`.
    """

    def set_default_classes(self) -> None:
        """Set the classes of `DEFAULT_CLASSES` as the defaults."""
        self.set_defaults({group: {"class_path": default} for group, default in DEFAULT_CLASSES.items()})

    def get_defaults(self, *args: Any, **kwargs: Any) -> Namespace:
        """Return only the names of the default classes: jsonargparse adds the chosen class's defaults at the end."""
        defaults = super().get_defaults(*args, **kwargs)
        for group in DEFAULT_CLASSES.keys() & {action.dest for action in self._actions}:
            defaults[group] = Namespace(class_path=DEFAULT_CLASSES[group])
        return defaults

    def instantiate_classes(self, cfg: Namespace, instantiate_groups: bool = True) -> Namespace:
        """Make the classes' objects; see `follow_data` and `go_on`."""
        followed = follow_data(cfg)
        check_required(followed)
        return super().instantiate_classes(go_on(followed), instantiate_groups=instantiate_groups)
