"""A report as one HTML page with pictures, which needs no server."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from seqsum.check.result import Result
from seqsum.figures.page import embed, make_html, mark_up
from seqsum.figures.style import SERIES, common_style, new_figure, plain

COLOURS = {"passed": "#009e73", "noted": "#0072b2", "failed": "#d55e00", "skipped": "#888888"}
ORDER = ("failed", "noted", "passed", "skipped")  # what there is to do comes first
WORDS = {"passed": "right", "noted": "note", "failed": "wrong", "skipped": "not checked"}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
section { border-left: .4rem solid; padding: .1rem 1rem; margin: .6rem 0; background: #f7f7f7; }
h2 { font-size: 1rem; margin: .3rem 0; } h2 small { font-weight: normal; }
dl { display: grid; grid-template-columns: 6rem 1fr; gap: .2rem 1rem; margin: .4rem 0; }
dt { color: #666; } dd { margin: 0; } code { background: #eee; padding: 0 .2rem; }
img { max-width: 100%; }
"""


def make_page(cell: str, like: str | None, verdict: str, results: Sequence[Result]) -> str:
    """The whole page of a report."""
    held = f", held against {escape(like)}" if like else ""
    sections = map(_section, sorted(results, key=lambda result: ORDER.index(result.status)))
    body = f"<h1>{escape(cell)}{held}</h1>\n<p>{mark_up(verdict)}</p>\n{''.join(sections)}"
    return make_html(cell, body, STYLE.strip())


def _section(result: Result) -> str:
    message = f"<p>{mark_up(result.message)}</p>" if result.message else ""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{mark_up(text)}</dd>" for name, text in result.details().items())
    details = f"<dl>{rows}</dl>" if rows else ""
    pictures = "".join(_image(figure, result.title) for figure in draw(result.data))
    return (
        f'<section style="border-color: {COLOURS[result.status]}">'
        f"<h2>{mark_up(result.title)} <small>{WORDS[result.status]}</small></h2>"
        f"{message}{details}{pictures}</section>\n"
    )


def _image(figure: Figure, title: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return embed(file.getvalue(), title)


def draw(data: Mapping[str, Any]) -> Iterator[Figure]:
    """The pictures of a result, by the names of its numbers."""
    if "results" in data:
        yield plot_results(data["results"])
    if "curves" in data:
        yield plot_curves(**data["curves"])


@common_style
def plot_results(results: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """What came against what was expected, a panel for the output and each state: right where all is on the line."""
    figure = new_figure(3.0 * len(results), 3.0)
    for axes, (name, pair) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True):
        ends = [min(*pair["expected"], *pair["came"]), max(*pair["expected"], *pair["came"])]
        axes.plot(ends, ends, color="#bbbbbb", lw=1)
        axes.plot(pair["expected"], pair["came"], "o", ms=4, color=SERIES[1])
        plain(axes).set(title=name, xlabel="expected", ylabel="came")
    figure.suptitle("one step on several rows of random numbers, each result a dot", fontsize=9)
    figure.tight_layout()
    return figure


@common_style
def plot_curves(
    x: Sequence[float], curves: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, log: bool = False
) -> Figure:
    """Curves by name over the same axis."""
    figure = new_figure(6.0, 3.2, "constrained")
    axes = figure.subplots()
    for (name, y), colour in zip(curves.items(), SERIES, strict=False):
        axes.plot(x, y, label=name, color=colour, lw=1.5)
    plain(axes).set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    figure.legend(loc="outside upper center", ncols=len(curves), frameon=False)
    return figure
