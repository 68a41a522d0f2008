"""`--help` is right about Lightning's flags that work differently here."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger

from seqsum.cli import main
from seqsum.cli.arguments import SUBCOMMANDS
from seqsum.cli.flags import MEANINGS, RUN
from seqsum.cli.run import check_seed, make_loggers, run_name, seed_of
from seqsum.errors import InputError
from tests.cli.test_cli import SMALL
from tests.distributed.test_launch import CHECKPOINT

OF_EVALUATION = {"--verbose": {"validate", "test"}}  # the others all subcommands have
UNTRUE = [  # of what Lightning says
    *('"hpc"', "'registry'", "previous ``trainer.fit`` call", "weights_only=False", "random seed", "os.getcwd"),
    *("TensorBoardLogger`` if it is installed", "Disabled by default (None). If both max_epochs", "unscaled before"),
]


def test_help_names_few_of_the_hundreds_of_modules_of_torch(capfd):
    printed = read_help(capfd)
    network = printed.rpartition("--model.network NETWORK")[2].partition("--model.objective.help")[0]
    assert "seqsum.networks.EncoderDecoder" in network
    others = re.search(r", and (\d+) others\)", network)
    assert int(others[1]) > 100, "how many depends on what other tests have imported and defined"
    assert "torch.nn.Linear" not in printed
    assert "torch.optim.AdamW" in printed, "where there are few, all are named"


def read_help(capfd, *arguments):
    """Return the help as one line, with broken paths joined."""
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--help"])
    assert exit_.value.code == 0
    return " ".join(capfd.readouterr().out.split())


def words(text):
    """Remove whitespace, to compare texts wrapped anywhere."""
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("subcommand", [(), *((name,) for name in SUBCOMMANDS)])
def test_help_says_what_each_flag_does_here(capfd, subcommand):
    printed = read_help(capfd, *subcommand)
    (name,) = subcommand or ("fit",)
    for flag, meaning in MEANINGS.items():
        there = name in OF_EVALUATION.get(flag, SUBCOMMANDS)
        assert (re.search(rf"{flag} [A-Z{{]", printed) is not None) == there, flag
        assert (words(meaning) in words(printed)) == there, flag
    for claim in UNTRUE:
        assert words(claim) not in words(printed), claim


def test_the_folder_of_a_run_is_where_help_says(here):
    said = RUN.replace("DEFAULT_ROOT_DIR", "kept").replace("EXPERIMENT", "copies").replace("_N", "_0")
    assert {logger.log_dir for logger in make_loggers("kept", "copies")} == {said}
    assert isinstance(make_loggers("kept", "copies")[0], CSVLogger)


def test_stand_ins_are_named_by_the_folder_of_a_run_but_not_of_a_prediction():
    expected = {"fit": "sum-rendered", "test": "sum-test-rendered", "predict": "sum-predict"}
    settings, data = Namespace(experiment="sum"), SimpleNamespace(dataset="rendered")
    assert {subcommand: run_name(settings, subcommand, data) for subcommand in expected} == expected


def test_true_and_false_are_the_seeds_that_help_says(monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    assert (seed_of(True), seed_of(False)) == (0, 0)
    monkeypatch.setenv("PL_GLOBAL_SEED", "five")
    with pytest.raises(InputError, match=r"`PL_GLOBAL_SEED` \(=five\) must be from 0 to"):
        check_seed(True)
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert (seed_of(True), seed_of(False)) == (5, 0)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("verbose", [True, False])
def test_verbose_decides_on_the_table(here, mnist_root, capfd, verbose):
    options = [f"--ckpt_path={CHECKPOINT}", f"--data.root={mnist_root}", *SMALL[-3:], f"--verbose={verbose}".lower()]
    main(["test", *options])
    assert ("Test of" in capfd.readouterr().out) == verbose
    (results,) = here.glob("logs/*/version_0/results.json")
    assert "test_by_step" in results.read_text()


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*callbacks used to create the checkpoint")
def test_epochs_end_a_training_that_has_steps_left(here, mnist_root):
    main(["fit", *SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=1", "--trainer.max_steps=1000"])
    (last,) = here.glob("logs/sum/version_0/checkpoints/last.ckpt")
    assert torch.load(last, weights_only=True)["epoch"] == 1
