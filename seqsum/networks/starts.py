"""An encoder that starts from another training's weights."""

from __future__ import annotations

from torch import nn

from seqsum.checkpoint_file import differing_weights, load_checkpoint
from seqsum.errors import InputError

PREFIX = "network.encoder.module."  # of the encoder's weights in a checkpoint, which a `TimeDistributed` holds


def load_encoder(encoder: nn.Module, path: str) -> None:
    """Load the weights of the encoder in a checkpoint, of whatever experiment it is.

    Raises:
        InputError: The file is no checkpoint of seqsum, or contains no such encoder; the message names the weights
            that differ.
    """
    weights = load_checkpoint(path, "--model.encoder.start_from")["state_dict"]
    found = {name.removeprefix(PREFIX): weight for name, weight in weights.items() if name.startswith(PREFIX)}
    if differing := differing_weights(found, encoder.state_dict()):
        raise InputError(
            f"`--model.encoder.start_from` (={path}) contains another encoder than the flags ask for: "
            f"{len(differing)} weights differ, {differing[0]} first"
        )
    encoder.load_state_dict(found)
