"""The GPU benchmark at tiny sizes on the CPU."""

import json

import torch

from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.gpu import contestants, kernels, rule
from seqsum.benchmarks.recurrent import Shape

CPU = torch.device("cpu")
SMALL, SMALLER = Shape(4, 3, 2, 5), Shape(2, 5, 3, 4)


def make_tiny(monkeypatch):
    """Make the plan tiny, and leave out Triton, which would be interpreted."""
    monkeypatch.setattr(kernels, "SHAPES", [SMALL, SMALLER])
    monkeypatch.setattr(kernels, "OTHER_CELLS", [SMALL])
    monkeypatch.setattr(kernels, "VARIABLE", [SMALLER])
    monkeypatch.setattr(rule, "SIZES", [(2, 3, 4)])
    monkeypatch.setattr(rule, "FEW", 1)
    monkeypatch.setattr(contestants, "triton_obstacle", lambda cell: "left out here")


def measure(folder, *arguments):
    """Run the command in this process; return its exit status and the file of its one part."""
    options = ["--here", "--output", str(folder), "--rounds", "2", "--warm-up", "1", "--device", "cpu", *arguments]
    status = 0
    try:
        main(["gpu", *options])
    except SystemExit as error:
        status = error.code
    part = arguments[arguments.index("--parts") + 1]
    return status, json.loads((folder / f"{part}.json").read_text())
