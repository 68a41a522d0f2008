"""Film reviews: the set-ups that are compared, and their tables, of small trainings on made-up reviews."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from seqsum.cli import main as train
from seqsum.data import FilmReviews
from seqsum.experiments import reviews, runs
from seqsum.experiments.__main__ import main
from seqsum.experiments.review_set_ups import (
    FULL,
    GROUPS,
    SAME_NUMBERS,
    SCRATCH,
    STEPS,
    TRIED,
    WITHOUT,
    as_arguments,
    make_ladder,
    make_set_ups,
    read_flags,
)
from seqsum.figures.ladder import Rung, plot_ladder
from seqsum.figures.learning import Learning, plot_learning
from seqsum.networks import Embed, ReadoutName, build_network
from tests.drawn import draw_nothing

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
SMALL = [
    "--data.dataset=made", "--data.longest=12", "--data.vocabulary_size=40", "--model.hidden_size=4",
    "--model.encoder.output_size=4", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3",
    "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1", "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu", "--tensorboard.histograms_every_n_epochs=0", "--tensorboard.figures_every_n_epochs=0",
]  # fmt: skip


@pytest.fixture
def of_files(with_configs):
    """Return the flags of the two configurations."""
    return read_flags(SCRATCH), read_flags(FULL)


# What is compared ----------------------------------------------------------------------------------------


def test_the_ladder_leads_from_scratch_to_the_full_network_by_steps_of_their_own_flags(of_files):
    scratch, full = of_files
    ladder = make_ladder(scratch, full)
    assert next(iter(ladder)) == "scratch"
    assert scratch | ladder["full"] == full
    tried = {name: step for step, named in TRIED.items() for name in named}
    reached = {}
    for name, flags in [*ladder.items()][1:-1]:
        changed = {flag for flag in flags | reached if flags.get(flag) != reached.get(flag)}
        assert changed
        assert changed <= set(STEPS[tried.get(name, name)]), name
        if flags.items() <= full.items():
            reached = flags
    assert {"embedding", "mask", "batch_length", "buckets", "lstm", "gru", "two_layers", "three_layers"} <= set(ladder)


def test_a_step_of_another_full_network_is_another_rung(of_files):
    scratch, full = of_files
    lstm = make_ladder(scratch, full | {"model.cell": "lstm", "model.forget_bias": 2.0, "model.num_layers": 2})
    assert lstm["cell"] == lstm["buckets"] | {"model.cell": "lstm", "model.forget_bias": 2.0}
    assert lstm["lstm"] == lstm["buckets"] | {"model.cell": "lstm", "model.output_activation": "tanh"}
    assert lstm["directions"]["model.num_layers"] == 2
    assert "layers" not in lstm, "it is `two_layers`"
    assert "directions" not in make_ladder(scratch, full | {"model.bidirectional": False})
    assert make_ladder(scratch, full | {"model.weight_decay": 0.5})["full"]["model.weight_decay"] == 0.5


def test_each_step_is_left_out_of_the_full_network_alone(of_files):
    set_ups, groups = make_set_ups(*of_files)
    last, *without = groups["left_out"]
    assert last == groups["ladder"][-2]
    for name in without:
        missing = set_ups[last].keys() - set_ups[name].keys()
        assert missing
        assert missing <= set(STEPS[name.removeprefix(WITHOUT)])
        assert set_ups[name].items() <= set_ups[last].items()
    assert not {WITHOUT + step for step in SAME_NUMBERS} & set(without)
    assert len(without) >= 8


def test_choices_are_compared_one_at_a_time(of_files):
    set_ups, groups = make_set_ups(*of_files)
    assert set(groups) == {"ladder", "left_out", *GROUPS}
    for group in ("truncating", "outputs", "readouts", "initial_state"):
        for name in groups[group]:
            assert len(set_ups[name].items() - set_ups["gru"].items()) == (name != "gru"), name
    scratch = of_files[0]
    padding = [scratch | set_ups[name] for name in groups["padding"]]
    assert {(each["model.cell"], each["data.padding"], each["data.mask"]) for each in padding} == {
        *product(("rnn", "gru"), ("before", "after"), (True, False))
    } - {("rnn", "after", True)}, "with a mask both sides give the same numbers"
    assert {each["data.longest"] for each in padding} == {200}
    for masked, unmasked in zip(groups["curves"][::2], groups["curves"][1::2], strict=True):
        assert dict(set_ups[unmasked].items() - set_ups[masked].items()) == {"data.mask": False}


@pytest.mark.slow
def test_the_arguments_of_every_set_up_give_its_settings(of_files, capsys):
    scratch, full = of_files
    for name, flags in make_set_ups(scratch, full)[0].items():
        with pytest.raises(SystemExit) as exit_:
            train([*as_arguments(flags), "--print_config"])
        assert not exit_.value.code, name
        Path("printed.yaml").write_text(capsys.readouterr().out)
        printed, expected = read_flags("printed.yaml"), scratch | flags
        assert {flag: printed[flag] for flag in expected} == expected, name


def test_the_arguments_of_the_full_network_give_its_settings(of_files, capsys):
    scratch, full = of_files
    with pytest.raises(SystemExit):
        train([*as_arguments(make_ladder(scratch, full)["full"]), "--print_config"])
    printed = capsys.readouterr().out
    Path("printed.yaml").write_text(printed)
    assert {flag: value for flag, value in read_flags("printed.yaml").items() if flag in full} == full
    assert yaml.safe_load(printed)["experiment"] == "reviews_scratch"


def test_the_configuration_from_scratch_trains(with_configs, capfd):
    train(["-c", SCRATCH, *SMALL, "--trainer.fast_dev_run=true"])
    assert "made film reviews" in capfd.readouterr().out


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_with_a_mask_padding_before_and_after_give_the_same_numbers(cell, bidirectional):
    batches = {}
    for mask, padding in product((True, False), ("after", "before")):
        data = FilmReviews("made", padding=padding, mask=mask, bucketing=False, pad_to="longest", longest=20)
        data.prepare_data()
        data.setup("fit")
        batches[mask, padding] = data.gather(next(iter(data.train_dataloader())))
    assert torch.equal(batches[True, "after"].targets, batches[True, "before"].targets)
    assert not torch.equal(batches[True, "after"].inputs, batches[True, "before"].inputs)
    for readout in get_args(ReadoutName)[1:]:
        torch.manual_seed(0)
        options = {"hidden_size": 8, "bidirectional": bidirectional, "readout": readout}
        network = build_network(1, cell, encoder=Embed(80, output_size=6), **options).double()
        found = {key: network(batch) for key, batch in batches.items()}
        gradients = [torch.autograd.grad(found[True, side].sum(), network.encoder.parameters())[0]
                     for side in ("after", "before")]  # fmt: skip
        torch.testing.assert_close(found[True, "after"], found[True, "before"], rtol=0, atol=1e-12)
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
        assert not torch.allclose(found[False, "after"], found[True, "after"], atol=1e-4)
        if readout == "last" and not bidirectional:
            assert not torch.allclose(found[False, "after"], found[False, "before"], atol=1e-4)


# What is reported ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tables_say_what_the_runs_reached_and_no_run_is_done_twice(with_configs, capsys, monkeypatch):
    command = ["reviews", "--groups", "outputs", "--names", "two_outputs", "--seeds", "0", "1", "--", *SMALL]
    main(command)
    folder = with_configs / "logs/experiments/reviews"
    results = [
        json.loads((folder / f"two_outputs_seed{seed}-made/version_0/results.json").read_text()) for seed in (0, 1)
    ]
    table = json.loads((folder / "outputs.json").read_text())["rows"]
    assert [line["set-up"] for line in table] == ["two_outputs"]
    tests = [each["test"] for each in results]
    assert table[0]["accuracy"] == f"{mean(each['test/accuracy'] for each in tests):.4f}"
    assert table[0]["test loss"] == f"{mean(each['test/loss'] for each in tests):.4f}"
    validation = [max(runs.logged(runs.finished(folder / f"two_outputs_seed{seed}"), "val/accuracy").values())
                  for seed in (0, 1)]  # fmt: skip
    assert table[0]["validation"] == f"{mean(validation):.4f}"
    assert (table[0]["dataset"], table[0]["seeds"], table[0]["test reviews"]) == ("made", 2, 1_000)
    step = 1_000 * mean(each["seconds"]["training_step"] for each in results)
    assert table[0]["step, ms"] == f"{step:.1f}"
    markdown = (folder / "outputs.md").read_text().splitlines()
    assert markdown[0].startswith("| set-up | dataset | parameters |")
    assert markdown[2].startswith("| two_outputs | made | ")
    with Image.open(folder / "outputs.png") as image:
        assert image.width > 300
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)
    assert json.loads((folder / "outputs.json").read_text())["rows"] == table
    main(["reviews", "--trained", "--seeds", "0"])  # also without the flags of the training
    assert [line["seeds"] for line in json.loads((folder / "outputs.json").read_text())["rows"]] == [1]
    assert not (folder / "ladder.md").exists()


def test_a_report_of_trainings_that_are_not_there_is_refused(with_configs, capsys):
    with pytest.raises(SystemExit):
        main(["reviews", "--trained", "--output=nowhere"])
    assert "`--output` (=nowhere) contains none of the trainings that `--trained` asks for" in capsys.readouterr().err


@pytest.mark.slow
def test_learning_with_and_without_a_mask_is_drawn(with_configs, capsys):
    names = ["curve_400_masked", "curve_400_unmasked"]
    main(["reviews", "--groups", "curves", "--names", *names, "--seeds", "0", "--", *SMALL])
    folder = with_configs / "logs/experiments/reviews"
    table = json.loads((folder / "curves.json").read_text())["rows"]
    assert [line["set-up"] for line in table] == names
    losses = [json.loads(path.read_text())["test"]["test/loss"] for path in folder.glob("*/version_0/results.json")]
    assert len(set(losses)) == 2  # the table rounds them, and three steps make little difference
    assert [table[0][cost] for cost in ("padding, %", "parameters")] == [
        table[1][cost] for cost in ("padding, %", "parameters")
    ]
    with Image.open(folder / "learning.png") as image:
        assert image.width > 300


@pytest.mark.slow
def test_what_drops_long_reviews_is_also_tested_on_all(with_configs, capsys):
    main(["reviews", "--groups", "truncating", "--names", "drop", "--seeds", "0", "--", *SMALL])
    folder = with_configs / "logs/experiments/reviews"
    dropped, of_all = json.loads((folder / "truncating.json").read_text())["rows"]
    again = json.loads((folder / "drop_seed0_keep_end-test-made/version_0/results.json").read_text())
    assert (dropped["set-up"], of_all["set-up"]) == ("drop", "drop, tested on all")
    assert of_all["accuracy"] == f"{again['test']['test/accuracy']:.4f}"
    assert dropped["test reviews"] < of_all["test reviews"] == 1_000


def of_test(accuracy, loss=0.5, clock=0.004, processor=0.009):
    seconds = {"training_step": clock, "training_step_of_processor": processor}
    test = {"test/accuracy": accuracy, "test/loss": loss}
    return runs.Run(Path(), {"dataset": "made", "parameters": 3, "seconds": seconds, "test": test})


def test_a_row_has_the_best_validations_and_the_tests_that_it_is_of(monkeypatch):
    logged = {0.5: {10: 0.75, 20: 0.5}, 0.75: {10: 0.25, 20: 1.0}}
    monkeypatch.setattr(reviews, "logged", lambda run, name: logged[run.results["test"]["test/accuracy"]])
    again = {0.5: of_test(0.125, 2.0), 0.75: of_test(0.375, 4.0)}
    monkeypatch.setattr(reviews, "tested", lambda root, run, flag: again[run.results["test"]["test/accuracy"]])
    found = reviews.Found([of_test(0.5), of_test(0.75, 1.5)], tested=80, all=100, padding=0.25)
    own, on_all = reviews.rows_of("drop", found, SimpleNamespace(output=None))
    assert own == {
        "set-up": "drop", "dataset": "made", "parameters": 3, "seeds": 2, "validation": "0.8750",
        "accuracy": "0.6250", "lowest to highest": "0.5000 to 0.7500", "test loss": "1.0000", "test reviews": 80,
        "padding, %": "25.0", "step, ms": "4.0", "step, CPU ms": "9.0",
    }  # fmt: skip
    again_own = {"accuracy": "0.2500", "lowest to highest": "0.1250 to 0.3750", "test loss": "3.0000"}
    assert on_all == own | again_own | {"set-up": "drop, tested on all", "test reviews": 100}


def test_the_ladder_is_drawn_with_the_seconds_of_the_processor(monkeypatch, tmp_path):
    figures = []
    draw_nothing(monkeypatch, reviews, "plot_ladder")
    monkeypatch.setattr(reviews, "rows_of", lambda *_: [])
    monkeypatch.setattr(reviews, "save_table", lambda *_: None)
    monkeypatch.setattr(reviews, "save", lambda figure, path: figures.append(figure.given))
    found = reviews.Found([of_test(0.5), of_test(0.75, processor=0.011)], 80, 100, 0.25)
    reviews.report("outputs", {"gru": found}, SimpleNamespace(output=tmp_path))
    assert figures[0].rungs == {"gru": Rung([0.5, 0.75], pytest.approx(10.0), 0.25)}


def test_padding_is_that_of_the_training_and_reviews_are_those_of_the_test(monkeypatch):
    corpus = SimpleNamespace(splits={"test": SimpleNamespace(labels=range(9)), "train": SimpleNamespace(labels=[1])})
    data = SimpleNamespace(
        prepare_data=lambda: None, setup=lambda stage: None, corpus=corpus,
        count={"train": 5, "test": 7}.get, padding_share={"train": 0.25, "val": 0.5}.get,
    )  # fmt: skip
    monkeypatch.setattr(reviews, "load", lambda checkpoint: SimpleNamespace(data=data))
    assert reviews.look([of_test(0.5)])[1:] == (7, 9, 0.25)


def test_a_learning_curve_is_the_mean_of_the_runs_at_each_step(monkeypatch):
    monkeypatch.setattr(reviews, "logged", lambda run, name: run.results["test"]["test/loss"][name])
    curves = [{"train/step_loss": {8: 4.0, 16: 2.0}, "val/accuracy": {16: 0.5}},
              {"train/step_loss": {8: 2.0}, "val/accuracy": {16: 1.0}}]  # fmt: skip
    found = {
        "curve_400_unmasked": reviews.Found([of_test(0.5, curve) for curve in curves], 1, 1, 0.0),
        "curve_200_masked": reviews.Found([of_test(0.5, curves[0])], 1, 1, 0.0),
    }
    assert reviews.learning(found) == [
        Learning("200 steps", True, {8: 4.0, 16: 2.0}, {16: 0.5}),
        Learning("400 steps", False, {8: 3.0, 16: 2.0}, {16: 0.75}),
    ]


def test_an_unknown_set_up_is_named(with_configs, capsys):
    with pytest.raises(SystemExit):
        main(["reviews", "--groups", "outputs", "--names", "gru", "max", "--", *SMALL])
    assert re.search(r"`--names` \(=max\) must be among gru, two_outputs", capsys.readouterr().err)


def test_the_ladder_shows_runs_their_mean_and_costs():
    axes = plot_ladder({"a": Rung([0.5, 0.7], 20.0, 0.25), "b": Rung([0.9], 10.0, 0.0)}).axes
    runs_of_a, mean_of_a, runs_of_b, _ = axes[0].lines
    np.testing.assert_allclose(runs_of_a.get_xdata(), [50, 70])
    np.testing.assert_allclose(mean_of_a.get_xdata(), [60])
    np.testing.assert_allclose(runs_of_b.get_ydata(), [1])
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["a", "b"]
    assert [[bar.get_width() for bar in panel.patches] for panel in axes[1:]] == [[20, 10], [25, 0]]


def test_learning_curves_are_averages_dashed_without_a_mask():
    losses = dict(zip(range(10, 210, 10), range(20), strict=True))
    curves = [Learning("200 steps", masked, losses, {100: 0.5, 200: 0.75}) for masked in (True, False)]
    left, right = plot_learning([*curves, Learning("400 steps", True, {5: 1.0}, {})]).axes
    masked, unmasked, short = left.lines
    np.testing.assert_allclose(masked.get_xdata(), np.arange(50, 170, 10))
    np.testing.assert_allclose(masked.get_ydata(), np.arange(4, 16))
    np.testing.assert_allclose(right.lines[0].get_ydata(), [50, 75])
    assert (masked.get_linestyle(), unmasked.get_linestyle()) == ("-", "--")
    assert masked.get_color() == unmasked.get_color() != short.get_color()
    assert short.get_ydata().tolist() == [1.0]
    assert [line.get_label() for line in left.lines] == ["200 steps, mask", "200 steps, no mask", "400 steps, mask"]
