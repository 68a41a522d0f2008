"""The commands, examples and links of README and docs work, and `configs/sum.yaml` contains the defaults."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import sys
import typing
from pathlib import Path

import pytest
import torch
import yaml

from seqsum.benchmarks.__main__ import BENCHMARKS as ALL_BENCHMARKS
from seqsum.benchmarks.__main__ import make_parser
from seqsum.cli import main
from seqsum.networks import build_recurrence

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
DOCS = [page.read_text() for page in sorted((REPOSITORY / "docs").glob("*.md"))]
BENCHMARKS = [  # on a line of their own, or between backquotes, maybe on two lines
    shlex.split(command or quoted, comments=True)
    for page in (README, *DOCS)
    for command, quoted in re.findall(
        r"^python -m seqsum\.benchmarks (.+)$|`python -m seqsum\.benchmarks ([^`]+)`", page, flags=re.MULTILINE
    )
]
COMMANDS = [  # on a line of their own, or in a table
    shlex.split(line or cell)[2:]
    for line, cell in re.findall(r"^(python train\.py.*)$|^\| `(python train\.py[^`]*)`", README, flags=re.MULTILINE)
]


@pytest.fixture
def parsed(monkeypatch, capfd):
    """Parse a command line as `main` does, without running it, and return the settings."""

    def parse(arguments):
        monkeypatch.setattr("seqsum.cli.settings.with_checkpoint", lambda subcommand, options, *_: options)
        with pytest.raises(SystemExit) as exit_:
            main([*arguments, "--print_config"])
        assert exit_.value.code == 0, capfd.readouterr().err
        return yaml.safe_load(capfd.readouterr().out)

    return parse


@pytest.mark.parametrize("rows", [1, 3])  # fewer than a figure has room for
@pytest.mark.parametrize("name", ["rows", "memory", "sum", "sine", "images_mlp", "pretrain_denoising"])
def test_every_experiment_draws_its_figures_of_small_batches_too(here, mnist_root, name, rows):
    root = ["--data.dataset=mnist", f"--data.root={mnist_root}"] if name not in ("memory", "sine") else []
    root += ["--data.sequence_length=2"] if name == "sum" else []
    limits = [f"--trainer.limit_{split}_batches=2" for split in ("train", "val", "test")]
    flags = ["--trainer.max_epochs=1", "--tensorboard.figures_every_n_epochs=1", "--trainer.accelerator=cpu"]
    main(["-c", str(REPOSITORY / f"configs/{name}.yaml"), f"--data.batch_size={rows}", *root, *limits, *flags])
    assert list(here.glob("logs/*/version_0/*.png"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_of_the_readme_parses(parsed, command, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    parsed(command)


@pytest.mark.parametrize("command", BENCHMARKS, ids=" ".join)
def test_every_benchmark_of_the_readme_and_the_docs_parses(command):
    assert make_parser().parse_args(command).benchmark == command[0]


def test_commands_can_be_pasted_into_zsh():  # where a comment is none, and brackets outside quotes are a pattern
    shown = [line for page in (README, *DOCS) for line in lines_of_shell(page)]
    assert len(shown) > 50
    for line in shown:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
        assert not re.search(r"[\[#?]", bare), line


def lines_of_shell(page):
    """Commands in blocks, but not scripts, and between backquotes."""
    blocks = [block for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL) if "#!" not in block]
    return [
        *(line for block in blocks for line in block.splitlines()),
        *re.findall(r"`((?:python|--)[^`]*)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL)),
    ]


def test_readme_shows_commands():
    assert len(COMMANDS) > 10
    assert len(BENCHMARKS) > 8
    assert {command[0] for command in BENCHMARKS} == {*ALL_BENCHMARKS, "gpu"}


def test_sum_yaml_is_the_default(parsed):
    assert parsed(["-c", str(REPOSITORY / "configs/sum.yaml")]) == parsed([])


@pytest.mark.parametrize("example", [block for language, block in BLOCKS if language == "python"])
def test_python_examples_of_the_readme_run(example, tmp_path, monkeypatch):
    (tmp_path / "my_cells.py").write_text(example)  # TorchScript wants the source in a file
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_cells", raising=False)
    module = importlib.import_module("my_cells")
    if "LightUnit" not in example:
        assert module.outputs.shape == (4, 7, 40)
        assert module.traced["forget_gate_l1_reverse"].shape == (4, 7, 20)
        return
    assert module.outputs.shape == (7, 4, 40)
    assert module.layers.last_backend == "script"
    trained = build_recurrence("my_cells.LightUnit", 10, 20)
    assert trained(torch.randn(4, 7, 10))[0].shape == (4, 7, 20)


def test_links_of_the_readme_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []


def test_whole_numbers_stay_whole_whatever_unions_other_modules_have(parsed):
    """The typing module may give one union for another of the same types."""
    for clear in typing._cleanups:
        clear()
    others = [typing.Union[float, int], typing.Optional[typing.Union[float, int]]]  # noqa: UP007, UP045
    settings = parsed(["--trainer.limit_train_batches=1", "--trainer.limit_val_batches=0.5"])
    assert repr(settings["trainer"]["limit_train_batches"]) == "1", others
    assert settings["trainer"]["limit_val_batches"] == 0.5


def test_options_are_these(parsed):
    """Adding an option is a decision: who would miss it?"""
    settings = parsed([])
    assert set(settings) == {
        "seed_everything", "experiment", "trainer", "model", "data", "tensorboard", "diagnosis", "ckpt_path",
        "weights_only",
    }  # fmt: skip
    assert list(settings["tensorboard"]) == ["figures_every_n_epochs", "histograms_every_n_epochs"]
    assert list(settings["diagnosis"]) == ["every_n_steps"]
    assert list(settings["model"]) == [
        "network", "objective", "optimizer", "learning_rate", "weight_decay", "schedule", "cuda_graph",
        "encoder_learning_rate",
        "cell", "hidden_size", "num_layers", "backend", "output_activation", "bias", "initial_state",
        "forget_bias", "encoder", "head_sizes", "truncate", "bidirectional", "readout", "dropout", "recurrent_dropout",
        "input_dropout", "readout_dropout", "carry", "cell_options",
    ]  # fmt: skip
    assert list(settings["model"]["encoder"]["init_args"]) == [
        "channels",
        "stem",
        "depth",
        "output_size",
        "activation",
        "dropout",
        "image_size",
        "views",
        "start_from",
        "frozen",
        "in_channels",
    ]
    assert list(settings["model"]["objective"]["init_args"]) == ["beta", "increment_weight", "monitor"]
    assert list(settings["data"]["init_args"]) == [
        "dataset", "root", "sequence_length", "operation", "batch_size", "augment", "elastic", "num_workers", "images",
        "labels",
    ]  # fmt: skip


EXTENDING = (REPOSITORY / "docs/extending.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", EXTENDING, flags=re.DOTALL)
OWN_COMMANDS = [shlex.split(line)[2:] for line in re.findall(r"^python train.py .+$", EXTENDING, flags=re.MULTILINE)]
*EXTENSIONS, ASKED = [command for command in OWN_COMMANDS if "--experiment=parity" in command]


def test_the_example_of_attention_shows_its_weights(capsys):
    exec(EXAMPLES[2], shown := {})  # as a reader would run it
    assert capsys.readouterr().out == "torch.Size([4, 7, 9])\n"
    assert shown["outputs"].shape == (4, 7, 20 + 32)
    assert torch.equal(shown["traced"]["attention_l0"][:, 0] > 0, shown["mask"])


@pytest.mark.parametrize("command", EXTENSIONS, ids=len)
def test_the_example_of_an_experiment_of_ones_own_trains(here, monkeypatch, capfd, command):
    (here / "my_parity.py").write_text(EXAMPLES[0])
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "my_parity", raising=False)
    short = ["--trainer.max_epochs=1", "--data.epoch_size=640", "--trainer.accelerator=cpu"]
    main([*command, *short])
    assert "accuracy_step" not in capfd.readouterr().out, "each step is scored, and is the accuracy"
    assert not (here / "logs/parity/version_0/settling.png").is_file()  # no decision is for good
    main([*ASKED, "--trainer.accelerator=cpu"])
    answers = re.findall(r"│ (\d+) +│ ([01]) ", capfd.readouterr().out)
    assert [step for step, _ in answers] == ["1", "2", "3", "4", "5"]
    (kept,) = here.glob("logs/parity-predict/version_0/predictions.csv")
    expected = ["sequence,step,answer", *(f"1,{step},{answer}" for step, answer in answers)]
    assert kept.read_text().splitlines() == expected


def test_the_example_of_an_objective_of_ones_own_trains(here, monkeypatch, mnist_root):
    (here / "my_objective.py").write_text(EXAMPLES[1])
    monkeypatch.syspath_prepend(here)
    (command,) = (command for command in OWN_COMMANDS if "--experiment=distances" in command)
    main([*command, f"--data.root={mnist_root}", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2",
          "--trainer.limit_val_batches=1", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1"])  # fmt: skip
    results = json.loads((here / "logs/distances/version_0/results.json").read_text())["test"]
    assert results["test/distance"] == pytest.approx(results["test/loss"], rel=1e-5)
