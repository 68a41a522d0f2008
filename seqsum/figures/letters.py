"""Letters that matplotlib's own font lacks, such as Chinese ones: another installed font draws them, or else a box."""

from __future__ import annotations

from collections.abc import Set
from functools import cache
from typing import Any

from matplotlib.font_manager import fontManager, get_font

OWN = "DejaVu Sans"  # comes with matplotlib
OTHERS = (  # of Linux, macOS and Windows
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans CJK KR",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
)
BOX = "□"


@cache
def fonts() -> dict[str, Set[int]]:
    """The installed fonts of the list, matplotlib's own first, with the letters that each has."""
    files = {entry.name: entry.fname for entry in fontManager.ttflist if entry.name in (OWN, *OTHERS)}
    return {name: get_font(files[name]).get_charmap().keys() for name in (OWN, *OTHERS) if name in files}


def drawable(text: str) -> str:
    """Put a box in the place of each letter that no font has: matplotlib would draw one too, and warn of each."""
    known = [*fonts().values(), {ord("\n")}]
    return "".join(letter if any(ord(letter) in letters for letters in known) else BOX for letter in text)


def of_users() -> dict[str, Any]:
    """How to draw what users wrote, such as names of files and words: in these fonts, and `$` is no formula."""
    return {"parse_math": False, "fontfamily": list(fonts())}
