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
    installed = {entry.name for entry in fontManager.ttflist}
    names = [name for name in (OWN, *OTHERS) if name in installed]
    # of its faces the one that matplotlib draws with: an oblique one may lack letters
    return {name: get_font(fontManager.findfont(name)).get_charmap().keys() for name in names}


def drawable(text: str) -> str:
    """Put a box in the place of each letter that no font has: matplotlib would draw one too, and warn of each."""
    known = [*fonts().values(), {ord("\n")}]
    return "".join(letter if any(ord(letter) in letters for letters in known) else BOX for letter in text)


def of_users() -> dict[str, Any]:
    """How to draw what users wrote, such as names of files and words: in these fonts, and `$` is no formula."""
    return {"parse_math": False, "fontfamily": list(fonts())}
