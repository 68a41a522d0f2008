"""Find the checkpoint that `--ckpt_path=last` or `best` refers to."""

from __future__ import annotations

from pathlib import Path

from seqsum.versions import versions


def find(name: str, root: str, experiment: str) -> Path | None:
    """Find an experiment's newest `NAME.ckpt`, also from runs on rendered digits; None if there is none."""
    runs = [run for folder in (experiment, f"{experiment}-rendered") for run in versions(Path(root, folder))]
    there = [path for run in runs if (path := run / f"checkpoints/{name}.ckpt").is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)
