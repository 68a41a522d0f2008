"""Find the checkpoint that `--ckpt_path=last` or `best` refers to."""

from __future__ import annotations

from pathlib import Path

from seqsum.versions import runs_of


def find(name: str, root: str, experiment: str) -> Path | None:
    """Find an experiment's newest `NAME.ckpt`; None if there is none."""
    there = [path for run in runs_of(Path(root, experiment)) if (path := run / f"checkpoints/{name}.ckpt").is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)
