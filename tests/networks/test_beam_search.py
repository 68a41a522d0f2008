"""Beam search against exhaustive search, against a search of one sentence in plain Python, and greedily."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqsum.networks.beam_search import beam_search

START, END = 0, 1


class Markov:
    """A decoder whose next token depends on all tokens so far: its state is a hash of them, and each row has its own.

    Attributes:
        asked: Rows of each step.
    """

    def __init__(self, rows, vocabulary, seed, sharpness=1.0):
        generator = torch.Generator().manual_seed(seed)
        self.table = (sharpness * torch.randn(rows, 61, vocabulary, generator=generator)).log_softmax(-1)
        self.asked = []

    def states(self):
        rows = len(self.table)
        return [torch.arange(rows), torch.zeros(rows, 2, dtype=torch.int64)]

    def __call__(self, tokens, states):
        row, hashed = states
        self.asked.append(len(tokens))
        code = (hashed[:, 0] * 7 + tokens * 13 + hashed[:, 1]) % 61
        return self.table[row, code], [row, torch.stack([code, hashed[:, 1] + 1], dim=1)]

    def score(self, row, sequence):
        """Log-probability of one sequence, step by step."""
        states, last, total = [torch.tensor([row]), torch.zeros(1, 2, dtype=torch.int64)], START, 0.0
        for token in sequence:
            chances, states = self(torch.tensor([last]), states)
            total, last = total + chances[0, token].item(), token
        return total


def all_sequences(vocabulary, longest):
    """Every sequence that ends within so many tokens."""
    others = [token for token in range(vocabulary) if token != END]
    for length in range(longest):
        for beginning in itertools.product(others, repeat=length):
            yield (*beginning, END)


def by_hand(model, row, beams, longest, power):
    """Beam search for one row, with lists."""
    live, finished = [((), 0.0)], []
    for length in range(1, longest + 1):
        candidates = []
        for beginning, score in live:
            for token in range(model.table.shape[-1]):
                sequence = (*beginning, token)
                candidates.append((sequence, score + model.score(row, sequence) - model.score(row, beginning)))
        candidates.sort(key=lambda candidate: -candidate[1])
        finished += [(s, total / length**power) for s, total in candidates[:beams] if s[-1] == END]
        live = [candidate for candidate in candidates if candidate[0][-1] != END][:beams]
        if len(finished) >= beams or not live:
            break
    return max(finished, key=lambda candidate: candidate[1]) if finished else (live[0][0], live[0][1] / length**power)


def trimmed(tokens):
    """Tokens up to the first end."""
    sequence = tuple(tokens.tolist())
    return sequence[: sequence.index(END) + 1] if END in sequence else sequence


@pytest.mark.parametrize("power", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("vocabulary", [2, 3, 4])
def test_enough_beams_find_what_exhaustive_search_finds(power, vocabulary):
    longest, rows = 4, 5
    model = Markov(rows, vocabulary, seed=vocabulary)
    found = beam_search(model, model.states(), START, END, beams=4**4, longest=longest, length_power=power)
    for row in range(rows):
        scored = {s: model.score(row, s) / len(s) ** power for s in all_sequences(vocabulary, longest)}
        best = max(scored, key=scored.get)
        assert trimmed(found.tokens[row]) == best
        assert found.scores[row].item() == pytest.approx(scored[best], abs=1e-5)
        assert found.ended[row]


@given(st.integers(1, 4), st.integers(2, 6), st.integers(1, 5), st.integers(1, 7), st.integers(0, 999), st.data())
def test_rows_searched_together_are_what_each_is_by_hand(rows, vocabulary, beams, longest, seed, data):
    power = data.draw(st.sampled_from([0.0, 0.7, 1.0]))
    model = Markov(rows, vocabulary, seed, sharpness=2.0)
    found = beam_search(model, model.states(), START, END, beams=beams, longest=longest, length_power=power)
    for row in range(rows):
        sequence, score = by_hand(model, row, beams, longest, power)
        assert trimmed(found.tokens[row]) == sequence
        assert found.scores[row].item() == pytest.approx(score, abs=1e-4)
        assert found.ended[row] == (sequence[-1] == END)
        assert set(found.tokens[row, len(sequence) :].tolist()) <= {END}


def test_one_beam_is_greedy():
    model = Markov(6, 5, seed=3, sharpness=2.0)
    found = beam_search(model, model.states(), START, END, longest=9)
    for row in range(6):
        sequence, states, last = [], [torch.tensor([row]), torch.zeros(1, 2, dtype=torch.int64)], START
        while last != END and len(sequence) < 9:
            chances, states = model(torch.tensor([last]), states)
            last = int(chances.argmax())
            sequence.append(last)
        assert trimmed(found.tokens[row]) == tuple(sequence)


def test_more_beams_find_better_sequences_on_average():
    model = Markov(200, 6, seed=5)
    scores = [
        beam_search(model, model.states(), START, END, beams=beams, longest=8, length_power=0.0).scores.mean()
        for beams in (1, 3, 9)
    ]
    assert scores[0] < scores[1] < scores[2]


def test_it_stops_when_all_rows_are_done():
    def step(tokens, states):
        calls.append(len(tokens))
        chances = torch.full((len(tokens), 3), math.log(0.1))
        chances[:, END] = math.log(0.8)
        return chances, states

    calls = []
    found = beam_search(step, [torch.zeros(4, 1)], START, END, beams=2, longest=50)
    assert len(calls) < 5
    assert set(calls) == {8}
    assert torch.equal(found.tokens[:, 0], torch.full((4,), END))
    assert found.scores.tolist() == pytest.approx([math.log(0.8)] * 4)


def test_what_never_ends_is_cut_off():
    def step(tokens, states):
        chances = torch.tensor([-torch.inf, -torch.inf, math.log(0.25), math.log(0.75)])
        return chances.expand(len(tokens), 4), states

    found = beam_search(step, [torch.zeros(2, 1)], START, END, beams=3, longest=5, length_power=1.0)
    assert torch.equal(found.tokens, torch.full((2, 5), 3))
    assert not found.ended.any()
    assert found.scores.tolist() == pytest.approx([math.log(0.75)] * 2)


@pytest.mark.parametrize("name", ["beams", "longest"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=rf"`{name}` \(=0\) must be at least 1"):
        beam_search(lambda tokens, states: (tokens, states), [torch.zeros(1)], START, END, **{name: 0})


def test_sentences_that_end_leave_room_for_as_many_that_go_on():
    """Two of three beginnings end with the second token; the last of three that go on is the best in the end."""
    end, rare = 0, -20.0

    def step(last, states):
        (read,) = states  # how many tokens
        chances = torch.full((len(last), 4), rare)
        chances[read == 0] = torch.tensor([rare, -1.0, -1.1, -1.2])
        chances[read == 1] = torch.tensor([-0.5, rare, rare, rare])
        chances[(read == 1) & (last == 3)] = torch.tensor([rare, -1.0, -1.1, -0.9])
        chances[read >= 2] = torch.tensor([rare, -0.1, rare, rare])
        chances[(read >= 2) & (last == 2)] = torch.tensor([-0.01, rare, rare, rare])
        return chances, [read + 1]

    found = beam_search(step, [torch.zeros(1)], 1, end, beams=3, longest=4, length_power=3.0)
    assert found.tokens[0].tolist() == [3, 2, end]
