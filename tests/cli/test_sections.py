"""Settings in files: empty sections, sections that are none, and wrong values, which are refused as those of flags."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

from seqsum.cli import main
from tests.cli.conftest import refused
from tests.fuzz.options import VALID

SECTIONS = ("trainer", "model", "data", "tensorboard", "diagnosis")
RAW = ("Union", "Parser key", "class '", "Given value", "Traceback")  # words of jsonargparse


def drawn(source, depth=2):
    """A value that is neither a mapping nor a text nor null."""
    kind = source.randrange(4 if depth else 3)
    if kind == 3:
        return [drawn(source, depth - 1) for _ in range(source.randrange(3))]
    return [source.choice([True, False]), source.randint(-9, 9), source.uniform(-9, 9)][kind]


def printed(capfd, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["fit", *arguments, "--print_config"])
    out, error = capfd.readouterr()
    assert exit_.value.code == 0, error
    return yaml.safe_load(out)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("below", ["", "experiment: other\n"])
def test_an_empty_section_counts_as_not_given(here, capfd, section, below):
    Path("x.yaml").write_text(f"{below}{section}:\n  # a_setting: 3\n")
    given = [f"--{below.strip().replace(': ', '=')}"] if below else []
    assert printed(capfd, "-c", "x.yaml") == printed(capfd, *given)


@pytest.mark.parametrize("place", ["data", "model.encoder", "model.optimizer", "trainer.logger"])
def test_arguments_that_are_all_comments_count_as_not_given(here, capfd, place):
    kinds = {"data": "CopyMemory", "model.encoder": "seqsum.networks.DenseEncoder", "model.optimizer": "AdamW"}
    flag = f"--{place}={kinds.get(place, 'CSVLogger')}"
    given = [flag, "--trainer.logger.save_dir=there"] if place == "trainer.logger" else [flag]
    settings = printed(capfd, *given)
    inner = settings
    for name in place.split("."):
        inner = inner[name]
    wanted = {**inner, "init_args": None}
    for name in reversed(place.split(".")):
        wanted = {name: wanted}
    Path("x.yaml").write_text(yaml.safe_dump(wanted))
    assert printed(capfd, "-c", "x.yaml", *given) == settings


@pytest.mark.parametrize("section", [*SECTIONS, "init_args"])
def test_a_section_that_is_no_mapping_is_refused(here, capfd, section):
    source = random.Random(section)
    for _ in range(6):
        value = json.dumps(drawn(source))
        line = f"{section}: {value}" if section != "init_args" else f"data: {{init_args: {value}}}"
        Path("x.yaml").write_text(f"experiment: other\n{line}\n")
        error = refused(["fit", "-c", "x.yaml"], capfd)
        assert error.startswith(f"error: `{section}` (={value}) in x.yaml must be a mapping"), error


@pytest.mark.parametrize("place", ["data", "model.objective", "model.network.init_args.encoder", "trainer.callbacks"])
def test_a_class_path_that_is_no_text_is_refused(here, capfd, place):
    source = random.Random(place)
    for value in [None, {"DigitSums": 1}, *(drawn(source) for _ in range(4))]:
        settings = {"class_path": value, "init_args": {}}
        for name in reversed(place.split(".")):
            settings = {name: settings}
        Path("x.yaml").write_text(f"experiment: other\n{json.dumps(settings)[1:-1]}\n")
        error = refused(["fit", "-c", "x.yaml"], capfd)
        assert f"error: `class_path` (={json.dumps(value)}) in x.yaml must be the name of a class" in error, error


def test_a_wrong_value_in_a_file_is_refused_as_that_of_a_flag(here, capfd):
    source, both = random.Random(20), 0
    flags = sorted(VALID.keys() - {"data", "ckpt_path", "config"})
    for _ in range(25):
        flag, value = source.choice(flags), source.choice([drawn(source), "foo", {"a": 1}])
        settings = value
        for name in reversed(flag.split(".")):
            settings = {name: settings}
        Path("x.yaml").write_text(yaml.safe_dump(settings))
        said = []
        for given in (f"--{flag}={value if isinstance(value, str) else json.dumps(value)}", "--config=x.yaml"):
            with pytest.raises(SystemExit) as exit_:
                main(["fit", given, "--print_config"])
            error = capfd.readouterr().err
            assert exit_.value.code == (2 if error else 0)
            assert not any(word in error for word in RAW), error
            said.append(error.partition("\n")[0])
        of_flag, of_file = said
        is_text = not of_flag and " a text" in of_file  # a flag's value always is one
        assert of_file == of_flag or is_text, (flag, value)
        both += bool(of_flag)
    assert both > 5
