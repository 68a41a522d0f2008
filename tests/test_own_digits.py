"""Photographs, scans and drawings with the digits in their names: `1_is3.jpg`, `strip_31415.jpg`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from seqsum.cli import main
from seqsum.data.images import read_images
from seqsum.inspect.restore import load
from seqsum.objectives.reading import encode, read


def drawn(file: Path) -> list[int]:
    """Return the digits in a file's name."""
    (digits,) = re.findall(r"(?:_is|strip_)(\d+)$", file.stem)
    return [int(digit) for digit in digits]


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def test_every_image_has_as_many_digits_as_its_name(own_digits):
    counts = {str(file): len(drawn(file)) for file in files(own_digits)}
    assert sum(counts.values()) == 23
    found = {file: sum(len(digits) for digits, _ in read_images([file]).sequences) for file in counts}
    assert found == counts


@pytest.mark.slow
def test_a_default_network_reads_20_of_the_23(own_digits, real_root, here):
    """Train for a quarter of the default's epochs; read each digit by itself, as the first of a sequence."""
    main([f"--data.root={real_root}", "--trainer.enable_progress_bar=false", "--trainer.max_epochs=5"])
    module = load("logs/sum/version_0/checkpoints/best.ckpt").module
    right = 0
    for file in files(own_digits):
        digits = torch.cat([sequence.digits for sequence in read_images([str(file)]).sequences])
        _, sums = read(module.network, encode(module.network, digits)[:, None])
        answers = sums[:, 0].round().int().tolist()
        print(f"{file.relative_to(own_digits)}: {answers}")
        right += sum(answer == digit for answer, digit in zip(answers, drawn(file), strict=True))
    print(f"{right} of 23 digits are read right")
    assert right >= 20
