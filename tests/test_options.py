"""Options that can't be used are refused in words before anything is trained or measured."""

from __future__ import annotations

import argparse

import pytest
import torch

from seqsum.benchmarks import __main__ as benchmarks
from seqsum.errors import InputError, check_at_least
from seqsum.experiments import __main__ as experiments
from seqsum.experiments import runs
from seqsum.options import Checked, above, at_least, device_named, device_of, labels_of, quoted_flags

PROGRAMS = {"benchmarks": benchmarks, "experiments": experiments}


def parsed(action, *given, **keywords):
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", action=action, **keywords)
    return parser.parse_args(given).number


def every_command():
    """Yield each program's name with each of its commands and its parser."""
    for program, module in PROGRAMS.items():
        actions = module.make_parser()._actions
        commands = next(action for action in actions if isinstance(action, argparse._SubParsersAction)).choices
        yield from ((program, command) for command in commands.items())


def test_a_number_and_each_of_several_must_be_large_enough():
    assert parsed(at_least(2), "--number=2") == 2
    assert parsed(at_least(0), "--number", "0", "7", nargs="+") == [0, 7]
    assert parsed(at_least(1), default=None) is None
    assert parsed(above(0), "--number=1e-3") == 1e-3
    with pytest.raises(InputError, match=r"^`--number` \(=1\) must be at least 2$"):
        parsed(at_least(2), "--number=1")
    with pytest.raises(InputError, match=r"^`--number` \(=-1\) must be at least 0$"):
        parsed(at_least(0), "--numb", "5", "-1", nargs="+")  # abbreviated
    for given in ("0", "nan"):
        with pytest.raises(InputError, match=rf"^`--number` \(={given}(\.0)?\) must be above 0$"):
            parsed(above(0), f"--number={given}")


@pytest.mark.parametrize("value", [float("nan"), True, "3"])
def test_what_is_no_number_is_refused_where_one_must_be_large_enough(value):
    with pytest.raises(InputError, match=r"^`--f` \(=.*\) must be (at least 0|a number)$"):
        check_at_least("--f", value, 0, whole=False)


def test_labels_are_all_or_a_number_of_at_least_the_classes():
    assert parsed(labels_of(10), "--number", "10", "all", "0100", nargs="+") == ["10", "all", "100"]
    for given, message in (
        ("9", r"must be at least 10, one for each class, or all$"),
        ("foo", r"must be a number, or all$"),
        ("12.5", r"must be a number, or all$"),
    ):
        with pytest.raises(InputError, match=rf"^`--number` \(={given}\) {message}"):
            parsed(labels_of(10), "--number", "100", given, nargs="+")


def test_flags_in_quotation_marks_are_split_as_a_shell_does():
    assert quoted_flags("--a=1 '--b=x y'") == ["--a=1", "--b=x y"]
    assert quoted_flags("") == []
    with pytest.raises(argparse.ArgumentTypeError, match=r"can't be split into flags: No closing quotation"):
        quoted_flags("--a='1")


def test_a_device_that_torch_does_not_know_or_have_is_named():
    assert device_of("cpu") == torch.device("cpu")
    for read, name in ((device_of, "foo"), (device_of, "cuda:99"), (device_named, "foo")):
        with pytest.raises(InputError, match=rf"^`--device` \(={name}\) can't be used: \S"):
            read(name)
    assert device_named("cuda:99") == torch.device("cuda", 99)


def test_a_torch_that_was_built_without_the_device_is_named(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(InputError, match=r"^`--device` \(=cuda\) can't be used: Torch not compiled"):
        device_of("cuda")


def test_every_option_of_a_number_is_checked_while_the_command_line_is_read():
    seen = set()
    for program, (command, parser) in every_command():
        for action in parser._actions:
            if action.choices is None and (isinstance(action, Checked) or action.type in (int, float)):
                flag = action.option_strings[0]
                with pytest.raises(InputError, match=rf"^`{flag}` \(=-1(\.0)?\) must be (a|from)"):
                    parser.parse_args([flag, "-1"])
                seen.add((program, command, flag))
    assert {("benchmarks", "gpu", "--warm-up"), ("experiments", "count", "--threads")} < seen
    assert len(seen) > 80


@pytest.mark.parametrize(
    ("program", "command", "flag"),
    [
        ("benchmarks", "translation", "--rounds"),
        ("benchmarks", "words", "--threads"),
        ("experiments", "orders", "--threads"),
    ],
)
def test_what_is_wrong_with_an_option_is_said_in_a_line(program, command, flag, here, capsys):
    with pytest.raises(SystemExit) as caught:
        PROGRAMS[program].main([command, flag, "0"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: `{flag}` (=0) must be at least 1\n"


@pytest.mark.parametrize(
    ("command", "flag", "given"),
    [
        ("pretraining", "--labels", "5"),
        ("pretraining", "--labels", "foo"),
        ("words", "--labels", "1"),
        ("pretraining", "--pretraining", "'"),
        ("count", "--counting", "'"),
        ("sine", "--budget", "10"),
        ("memory", "--budget", "10"),
        ("starts", "--sizes", "0"),
    ],
)
def test_nothing_is_trained_if_an_option_can_not_be_used(command, flag, given, here, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "check_place", lambda configurations: None)
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"trained: {arguments}"))
    with pytest.raises(SystemExit) as caught:
        experiments.main([command, flag, given])
    assert caught.value.code == 2
    assert flag.strip("-") in capsys.readouterr().err
    assert not list(here.iterdir())
