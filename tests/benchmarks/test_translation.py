"""A translator's training step is timed beside GRUCells in Python loops, if they compute the same."""

from __future__ import annotations

import json

import pytest
import torch

from seqsum.benchmarks import translation
from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.plain_translation import PlainTranslator
from seqsum.networks import EncoderDecoder


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(translation, "SIZES", (70, 60))


def run(tmp_path):
    main(
        [
            *("translation", "--dataset=made", "--rounds=2", "--warm-up=1", "--batches=1", "--batch-size=5"),
            *("--hidden-size=7", "--device=cpu", f"--output={tmp_path / 'steps.json'}"),
        ]
    )
    return json.loads((tmp_path / "steps.json").read_text())["rows"]


def test_both_ways_of_attending_are_timed_beside_their_rivals(tmp_path):
    rows = run(tmp_path)
    names = ["seqsum", "GRUCell loop", "GRUCell loop, logits at once"]
    assert [row["network"] for row in rows if row["attends"] == "each_step"] == names
    assert [row["network"] for row in rows if row["attends"] == "after"] == [*names, "seqsum without recurrences"]
    assert all(row["target words/s"] > 0 for row in rows)


@pytest.mark.parametrize("attends", ["each_step", "after"])
@pytest.mark.parametrize("at_once", [False, True])
def test_the_rival_has_the_same_weights_logits_and_gradients(attends, at_once):
    torch.manual_seed(0)
    ours = EncoderDecoder(70, 60, hidden_size=7, embedding_size=5, attends=attends, dropout=0.0)
    rival = PlainTranslator(ours, at_once)
    assert sum(weight.numel() for weight in rival.parameters()) == sum(weight.numel() for weight in ours.parameters())
    options = translation.argparse.Namespace(dataset="made", data_root="data", batch_size=6, batches=1)
    (batch,) = translation.make_batches(options, torch.device("cpu"))
    outputs = [network.train()(batch) for network in (ours, rival)]
    losses = [translation.NextToken(60).loss(*batch.pair(each, by_step=True)) for each in outputs]
    torch.testing.assert_close(losses[1], losses[0])
    norms = [
        torch.stack([gradient.norm() for gradient in torch.autograd.grad(loss, list(network.parameters()))]).sort()
        for loss, network in zip(losses, (ours, rival), strict=True)
    ]
    torch.testing.assert_close(norms[0].values, norms[1].values, rtol=1e-3, atol=1e-6)


def test_without_recurrences_each_step_depends_on_its_own_word_and_the_source_alone():
    torch.manual_seed(0)
    ours = EncoderDecoder(70, 60, hidden_size=7, embedding_size=5, attends="after", dropout=0.0)
    bound = translation.without_recurrences(ours)
    options = translation.argparse.Namespace(dataset="made", data_root="data", batch_size=6, batches=1)
    (batch,) = translation.make_batches(options, torch.device("cpu"))
    changed = batch.targets.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 60  # which step 1 reads, and no other
    for network, later in ((ours, True), (bound, False)):
        network.eval()
        moved = (network(batch) - network(batch._replace(targets=changed))).abs().amax((0, 2)) > 0
        assert moved[:2].tolist() == [False, True]
        assert bool(moved[2:].any()) is later
    loss = translation.NextToken(60).loss(bound(batch), batch)
    used = torch.autograd.grad(loss, list(bound.parameters()), allow_unused=True)
    unused = [name for (name, _), gradient in zip(bound.named_parameters(), used, strict=True) if gradient is None]
    assert unused
    assert all("hh" in name for name in unused)  # all but what the loops read


def test_another_network_is_not_timed(tmp_path, monkeypatch):
    class Wrong(PlainTranslator):
        def forward(self, batch):
            return 1.1 * super().forward(batch)

    monkeypatch.setattr(translation, "PlainTranslator", Wrong)
    with pytest.raises(AssertionError, match=r"Wrong differs from seqsum's network by 0\.1"):
        run(tmp_path)
