"""The parser: short errors, no guessing at shortened flags, all of the help, and files that are read already."""

from __future__ import annotations

import argparse
import pydoc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

import jsonargparse
from jsonargparse import Namespace

from seqsum.cli.flags import explain
from seqsum.console import fail
from seqsum.defaults import DEFAULT_CLASSES, OwnDefaultsParser


class Parser(OwnDefaultsParser):
    """Lightning's parser, as said above.

    Args:
        files: The text of each file of settings by its name on the command line, see `settings.py`.
    """

    def __init__(self, *args: Any, files: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, allow_abbrev=False)
        self.files = dict(files or {})

    def parse_path(self, cfg_path: Any, *args: Any, **kwargs: Any) -> Namespace:
        """The settings in a file, whose own paths start from its folder."""
        if str(cfg_path) not in self.files:
            return super().parse_path(cfg_path, *args, **kwargs)
        with jsonargparse.Path(cfg_path, mode="fr").relative_path_context():
            return self.parse_string(self.files[str(cfg_path)], Path(cfg_path).name, *args, **kwargs)

    def format_help(self) -> str:
        """Every option as it works here, and those of the default data, encoder and objective."""
        if "--experiment" not in self._option_string_actions:  # not the parser of a subcommand
            return super().format_help()
        explain(self._option_string_actions)
        defaults = jsonargparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
        for group, default in DEFAULT_CLASSES.items():
            shown = cast("type", pydoc.locate(default))
            defaults.add_class_arguments(shown, group, skip={"seed"})  # follows --seed_everything
        return f"{super().format_help()}\nWith the classes that are used by default:\n\n{defaults.format_help()}"

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        parser = getattr(ex, "subcommand_parser", None) or self
        if self.files:  # which jsonargparse does not name
            message += f"\nSettings come from the command line and from {', '.join(self.files)}."
        fail(f"{message}\nEvery option is explained by `{parser.prog.replace(' [options]', '')} --help`.")
