"""Numbers of any wrong type are refused in words by all data, whatever the setting."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqsum.data import CopyMemory, DigitSums, FilmReviews, SineCurves, WordPairs
from seqsum.errors import InputError, is_number, is_whole

NO_NUMBER = st.booleans() | st.text().filter(lambda text: text != "all") | st.binary() | st.lists(st.integers())
WHOLE = {
    SineCurves: ("sequence_length", "batch_size", "epoch_size"),
    CopyMemory: ("to_remember_len", "blank_separation_len", "num_symbols"),
    FilmReviews: ("longest", "crop", "vocabulary_size", "batch_size"),
    WordPairs: ("window",),
    DigitSums: ("batch_size", "labels"),
}


@pytest.mark.parametrize(("data", "name"), [(data, name) for data, names in WHOLE.items() for name in names])
@given(wrong=NO_NUMBER | st.floats())
def test_what_is_no_whole_number_is_refused(data, name, wrong):
    with pytest.raises(InputError, match=rf"^`--data\.{name}` \(=(?s:.*)\) must be a whole number$"):
        data(**{name: wrong})


@given(NO_NUMBER | st.none() | st.just(float("nan")))
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(InputError, match=r"^`--data\.elastic` \(=(?s:.*)\) must be (a number|at least 0)$"):
        DigitSums(elastic=wrong)
    assert DigitSums(elastic=0.5).elastic == 0.5


def test_numbers_are_those_of_python_and_numpy():
    whole, others = (4, -1, 10**400, np.int8(3), np.uint64(3)), (4.0, np.float32(4), Fraction(1, 2), float("inf"))
    assert all(is_whole(value) and is_number(value) for value in whole)
    assert all(is_number(value) and not is_whole(value) for value in others)
    assert not any(is_number(value) or is_whole(value) for value in (True, np.True_, None, "4", 1j, [4]))
