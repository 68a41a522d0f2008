"""Trainings of networks that read words and give one output a sequence, through the command line."""

import json
from typing import get_args

import pytest
import torch

from seqsum.cli import main
from seqsum.data import Batch
from seqsum.inspect import load
from seqsum.inspect.__main__ import main as inspect
from seqsum.networks import ReadoutName

ONE = get_args(ReadoutName)[1:]
FEW = {("last", "lstm"), ("mean_probabilities", "torch_lstm"), ("mean_max", "gru")}  # by default
PAIRS = [
    pytest.param(readout, cell, marks=() if (readout, cell) in FEW else pytest.mark.slow)
    for readout in ONE
    for cell in ("lstm", "gru", "torch_lstm")
]
COMMON = [
    "--data=tests.networks.word_data.FirstWord", "--model.encoder=Embed", "--model.encoder.output_size=6",
    "--model.hidden_size=8", "--model.objective=Classification", "--model.objective.num_classes=2",
    "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1", "--experiment=words",
]  # fmt: skip
EVERYTHING = [
    "--diagnosis.every_n_steps=1",
    "--tensorboard.figures_every_n_epochs=1",
    "--tensorboard.histograms_every_n_epochs=1",
]


@pytest.mark.parametrize(("readout", "cell"), PAIRS)
def test_every_readout_trains_in_both_directions_with_all_that_watches(here, monkeypatch, capfd, readout, cell):
    figures = []
    monkeypatch.setattr(
        "torch.utils.tensorboard.SummaryWriter.add_figure", lambda self, name, *_, **__: figures.append(name)
    )
    main([*COMMON, *EVERYTHING, f"--model.readout={readout}", f"--model.cell={cell}", "--model.bidirectional=true"])
    run = here / "logs/words/version_0"
    said = capfd.readouterr()
    assert "shows no graph" not in said.out + said.err
    assert not figures, "a sequence has one decision, which does not settle"
    assert 0.3 < json.loads((run / "results.json").read_text())["test"]["test/accuracy"] <= 1
    inspect([str(run / "checkpoints/best.ckpt"), "--output=page"])
    assert (here / "page/index.html").is_file()
    module, data, _ = load(run / "checkpoints/best.ckpt")
    data.setup("test")
    batch = Batch(*(tensor[:5] for tensor in data.fixed["test"][:4]))
    with torch.no_grad():
        outputs, steps = module(batch), module.network.by_step(batch)
    assert outputs.shape == (5, 1, 2)
    torch.testing.assert_close(steps[:, -1:], outputs)


def test_a_sigmoid_output_and_an_encoder_rate_of_its_own_train_and_resume(here, capfd):
    options = ["--model.readout=last", "--model.objective.sigmoid=true", "--model.encoder_learning_rate=0.02"]
    main([*COMMON, *EVERYTHING, *options, "--model.cell=gru"])
    checkpoint = "logs/words/version_0/checkpoints/last.ckpt"
    module, _, settings = load(checkpoint)
    assert (module.network.head.out_features, settings["model.encoder_learning_rate"]) == (1, 0.02)
    main(
        [
            "fit",
            f"--ckpt_path={checkpoint}",
            "--trainer.max_epochs=2",
            "--trainer.log_every_n_steps=1",
            "--trainer.accelerator=cpu",
        ]
    )
    groups = torch.load("logs/words/version_1/checkpoints/last.ckpt")["optimizer_states"][0]["param_groups"]
    assert [group["max_lr"] for group in groups] == [5e-3, 5e-3, 0.02, 0.02]
    assert load("logs/words/version_1/checkpoints/last.ckpt").settings["steps trained"] == 4
    capfd.readouterr()
    with pytest.raises(SystemExit):
        main(
            [
                "fit",
                f"--ckpt_path={checkpoint}",
                "--trainer.max_epochs=2",
                "--trainer.log_every_n_steps=1",
                "--model.encoder_learning_rate=null",
            ]
        )
    expected = (
        "error: `--model.encoder_learning_rate` (=None) can't be changed when a training goes on: it was begun with "
    )
    assert expected in capfd.readouterr().err


def test_the_vocabulary_of_the_encoder_follows_the_data(here, capfd):
    options = [*COMMON, "--model.readout=max", "--data.vocabulary_size=23", "--model.encoder=OneHot"]
    main(["fit", *options])
    run = here / "logs/words/version_0"
    module, data, _ = load(run / "checkpoints/best.ckpt")
    assert module.network.encoder.module.weight.shape == (23, 6)
    assert data.vocabulary_size == 23
    main(["test", f"--ckpt_path={run}/checkpoints/best.ckpt", "--trainer.accelerator=cpu"])
    main(["fit", f"--config={run}/config.yaml", "--data.vocabulary_size=12"])
    module, *_ = load("logs/words/version_1/checkpoints/best.ckpt")
    assert module.network.encoder.module.weight.shape == (12, 6)
    capfd.readouterr()
    with pytest.raises(SystemExit):
        main(["fit", *options, "--model.encoder.vocabulary_size=5"])
    message = "`--model.encoder.vocabulary_size` (=5) must be left out, or be the `--data.vocabulary_size` (=23)"
    assert message in capfd.readouterr().err


@pytest.mark.slow
def test_printed_settings_train_with_the_vocabulary_of_their_data(here, capfd):
    with pytest.raises(SystemExit):
        main(["fit", *COMMON, "--model.readout=last", "--data.vocabulary_size=17", "--print_config"])
    (here / "words.yaml").write_text(capfd.readouterr().out)
    main(["fit", "--config=words.yaml"])
    module, *_ = load("logs/words/version_0/checkpoints/best.ckpt")
    assert module.network.encoder.module.weight.shape == (17, 6)


@pytest.mark.parametrize("place", ["model.encoder", "model.network.encoder"])
def test_data_without_a_vocabulary_want_one_to_be_given(here, capfd, place):
    own = ["--model.network=seqsum.networks.StepNetwork"] if "network" in place else []
    rows = ["fit", "--data=DigitRows", *own, f"--{place}=seqsum.networks.Embed"]
    with pytest.raises(SystemExit):
        main(rows)
    error = capfd.readouterr().err
    assert f"error: `--{place}.vocabulary_size` must be given: these data have no `vocabulary_size`" in error
    with pytest.raises(SystemExit):
        main([*rows, f"--{place}.vocabulary_size=7", "--print_config"])
    assert "vocabulary_size: 7" in capfd.readouterr().out


def test_one_output_for_many_targets_is_refused(here, capfd, mnist_root):
    with pytest.raises(SystemExit):
        main(
            [
                "fit",
                f"--data.root={mnist_root}",
                "--model.readout=last",
                "--trainer.accelerator=cpu",
                "--trainer.log_every_n_steps=1",
            ]
        )
    assert "error: `--model.readout` (=last) gives one output for each sequence" in capfd.readouterr().err
