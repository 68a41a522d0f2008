"""All GPU measurements in one command: tests, kernels against cuDNN, the training step, the rule of `auto`."""

from seqsum.benchmarks.gpu.command import add_arguments, run

__all__ = ["add_arguments", "run"]
