"""What a training that goes on from a checkpoint keeps, and what its user may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from lightning.pytorch.utilities import rank_zero_info

from seqsum.errors import InputError

RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # of a parameter group; all but the first are OneCycleLR's


def check_kept(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that the optimizer or schedule is the one that the training was begun with, whose state goes on.

    Args:
        name: "optimizer" or "schedule".
        before, now: Settings of the checkpoint and of this training, by name; those of one made in Python are not
            known.

    Raises:
        InputError: It is another one, or has other arguments.
    """
    if name in before and name in now and _differs(before[name], now[name]):
        raise InputError(
            f"`--model.{name}` (={_write(now[name])}) can't be changed when a training goes on: it was begun with "
            f"{_write(before[name])}, and goes on with its state"
        )


def check_groups(count: int, encoder_learning_rate: float | None) -> None:
    """Check that a checkpoint's `count` of parameter groups is that of the training that goes on.

    Raises:
        InputError: Only one of the two has a learning rate for the encoder.
    """
    before = count > 2  # matrices and vectors; twice as many where the encoder has a rate of its own
    if count and before != (encoder_learning_rate is not None):
        raise InputError(
            f"`--model.encoder_learning_rate` (={encoder_learning_rate}) can't be changed when a training goes on: "
            f"it was begun with{'' if before else 'out'} one"
        )


def follow_rates(groups: Sequence[dict[str, Any]], before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Let the parameter groups of a checkpoint, which torch would take as they are, follow rates that have changed.

    Args:
        groups: Of `adamw`: matrices and vectors; then those of the encoder, if it has a rate of its own.
        before, now: See `check_kept`; with the rates, and the schedule: its name, or what makes the user's own.

    Raises:
        InputError: A learning rate has changed, and the user's own schedule has a state that was made with the other.
    """
    for name in ("learning_rate", "encoder_learning_rate", "weight_decay"):
        begun, rate = before.get(name), now[name]
        if None in (begun, rate) or begun == rate:
            continue
        if name != "weight_decay" and not isinstance(now["schedule"], str):
            raise InputError(
                f"`--model.{name}` (={rate}) can't be changed when a training goes on with a schedule of your own: it "
                f"was begun with {begun}"
            )
        rank_zero_info(f"`--model.{name}`: the training was begun with {begun}, and goes on with {rate}.")
        if name == "weight_decay":
            for group in groups[::2]:  # of matrices; vectors have none
                group[name] = rate
        else:
            for group in groups[:2] if name == "learning_rate" else groups[2:]:
                group.update({key: group[key] * rate / begun for key in RATES if key in group})


class Begun(NamedTuple):
    """What a checkpoint has behind it: optimizer steps, whole epochs, and batches of the epoch that goes on."""

    steps: int
    epochs: int
    batches: int


def begun_of(checkpoint: Mapping[str, Any]) -> Begun | None:
    """Read what a checkpoint has behind it; None if it is an older one, which doesn't say."""
    place = checkpoint.get("place", {})
    return Begun(checkpoint["global_step"], place["epochs"], place["batches"]) if "epochs" in place else None


def follow_patience(checkpoint: Mapping[str, Any], callbacks: Sequence[Callback]) -> None:
    """Let early stopping wait as long as its callback says now; Lightning would take that from the checkpoint too."""
    for callback in callbacks:
        state = checkpoint.get("callbacks", {}).get(callback.state_key)
        if isinstance(callback, EarlyStopping) and state is not None:
            state["patience"] = callback.patience


def stopped_early(trainer: Trainer) -> EarlyStopping | None:
    """Return the callback that has ended the training which goes on, and whose patience has not been raised since."""
    found = [each for each in trainer.callbacks if isinstance(each, EarlyStopping)]  # type: ignore[attr-defined]
    return next((each for each in found if 0 < each.patience <= each.wait_count), None)


def check_averages(checkpoint: Mapping[str, Any], callbacks: Sequence[Callback]) -> None:
    """Refuse to go on from averaged weights as if they were those that the optimizer has been changing.

    Raises:
        InputError: The checkpoint has both, and no callback that averages is there to take them apart.
    """
    if "current_model_state" in checkpoint and not any(isinstance(each, WeightAveraging) for each in callbacks):
        raise InputError(
            "`--ckpt_path`: the checkpoint is of a training that averages its weights: go on with "
            "`--trainer.callbacks+=AveragedWeights`, as it was begun"
        )


def _differs(before: Any, now: Any) -> bool:
    """Whether settings differ; of objects, in their class or in an argument that both have."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return bool(before != now)
    ours, theirs = (settings.get("init_args") or {} for settings in (before, now))
    return _kind(before) != _kind(now) or any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys())


def _kind(settings: Mapping[str, Any]) -> str:
    return str(settings.get("class_path")).rpartition(".")[2]


def _write(setting: Any) -> str:
    if isinstance(setting, Mapping):
        arguments = (f"{name}={value}" for name, value in (setting.get("init_args") or {}).items())
        return f"{_kind(setting)}({', '.join(arguments)})"
    return "the default" if setting is None else str(setting)
