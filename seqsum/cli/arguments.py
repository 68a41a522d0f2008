"""Arrange the options of the command line for the parser, which reads them from left to right."""

from __future__ import annotations

import itertools
import json
import re

import yaml

SUBCOMMANDS = ("fit", "validate", "test", "predict")


def files_first(options: list[str]) -> list[str]:
    """Move all `-c FILE` and `--config=FILE` to the front, so that flags take precedence wherever they stand."""
    files, others, arguments = [], [], iter(options)
    for option in arguments:
        if option in ("-c", "--config"):
            files += [option, *itertools.islice(arguments, 1)]
        elif re.match(r"-c.|--config=", option):
            files.append(option)
        else:
            others.append(option)
    return files + others


def join_values(options: list[str], flag: str) -> list[str]:
    """Join all values of a flag: `--flag a b --flag=c` becomes `--flag=["a", "b", "c"]`.

    For a flag that comes from a class, jsonargparse takes only one value, and the last of repeated flags. It reads that
    as YAML, in which a text such as `Good: I liked it` or `- no` would be something else, but not in a list.

    Args:
        options: Options of the command line.
        flag: The flag, with its dashes. Its values end before the next one that starts with a dash and a letter.
    """
    others, values, is_taking = [], [], False
    for option in options:
        name, is_assigned, value = option.partition("=")
        if name == flag:
            is_taking = True
            values += [value] if is_assigned else []
        elif is_taking and not re.match(r"--?[A-Za-z]", option):
            values.append(option)
        else:
            is_taking = False
            others.append(option)
    if not values:
        return options
    alone = len(values) == 1 and _is_plain(values[0])
    return [*others, f"{flag}={values[0] if alone else json.dumps(values)}"]


def _is_plain(value: str) -> bool:
    """Whether the parser takes a value as it is meant: as one text, unless it is a list in brackets."""
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        return False
    return not isinstance(found, dict | list) or (isinstance(found, list) and value.startswith("["))
