"""Sequences of digits with their sums."""

from __future__ import annotations

from seqsum.figures.sums import LINE, _places


def test_a_sequence_takes_as_many_lines_as_it_has_digits_for():
    tops = {row: top for row, step, _, top in _places([3, 20, 3]) if step == 0}
    assert [tops[row] - tops[0] for row in range(3)] == [0, LINE, 4 * LINE]
