"""Writes figures as files: a PNG each, and one self-contained HTML page with all of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from matplotlib.figure import Figure

DPI = 150  # sharp on phones and on paper

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.25; }
h2 { margin-top: 2.5rem; }
img { display: block; max-width: 100%; height: auto; margin: 1rem auto; background: white; border-radius: 4px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 0.15rem 1.2rem 0.15rem 0; overflow-wrap: break-word; }
th { border-bottom: 1px solid; vertical-align: bottom; }
@media (max-width: 40rem) { table { font-size: 0.85rem; } th, td { padding-right: 0.6rem; } }
@media print {
  body { max-width: none; font-size: 10pt; }
  section { break-inside: avoid; }
  section.long { break-inside: auto; }
  h2 { break-after: avoid; }
}
""".strip()


class Table(NamedTuple):
    """A table: its head and rows, as strings.

    Attributes:
        title, caption: Printed above and below it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        title, caption = (f"<p>{escape(text)}</p>" if text else "" for text in (self.title, self.caption))
        return f"{title}{_table(self)}{caption}"


class Section(NamedTuple):
    """A section of a page: a figure, a table or both, with a caption.

    Attributes:
        title: Heading.
        text: Caption; the first line is a paragraph, further lines are items of a list, and what is between backticks
            is code.
        name: Name of the figure's file, without suffix.
        figure, table: What it shows.
        html: Shown at the end as it is: whoever makes it escapes what is in it.
    """

    title: str
    text: str = ""
    name: str = ""
    figure: Figure | None = None
    table: Table | None = None
    html: str = ""

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return _section(self, None if self.figure is None else draw(self.figure))


def make_files(title: str, lead: str, sections: Sequence[Section], page: str = "index.html") -> dict[str, bytes]:
    """Make the contents of all files, by name: a PNG for each figure, and the page.

    Args:
        title: Heading of the page.
        lead: Sentence that introduces the page.
        sections: Sections of the page, in order.
        page: File name of the page.
    """
    pictures = {section.name: draw(section.figure) for section in sections if section.figure is not None}
    body = "\n".join(_section(section, pictures.get(section.name)) for section in sections)
    html = make_html(title, f"<h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>\n{body}")
    return {f"{name}.png": picture for name, picture in pictures.items()} | {page: html.encode()}


def make_html(title: str, body: str, style: str = STYLE) -> str:
    """Put a body, as HTML, into a whole document.

    Args:
        title: Shown by the browser as the name of the page.
        body: Content of the page.
        style: Its CSS.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def mark_up(text: str) -> str:
    """Escape a text of ours, and turn what is between backticks into code: a page is no Markdown."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:  # not in pairs
        return escape(text)
    return "".join(f"<code>{part}</code>" if k % 2 else part for k, part in enumerate(parts))


def embed(picture: bytes, title: str) -> str:
    """Make an HTML element that contains a PNG."""
    data = base64.b64encode(picture).decode()
    return f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'


def draw(figure: Figure) -> bytes:
    """Draw a figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _section(section: Section, picture: bytes | None) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    text, *items = section.text.splitlines() or [""]
    if text:
        parts.append(f"<p>{mark_up(text)}</p>")
    if items:
        parts.append(f"<ul>{''.join(f'<li>{mark_up(item)}</li>' for item in items)}</ul>")
    if picture is not None:
        parts.append(embed(picture, section.title))
    if section.table is not None:
        parts.append(_table(section.table))
    if section.html:
        parts.append(section.html)
    long = section.html or (section.table is not None and len(section.table.rows) > 20)
    return "\n".join([f"<section{' class=long' if long else ''}>", *parts, "</section>"])


def _table(table: Table) -> str:
    lines = [_row(table.head, "th"), *(_row(row, "td") for row in table.rows)]
    return "\n".join(['<div class="scroll"><table>', *lines, "</table></div>"])


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
