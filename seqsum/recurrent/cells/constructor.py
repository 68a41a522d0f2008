"""What to give to a cell's constructor, which may have other names and another order for the two sizes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

NAMES = {  # what parameters of constructors are called
    "hidden_size": r"hid|units|(^|_)out|n_h|n_a|[ah]_dim|^h$|state|cells|latent|neurons",
    "input_size": r"^in|input|feat|_in(_|$)|n_x|x_dim|^x$|emb|obs|^n?_?d(im)?$",
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
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except TypeError as error:  # not about the arguments
        raise ValueError(str(error)) from error
    kinds = [parameter.kind for parameter in parameters]
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if unknown := [] if takes_any else [name for name in options if name not in [p.name for p in named]]:
        raise TypeError(f"the constructor has no argument `{unknown[0]}`")
    free = [p.name for p in named if p.name not in options and _may_be_size(p)]
    required = [p.name for p in named if p.name not in options and p.default is p.empty]
    if takes_any and set(free) <= set(sizes):
        return (), {**sizes, **options}
    if not free and inspect.Parameter.VAR_POSITIONAL in kinds:
        return (sizes["input_size"], sizes["hidden_size"]), dict(options)
    likely = required if len(required) > 2 else free[:2]
    found = {role: role for role in sizes} if set(sizes) <= set(free) else _roles(likely)
    if missing := [name for name in required if name not in found.values()]:
        raise TypeError(f"what `{missing[0]}` is to be is not known")
    if len(found) < 2:
        raise TypeError("the constructor does not take both sizes")
    if inspect.Parameter.POSITIONAL_ONLY in kinds[:2]:
        return tuple(sizes[role] for role in sorted(found, key=lambda role: free.index(found[role]))), dict(options)
    return (), {name: sizes[role] for role, name in found.items()} | dict(options)


def _may_be_size(parameter: inspect.Parameter) -> bool:
    default = parameter.default
    return default is parameter.empty or default is None or (isinstance(default, int) and not isinstance(default, bool))


def _roles(names: list[str]) -> dict[str, str]:
    """Which parameters are the sizes, by their names; if these don't tell, the first two in torch's order."""
    if len(names) < 2:
        return {}
    likely = {
        role: [role] if role in names else [name for name in names if re.search(pattern, name.lower())]
        for role, pattern in NAMES.items()
    }
    for role, other in (("hidden_size", "input_size"), ("input_size", "hidden_size")):
        if len(likely[role]) == 1:
            (chosen,) = likely[role]
            rest = [name for name in names if name != chosen]
            return {role: chosen, other: next((name for name in likely[other] if name in rest), rest[0])}
    return dict(zip(("input_size", "hidden_size"), names, strict=False))
