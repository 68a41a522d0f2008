"""Gates and states over time."""

from __future__ import annotations

import torch

from seqsum.figures import plot_gates, principal_components


def test_the_second_direction_is_above_average_after_the_first_step():
    torch.manual_seed(0)
    states = torch.randn(40, 3, 2) * torch.tensor([5.0, 1.0])
    states[:, 0, 1] += 2
    states[:, 2, 1] -= 2
    for turned in (states, -states):
        seen, _ = principal_components(turned, turned[..., 0])
        assert seen[:, 0, 1].mean() > 0


def test_each_column_of_gates_has_its_steps_numbered():
    gates = {name: torch.zeros(3, 2) for name in ("input_gate", "forget_gate", "output_gate", "cell_state")}
    texts = [text.get_text() for text in plot_gates(gates).axes[0].texts]
    assert texts.count("step t") == 2
