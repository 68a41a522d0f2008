"""Without `--trainer.profiler`, no profiler takes time."""

from __future__ import annotations

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler

from seqsum.cli import main
from seqsum.cli.profiler import NoProfiler
from tests.cli.test_cli import SMALL, pytestmark  # noqa: F401  # the same filters of warnings


class Keep(Callback):
    """Record the Trainer's profiler."""

    found: list[object] = []  # noqa: RUF012  # of the class, since the command line makes the object

    def on_train_batch_end(self, trainer, *_):
        self.found.append(trainer.profiler)


@pytest.mark.parametrize(("flags", "kind"), [([], NoProfiler), (["--trainer.profiler=simple"], SimpleProfiler)])
def test_only_a_profiler_that_was_asked_for_profiles(here, mnist_root, flags, kind):
    Keep.found.clear()
    short = ["--trainer.max_steps=2", "--trainer.logger=false", "--trainer.callbacks+=tests.cli.test_profiler.Keep"]
    main(["fit", *SMALL, f"--data.root={mnist_root}", *short, *flags])
    assert [type(profiler) for profiler in Keep.found] == [kind] * 2
    if kind is SimpleProfiler:
        assert len(Keep.found[0].recorded_durations["run_training_batch"]) == 2
