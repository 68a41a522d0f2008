"""The networks that `python -m seqsum.experiments reviews` compares, as flags added to `configs/reviews_scratch.yaml`.

The ladder leads from that file to `configs/reviews.yaml`, one step after the other. All values come from the two files,
so a change of the full network changes the ladder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seqsum.cli.configurations import read_configuration
from seqsum.defaults import by_flag
from seqsum.inspect.restore import settings_parser

SCRATCH, FULL = "configs/reviews_scratch.yaml", "configs/reviews.yaml"
Flags = dict[str, Any]  # value of each flag, such as `model.cell`

# the flags that each step of the ladder takes from the full network; a step whose flags are the same there is left out
STEPS = {
    "embedding": ("model.encoder",),
    "vocabulary": ("data.vocabulary_size",),
    "mask": ("data.mask",),
    "batch_length": ("data.pad_to", "data.padding"),
    "buckets": ("data.bucketing",),
    "cell": ("model.cell", "model.output_activation", "model.forget_bias", "model.bias"),
    "layers": ("model.num_layers", "model.dropout"),
    "directions": ("model.bidirectional",),
    "readout": ("model.readout",),
    "input_dropout": ("model.input_dropout",),
    "readout_dropout": ("model.readout_dropout",),
    "word_dropout": ("model.encoder.word_dropout",),
    "recurrent_dropout": ("model.recurrent_dropout",),
    "embedding_rate": ("model.learning_rate", "model.encoder_learning_rate"),
    "pieces": ("data.longest", "data.crop"),
}
# what else is tried at a step
TRIED: dict[str, dict[str, Flags]] = {
    "cell": {"lstm": {"model.cell": "lstm", "model.output_activation": "tanh"}, "gru": {"model.cell": "gru"}},
    "layers": {"two_layers": {"model.num_layers": 2}, "three_layers": {"model.num_layers": 3}},
}
SAME_NUMBERS = ("embedding", "batch_length")  # steps that change the cost alone, so the full network needs them
WITHOUT = "without_"

PADDED: Flags = {"data.pad_to": "longest", "data.bucketing": False}  # all batches to the same length
UNMASKED: Flags = {"data.mask": False}
CURVES = (200, 400, 800)  # steps to pad to
CURVE: Flags = {**PADDED, "trainer.max_epochs": 2, "trainer.val_check_interval": 0.125, "trainer.log_every_n_steps": 8}
# changes of a rung
COMPARED: dict[str, dict[str, Flags]] = {
    "vocabulary": {"rnn_after_unmasked": {"data.padding": "after"}},
    "gru": {
        "gru_before_unmasked": PADDED | UNMASKED | {"data.padding": "before"},
        "gru_after_unmasked": PADDED | UNMASKED | {"data.padding": "after"},
        "gru_before_masked": PADDED | {"data.padding": "before"},
        "gru_after_masked": PADDED | {"data.padding": "after"},
        "longest_200": {"data.bucketing": False},
        "longest_500": {"data.bucketing": False, "data.longest": 500},
        "longest_500_buckets": {"data.longest": 500},
        "longest_all": {"data.bucketing": False, "data.longest": None},
        "longest_all_buckets": {"data.longest": None},
        "keep_start": {"data.beyond": "keep_start"},
        "drop": {"data.beyond": "drop"},
        "two_outputs": {"model.objective.sigmoid": False},
        "mean_logits": {"model.readout": "mean_logits"},
        "mean_probabilities": {"model.readout": "mean_probabilities"},
        "mean_states": {"model.readout": "mean_states"},
        "max": {"model.readout": "max"},
        "mean_max": {"model.readout": "mean_max"},
        "learned_state": {"model.initial_state": "learned"},
        **{f"curve_{steps}_masked": CURVE | {"data.longest": steps} for steps in CURVES},
        **{f"curve_{steps}_unmasked": CURVE | UNMASKED | {"data.longest": steps} for steps in CURVES},
    },
}
GROUPS = {
    "padding": ("vocabulary", "rnn_after_unmasked", "mask", *(name for name in COMPARED["gru"] if name[:4] == "gru_")),
    "lengths": ("longest_200", "gru", "longest_500", "longest_500_buckets", "longest_all", "longest_all_buckets"),
    "truncating": ("gru", "keep_start", "drop"),
    "outputs": ("gru", "two_outputs"),
    "readouts": ("gru", "mean_logits", "mean_probabilities", "mean_states", "max", "mean_max"),
    "initial_state": ("gru", "learned_state"),
    "curves": tuple(f"curve_{steps}{masked}" for steps in CURVES for masked in ("_masked", "_unmasked")),
}


def read_flags(path: str) -> Flags:
    """Read a configuration with its defaults, by flag."""
    settings = read_configuration(path).settings
    parsed = settings_parser().parse_object({name: settings[name] for name in ("model", "data")})
    return by_flag(parsed) | {f"trainer.{name}": value for name, value in settings["trainer"].items()}


def make_set_ups(scratch: Flags, full: Flags) -> tuple[dict[str, Flags], dict[str, tuple[str, ...]]]:
    """Make all set-ups, as flags that differ from `scratch`, and the names of those that are compared, by group."""
    ladder = make_ladder(scratch, full)
    last = [*ladder][-2]
    left_out = leave_out(ladder[last])
    compared = {name: ladder[rung] | flags for rung, named in COMPARED.items() for name, flags in named.items()}
    groups = {"ladder": tuple(ladder), "left_out": (last, *left_out), **GROUPS}
    return ladder | left_out | compared, groups


def make_ladder(scratch: Flags, full: Flags) -> dict[str, Flags]:
    """Make the rungs: after each step that changes anything, one with what else is tried there, and the full network.

    The full network differs from the rung before it by what no step names, such as the number of epochs.
    """
    differing = {name: value for name, value in full.items() if name not in scratch or scratch[name] != value}
    rungs: dict[str, Flags] = {"scratch": {}}
    reached: Flags = {}
    for step, names in STEPS.items():
        rungs |= {name: reached | flags for name, flags in TRIED.get(step, {}).items()}
        reached = reached | {name: differing[name] for name in names if name in differing}
        if reached not in rungs.values():
            rungs[step] = reached
    return rungs | {"full": reached | differing}


def leave_out(reached: Flags) -> dict[str, Flags]:
    """Leave each step out of a set-up, except for those that it can't be trained without."""
    found = {}
    for step, names in STEPS.items():
        others = {name: value for name, value in reached.items() if name not in names}
        if step not in SAME_NUMBERS and others != reached:
            found[WITHOUT + step] = others
    return found


def as_arguments(flags: Mapping[str, Any]) -> list[str]:
    """Convert flags to arguments of `train.py`, after the configuration that they change."""
    values = {name: value if isinstance(value, str) else json.dumps(value) for name, value in flags.items()}
    return [f"--config={SCRATCH}", *(f"--{name}={value}" for name, value in values.items())]
