"""Sections of configuration files: empty ones, and those that are no mapping."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

from seqsum.cli import main
from tests.cli.conftest import refused

SECTIONS = ("trainer", "model", "data", "tensorboard", "diagnosis")


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
    kinds = {"data": "CopyMemory", "model.encoder": "DenseEncoder", "model.optimizer": "AdamW"}
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
