"""The whole command with graphs and all its callbacks: the same logs and checkpoints, and exact resumption."""

from __future__ import annotations

import signal

import pytest

from tests.graphs.conftest import use_stand_in
from tests.graphs.stand_in import StandIn
from tests.resume.test_resume import AVERAGE, BATCH, EPOCHS, HALVES, assert_equal_ends, runs, train  # noqa: F401

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
# the kernels in C++ are beyond the stand-in
WHOLE = ["--model.backend=bptt", "--tensorboard.histograms_every_n_epochs=1", "--diagnosis.every_n_steps=6"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["--data.sequence_length=[1,3]", *AVERAGE]])
def test_logs_and_checkpoints_are_the_same(train, tmp_path, request, arguments):  # noqa: F811
    assert train("plain", EPOCHS, *arguments, *WHOLE) == 0
    request.getfixturevalue("stand_in")
    assert train("graphs", EPOCHS, *arguments, *WHOLE) == 0
    assert StandIn.replayed > 0
    assert_equal_ends(tmp_path / "plain", tmp_path / "graphs")


@pytest.mark.parametrize(
    ("arguments", "send", "at", "graphs_again"),
    [
        ([EPOCHS], signal.SIGTERM, (BATCH, 12), True),  # after steps that were graphs
        pytest.param(HALVES, signal.SIGINT, (BATCH, 27), True, marks=pytest.mark.slow),
        pytest.param([EPOCHS], signal.SIGTERM, (BATCH, 25), False, marks=pytest.mark.slow),
    ],
)
def test_a_training_with_graphs_goes_on_exactly(train, tmp_path, request, arguments, send, at, graphs_again):  # noqa: F811
    """A run is resumed with graphs, or on a machine that has none."""
    assert train("undisturbed", *arguments, *WHOLE) == 0
    with pytest.MonkeyPatch.context() as patch:
        use_stand_in(patch)
        assert train("interrupted", *arguments, *WHOLE, send=send, at=at) != 0
        before = StandIn.replayed
        assert before > 0
        if graphs_again:
            assert train("interrupted", *arguments, *WHOLE, "--ckpt_path=last") == 0
            assert StandIn.replayed > before
    if not graphs_again:
        assert train("interrupted", *arguments, *WHOLE, "--ckpt_path=last") == 0
    assert_equal_ends(tmp_path / "undisturbed", tmp_path / "interrupted")
