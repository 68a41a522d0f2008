"""Which arguments of a constructor are a cell's sizes."""

import pytest

from seqsum.recurrent.cells.constructor import arguments_of

SIZES = {"input_size": 7, "hidden_size": 11}


def call(signature, **options):
    """Make a class whose constructor has these parameters, with what `arguments_of` finds; return what it was given."""
    names: dict = {}
    exec(f"class Cell:\n    def __init__(self, {signature}):\n        self.given = dict(vars())", names)
    positional, named = arguments_of(names["Cell"], SIZES, options)
    made = names["Cell"](*positional, **named)
    return {name: value for name, value in made.given.items() if name != "self"}


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("input_size, hidden_size, bias=True, chunks=4", {"input_size": 7, "hidden_size": 11}),
        ("scale=1, input_size=3, hidden_size=4", {"input_size": 7, "hidden_size": 11, "scale": 1}),
        ("hidden_size, input_size", {"input_size": 7, "hidden_size": 11}),
        ("*, n_units, n_in", {"n_in": 7, "n_units": 11}),
        ("n, m, /", {"n": 7, "m": 11}),
        ("a, b=3", {"a": 7, "b": 11}),
        ("size, hidden_dim=4, initial=0.1", {"size": 7, "hidden_dim": 11}),
        ("input_size, size=8, hidden_bias=True", {"input_size": 7, "size": 11, "hidden_bias": True}),
        ("features, width=8, cells=1", {"features": 7, "width": 11, "cells": 1}),
        ("n_in, size=8, output_activation='tanh'", {"n_in": 7, "size": 11, "output_activation": "tanh"}),
        ("h_dim, out_dim", {"h_dim": 7, "out_dim": 11}),
        ("*sizes", {"sizes": (7, 11)}),
        ("input_size, **others", {"input_size": 7, "others": {"hidden_size": 11}}),
    ],
)
def test_sizes_go_where_the_constructor_takes_them(signature, expected):
    found = call(signature)
    assert {name: found[name] for name in expected} == expected


def test_sizes_are_told_by_their_names_whatever_stands_beside_them():
    assert call("inputs, bias=True, size=8") == {"inputs": 7, "bias": True, "size": 11}
    assert call("units=None, features=None, depth=2") == {"units": 11, "features": 7, "depth": 2}
    assert call("hidden_size, state_dim") == {"hidden_size": 11, "state_dim": 7}
    assert call("nHidden, nIn") == {"nHidden": 11, "nIn": 7}
    assert call("units, features, **others") == {"units": 11, "features": 7, "others": {}}


def test_a_class_may_not_tell_what_its_constructor_takes():
    with pytest.raises(ValueError, match="__signature__"):
        arguments_of(type("Cell", (), {"__signature__": 1}), SIZES, {})


def test_options_may_stand_anywhere():
    assert call("n_units, kept, features", kept=0.5) == {"n_units": 11, "kept": 0.5, "features": 7}
    assert call("a, b, /, *, kept", kept=0.5) == {"a": 7, "b": 11, "kept": 0.5}


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("input_size, hidden_size, depth", "what `depth` is to be is not known"),
        ("hidden", "what `hidden` is to be is not known"),
        ("bias=True", "the constructor does not take both sizes"),
    ],
)
def test_what_has_no_place_is_named(signature, message):
    with pytest.raises(TypeError, match=message):
        call(signature)
    with pytest.raises(TypeError, match="the constructor has no argument `kept`"):
        call(signature, kept=1)
