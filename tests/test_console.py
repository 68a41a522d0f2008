"""Every command ends without a traceback after a user's mistake, and after Ctrl-C."""

from __future__ import annotations

import importlib

import pytest

from seqsum.errors import InputError

COMMANDS = {
    "check": ("check_one", ["my_cells.MyLSTM"]),
    "inspect": ("inspect", ["best.ckpt"]),
    "experiments": ("check_folder", ["gradients"]),
    "benchmarks": ("_run", ["recurrent"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_a_command_with_status_1(here, monkeypatch, capfd, name):
    assert run(name, KeyboardInterrupt, monkeypatch) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "check"])  # which says what is wrong in a report
def test_a_mistake_is_said_in_a_line(here, monkeypatch, capfd, name):
    assert run(name, InputError("what is wrong"), monkeypatch) == 2
    assert capfd.readouterr().err == "error: what is wrong\n"


def run(name, error, monkeypatch):
    """Run `python -m seqsum.NAME`, in which a function raises an error; return its exit status."""

    def fail(*_):
        raise error

    function, arguments = COMMANDS[name]
    command = importlib.import_module(f"seqsum.{name}.__main__")
    monkeypatch.setattr(command, function, fail)
    if name == "experiments":
        monkeypatch.setattr(command, "check_place", lambda _: None)
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(command.main(arguments))
    return caught.value.code
