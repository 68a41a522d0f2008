"""What to give to a cell's constructor, which may have other names and another order for the two sizes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

NAMES = {  # what parameters of constructors are called
    "hidden_size": r"hid|units|(^|_)out|n_h|h_dim|^h$|state|cells",
    "input_size": r"^in|input|feat|_in(_|$)|x_dim|^x$|emb|^n?_?d(im)?$",
}


def arguments_of(
    kind: type, sizes: Mapping[str, int], options: Mapping[str, Any]
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Find the arguments of a cell's constructor: sizes by its names for them, or in order if these don't tell.

    Args:
        kind: The cell's class.
        sizes: `input_size` and `hidden_size`.
        options: Further arguments, by their names.

    Returns:
        Positional arguments and named ones.

    Raises:
        TypeError: The constructor needs further arguments, has none of the name of an option, or takes no two sizes.
        ValueError: The class does not tell what its constructor takes.
    """
    parameters = list(inspect.signature(kind).parameters.values())
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if unknown := [] if takes_any else [name for name in options if name not in named]:
        raise TypeError(f"the constructor has no argument `{unknown[0]}`")
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD and p.name not in options]
    in_order = tuple(sizes[name] for name in ("input_size", "hidden_size"))
    if [p.kind for p in required] == [inspect.Parameter.VAR_POSITIONAL]:
        return in_order, dict(options)
    found = _sizes_by_name([name for name in named if name not in options])
    missing = [p.name for p in required if p.name not in found.values() and p.kind is not p.VAR_POSITIONAL]
    if len(found) == 2 and not missing:
        return (), {name: sizes[role] for role, name in found.items()} | dict(options)
    if not found and takes_any and not missing:
        return (), {**sizes, **options}
    if len(required) == 2 and all(p.kind is p.POSITIONAL_OR_KEYWORD for p in required):
        return (), dict(zip([p.name for p in required], in_order, strict=True)) | dict(options)
    raise TypeError(
        f"what `{missing[0]}` is to be is not known" if missing else "the constructor does not take both sizes"
    )


def _sizes_by_name(names: list[str]) -> dict[str, str]:
    """What is called `hidden_size` and `input_size` among a constructor's parameters, as far as names tell."""
    found: dict[str, str] = {}
    for role, pattern in NAMES.items():
        free = [name for name in names if name not in found.values()]
        if likely := [role] if role in free else [name for name in free if re.search(pattern, name.lower())]:
            found[role] = likely[0]
    return found
