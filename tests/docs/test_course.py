"""The course says what its blocks print, its commands are understood, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from seqsum.cli import main
from seqsum.data import load_splits
from tests.test_inspect import save_checkpoint

DOCS = Path(__file__).parents[2] / "docs"
COURSE = (DOCS / "course.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", COURSE, flags=re.DOTALL)
COMMANDS = sorted(set(re.findall(r"^python train\.py.*$", COURSE, flags=re.MULTILINE)))
MODULES = sorted(set(re.findall(r"python -m ([\w.]+)", COURSE)))


@pytest.fixture
def course(here, mnist_root, monkeypatch):
    """The folder of somebody who has trained, and has two digits of their own."""
    folder = here / "logs/sum/version_0/checkpoints"
    folder.mkdir(parents=True)
    save_checkpoint(folder / "best.ckpt", mnist_root)
    (here / "my_digits").mkdir()
    for place, digit in enumerate(load_splits("mnist", mnist_root)["test"].images[:2]):
        Image.fromarray(digit.numpy()).save(here / f"my_digits/{place}.png")
    monkeypatch.syspath_prepend(here)
    sys.modules.pop("my_cells", None)
    yield here
    sys.modules.pop("my_cells", None)  # other tests have cells of this name too


def test_blocks_print_what_stands_below_them(course, capsys):
    torch.manual_seed(0)
    names, compared = {}, 0
    for code, expected in BLOCKS:
        if code.startswith("# my_cells.py"):
            (course / "my_cells.py").write_text(code)
            continue
        exec(compile(code, "course.md", "exec"), names)
        said = capsys.readouterr().out
        assert said == expected, code
        compared += bool(expected)
    assert compared >= 13
    assert list(course.glob("my_digits/*")), "they are read and stay"
    assert [row[4] for row in names["shown"].tables[0].rows] == ["0.png", "1.png"]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(course, capfd, command):
    """Parsed, and not run."""
    code = next(code for code, _ in BLOCKS if code.startswith("# my_cells.py"))
    (course / "my_cells.py").write_text(code)
    (course / "configs").symlink_to(DOCS.parent / "configs")
    with pytest.raises(SystemExit) as exit_:
        main([*shlex.split(command, comments=True)[2:], "--print_config"])
    assert exit_.value.code == 0, capfd.readouterr().err


def test_programs_are_there():
    assert {"seqsum.inspect", "seqsum.experiments"} <= set(MODULES)
    assert [name for name in MODULES if importlib.util.find_spec(f"{name}.__main__") is None] == []


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", COURSE)
    assert len(links) > 15
    for link in links:
        path, _, anchor = link.partition("#")
        file = DOCS / path if path else DOCS / "course.md"
        assert file.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, link
