"""Figures of what a network does, as pure functions `plot_…(tensors) -> Figure`.

They need no Trainer and no display: a notebook shows the returned figure, `figure.savefig` saves it.
"""

from seqsum.figures.decisions import have_one_label, plot_decisions, plot_settling, settled_at
from seqsum.figures.errors import count_readings, plot_confusion, plot_errors, plot_predictions
from seqsum.figures.lengths import binomial_interval, plot_length_curve, plot_length_curves
from seqsum.figures.long_run import plot_causes, plot_codes, plot_increment_errors, plot_leaks, plot_long_run
from seqsum.figures.over_time import plot_over_time
from seqsum.figures.states import order_units, plot_gates, plot_number_line, principal_components
from seqsum.figures.style import GIVEN, INK, WRONG
from seqsum.figures.sums import plot_sums
from seqsum.figures.together import by_layer, last_layer, last_states, plot_all

__all__ = [
    "GIVEN",
    "INK",
    "WRONG",
    "binomial_interval",
    "by_layer",
    "count_readings",
    "have_one_label",
    "last_layer",
    "last_states",
    "order_units",
    "plot_all",
    "plot_causes",
    "plot_codes",
    "plot_confusion",
    "plot_decisions",
    "plot_errors",
    "plot_gates",
    "plot_increment_errors",
    "plot_leaks",
    "plot_length_curve",
    "plot_length_curves",
    "plot_long_run",
    "plot_number_line",
    "plot_over_time",
    "plot_predictions",
    "plot_settling",
    "plot_sums",
    "principal_components",
    "settled_at",
]
