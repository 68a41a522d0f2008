"""Command lines and YAML files, wrong in one or two places, and what is expected of each."""

from __future__ import annotations

import random
import re
import warnings
from pathlib import Path
from typing import Any

from seqsum.cli import main

VALID = {
    "data.sequence_length": "2",
    "data.batch_size": "20",
    "data.augment": "false",
    "data.elastic": "0.5",
    "data.num_workers": "0",
    "data.operation": "sum",
    "data.dataset": "mnist",
    "data.root": "ROOT",
    "model.cell": "gru",
    "model.hidden_size": "4",
    "model.num_layers": "1",
    "model.backend": "eager",
    "model.output_activation": "tanh",
    "model.learning_rate": "0.01",
    "model.weight_decay": "0.1",
    "model.schedule": "constant",
    "model.encoder.channels": "[2,2]",
    "model.encoder.stem": "strided",
    "model.encoder.depth": "1",
    "model.encoder.output_size": "4",
    "model.encoder.activation": "relu",
    "model.encoder.dropout": "0.1",
    "model.encoder.image_size": "28",
    "model.encoder": "seqsum.networks.ConvEncoder",
    "model.objective": "seqsum.objectives.RunningSum",
    "model.objective.beta": "0.1",
    "model.objective.increment_weight": "1",
    "data": "seqsum.data.DigitSums",
    "experiment": "sum",
    "seed_everything": "0",
    "tensorboard.figures_every_n_epochs": "0",
    "tensorboard.histograms_every_n_epochs": "0",
    "trainer.max_epochs": "1",
    "trainer.max_steps": "1",
    "trainer.accelerator": "cpu",
    "trainer.devices": "1",
    "trainer.num_nodes": "1",
    "trainer.precision": "32-true",
    "trainer.gradient_clip_val": "1",
    "trainer.gradient_clip_algorithm": "norm",
    "trainer.accumulate_grad_batches": "1",
    "trainer.log_every_n_steps": "1",
    "trainer.check_val_every_n_epoch": "1",
    "trainer.val_check_interval": "1.0",
    "trainer.limit_train_batches": "2",
    "trainer.callbacks": "[]",
    "trainer.overfit_batches": "0",
    "trainer.deterministic": "false",
    "ckpt_path": "CHECKPOINT",
    "config": "CONFIG",
}
VALUES = [
    "", " ", "0", "-1", "1", "2", "3", "7", "1.5", "0.0", "-0.5", "1e-9", "1e400", "nan", ".nan", "inf", ".inf", "-inf",
    "99999999999999999999", "2147483648", "true", "no", "null", "None", "[]", "[1]", "[3,2]", "[1,2,3]", "[0,0]", "[a]",
    "{}", "{a: 1}", "{class_path: nowhere.Nothing}", "{class_path: seqsum.data.DigitSums, init_args: {seed: 3}}",
    "os.system", "seqsum.networks.Nothing", "builtins.dict", "torch.nn.LSTM", "torch.nn.Linear", "int", "...", ".", "/",
    "~", "-", "--", "=", ":", "*", "&a", "!!python/object:os.system", "ü", "中文", "a b", "x" * 5000, "'", '"', "[",
    "{", "%s", "${oc.env:HOME}", "$(touch ran)", "`touch ran`", "../..", "mnist", "lstm", "auto", "2,3", "[[1]]", "1:2",
    "0x10",
]  # fmt: skip
SUBCOMMANDS = ["fit", "validate", "test", "predict", "", "", "fit", "train", "--help"]
# the values of a flag that are files, and what stands for a run that leaves nothing
ALWAYS = ["--trainer.fast_dev_run=1", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
SMALL = ["--model.encoder.channels=[2,2]", "--model.hidden_size=4", "--data.batch_size=20", "--data.sequence_length=2"]


def command_line(source: random.Random, files: dict[str, str]) -> tuple[list[str], list[str]]:
    """A command line, and the words of it of which a refusal must name one."""
    subcommand = source.choice(SUBCOMMANDS)
    arguments = [subcommand] if subcommand else []
    arguments += [*ALWAYS, *SMALL, f"--data.root={files['ROOT']}"]
    words = ["ckpt_path"] if subcommand in ("validate", "test", "predict") else ["train"]
    if subcommand in ("validate", "test", "predict") and source.random() < 0.7:
        arguments.append(f"--ckpt_path={files['CHECKPOINT']}")
        words.append("images")
    for _ in range(source.choice([1, 1, 1, 2])):
        flag = source.choice(list(VALID))
        value = files.get(VALID[flag], VALID[flag]) if source.random() < 0.1 else source.choice(VALUES)
        if source.random() < 0.1:  # a slip of the finger in the flag itself
            place = source.randrange(len(flag))
            flag = flag[:place] + source.choice("abcxyz._-") + flag[place + source.choice([0, 1]) :]
        words += [flag, flag.split(".")[-1], *re.findall(r"\w+" if value[:1] == "{" else r".{3,}", value)]
        arguments += [f"--{flag}={value}"] if source.random() < 0.9 else [f"--{flag}", value]
    return arguments, words


def yaml_text(source: random.Random, valid: str) -> str:
    """A configuration with a mistake in it."""
    lines = valid.splitlines()
    for _ in range(source.choice([1, 1, 2])):
        kind, k = source.randrange(8), source.randrange(len(lines))
        if kind == 0:
            lines[k] = re.sub(r":.*", ": " + source.choice(VALUES), lines[k])
        elif kind == 1:
            lines[k] = source.choice([" ", "\t", "- ", "  "]) + lines[k]
        elif kind == 2:
            lines.insert(k, source.choice(lines))
        elif kind == 3:
            lines[k] = lines[k].replace(":", source.choice(["", ": :", " =", ":\t"]))
        elif kind == 4:
            lines = lines[: k + 1]
            lines[k] = lines[k][: source.randrange(len(lines[k]) + 1)]
        elif kind == 5:
            place = source.randrange(len(lines[k]) + 1)
            lines[k] = lines[k][:place] + source.choice("{}[]&*!|>'\"%@`#\\\x00\x07\ufeff") + lines[k][place:]
        elif kind == 6:
            lines[k] = re.sub(r"\w+:", source.choice(["nothing:", "model:", "1:", "null:", "[a]:"]), lines[k])
        else:
            return source.choice(["", "null", "3", "[]", "- a\n- b", "text", "a: &a [*a]", "{", "\x00", "model: 3",
                                  "data:\n  class_path: 3", "model: null", "trainer: []", "fit: 3", BOMB])  # fmt: skip
    return "\n".join(lines)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]" for before, name in zip("abcd", "bcde", strict=True)
)


def run(arguments: list[str]) -> tuple[Any, BaseException | None]:
    """Exit status, None where it just came to its end, and whatever else came out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            main(arguments)
        except SystemExit as exit_:
            return exit_.code, None
        except BaseException as error:
            return None, error
    return None, None


def everything(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def complaint(arguments: list[str], words: list[str], status: Any, error: BaseException | None, printed: str) -> str:
    """What is wrong with how a command line was taken, or nothing."""
    if error is not None:
        return f"{type(error).__name__} instead of a message: {error}"
    if status in (None, 0):
        return ""
    if status != 2 or "error: " not in printed or "Traceback" in printed:
        return f"status {status} and {printed[-500:]!r}"
    said = printed[printed.index("error: ") :]
    if not any(word and str(word).strip() in said for word in words):
        return f"none of {[word[:40] for word in words]} is named: {said[:500]!r}"
    return ""
