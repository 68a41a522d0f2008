"""Networks that count the same features are judged by an exact accumulator."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

from seqsum.data.sums import running_targets
from seqsum.experiments import counting
from seqsum.experiments.__main__ import main
from seqsum.experiments.accumulator import Accumulator, AlternatingAccumulator
from seqsum.recurrent import Recurrent

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


@pytest.mark.parametrize(("cell", "operation"), [(Accumulator, "sum"), (AlternatingAccumulator, "alternating")])
@pytest.mark.parametrize("backend", ["eager", "script"])
def test_an_accumulator_counts_exactly(cell, operation, backend):
    torch.manual_seed(0)
    layer = Recurrent(cell(10, 1), batch_first=True, backend=backend)
    with torch.no_grad():
        layer.cells[0].read.weight.copy_(torch.arange(10.0)[None])
    digits = torch.randint(0, 10, (4, 1_000))
    sums = layer(F.one_hot(digits, 10).float())[0].squeeze(-1)
    assert torch.equal(sums, running_targets(digits, operation))


def test_a_run_succeeds_within_the_interval_of_the_accumulators_mean_error():
    """The accumulator's errors are 1, 2 and 3: mean 2, standard error 1/√3, so the limit is 2 + 6.965/√3 = 6.02."""
    ceiling = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    errors = torch.tensor([[6.0, 0.0], [6.1, 0.1], [2.0, 0.0], [torch.nan, 0.0]])
    assert counting.successes(errors, ceiling).tolist() == [0.5, 0.75]


@pytest.fixture
def features(with_configs):
    """One-hot features of perfectly read digits, where the experiment looks for them."""
    torch.manual_seed(0)
    labels = {split: torch.randint(0, 10, (count,)) for split, count in (("train", 2_000), ("val", 200), ("test", 300))}
    splits = {split: {"features": 10.0 * F.one_hot(of, 10), "labels": of} for split, of in labels.items()}
    (with_configs / "out").mkdir()
    torch.save(splits, with_configs / "out/features.pt")
    return with_configs


@pytest.mark.slow
def test_networks_are_trained_once_and_compared(features, capfd):
    arguments = [
        *("counting", "--output=out", "--seeds", "0", "1", "--names", "lstm", "--operations", "sum"),
        *("--sequences=20", "--", "--trainer.max_epochs=3", "--trainer.accelerator=cpu", "--model.learning_rate=0.05"),
        "--trainer.log_every_n_steps=2",
    ]
    main(arguments)
    *rows, _, _, _, lstm = json.loads((features / "out/counting.json").read_text())["rows"]
    assert [(row["operation"], row["network"]) for row in rows] == [("sum", "accumulator"), ("sum", "lstm")]
    assert list(rows[0])[2:] == [
        f"{what} at {length}" for what in ("success", "error") for length in (1, 10, 100, 1000)
    ]
    assert [rows[0][f"success at {length}"] for length in (1, 10, 100, 1000)] == [1, 1, 1, 1]
    assert rows[1]["error at 1000"] != rows[0]["error at 1000"] > 0
    assert lstm["success at 1000"] == 0
    assert "| accumulator" in (features / "out/counting.md").read_text()
    capfd.readouterr()
    main(arguments)
    assert "Training" not in capfd.readouterr().out


def test_a_single_run_can_not_be_judged(features, capfd):
    with pytest.raises(SystemExit):
        main(["counting", "--output=out", "--seeds", "0"])
    assert "`--seeds` (=[0]) must be at least two" in capfd.readouterr().err


def test_features_of_another_encoder_are_not_taken_for_its_own(features, capfd):
    (features / "out/features.json").write_text(json.dumps({"encoder": "other.ckpt", "data_root": "data"}))
    with pytest.raises(SystemExit):
        main(["counting", "--output=out", "--encoder=mine.ckpt"])
    assert "`--output` (=out) contains features of another encoder" in capfd.readouterr().err
