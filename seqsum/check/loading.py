"""The user's class from its dotted path or its file; what goes wrong there is a finding like any other."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from seqsum.check.constructing import describe_error
from seqsum.check.places import find_frame, short
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.recurrent import RecurrentCell

FORMS = "`my_cells.MyLSTM`, `my_cells.py`, or `my_cells.py:MyLSTM`"
PREFIX = "submission_"  # of the names of files as modules, which may be those of others


def load(target: str, like: str | None = None) -> Any:
    """The class that a target names.

    Args:
        target: A dotted path, a file, or a file and a name in it.
        like: Which class is meant, where a file has several: the one with this in its name.

    Raises:
        Fault: It can't be imported, or there is no such class.
    """
    of_file = re.fullmatch(r"(.+\.(?:py|ipynb))(?::(.+))?", target)  # a path may have a colon behind its drive
    file, name = of_file.groups("") if of_file else (target, "")
    if file.endswith(".py"):
        module = load_file(Path(file))
        return _named(module, name) if name else _only(module, like)
    if file.endswith(".ipynb") and Path(file).is_file():
        how = f"`jupyter nbconvert --to script {short(file)}`, or `check_cell` in the notebook"
        raise Fault(f"{short(file)} is a notebook, of which no cell can be imported", expected=how)
    if Path(target).name != target:
        raise Fault(f"there is no file or folder {target} with cells in it", expected=FORMS)
    path, _, name = target.rpartition(".")
    if not path:
        raise Fault(f"`{target}` names no class", expected=FORMS, came=target)
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return _named(_import(lambda: importlib.import_module(path), path), name)


def load_file(path: Path) -> ModuleType:
    """A file as a module, with its folder to import from."""
    if not path.is_file():
        raise Fault(f"there is no file {path}", expected=FORMS)
    sys.path.insert(0, str(path.parent.resolve()))
    name = f"{PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None  # it ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where `inspect` looks for the source
    loader = spec.loader

    def run() -> ModuleType:
        loader.exec_module(module)
        return module

    return _import(run, str(path))


def _import(run: Callable[[], ModuleType], name: str) -> ModuleType:
    given, sys.argv = sys.argv, [name]  # a script's parser is not to read the flags of this program
    try:
        return run()
    except SyntaxError as error:
        where = f"{short(error.filename or name)}:{error.lineno}: {(error.text or '').strip()}"
        raise Fault(f"{name} can't be imported: {describe_error(error)}", where=where) from error
    except USER_ERRORS as error:  # whatever a user's file does
        where = find_frame(error, "")
        missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
        expected = f"`{missing}` to be installed" if missing else "a file that Python can run"
        expected = FORMS if missing and f"{name}.".startswith(f"{missing}.") else expected
        if isinstance(error, SystemExit):
            expected = 'what a script runs behind `if __name__ == "__main__":`'
        if "attempted relative import" in str(error):  # a file by itself is in no package
            expected = "its dotted path, from the folder above its package: `package.my_cells.MyLSTM`"
        raise Fault(f"{name} can't be imported: {describe_error(error)}", expected=expected, where=where) from error
    finally:
        sys.argv = given


def _named(module: ModuleType, name: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    classes = ", ".join(f"`{kind.__name__}`" for kind in cells_in(module)) or "no cell at all"
    where = module.__name__.removeprefix(PREFIX)
    raise Fault(f"there is no `{name}` in {where}", expected=f"the name of a class, of which it has {classes}")


def _only(module: ModuleType, like: str | None) -> Any:
    """The one cell in a module, or the one whose name tells."""
    found = cells_in(module) or _own_classes(module)  # of one that is none, `make_subject` says what is missing
    told = [kind for kind in found if like is not None and like in kind.__name__.lower()]
    for choice in (found, told, [kind for kind in told if "cell" in kind.__name__.lower()]):
        if len(choice) == 1:
            return choice[0]
    names = ", ".join(f"`{kind.__name__}`" for kind in found)
    expected = (
        f"`{short(module.__file__ or '')}:NAME`, to say which" if found else "a class, a RecurrentCell or a module"
    )
    what = "several cells" if cells_in(module) else "several classes, but no cell," if found else "no cell"
    raise Fault(f"{what} in the file", expected=expected, came=names)


def cells_in(module: ModuleType) -> list[type]:
    """The classes that a module defines which may be cells: RecurrentCells, and only without any, other modules."""
    own = _own_classes(module)
    cells = [kind for kind in own if issubclass(kind, RecurrentCell)]
    modules = [kind for kind in own if issubclass(kind, nn.Module) and "forward" in vars(kind)]
    return cells or [kind for kind in modules if _may_take_state(kind)] or modules


def _may_take_state(kind: type) -> bool:
    """Whether `forward` takes more than an input; one that doesn't is of a part."""
    try:
        parameters = inspect.signature(vars(kind)["forward"]).parameters.values()
    except (TypeError, ValueError):  # wrapped by something that has none
        return True
    return len(parameters) > 2 or any(each.kind is each.VAR_POSITIONAL for each in parameters)


def _own_classes(module: ModuleType) -> list[type]:
    return [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
