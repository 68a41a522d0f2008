"""A parser with short errors, no abbreviated flags, complete help, and configuration files read in advance."""

from __future__ import annotations

import argparse
import json
import pydoc
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, Union, cast, get_args, get_origin

import jsonargparse
import torch
from jsonargparse import Namespace

from seqsum.cli.arguments import SUBCOMMANDS
from seqsum.cli.configurations import without_empty
from seqsum.cli.flags import explain
from seqsum.cli.messages import in_words
from seqsum.console import fail
from seqsum.defaults import DEFAULT_CLASSES, OwnDefaultsParser
from seqsum.files import write_atomically

_files: ContextVar[Mapping[str, str]] = ContextVar("_files", default={})  # noqa: B039  # never changed
_program: ContextVar[str | None] = ContextVar("_program", default=None)


class Parser(OwnDefaultsParser):
    """Lightning's parser, changed as described above.

    Args:
        files: The text of each configuration file by its name on the command line, see `settings.py`.
        program: What errors and help call the program; None for the name of the running script.
    """

    def __init__(
        self, *args: Any, files: Mapping[str, str] | None = None, program: str | None = None, **kwargs: Any
    ) -> None:
        if files is not None:
            _files.set(files)
            _program.set(program)
        # both also for the parsers that jsonargparse makes for the arguments of a class
        super().__init__(*args, **{"prog": _program.get(), **kwargs}, allow_abbrev=False)
        self.files = _files.get()
        self.arguments_of: type | None = None  # the class, if the parser is for its arguments

    def add_class_arguments(
        self, theclass: type, nested_key: str | None = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        """Add the arguments of a class, and keep its name for errors."""
        if nested_key is None:
            self.arguments_of = theclass
        added = super().add_class_arguments(theclass, nested_key, *args, **kwargs)
        for action in self._actions:
            if (annotation := getattr(action, "_typehint", None)) is not None:
                action._typehint = int_first(annotation)  # type: ignore[attr-defined]  # jsonargparse's own name
        return added

    def parse_path(self, cfg_path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration file; relative paths in it start from its folder."""
        if str(cfg_path) not in self.files:
            return super().parse_path(cfg_path, *args, **kwargs)
        with jsonargparse.Path(cfg_path, mode="fr").relative_path_context():
            return self.parse_string(self.files[str(cfg_path)], str(cfg_path), *args, **kwargs)

    def parse_string(self, cfg_str: str, cfg_path: Any = "", *args: Any, **kwargs: Any) -> Namespace:
        """Parse settings in YAML; see `without_empty`. jsonargparse takes 3 for a section without a word."""
        sections = (self.groups or {}).keys() & {action.dest for action in self._actions}
        settings = without_empty(cfg_str, sections, str(cfg_path) or "`--config`")
        return super().parse_string(settings, cfg_path, *args, **kwargs)

    def _check_value_key(self, action: argparse.Action, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Check a value; say of a number in a file what is said of a flag's, which is a text.

        jsonargparse takes any number or list in a file for a function.
        """
        is_number = isinstance(value, bool | int | float)
        if _is_function(getattr(action, "_typehint", None)) and (is_number or isinstance(value, list)):
            value = json.dumps(value, default=str)
        try:
            return super()._check_value_key(action, value, *args, **kwargs)
        except TypeError:
            if is_number:
                super()._check_value_key(action, json.dumps(value), *args, **kwargs)
            raise

    def dump(self, *args: Any, **kwargs: Any) -> str:
        """Dump settings; don't validate them again by default, since parsing has done so, which takes half the time."""
        return super().dump(*args, **{"skip_validation": True, **kwargs})

    def save(self, cfg: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        """Write settings to a file, in UTF-8 on every system, as they are read."""
        write_atomically(Path(path), self.dump(cfg, skip_none=False))

    def format_help(self) -> str:
        """Explain every option, including those of the default data, encoder and objective."""
        if "--experiment" not in self._option_string_actions:  # the main parser, not a subcommand's
            return super().format_help()
        explain(self._option_string_actions)
        defaults = jsonargparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
        for group, default in DEFAULT_CLASSES.items():
            shown = cast("type", pydoc.locate(default))
            defaults.add_class_arguments(shown, group, skip={"seed"})  # follows --seed_everything
        return f"{super().format_help()}\nOptions of the default classes:\n\n{defaults.format_help()}"

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        if found := re.fullmatch(r"Option '(.+)' is not accepted", message):
            message = _not_accepted(found[1], self)
            if self.arguments_of is torch.optim.Optimizer:
                message += ": name a class before, by --model.optimizer=AdamW for example"
        elif found := re.fullmatch(r"Subcommand '\w+' does not accept option '(.+)'", message):
            message = _not_accepted(found[1], parser)
        elif found := re.fullmatch(r"Group '(\w+)' does not accept option '(.+)'", message):
            (parser,) = cast("Any", self._subcommands_action).choices.values()  # see `SeqsumCLI.subcommands`
            message = _not_accepted(".".join(found.groups()), parser)
        elif found := re.fullmatch(r"unrecognized arguments: (.+)", message, re.IGNORECASE | re.DOTALL):
            flags = [argument.partition("=")[0] for argument in found[1].split() if argument.startswith("--")]
            words = [argument for argument in found[1].split() if not argument.startswith("-")]
            if behind := [word for word in words if word in SUBCOMMANDS]:
                message += f": `{behind[0]}` must be the first argument, and the only subcommand"
            else:
                message += _suggest(flags, parser._option_string_actions) or _suggest(words, SUBCOMMANDS)
        else:
            message = in_words(message, self.arguments_of)
        if self.files:  # jsonargparse doesn't name them
            message += f"\nSettings come from the command line and from {', '.join(self.files)}."
        fail(f"{message}\n`{parser.prog.replace(' [options]', '')} --help` explains every option.")


def int_first(annotation: Any) -> Any:
    """Put int before float in a union, since jsonargparse takes the first type that fits.

    The typing module keeps unions, and takes `float | int` for the same as `int | float`. So if a user's module has
    one, `--trainer.limit_train_batches=1` would become 1.0, which is all batches.
    """
    types = list(get_args(annotation))
    if get_origin(annotation) is not Union or not {int, float} <= set(types):
        return annotation
    types.remove(int)
    types.insert(types.index(float), int)
    return Union[tuple(types)]  # noqa: UP007  # of a tuple


def _is_function(annotation: Any) -> bool:
    """Whether an annotation is a callable, or a union with one."""
    return Callable in (annotation, get_origin(annotation)) or any(map(_is_function, get_args(annotation)))


def _not_accepted(option: str, parser: Parser) -> str:
    """Say that a parser has no such option, and name the most similar of its own."""
    of = "" if parser.arguments_of is None else f" by {parser.arguments_of.__name__}"
    own = [flag.removeprefix("--") for flag in parser._option_string_actions]
    return f"`{option}` is not accepted{of}{_suggest([option], [*own, 'class_path', 'init_args'])}"


def _suggest(names: Iterable[str], known: Iterable[str]) -> str:
    """Return a question that names the most similar of the known names; nothing if none is similar."""
    near = [f"`{match}`" for name in names for match in get_close_matches(name, list(known), 1, 0.65)]
    return f": did you mean {' and '.join(near)}?" if near else ""
