"""Run folders are made only once, and listed by number."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seqsum.versions import claim_version, experiment_of, next_version, number_of, runs_of, versions


def test_runs_started_at_once_get_a_folder_each(here):
    with ThreadPoolExecutor(16) as pool:
        claimed = list(pool.map(lambda _: claim_version(Path("logs/sum")), range(64)))
    assert sorted(map(number_of, claimed)) == list(range(64))
    assert versions(Path("logs/sum")) == [Path(f"logs/sum/version_{n}") for n in range(64)]


def test_the_next_one_is_the_first_that_is_not_there_and_is_not_made(here):
    assert versions(Path("logs")) == []
    assert next_version(Path("logs")) == Path("logs/version_0")
    assert not Path("logs").exists()
    for n in (0, 1, 3):
        Path(f"logs/version_{n}").mkdir(parents=True)
    Path("logs/version_2").symlink_to("gone")
    assert next_version(Path("logs")) == claim_version(Path("logs")) == Path("logs/version_4")


def test_other_folders_are_no_runs(here):
    for name in ("version_2", "version_10", "version_old", "other"):
        Path("logs", name).mkdir(parents=True)
    assert [path.name for path in versions(Path("logs"))] == ["version_2", "version_10"]


@pytest.mark.parametrize("name", ["sum", "sum-test", "a-made-up"])
def test_runs_on_data_that_stand_in_belong_to_the_experiment(tmp_path, name):
    there = [claim_version(tmp_path / folder) for folder in (name, f"{name}-rendered", f"{name}-made", name)]
    claim_version(tmp_path / f"{name}-x")
    assert sorted(runs_of(tmp_path / name)) == sorted(there)
    assert {experiment_of(run.parent) for run in there} == {name}
