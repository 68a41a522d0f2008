"""What jsonargparse says about a wrong value, in plain words: it lists all types that it tried, and hides the fault."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from seqsum import data, networks, objectives
from seqsum.networks.recurrences import LAYERS, TORCH_LAYERS

UNION = "Does not validate against any of the Union subtypes"  # as jsonargparse begins
PROBLEM = r"Problem with given class_path '(.*?)':\s*(.*)\Z"
IGNORED = (UNION, "Expected a path but", "Not of type")
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "tuple": "a list",
    "collections.abc.Iterable": "a list",
    "collections.abc.Sequence": "a list",
    "collections.abc.Mapping": "a mapping",
    "dict": "a mapping",
}
MANY = {"int": "whole numbers", "float": "numbers", "str": "names"}
SHOWN = 12  # classes up to which all of them are named
OWN = "A class of your own is given by its path from the current folder, such as `my_file.MyClass`"


def without_types_tried(message: str) -> str:
    """Keep of a message what the classes of a setting say; jsonargparse puts all types around it that it tried."""
    if not message.startswith(UNION):
        return in_words(message)
    tried = (re.split(r"\n *Given value type:", part)[0] for part in re.split(r"\n *- ", message)[1:])
    said = [part for part in tried if not part.startswith((UNION, "Expected a <class"))]
    of_classes = [part for part in said if not part.startswith("Not a valid subclass of")]
    return "\n".join(in_words(textwrap.dedent(part)) for part in of_classes or said) or message


def in_words(message: str, owner: type | None = None) -> str:
    """One sentence about a value of the wrong type; any other message as it is.

    Args:
        message: Of jsonargparse.
        owner: The class whose argument it is about; None for a flag of the program.
    """
    if section := re.fullmatch(r'Parser key "(\w+)":\nUnable to load config (.+?)\n *- (.*)', message, re.DOTALL):
        name, given, reason = section[1], ast.literal_eval(section[2]), textwrap.dedent(section[3])
        if reason.startswith(f'Parser key "{name}": Unable to load config'):
            return _no_section(name, given)
        if reason.startswith("while "):  # as errors of YAML begin
            return f"`--{name}` (={given}) is not YAML: {' '.join(reason.split())}"
        return in_words(reason, owner)
    if unmade := re.match(PROBLEM, message, re.DOTALL):
        return f"`{unmade[1]}` can't be made: {_told(unmade[2])}"
    if missing := re.fullmatch(r"the following arguments are required: (.+)", message):
        names = " and ".join(f"`{name}`" for name in missing[1].split(", "))
        return f"{names} of {owner.__name__} must be given" if owner else message
    about = re.match(r'Parser key "(.+?)":\s*(.*)\Z', message, re.DOTALL)
    if about is None:
        return message
    place, rest = about[1], about[2]
    if path := re.fullmatch(r"(?:File does not exist|Path is not a file): '(.*)'", rest):
        return f"`--{place}` (={path[1]}) is not a file"
    if inner := re.search(rf"\n( *)- ({UNION}.*)", f"\n{rest}", re.DOTALL):  # of a list
        rest = textwrap.dedent(f"{inner[1]}  {inner[2]}")
    if alone := re.fullmatch(r"(Expected a .+?)\. Got value: (.*)", rest, re.DOTALL):
        tried, value, subtypes = [alone[1]], alone[2], ""
    else:
        listed = re.fullmatch(r"(.*)\n *Given value type:.*?\n *Given value: (.*)", rest, re.DOTALL)
        if listed is None:
            return message
        value, subtypes = listed[2], "".join(re.findall(r"Subtypes: \[(.*)\]", listed[1]))
        indent = " " * min(map(len, re.findall(r"\n( *)- ", listed[1])), default=0)
        tried = [part.strip() for part in listed[1].split(f"\n{indent}- ")[1:]]
    if nested := re.fullmatch(r"NestedArg\(key='(.+)', val='(.*)'\)", value, re.DOTALL):
        place, value = f"{place}.{nested[1]}", nested[2]
    setting = f"`{place}` of {owner.__name__}" if owner else f"`--{place}`"
    return _sentence(setting, value, tried, subtypes) or message


def _imported(base: str) -> str:
    """Where to import a base class from."""
    package = next((each.__name__ for each in (data, networks, objectives) if hasattr(each, base)), None)
    return f"Extend {package}.{base}" if package else f"Extend {base}"


def _no_section(name: str, value: str) -> str:
    """What a section takes, which got the value of one of its settings instead."""
    fault = f"`--{name}` (={value}) must be a mapping of settings or a file of them"
    if name == "model" and (near := get_close_matches(value, [*LAYERS, *TORCH_LAYERS], 1, 0.6)):
        return f"{fault}: did you mean `--model.cell={near[0]}`?"
    return f"{fault}; each setting has a flag of its own, `--{name}.SETTING=…`"


def _sentence(setting: str, value: str, tried: Iterable[str], subtypes: str) -> str | None:
    """What is wrong with a value, by the types that were tried; None if none of them says so."""
    given, is_list = f"{setting} (={value})", value.startswith("[")
    wanted = _wanted(subtypes)
    kinds: list[str] = []
    class_name, problem, other = None, None, None
    for part in tried:
        if found := re.match(r"(?:Expected (?:a )?dot import path string|Unexpected import path format): (.*)", part):
            class_name = found[1]
        elif found := re.match(PROBLEM, part, re.DOTALL):
            given = f"`{found[1]}` in {setting}" if is_list else given
            problem = _told(found[2])
        elif found := re.match(r"Not a valid subclass of (\w+)", part):
            kinds.append(f"a subclass of {found[1]}")
        elif found := re.fullmatch(r"Import path (?:\S+ )?does not correspond to a (subclass of \w+)", part):
            problem = f"it is no {found[1]}"
        elif found := re.match(r"Type .* expects a function or a callable class: (.*?)(?:\. Got value|\Z)", part):
            problem = found[1]
        elif found := re.match(r"Multiple subclasses with name \w+\. .*?: (.*)\.\Z", part):
            return f"{given} is the name of several classes: give the path of one, {_any_of(found[1].split(', '))}"
        elif found := re.fullmatch(r"Expected a (<class .*>|typing\.Literal\[.*\])", part):
            wanted += [] if subtypes else _wanted(found[1])
        elif not part.startswith(IGNORED):
            other = " ".join(part.split())
    if not (class_name or kinds or wanted):
        problem = problem or other
    if problem is not None:
        base = re.fullmatch(r"it is no subclass of (\w+)", problem)
        return f"{given} can't be used: {problem}. {_imported(base[1]) if base else OWN}."
    names = [_name(kind) for kind in _known(subtypes)]
    if class_name is None or (wanted and not names):  # no class is meant where none is known, as for a number or tensor
        return f"{given} must be {_any_of(kinds + wanted)}" if kinds + wanted else None
    if is_list:
        given, wanted = f"`{class_name}` in {setting}", []
    fault = f"{given} is no known class" + (f", and not {_any_of(wanted)}" if wanted else "")
    choices = {name.lower(): name for name in [*names, *wanted]}
    if near := get_close_matches(class_name.lower(), choices, 1, 0.6):
        return f"{fault}: did you mean `{choices[near[0]]}`?"
    known = f" Known are {', '.join(names)}." if 0 < len(names) <= SHOWN else ""
    return f"{fault}.{known} {OWN}."


def _told(problem: str) -> str:
    """What a class said that could not be made, in a line."""
    line = " ".join(problem.split())
    if "Module.__init__() call" in line:
        return f"its `__init__`, or that of a part of it, must first call `super().__init__()` ({line})"
    return line


def _wanted(types: str) -> list[str]:
    """What values may be, in words, by a list of types; without classes, of which errors speak."""
    words: list[str] = []
    for alone, name, inner in re.findall(r"<class '([\w.]+)'>|([\w.]+)\[((?:[^][]|\[[^]]*\])*)\]", types):
        within = inner.split(", ")
        if name == "typing.Literal":
            words += [choice.strip("'") for choice in within]
        elif name == "tuple" and "..." not in within:
            words.append(f"a list of {len(within)}")
        elif TYPES.get(name) == TYPES["dict"] and MANY.keys() >= set(within):
            words.append(f"a mapping from {' to '.join(MANY[each] for each in within)}")
        elif (alone or name) in TYPES:
            words.append(TYPES[alone or name])
    return words


def _any_of(names: list[str]) -> str:
    names = [name for name in dict.fromkeys(names) if name != TYPES["int"] or TYPES["float"] not in names]
    return ", ".join(names[:-1]) + (" or " if len(names) > 1 else "") + names[-1]


def _known(subtypes: str) -> list[type]:
    """Classes that may be meant: those below the classes that are named in a list of types."""
    paths = [path.rpartition(".") for path in re.findall(r"\w+(?:\.\w+)+", subtypes)]
    named = [
        getattr(sys.modules.get(module), name, None)
        for module, _, name in paths
        if module != "collections.abc" and name != "Tensor"
    ]
    found: set[type] = {kind for base in named if isinstance(base, type) for kind in _below(base)}
    return sorted(found, key=_name)


def _name(kind: type) -> str:
    return kind.__name__


def _below(base: type) -> Iterator[type]:
    """All classes that are derived from a class and can be made."""
    derived: list[type] = type.__subclasses__(base)  # that of the class may be an attribute of its own
    for kind in derived:
        if not inspect.isabstract(kind) and not kind.__name__.startswith("_"):
            yield kind
        yield from _below(kind)
