"""Runs the notebook of the tour, and keeps what it shows.

SEQSUM_DATA=folder/of/mnist python docs/make_tour.py

Edit the cells in Jupyter or by hand, then run this. It trains for a minute or two. Needs `pip install -e '.[test]'`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parent / "tour.ipynb"
SECONDS = 900  # for one cell


def execute(notebook: Any, folder: Path) -> None:
    """Run all cells in place, by the package of this checkout and in a folder for the files that they write.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell has failed; the message has its traceback.
    """
    paths = [str(TOUR.parents[1].resolve()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    options = {"kernel_name": "python3", "timeout": SECONDS, "record_timing": False}
    # what a cell prints as one text, however it came
    client = NotebookClient(notebook, coalesce_streams=True, resources={"metadata": {"path": folder}}, **options)
    client.execute(env=environment)


def main() -> None:
    """Write the notebook with fresh outputs, and without what differs from machine to machine."""
    notebook = nbformat.read(TOUR, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, Path(folder))
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, TOUR)
    print(f"{TOUR}: {TOUR.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
