"""Ctrl-C and SIGTERM are remembered until a training can stop."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from seqsum.resume.interrupts import Interrupts


@pytest.fixture
def interrupts():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Interrupts()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_first_counts_and_a_ctrl_c_behind_it_stops_at_once(interrupts, first, capsys):
    interrupts.listen()
    signal.raise_signal(first)
    try:
        signal.raise_signal(signal.SIGTERM)  # a scheduler may send several
    except KeyboardInterrupt:
        pytest.fail("it was taken for a second Ctrl-C")
    assert interrupts.received == first
    again = " (press Ctrl-C again to stop at once)" if first == signal.SIGINT else ""
    assert capsys.readouterr().out == f"{first.name}: stopping after this batch{again}\n"
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_next_training_is_not_interrupted(interrupts):
    interrupts.listen()
    signal.raise_signal(signal.SIGINT)
    interrupts.listen()
    assert interrupts.received is None


def test_in_another_thread_a_training_leaves_signals_alone(interrupts):
    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(interrupts.listen).result()
    assert signal.getsignal(signal.SIGINT) is before
