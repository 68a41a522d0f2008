"""Formats the JSON files as Markdown, for docs/speed.md and the end of a run, so that no number is copied by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from seqsum.benchmarks.gpu.contestants import PRECISIONS, TORCH
from seqsum.benchmarks.gpu.results import read

Row = dict[str, Any]
MISSING = "–"
MODES = {"forward": "forward", "both": "forward + backward"}
LENGTHS = {"full": "", "sorted": ", sorted lengths", "unsorted": ", unsorted lengths"}


def tables(folder: Path) -> str:
    """Format all files of a folder; empty if there are none."""
    makers = {"tests": of_tests, "kernels": of_kernels, "rule": of_rule, "step": of_step}
    found = {part: read(folder, part) for part in makers}
    return "\n\n".join(
        block
        for part, file in found.items()
        if file is not None
        for block in (origin(part, file), *(makers[part](file) if file.get("rows") or file.get("points") else ()))
    )


def origin(part: str, file: dict[str, Any]) -> str:
    """Say what was measured where, when and with which versions, and what is missing."""
    machine = file.get("machine") or {"device": file["device"], **file["versions"]}
    versions = ", ".join(
        f"{name} {machine[name]}" for name in ("python", "torch", "triton", "cudnn") if name in machine
    )
    date = file.get("date") or file["measured"]
    lines = [f"### {part}: {machine['device']}, {date}", f"`{file['command']}`; {versions}."]
    if not file.get("finished", True):
        lines.append(f"**It did not finish**, and was at: {file['at_work'] or 'nothing'}.")
    if left_out := file.get("left_out"):
        lines.append(f"Left out for want of time: {len(left_out)} cases, the first {left_out[0]}.")
    return "\n".join([*lines, *_failures(file.get("errors", {}))])


def _failures(errors: dict[str, str]) -> list[str]:
    """List each reason once, with the first measurement that failed for it."""
    places: dict[str, list[str]] = {}
    for what, why in errors.items():
        places.setdefault(" ".join(why.split())[:300], []).append(what)
    return [f"- Failed {len(found)} times, the first {found[0]}: {why}" for why, found in places.items()]


def of_tests(file: dict[str, Any]) -> Iterable[str]:
    """Yield the counts of tests, and the names of those that failed."""
    names = ("passed", "failed", "errors", "skipped", "seconds")
    yield markdown(["tests", *names], [[_tests(row), *(row[name] for name in names)] for row in file["rows"]])
    failures = [
        f"- {test}: {' '.join(why.split())[:300]}" for row in file["rows"] for test, why in row["failures"].items()
    ]
    if failures:
        yield "\n".join(failures)


def _tests(row: Row) -> str:
    return f"{row['what']}, interrupted" if row["interrupted"] else row["what"]


def of_kernels(file: dict[str, Any]) -> Iterable[str]:
    """Yield a table of seqsum's best against cuDNN's best, and a table of all times."""
    cases = [(case, list(rows)) for case, rows in groupby(file["rows"], key=_case)]
    yield (
        "Speed of seqsum at its best precision as a multiple of torch.nn's at its best, forward / forward + backward; "
        "and of float32 in full by itself:"
    )
    yield markdown(
        ["cell", "B, T, F, H", "torch.nn's best, ms", "seqsum's best, ms", "speed", "float32 speed", "wrong"],
        [_best(rows) for _, rows in cases],
    )
    yield "Milliseconds of a call, forward / forward + backward; in brackets as a CUDA graph, without the host:"
    whos = list(dict.fromkeys((row["what"], row["precision"]) for row in file["rows"]))
    whos.sort(key=lambda who: (who[0] != TORCH, who[0] != "triton", who[0], PRECISIONS.index(who[1])))
    yield markdown(
        ["cell", "B, T, F, H", *(f"{what} {precision}" for what, precision in whos)],
        [[*_named(rows[0]), *(_times(rows, *who) for who in whos)] for _, rows in cases],
    )


def _case(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("cell", "B", "T", "F", "H", "lengths"))


def _named(row: Row) -> list[str]:
    return [row["cell"], ", ".join(str(row[size]) for size in "BTFH") + LENGTHS[row["lengths"]]]


def _best(rows: Sequence[Row]) -> list[str]:
    """Make a case's row of the first table."""
    best = [_pair(rows, mode, PRECISIONS) for mode in MODES]
    exact = [_pair(rows, mode, ["float32"]) for mode in MODES]
    wrong = {f"{row['what']} {row['precision']} ({_off(row)})" for row in rows if not row["right"]}
    return [
        *_named(rows[0]),
        " / ".join(_time(theirs) for theirs, _ in best),
        " / ".join(_time(ours) for _, ours in best),
        " / ".join(_speed(*pair) for pair in best),
        " / ".join(_speed(*pair) for pair in exact),
        ", ".join(sorted(wrong)),
    ]


def _off(row: Row) -> str:
    return "not finite" if row["error"] is None else f"{row['error']:.1g}"


def _pair(rows: Sequence[Row], mode: str, precisions: Sequence[str]) -> tuple[Row | None, Row | None]:
    """Return the fastest row of torch.nn, and the fastest of seqsum with the right numbers."""
    found = [row for row in rows if row["mode"] == mode and row["precision"] in precisions]
    theirs = [row for row in found if row["what"] == TORCH]
    ours = [row for row in found if row["what"] != TORCH and row["right"]]
    fastest = (min(side, key=lambda row: row["ms"], default=None) for side in (theirs, ours))
    return next(fastest), next(fastest)


def _time(row: Row | None) -> str:
    return MISSING if row is None else f"{row['ms']:.3g} ({row['precision']})"


def _speed(theirs: Row | None, ours: Row | None) -> str:
    return MISSING if theirs is None or ours is None else f"{theirs['ms'] / ours['ms']:.2f}"


def _times(rows: Sequence[Row], what: str, precision: str) -> str:
    found = {row["mode"]: row for row in rows if (row["what"], row["precision"]) == (what, precision)}
    if not found:
        return MISSING
    texts = []
    for row in (found.get(mode) for mode in MODES):
        replay = None if row is None else row.get("replay")
        texts.append(MISSING if row is None else f"{row['ms']:.3g}" + (f" [{replay:.3g}]" if replay else ""))
    return " / ".join(texts)


def of_rule(file: dict[str, Any]) -> Iterable[str]:
    """Yield a table of the times of all backends, the fastest in bold."""
    backends = list(dict.fromkeys(name for point in file["points"] for name in point["ms"]))
    rows = []
    for point in file["points"]:
        fastest = min(point["ms"].values())
        times = [
            (f"**{ms:.3g}**" if ms == fastest else f"{ms:.3g}") if ms else MISSING
            for ms in map(point["ms"].get, backends)
        ]
        sizes = ", ".join(str(point[size]) for size in ("batch", "steps", "hidden"))
        rows.append([point["cell"], point["type"], point["mode"], sizes, *times])
    yield "Milliseconds of each backend; `auto` takes the fastest at the nearest shape:"
    yield markdown(["cell", "type", "mode", "B, T, H", *backends], rows)


def of_step(file: dict[str, Any]) -> Iterable[str]:
    """Yield a table of trainings, and one of the parts of a step."""
    trainings = [row for row in file["rows"] if row["what"] == "training"]
    parts = [row for row in file["rows"] if row["what"] != "training"]
    if trainings:
        columns = ["name", "epochs", "images/s", "seconds of fit", "seconds in all"]
        columns += [name for name in trainings[0] if name.startswith("test/")]
        yield "Trainings; images/s is the median of the epochs after the first, without validation:"
        yield markdown(columns, [[row.get(name, MISSING) for name in columns] for row in trainings])
    if parts:
        sizes, names = (list(dict.fromkeys(map(key, parts))) for key in (lambda row: row["batch"], _part))
        times = {(_part(row), row["batch"]): f"{row['ms']:.3g}{_images(row)}" for row in parts}
        yield "Milliseconds of the parts of a step:"
        yield markdown(
            ["part", *(f"batch {size}" for size in sizes)],
            [[name, *(times.get((name, size), MISSING) for size in sizes)] for name in names],
        )


def _images(row: Row) -> str:
    return f" ({row['images/s']:,} images/s)" if "images/s" in row else ""


def _part(row: Row) -> str:
    return f"{row['what']}, {row['cell']} by {row['backend']}" if "cell" in row else row["what"]


def markdown(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in line) + " |"
        for line in lines
    )
