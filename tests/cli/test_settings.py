"""Configuration files and checkpoints are read only once."""

from __future__ import annotations

import builtins
from collections import Counter
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
import yaml
from PIL import Image

from seqsum.cli import main
from seqsum.cli.settings import read_settings
from seqsum.data import DigitSums
from seqsum.data.digits import load_splits
from seqsum.errors import InputError
from seqsum.inspect.restore import load
from tests.cli.test_cli import SMALL, pytestmark  # noqa: F401  # the same filters of warnings


@pytest.fixture
def opened(monkeypatch):
    """Count how often each file is opened for reading, by name."""
    counted = Counter()
    for owner, name in ((builtins, "open"), (Path, "open")):
        real = getattr(owner, name)

        def count(path, mode="r", *args, real=real, **kwargs):
            if "r" in mode and "+" not in mode:
                counted[Path(str(path)).name] += 1
            return real(path, mode, *args, **kwargs)

        monkeypatch.setattr(owner, name, count)
    return counted


def write(name, settings):
    Path(name).parent.mkdir(exist_ok=True, parents=True)
    Path(name).write_text(yaml.safe_dump(settings))


@pytest.fixture
def loaded(monkeypatch):
    """Record the names of the checkpoints that torch loads."""
    names, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: names.append(str(path)) or load(path, **options))
    return names


def test_each_file_of_settings_is_read_once(here, mnist_root, opened):
    write("one.yaml", {"experiment": "copies", "trainer": {"default_root_dir": "kept"}})
    write("two.yaml", {"model": {"hidden_size": 8}})
    quick = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=5", f"--data.root={mnist_root}"]
    main(["fit", "-c", "one.yaml", "--config=two.yaml", *SMALL, *quick])
    assert Path("kept/copies/version_0/checkpoints/last.ckpt").is_file()
    assert (opened["one.yaml"], opened["two.yaml"]) == (1, 1)


@pytest.mark.parametrize(
    ("given", "is_said"),
    [
        (["-c", "rows/gru.yaml"], True),
        (["-c", "rows.yaml", "-c", "rows/gru.yaml"], False),
        (["-c", "rows/gru.yaml", "-c", "./rows.yaml"], False),
        (["-c", "rows.yaml"], False),
        (["-c", "broken/gru.yaml"], False),
        (["--config={model: {cell: gru}}"], False),
        (["-c", "rows/gru.yaml", "--ckpt_path=rows.ckpt"], False),  # which has all else
    ],
)
def test_a_file_of_differences_that_is_given_alone_is_noticed(here, monkeypatch, given, is_said):
    for name in ("rows.yaml", "rows/gru.yaml", "broken/gru.yaml"):
        write(name, {"model": {"cell": "gru"}})
    torch.save({"state_dict": {}}, "rows.ckpt")
    said = []
    monkeypatch.setattr("seqsum.cli.settings.rank_zero_info", said.append)
    read_settings("fit", given)
    note = "`--config` (=rows/gru.yaml) without rows.yaml, which it may change: all else is the default's"
    assert said == ([note] if is_said else [])


@pytest.mark.slow
def test_a_checkpoint_is_read_once(here, mnist_root, loaded):
    few = [
        *SMALL,
        *(f"--trainer.limit_{split}_batches=1" for split in ("train", "val", "test")),
        f"--data.root={mnist_root}",
    ]
    few += ["--trainer.log_every_n_steps=1"]
    main(["fit", *few, "--trainer.max_epochs=1"])
    loaded.clear()
    best, last = (f"logs/sum/version_0/checkpoints/{name}.ckpt" for name in ("best", "last"))
    for subcommand in ("validate", "test"):
        main([subcommand, f"--ckpt_path={best}", *few])
        assert loaded == [best]
        loaded.clear()
    main(["fit", f"--ckpt_path={last}", *few, "--trainer.max_epochs=2"])
    assert sorted(loaded) == [best, last]  # the best one so far is taken along
    loaded.clear()
    write("named.yaml", {"ckpt_path": best})
    main(["test", "-c", "named.yaml", *few])
    assert loaded == [best]


def test_paths_in_a_file_start_from_its_folder(here, capsys):
    """As in jsonargparse, though it receives the text instead of the file."""
    write("there/data.yaml", {"class_path": "seqsum.data.CopyMemory", "init_args": {"batch_size": 7}})
    write("there/all.yaml", {"data": "data.yaml"})
    with pytest.raises(SystemExit):
        main(["fit", "-c", "there/all.yaml", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["data"]["init_args"]["batch_size"] == 7


def test_the_first_word_on_where_runs_are_is_the_command_lines(here):
    write("file.yaml", {"experiment": "from_file", "trainer": {"default_root_dir": "there"}})
    write("other.yaml", {"experiment": "other"})
    for options, place in [
        ([], "sum in logs"),
        (["-c", "file.yaml"], "from_file in there"),
        (["-c", "file.yaml", "--experiment=given"], "given in there"),
        (["-c", "file.yaml", "-c", "other.yaml"], "other in there"),  # as the parser takes the last
        (["-c", "other.yaml", "-c", "file.yaml"], "from_file in there"),
        (["-c", "file.yaml", "--trainer.default_root_dir=here"], "from_file in here"),
    ]:
        with pytest.raises(InputError, match=f"there is no run of {place}$"):
            read_settings("test", ["--ckpt_path=last", *options])


def test_a_broken_file_of_a_run_is_named(here):
    checkpoint = Path("logs/sum/version_0/checkpoints/last.ckpt")
    checkpoint.parent.mkdir(parents=True)
    torch.save({"state_dict": {}}, checkpoint)
    (checkpoint.parents[1] / "config.yaml").write_text("trainer: [")
    with pytest.raises(InputError, match=r"`--config` \(=logs/sum/version_0/config.yaml\) is not YAML"):
        read_settings("fit", ["--ckpt_path=last"])


LAST = "logs/sum/version_0/checkpoints/last.ckpt"


@pytest.mark.parametrize(
    ("folder", "options", "file", "is_found"),
    [
        (".", [f"--ckpt_path={LAST}"], {}, True),
        (".", ["--ckpt_path=last"], {}, True),
        (Path(LAST).parent, ["--ckpt_path=last.ckpt"], {}, True),
        (".", [], {"ckpt_path": LAST}, True),
        (".", [], {"ckpt_path": "last"}, True),
        (".", ["--ckpt_path=null"], {"ckpt_path": LAST}, False),
        (".", ["-c", "null.yaml"], {"ckpt_path": LAST}, False),
    ],
)
def test_a_checkpoint_brings_its_settings_however_it_is_named(here, monkeypatch, folder, options, file, is_found):
    Path(LAST).parent.mkdir(parents=True)
    torch.save({"state_dict": {}}, LAST)
    write(Path(LAST).parents[1] / "config.yaml", {"trainer": {"max_epochs": 3}})
    write("named.yaml", file)
    write("null.yaml", {"ckpt_path": None})
    named = [f"--config={here / 'named.yaml'}", *options]
    monkeypatch.chdir(folder)
    found = [yaml.safe_load(option.removeprefix("--config=")) for option in read_settings("fit", named).options]
    assert ({"trainer": {"max_epochs": 3}} in found) == is_found


@pytest.mark.parametrize(
    ("subcommand", "folder", "are_there"),
    [
        ("fit", "checkpoints", True),
        ("fit", "kept", False),  # a file of this name beside another folder may be anything
        ("validate", "checkpoints", False),
        ("test", "checkpoints", False),
    ],
)
def test_settings_of_the_trainer_are_restored_to_go_on_training_alone(here, subcommand, folder, are_there):
    write("logs/sum/version_0/config.yaml", {"trainer": {"devices": 8}, "model": {"hidden_size": 4}})
    checkpoint = Path(f"logs/sum/version_0/{folder}/last.ckpt")
    checkpoint.parent.mkdir()
    torch.save({"state_dict": {}, "hyper_parameters": {"hidden_size": 8}}, checkpoint)
    options = "".join(read_settings(subcommand, [f"--ckpt_path={checkpoint}"]).options)
    assert options.rpartition("hidden_size: ")[2].startswith("8")  # which comes last, as a search may have changed it
    assert ("devices: 8" in options) == are_there


@pytest.mark.parametrize(
    ("pairs", "is_there"), [("pairs=null", True), ("pairs=mine.tsv", False), ("init_args.pairs=mine.tsv", False)]
)
def test_data_of_ones_own_take_the_place_of_those_in_the_checkpoint_unless_null(here, pairs, is_there):
    data = {"_class_path": "seqsum.data.Translation", "dataset": "made", "batch_size": 7}
    torch.save({"state_dict": {}, "datamodule_hyper_parameters": data}, "last.ckpt")
    options = "".join(read_settings("test", ["--ckpt_path=last.ckpt", f"--data.{pairs}"]).options)
    assert "batch_size: 7" in options
    assert ("dataset: made" in options) == is_there


def test_runs_with_loggers_of_ones_own_are_not_searched_for_and_it_says_so(here, monkeypatch):
    said = []
    monkeypatch.setattr("seqsum.cli.settings.rank_zero_info", said.append)
    read_settings("fit", ["--ckpt_path=last", "--trainer.logger=CSVLogger"])
    assert said[1:] == ["Runs with loggers of your own are not searched for: give the file of a checkpoint."]


def test_what_yaml_takes_for_a_date_that_there_is_not_is_a_text(here, capsys):
    Path("my.yaml").write_text("experiment: 2020-13-45\n")
    with pytest.raises(SystemExit):
        main(["fit", "-c", "my.yaml", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["experiment"] == "2020-13-45"


def test_two_command_lines_after_one_another_share_nothing(here, capsys):
    """Errors of a second command don't name the files of the first."""
    write("first.yaml", {"experiment": "first"})
    with pytest.raises(SystemExit):
        main(["fit", "-c", "first.yaml", "--no_such_flag=1"])
    assert "Settings come from the command line and from first.yaml." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fit", "--no_such_flag=1"])
    assert "first.yaml" not in capsys.readouterr().err


@pytest.mark.parametrize("subcommand", ["test", "validate", "predict", "fit"])
def test_a_checkpoint_is_not_used_for_other_sums_than_it_was_trained_on(here, mnist_root, capfd, subcommand):
    main(["fit", *SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=1", "--trainer.limit_train_batches=1"])
    Image.fromarray(load_splits("mnist", mnist_root)["test"].images[0].numpy()).save("digit.png")
    checkpoint = here / "logs/sum/version_0/checkpoints/last.ckpt"
    before = [path for path in here.rglob("*") if path.is_file()]
    more = {"fit": ["--trainer.max_epochs=2"], "predict": ["--data.images=digit.png"]}.get(subcommand, [])
    with pytest.raises(SystemExit):
        main([subcommand, f"--ckpt_path={checkpoint}", "--data.operation=sum", *more])
    said = capfd.readouterr().err
    assert "error: `--data.operation` (=sum) must be alternating, as the checkpoint was trained" in said
    assert [path for path in here.rglob("*") if path.is_file()] == before


def test_from_python_too_a_checkpoint_is_not_tested_on_other_sums(here, mnist_root):
    main(["fit", *SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=1", "--trainer.limit_train_batches=1"])
    checkpoint = "logs/sum/version_0/checkpoints/last.ckpt"
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, limit_test_batches=1)
    data = DigitSums("mnist", str(mnist_root), sequence_length=2, operation="sum")
    with pytest.raises(InputError, match=r"`--data\.operation` \(=sum\) must be alternating"):
        trainer.test(load(checkpoint).module, data, ckpt_path=checkpoint)
