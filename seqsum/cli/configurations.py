"""Files of settings, looked at before they are used: what is wrong with them is said with their name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seqsum.errors import InputError
from seqsum.paths import expand_home

LARGEST = 10_000  # values; the largest of this package has about 50


class Configuration(NamedTuple):
    """A file of settings.

    Attributes:
        text: What is in it.
        settings: The same by names.
    """

    text: str
    settings: dict[str, Any]


def read_files(names: list[str]) -> dict[str, Configuration]:
    """The files among what `-c` and `--config` name, by name; settings may also be given in place of a file.

    Raises:
        InputError: A file is no YAML, no mapping, gives a setting twice, or would never end.
    """
    return {name: read_configuration(name) for name in names if is_file(name)}


def is_file(path: str) -> bool:
    """Whether it is one."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long a name, a zero in it
        return False


def read_configuration(path: str) -> Configuration:
    """Read a file, and refuse one that is no mapping of settings: see `read_files`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise InputError(f"`--config` (={path}) must be a mapping of settings, such as `data:` and below it names")
        _check_node(root, (), [0])
        return Configuration(text, expand_home(_values(root)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"`--config` (={path}) is no YAML: {' '.join(str(error).split())}") from error
    except _StructureError as error:
        raise InputError(f"`--config` (={path}) {error}") from error


def read_run(folder: Path) -> dict[str, Any]:
    """The settings of a run, of which it left a file; none where that is gone.

    Raises:
        InputError: See `read_files`.
    """
    path = folder / "config.yaml"
    return read_configuration(str(path)).settings if path.is_file() else {}


def _values(root: yaml.Node) -> dict[str, Any]:
    """What PyYAML makes of a tree that it has read; nothing of values that it can't make, of which the parser can."""
    try:
        return yaml.SafeLoader("").construct_document(root)
    except (ValueError, yaml.YAMLError):
        return {}


class _StructureError(Exception):
    """YAML allows it, and no configuration needs it."""


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
            if name.tag != "tag:yaml.org,2002:str":
                raise _StructureError(f"has a name in line {name.start_mark.line + 1} that is no text")
            if name.value in names:
                raise _StructureError(f"gives `{name.value}` twice, the second time in line {name.start_mark.line + 1}")
            names.add(name.value)
            children.append(value)
    for child in children:
        _check_node(child, (*above, node), counted)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts such as `1e3`, which PyYAML takes for texts and jsonargparse for numbers."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"), list("-+0123456789")
)


def dump_settings(settings: Any) -> str:
    """Settings as YAML that jsonargparse reads as the same settings."""
    return yaml.dump(settings, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
