"""What `--ckpt_path=last` and `--ckpt_path=best` mean: a checkpoint of the experiment's newest run."""

from __future__ import annotations

from pathlib import Path

from seqsum.versions import versions


def find(name: str, root: str, experiment: str) -> Path | None:
    """The `NAME.ckpt` of the experiment that was written last, on stand-in data or not; None without any."""
    runs = [run for folder in (experiment, f"{experiment}-rendered") for run in versions(Path(root, folder))]
    there = [path for run in runs if (path := run / f"checkpoints/{name}.ckpt").is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)
