"""All private names of Lightning in the list exist, no others are used, and a missing one is reported."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

import seqsum
from seqsum.resume import lightning_state
from seqsum.resume.lightning_state import PRIVATE, missing

PACKAGE = Path(seqsum.__file__).parent


@pytest.fixture
def trainer():
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)


def is_private(name):
    return name.startswith("_") and not name.startswith(("__", "_abc"))


def private_names(trainer):
    """Collect the private names of the Lightning objects that the package uses, without torch's."""
    loops = [trainer.fit_loop, trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_loop.val_loop]
    parts = [trainer, *loops, LightningModule(), ModelCheckpoint(), RichProgressBar(), LightningCLI]
    names = {name for part in [*parts, LightningArgumentParser()] for name in dir(part)}
    return {name for name in names - set(dir(torch.nn.Module())) if is_private(name)}


def inherited(made):
    """Return the names that a class inherits from Lightning, including those set by constructors."""
    bases = [base for base in made.__mro__ if base.__module__.partition(".")[0] == "lightning"]
    instances = [base() for base in (LightningModule, LightningArgumentParser) if base in bases]
    return {name for part in [*bases, *instances] for name in dir(part)} - set(dir(torch.nn.Module()))


def uses(path, names):
    """Return which of the names a file accesses, or its classes inherit from Lightning."""
    tree = ast.parse(path.read_text())
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in names]
    found = {node.attr for node in attributes if getattr(node.value, "id", "") not in ("self", "cls")}
    module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        own = {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
        own |= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        found |= own & names & inherited(getattr(module, node.name))
    return found


def test_every_private_name_is_still_there(trainer):
    assert list(missing(trainer)) == []


@pytest.mark.parametrize("private", PRIVATE, ids=lambda private: private.name)
def test_a_name_that_is_gone_is_said_in_words(trainer, private, monkeypatch):
    renamed = private._replace(name=f"{private.name}_by_another_name")
    monkeypatch.setattr(lightning_state, "PRIVATE", (renamed,))
    (sentence,) = missing(trainer)
    assert sentence.startswith("lightning 2.")
    assert f".{renamed.name}`, which {private.used_in} relies on" in sentence


@pytest.mark.parametrize("name", lightning_state.LOOPS)
def test_a_counter_that_is_gone_is_said_in_words(trainer, name, monkeypatch):
    monkeypatch.setattr(lightning_state, "LOOPS", (f"{name}_by_another_name",))
    (sentence,) = missing(trainer)
    assert f"no longer has `{name}_by_another_name in the loops of a checkpoint`" in sentence


@pytest.mark.parametrize("private", PRIVATE, ids=lambda private: private.name)
def test_names_are_used_where_the_list_says(private):
    assert private.name in uses(PACKAGE.parent / private.used_in, {private.name})


def test_no_other_private_name_of_lightning_is_used(trainer):
    listed = {(private.used_in, private.name) for private in PRIVATE}
    known = private_names(trainer)
    paths = [path for path in PACKAGE.rglob("*.py") if "lightning" in path.read_text() and path.stem[0] != "_"]
    found = {(path.relative_to(PACKAGE.parent).as_posix(), name) for path in paths for name in uses(path, known)}
    assert found - listed == set()


def test_adapter_and_the_files_that_it_lists_alone_know_the_loops():
    listed = {PACKAGE.parent / each.used_in for each in PRIVATE} | {Path(lightning_state.__file__)}
    others = [path for path in PACKAGE.rglob("*.py") if path not in listed]
    assert [path.name for path in others if "epoch_loop" in path.read_text()] == []
    assert "fit_loop._" in inspect.getsource(lightning_state)
