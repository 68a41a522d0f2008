"""A training on sentence pairs through the command line, and all that shows what it learned."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from sacrebleu.metrics import BLEU

from seqsum.cli import main
from seqsum.data import Translation, unlabelled
from seqsum.data.text import END
from seqsum.inspect.__main__ import main as inspect
from seqsum.inspect.restore import load

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
FLAGS = [
    *("--experiment=small", "--data=Translation", "--data.dataset=made", "--data.vocabulary_size=70"),
    *("--model.network=EncoderDecoder", "--model.objective=NextToken", "--model.learning_rate=0.01"),
    *("--model.network.hidden_size=64", "--model.network.embedding_size=48", "--model.objective.beams=2"),
    *("--model.network.attends=after", "--model.objective.label_smoothing=0", "--data.batch_size=32"),
    *("--trainer.accelerator=cpu", "--trainer.log_every_n_steps=10", "--tensorboard.figures_every_n_epochs=1"),
]


@pytest.fixture
def shown(monkeypatch):
    """What TensorBoard is given: figures and texts by name."""
    found = {}
    for method in ("add_figure", "add_text"):
        monkeypatch.setattr(
            f"torch.utils.tensorboard.SummaryWriter.{method}", lambda self, name, item, *_: found.update({name: item})
        )
    return found


def results_of(folder):
    return json.loads((folder / "results.json").read_text())


def test_sentences_are_trained_tested_inspected_and_translated(here, shown, capfd):
    main([*FLAGS, "--trainer.max_epochs=3"])
    run = here / "logs/small-made/version_0"
    results = results_of(run)
    assert results["test"]["test/perplexity"] < 1.6  # 41 words
    assert results["test"]["test/bleu"] > 55
    assert f"test/bleu {results['test']['test/bleu']:.4f}" in capfd.readouterr().out
    assert {"figures/attention_1", "figures/attention_2", "texts/translations"} <= shown.keys()
    assert shown["texts/translations"].startswith("source | reference | translation\n---|---|---\n")
    assert (run / "attention_1.png").is_file()
    best = str(run / "checkpoints/best.ckpt")
    inspect([best, "--output=page", "--sequences=2"])
    page = (here / "page/index.html").read_text()
    assert page.count("<img") == 2
    assert "Translations" in page
    assert "tok:13a" in page
    assert f"<td>{results['test']['test/bleu']:.4f}</td>" in page
    main(["predict", f"--ckpt_path={best}", "--data.texts=junu dreva quorl."])
    printed = capfd.readouterr().out
    assert re.search(r"“junu dreva quorl\.” +│ .*[a-z]+.* │ +quorl", printed)
    page = (here / "logs/small-predict/version_0/predictions.html").read_text()
    assert "the most tokens, <code>--model.objective.longest</code>." in page
    assert "`" not in page


def test_own_pairs_are_trained_tested_resumed_and_translated(here, shown, capfd):
    lines = [f"{'hund' * (n % 2)} {n % 10} {n}\t{n} {n % 10} {'dog' * (n % 2)}\tsomebody\n" for n in range(60)]
    (here / "my.txt").write_text("".join(lines))
    flags = [flag for flag in FLAGS if not flag.startswith("--data.dataset")]
    main([*flags, "--data.pairs=my.txt", "--data.min_count=1", "--data.batch_size=4", "--trainer.max_epochs=1"])
    run = here / "logs/small/version_0"
    assert results_of(run)["dataset"] == "pairs"
    assert "column 1 to column 2 (48 train, 6 val, 6 test)" in capfd.readouterr().out
    best, last = (f"--ckpt_path={run}/checkpoints/{name}.ckpt" for name in ("best", "last"))
    main(["test", best])
    assert results_of(here / "logs/small-test/version_0")["test"] == results_of(run)["test"]
    main(["fit", last, "--experiment=small", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"])
    assert "dataset: pairs" in (here / "logs/small/version_1/config.yaml").read_text()
    capfd.readouterr()
    main(["predict", best, "--data.texts=hund quorl"])
    assert "│ quorl" in capfd.readouterr().out


def test_own_pairs_replace_the_dataset_of_a_checkpoint_and_null_brings_it_back(here, shown, capfd):
    """They are given by a flag or a file, with `test` or where a training goes on."""
    main([*FLAGS, "--trainer.max_epochs=1", "--trainer.limit_train_batches=1"])
    (here / "my.txt").write_text("".join(f"hund {n} \tdog {n}\n" for n in range(60)))
    (here / "own.yaml").write_text("data:\n  init_args:\n    pairs: my.txt\n")
    last = f"--ckpt_path={here}/logs/small-made/version_0/checkpoints/last.ckpt"
    (here / "short.yaml").write_text("data:\n  pairs: my.txt\n")
    for own in (
        ["--data.pairs=my.txt"],
        ["--data.init_args.pairs", "my.txt"],
        ["-c", "own.yaml"],
        ["-c", "short.yaml"],
        ['--data={"class_path": "seqsum.data.Translation", "init_args": {"pairs": "my.txt"}}'],
    ):
        capfd.readouterr()
        main(["test", last, *own])
        assert " on pairs" in capfd.readouterr().out
    main(["validate", last, "--data.pairs=null"])
    main(["fit", last, "--data.pairs=my.txt", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"])
    of_pairs = f"--ckpt_path={here}/logs/small/version_0/checkpoints/last.ckpt"
    assert "dataset: pairs" in (here / "logs/small/version_0/config.yaml").read_text()
    capfd.readouterr()
    main(["test", of_pairs, "--data.pairs=null", "--data.dataset=made"])
    assert " on made" in capfd.readouterr().out
    with pytest.raises(SystemExit):
        main(["test", of_pairs, "--data.dataset=made"])
    said = capfd.readouterr().err
    assert "`--data.dataset` (=made) must be left out with your own `--data.pairs` (=my.txt): " in said


def test_bleu_of_other_pairs_is_that_of_what_a_user_reads(here, shown):
    """The network writes ids of the vocabulary in its checkpoint, whatever words the new pairs would make one of."""
    main([*FLAGS, "--trainer.max_epochs=2"])
    made = Translation(dataset="made")
    made.setup("test")
    pairs = [made.pair_of("train", row) for row in range(600)]
    Path("mine.txt").write_text("".join(f"{pair.source}\t{pair.target}\n" for pair in reversed(pairs)))
    best = "logs/small-made/version_0/checkpoints/best.ckpt"
    main(["test", f"--ckpt_path={best}", "--data.pairs=mine.txt"])
    tested = results_of(here / "logs/small-test/version_0")["test"]["test/bleu"]
    network = load(best).module.network
    own = Translation(pairs="mine.txt")
    own.load_state_dict(torch.load(best, weights_only=True)["Translation"])
    own.setup("test")
    written, references = [], []
    for row in range(own.count("test")):
        pair = own.pair_of("test", row)
        words = [*own.vocabularies.source.look_up(own.vocabularies.source.split(pair.source)), END]
        found = network.write(unlabelled(torch.tensor([words])), beams=2)
        written.append(own.vocabularies.target.decode(found.tokens[0].tolist()))
        references.append(pair.target)
    assert tested == pytest.approx(BLEU().corpus_score(written, [references]).score, abs=1e-3)
    assert tested > 20


@pytest.mark.slow
@pytest.mark.parametrize("attends", ["each_step", "after"])
def test_with_attention_it_translates_better_than_without(here, shown, attends):
    scores = {}
    for kind in ("none", "additive", "multiplicative"):
        network = [f"--model.network.attention={kind}", f"--model.network.attends={attends}"]
        main([*FLAGS, "--trainer.max_epochs=4", f"--experiment={kind}", *network])
        scores[kind] = results_of(here / f"logs/{kind}-made/version_0")["test"]
    for kind in ("additive", "multiplicative"):
        assert scores[kind]["test/perplexity"] < scores["none"]["test/perplexity"]
        assert scores[kind]["test/bleu"] > scores["none"]["test/bleu"]


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "rnn", "tests.networks.own_cells.HalfLife"])
def test_other_cells_and_little_teacher_forcing_learn_too(here, shown, cell):
    more = [f"--model.network.cell={cell}", "--model.network.teacher_forcing=0.7", "--trainer.max_epochs=2"]
    main([*FLAGS, *more])
    assert results_of(here / "logs/small-made/version_0")["test"]["test/perplexity"] < 8
