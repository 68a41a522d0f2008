"""Command lines as shells make them of patterns: several values after one flag."""

from __future__ import annotations

import json


def join_values(options: list[str], flag: str) -> list[str]:
    """All values of a flag as one: `--flag a b --flag=c` becomes `--flag=["a", "b", "c"]`.

    jsonargparse takes one value after a flag that classes define, and of several such flags only the last.

    Args:
        options: Of the command line.
        flag: With its dashes. Its values end where the next option begins, with a dash.
    """
    others, values, is_taking = [], [], False
    for option in options:
        name, is_assigned, value = option.partition("=")
        if name == flag:
            is_taking = True
            values += [value] if is_assigned else []
        elif is_taking and not option.startswith("-"):
            values.append(option)
        else:
            is_taking = False
            others.append(option)
    if not values:
        return options
    return [*others, f"{flag}={values[0] if len(values) == 1 else json.dumps(values)}"]
