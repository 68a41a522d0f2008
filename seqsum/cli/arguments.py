"""Join several values after one flag, as a shell produces them from a pattern."""

from __future__ import annotations

import json


def join_values(options: list[str], flag: str) -> list[str]:
    """Join all values of a flag: `--flag a b --flag=c` becomes `--flag=["a", "b", "c"]`.

    For a flag that comes from a class, jsonargparse takes only one value, and the last of repeated flags.

    Args:
        options: Options of the command line.
        flag: The flag, with its dashes. Its values end before the next option that starts with a dash.
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
