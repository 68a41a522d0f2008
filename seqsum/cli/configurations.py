"""Read configuration files and check their structure, so that an error names the file."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seqsum.data.text.tokens import NotTextError, decode
from seqsum.errors import InputError
from seqsum.paths import expand_home

UNREPRESENTED = "Unable to serialize instance"  # what jsonargparse writes instead of an object
LARGEST = 10_000  # values in a file; the largest in `configs/` has about 50


class Configuration(NamedTuple):
    """A configuration file.

    Attributes:
        text: Its text.
        settings: The parsed text.
    """

    text: str
    settings: dict[str, Any]


def read_files(names: list[str]) -> dict[str, Configuration]:
    """Read the files given by `-c` and `--config`, by name; skip values that are settings instead of a file.

    Raises:
        InputError: A file is not YAML, not a mapping, gives a setting twice, refers to itself or is too large.
    """
    return {name: read_configuration(name) for name in names if is_file(name)}


def is_file(path: str) -> bool:
    """Return whether the path is a file; False for text that can't be a path."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, or contains a null character
        return False


def read_configuration(path: str) -> Configuration:
    """Read and check one configuration file; see `read_files` for the errors."""
    try:
        text = decode(Path(path).read_bytes())  # PowerShell writes UTF-16
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"`--config` (={path}) must be a mapping of settings, such as `data:` and names below it")
        _check_node(root, (), [0])
        return Configuration(text, expand_home(_values(root)))
    except NotTextError as error:
        raise InputError(f"`--config` (={path}) {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"`--config` (={path}) is not YAML: {' '.join(str(error).split())}") from error
    except _StructureError as error:
        raise InputError(f"`--config` (={path}) {error}") from error
    except OSError as error:
        raise InputError(f"`--config` (={path}) can't be read ({error.strerror})") from error


def read_run(folder: Path) -> dict[str, Any]:
    """Read a run's settings from its `config.yaml`; empty if there is no such file.

    Raises:
        InputError: See `read_files`.
    """
    path = folder / "config.yaml"
    return read_configuration(str(path)).settings if path.is_file() else {}


def _values(root: yaml.Node) -> dict[str, Any]:
    """Convert a YAML tree to Python; empty for values that only jsonargparse can convert."""
    try:
        return yaml.SafeLoader("").construct_document(root)
    except (ValueError, yaml.YAMLError):
        return {}


NAMES = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float")}  # numbers name entries of a mapping


class _StructureError(Exception):
    """Valid YAML that no configuration needs."""


def _check_node(node: yaml.Node, above: tuple[yaml.Node, ...], counted: list[int]) -> None:
    counted[0] += 1
    line = node.start_mark.line + 1
    if node in above:
        raise _StructureError(f"refers to itself in line {line}")
    if counted[0] > LARGEST:
        raise _StructureError(f"has more than {LARGEST:,} values by line {line}")
    children = list(node.value) if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for name, value in node.value:
            if name.tag not in NAMES:
                raise _StructureError(f"has a name in line {name.start_mark.line + 1} that is no text")
            if name.value in names:
                raise _StructureError(f"gives `{name.value}` twice, the second time in line {name.start_mark.line + 1}")
            names.add(name.value)
            children.append(value)
    for child in children:
        _check_node(child, (*above, node), counted)


NULL, TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"


def without_empty(text: str, sections: Collection[str], where: str) -> str:
    """Leave out sections without settings, such as one whose lines are all comments.

    Args:
        text: YAML.
        sections: Names on the first level. On the levels below, `init_args` is a section.
        where: What errors call the text.

    Raises:
        TypeError: A section is no mapping, or a class path no text. A section on the first level may be a text, the
            name of a file with its settings.
        yaml.YAMLError: It is not YAML.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    unseen, seen, empty = [root], set(), 0
    while unseen:
        node = unseen.pop()
        if id(node) in seen:  # by an alias, which may refer to what is above it
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            unseen += node.value
        if not isinstance(node, yaml.MappingNode):
            continue
        names, tags = (sections, (NULL, TEXT)) if node is root else (("init_args",), (NULL,))
        for name, value in node.value:
            must = ""
            if name.value in names and not isinstance(value, yaml.MappingNode) and value.tag not in tags:
                must = "a mapping, from names of settings to their values"
            elif name.value == "class_path" and value.tag != TEXT:
                must = "the name of a class"
            if must:
                given = text[value.start_mark.index : value.end_mark.index].strip()
                raise TypeError(f"`{name.value}` (={given}) in {where} must be {must}")
        kept = [(name, value) for name, value in node.value if name.value not in names or value.tag != NULL]
        empty += len(node.value) - len(kept)
        node.value = kept
        unseen += [value for _, value in kept]
    return yaml.serialize(root) if empty else text


class _Dumper(yaml.SafeDumper):
    """Quote strings such as `1e3`, which PyYAML reads as strings and jsonargparse as numbers."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"), list("-+0123456789")
)


def dump_settings(settings: Any, in_a_line: bool = False) -> str:
    """Dump settings as YAML that jsonargparse reads back unchanged, for a file or an argument of the command line.

    Objects are left out: flags and files can give none, so they are defaults of a class, which has them again later.
    """
    found = _without_objects(settings)
    if in_a_line:
        return yaml.dump(found, Dumper=_Dumper, default_flow_style=True, width=math.inf, sort_keys=False)
    return yaml.dump(found, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


def _without_objects(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_without_objects(each) for each in value]
    if isinstance(value, dict):
        return {name: _without_objects(each) for name, each in value.items() if not _has_object(each)}
    return value


def _has_object(value: Any) -> bool:
    """Whether YAML can't represent a value, or jsonargparse couldn't."""
    if isinstance(value, list | tuple):
        return any(map(_has_object, value))
    if isinstance(value, str) and value.startswith(UNREPRESENTED):
        return True
    return not isinstance(value, Enum) and type(value) not in _Dumper.yaml_representers
