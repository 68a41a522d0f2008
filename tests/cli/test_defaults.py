"""A class keeps its own defaults: `--print_config` shows those of its signature."""

from __future__ import annotations

import inspect
from itertools import pairwise, permutations

import pytest
import yaml

import seqsum.data
import seqsum.networks
import seqsum.objectives
from seqsum.cli import main
from seqsum.data import SequenceData
from seqsum.defaults import DEFAULT_CLASSES
from seqsum.inspect.restore import settings_parser
from seqsum.networks import Encoder
from seqsum.objectives import Objective

BASES = {"data": SequenceData, "model.encoder": Encoder, "model.objective": Objective}
PACKAGES = {"data": seqsum.data, "model.encoder": seqsum.networks, "model.objective": seqsum.objectives}


def signature_of(made):
    """Return a class's parameters and their defaults."""
    parameters = inspect.signature(made).parameters.values()
    return plain({parameter.name: parameter.default for parameter in parameters})


def plain(values):
    """Convert defaults to YAML's types, without the seed, which follows `seed_everything`."""
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {name: value for name, value in listed.items() if name != "seed"}


def below(group, settings):
    """Nest a group's settings as in a file."""
    for name in reversed(group.split(".")):
        settings = {name: settings}
    return settings


def classes(group):
    """List the package's classes for a group, without base classes."""
    exported = vars(PACKAGES[group]).values()
    found = [made for made in exported if isinstance(made, type) and issubclass(made, BASES[group])]
    return [
        made
        for made in found
        if made is not BASES[group] and inspect.Parameter.empty not in signature_of(made).values()
    ]


def path_of(made):
    return f"{made.__module__.rpartition('.')[0]}.{made.__name__}"


def shared(one, other):
    """List parameters of one type that two classes share with different defaults; None can't be given to all."""
    ours, theirs = signature_of(one), signature_of(other)
    types = [
        {name: str(parameter.annotation).removesuffix(" | None") for name, parameter in parameters.items()}
        for parameters in (inspect.signature(made).parameters for made in (one, other))
    ]
    names = [name for name in ours.keys() & theirs.keys() if types[0][name] == types[1][name]]
    return {name: ours[name] for name in names if ours[name] not in (None, theirs[name])}


ALL = [(group, made) for group in DEFAULT_CLASSES for made in classes(group)]
PAIRS = [(group, *pair) for group in DEFAULT_CLASSES for pair in permutations(classes(group), 2)]
FEW = [(group, *pair) for group in DEFAULT_CLASSES for pair in pairwise([*classes(group), classes(group)[0]])]


def printed(arguments, group, capsys):
    """Return the group's part of `--print_config`."""
    with pytest.raises(SystemExit) as exit_:
        main(["fit", *arguments, "--print_config"])
    assert not exit_.value.code
    settings = yaml.safe_load(capsys.readouterr().out)
    for name in group.split("."):
        settings = settings[name]
    return settings


def test_classes_of_all_groups_are_compared_and_some_share_a_parameter():
    assert {made.__name__ for _, made in ALL} >= {"DigitSums", "CopyMemory", "ConvEncoder", "Flatten", "RunningSum"}
    for group in ("data", "model.encoder"):
        assert any(shared(one, other) for pair_group, one, other in PAIRS if pair_group == group)


@pytest.mark.parametrize(("group", "made"), ALL, ids=lambda value: getattr(value, "__name__", value))
def test_a_class_has_its_own_defaults(here, capsys, group, made):
    found = printed([f"--{group}={path_of(made)}"], group, capsys)
    assert found == {"class_path": path_of(made), "init_args": signature_of(made)}


@pytest.mark.parametrize(
    ("group", "first", "second"),
    [pair if pair in FEW else pytest.param(*pair, marks=pytest.mark.slow) for pair in PAIRS],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_class_has_its_own_defaults_after_another(here, capsys, group, first, second):
    """A flag replaces a class named in a file, as in `-c configs/memory.yaml --data=DigitRows`."""
    (here / "first.yaml").write_text(yaml.safe_dump(below(group, {"class_path": path_of(first)})))
    found = printed(["-c", "first.yaml", f"--{group}={path_of(second)}"], group, capsys)
    assert found == {"class_path": path_of(second), "init_args": signature_of(second)}


@pytest.mark.parametrize(
    ("group", "first", "second"),
    [pair for pair in PAIRS if shared(*pair[1:])],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_given_is_kept_before_the_class_and_after_it(here, capsys, group, first, second):
    """Even a value that is the replaced class's default."""
    name, value = next(iter(sorted(shared(first, second).items())))
    given, chosen = f"--{group}.{name}={value}", [f"--{group}={path_of(first)}", f"--{group}={path_of(second)}"]
    expected = {"class_path": path_of(second), "init_args": signature_of(second) | {name: value}}
    assert printed([chosen[0], given, chosen[1]], group, capsys) == expected
    assert printed([*chosen, given], group, capsys) == expected


@pytest.mark.parametrize(("group", "made"), ALL, ids=lambda value: getattr(value, "__name__", value))
def test_settings_that_a_checkpoint_lacks_are_the_defaults_of_its_class(group, made):
    """A checkpoint of an earlier version, with fewer parameters."""
    settings = below(group, {"class_path": path_of(made), "init_args": {}})
    found = settings_parser().parse_object(settings)[group].init_args.as_dict()
    assert plain(found) == signature_of(made)
