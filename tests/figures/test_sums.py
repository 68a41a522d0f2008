"""Sequences of digits with their sums."""

from __future__ import annotations

import itertools

from seqsum.figures.sums import GAP, LINE, _places


def test_a_sequence_takes_as_many_lines_as_it_has_digits_for():
    tops = {row: top for row, step, _, top in _places([3, 20, 3]) if step == 0}
    assert [tops[row] - tops[0] for row in range(3)] == [0, LINE + GAP, 4 * LINE + 2 * GAP]


def test_the_lines_of_a_sequence_are_closer_than_sequences():
    tops = sorted({top for _, _, _, top in _places([10, 3])})
    assert [after - before for before, after in itertools.pairwise(tops)] == [LINE, LINE + GAP]
    assert len({top for _, _, _, top in _places([8, 8, 3])}) == 3
    assert max(top for _, _, _, top in _places([8, 8, 3])) == 2 + 2 * LINE  # no gaps where all fit into a line
