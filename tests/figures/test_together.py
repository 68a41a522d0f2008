"""The figures of running sums, drawn together."""

from __future__ import annotations

import torch

from seqsum.figures import last_layer, together


def test_units_are_sorted_by_the_first_sequences_whose_images_are_drawn(monkeypatch):
    seen, order_units = [], together.order_units
    monkeypatch.setattr(together, "order_units", lambda *found: seen.append(found) or order_units(*found))
    mask = torch.tensor([[True, True], [True, False], [True, True], [False, False]])
    recorded = {"hidden_l0": torch.randn(2, 2, 3), "outputs": torch.randn(2, 2, 3)}
    sums = torch.ones(4, 2)
    together.plot_all(torch.rand(2, 2, 28, 28), recorded, sums.cumsum(1), sums.cumsum(1), "sum", mask)
    assert torch.equal(seen[0][2], mask[:2])


def test_the_last_layer_has_both_directions():
    layers = {
        name: {"hidden": torch.full((1, 2, 3), float(k))}
        for k, name in enumerate(("l0", "l0_reverse", "l1", "l1_reverse"))
    }
    assert last_layer(layers)["hidden"][0, 0].tolist() == [2, 2, 2, 3, 3, 3]
