"""Finds what runs in a user's code: functions, and lines that break gradients, such as `detach` or `x += y`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from seqsum.check.places import is_library, short
from seqsum.check.result import USER_ERRORS

CUTS = {
    "detach": "`detach()` cuts the gradient",
    "detach_": "`detach_()` cuts the gradient",
    "item": "`item()` takes a number out of the graph: no gradient passes",
    "tolist": "`tolist()` takes numbers out of the graph: no gradient passes",
    "numpy": "`numpy()` takes an array out of the graph: no gradient passes",
    "tensor": "`torch.tensor(…)` copies numbers, and no gradient passes",
    "round": "`round()` has a gradient of zero",
    "sign": "`sign()` has a gradient of zero",
    "argmax": "`argmax()` has no gradient",
}
# methods that give another type
CONVERTS = ("float", "half", "bfloat16", "to", "type", "type_as")


class Call(NamedTuple):
    """A call that may break gradients: what it does, and `file:line: code`."""

    reason: str
    where: str
    in_place: bool = False
    rounds: bool = False  # to a type with fewer digits


class Watcher(TorchFunctionMode):
    """Keeps such calls while it is active, of code that is not a library's."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if (reason := _reason(func, name, args)) is not None:
            where = _user_line()
            if where:
                self.calls.append(Call(reason, where, _in_place(name)))
        result = func(*args, **(kwargs or {}))
        if name in CONVERTS and _rounds(args[0], result) and (where := _user_line()):
            self.calls.append(Call(f"`{name}(…)` gives {str(result.dtype).removeprefix('torch.')}", where, rounds=True))
        return result


def _rounds(given: Any, result: Any) -> bool:
    """Whether a tensor in float64 on the way to the result was rounded to a type with fewer digits."""
    if not isinstance(result, torch.Tensor) or not result.requires_grad or result.dtype == torch.float64:
        return False
    return given.dtype == torch.float64 and not torch.equal(result.double(), given)  # numbers such as 0 and 1 stay


def _in_place(name: str) -> bool:
    return name == "__setitem__" or (name.endswith("_") and not name.startswith("_"))


def _reason(func: Any, name: str, args: Any) -> str | None:
    if name == "__get__" and func == torch.Tensor.data.__get__:  # type: ignore[attr-defined]  # stubs say Tensor
        return "`.data` is outside of the graph: no gradient passes"
    if name == "_set_grad_enabled" and args and args[0] is False:
        return "`torch.no_grad()` cuts the gradient"
    if name in CUTS:
        return CUTS[name]
    if _in_place(name):
        return f"`{'x[…] = …' if name == '__setitem__' else name + '(…)'}` works in place"
    return None


def _user_line() -> str:
    for frame in reversed(traceback.extract_stack()):
        if not is_library(frame.filename):
            return f"{short(frame.filename)}:{frame.lineno}: {frame.line}"
        if frame.filename == __file__ and frame.name not in ("_user_line", "__torch_function__"):
            return ""
    return ""


def watch(call: Callable[[], Any]) -> list[Call]:
    """What `call` does that may break gradients, in order; errors that it raises are its own."""
    watcher = Watcher()
    with suppress(*USER_ERRORS), watcher:  # it is run for what it does on the way
        call()
    return watcher.calls


class Functions(TorchFunctionMode):
    """Keeps the functions that call torch while it is active, of code that is not a library's; callers first.

    Unlike `sys.setprofile` it leaves a profiler or debugger of the user's alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.codes: dict[CodeType, None] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        frame: FrameType | None = sys._getframe(1)
        codes: list[CodeType] = []
        while frame is not None and frame.f_code is not functions_of_users.__code__:
            if not is_library(frame.f_code.co_filename):
                codes.append(frame.f_code)
            frame = frame.f_back
        self.codes.update(dict.fromkeys(reversed(codes)))
        return func(*args, **(kwargs or {}))


def functions_of_users(call: Callable[[], Any]) -> list[CodeType]:
    """The functions of users that `call` runs and that call torch; errors are its own."""
    functions = Functions()
    with suppress(*USER_ERRORS), functions:  # it is run for what it calls on the way
        call()
    return list(functions.codes)
