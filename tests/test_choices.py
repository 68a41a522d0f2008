"""An argument that is one of a few words accepts no other word, in Python as on the command line."""

from __future__ import annotations

import inspect
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch

import seqsum
from seqsum import data, networks, objectives
from seqsum.data.encoded_sums import EncodedSums
from seqsum.data.restored_images import RestoredImages
from seqsum.module import SequenceModule
from seqsum.networks.codebook import Codebook

NEEDED: dict[str, Any] = {
    **{
        "size": 4,
        "features": "features.pt",
        "num_classes": 3,
        "vocabulary_size": 9,
        "source_vocabulary_size": 9,
        "target_vocabulary_size": 9,
    },
    **{"dataset": "mnist", "root": "data", "lengths": (1, 1), "batch_size": 1, "seed": 0, "images": None},
    **{"input_size": 3, "hidden_size": 4, "source_size": 2, "cell": seqsum.LSTMCell(3, 4)},
    **{"encoder": networks.Flatten(3), "head": torch.nn.Linear(4, 1)},
    **{"recurrence": seqsum.LSTM(3, 4, batch_first=True)},
}


def words_of(hint: Any) -> list[str]:
    """Return the words of the `Literal`s in a type."""
    if get_origin(hint) is Literal:
        return [word for word in get_args(hint) if isinstance(word, str)]
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return [word for part in parts for word in words_of(part)]


def public_classes() -> set[type]:
    rooms = (seqsum, data, networks, objectives)
    found = {each for room in rooms for each in vars(room).values() if inspect.isclass(each)}
    return found | {EncodedSums, RestoredImages, Codebook, SequenceModule}


def arguments() -> list[tuple[type, str]]:
    """List the classes and their arguments that are words."""
    found = []
    for kind in sorted(public_classes(), key=lambda kind: kind.__name__):
        if issubclass(kind, tuple) or kind in (seqsum.RNN, seqsum.LSTM, seqsum.GRU):  # see tests/recurrent
            continue
        hints = get_type_hints(kind.__init__)
        named = inspect.signature(kind).parameters
        found += [(kind, name) for name in named if words_of(hints.get(name))]
    return found


def make(kind: type, **options: Any) -> Any:
    named = inspect.signature(kind).parameters.values()
    missing = {each.name for each in named if each.default in (each.empty, None)}
    return kind(**{name: NEEDED[name] for name in missing & NEEDED.keys()} | options)


@pytest.mark.parametrize(("kind", "name"), arguments())
def test_a_word_that_is_no_choice_is_refused(kind, name):
    with pytest.raises(ValueError, match=rf"{name}` \(='?nonsense'?\) must be "):
        make(kind, **{name: "nonsense"})


def test_there_are_such_arguments_in_every_room():
    rooms = {kind.__module__.split(".")[1] for kind, _ in arguments()}
    assert rooms >= {"data", "networks", "objectives", "recurrent", "module"}
