"""The command line: real runs on a small MNIST, and messages for mistakes."""

from __future__ import annotations

import csv
import json
import pydoc
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqsum.callbacks import RunLines
from seqsum.cli import command, main
from seqsum.cli.app import SeqsumCLI
from seqsum.data import EncodedSums, Translation
from seqsum.data.digit_data import DigitData
from seqsum.data.digits import load_splits
from seqsum.data.review_data import ReviewData
from seqsum.networks.starts import PREFIX
from tests.callbacks.conftest import hparams
from tests.cli.conftest import refused

REPOSITORY = Path(__file__).parents[2]
SMALL = [
    "--data.sequence_length=2",
    "--data.batch_size=20",
    "--model.hidden_size=8",
    "--model.encoder.channels=[2,4]",
    "--trainer.limit_val_batches=10",  # of 250: the small MNIST has all 5,000 digits for validation
    "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=5",
    "--trainer.accelerator=cpu",
    "--tensorboard.figures_every_n_epochs=0",  # they take longer to draw than so small a network to train
]
PICTURES = ["--tensorboard.figures_every_n_epochs=1", "--tensorboard.histograms_every_n_epochs=1"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, mnist_root):
    """Run `python train.py` in a folder; return the folder, what it printed and what it imported."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = [
            *(sys.executable, "-X", "importtime", str(REPOSITORY / "train.py")),
            *(*SMALL, *PICTURES, f"--data.root={mnist_root}", "--trainer.max_epochs=2"),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return folder, done.stdout, set(re.findall(r"^import time: .*\| +(\S+)$", done.stderr, flags=re.MULTILINE))


@pytest.fixture
def checkpoint(finished):
    return finished[0] / "logs/sum/version_0/checkpoints/best.ckpt"


def test_run_leaves_everything_it_promises(finished):
    folder, *_ = finished
    run = folder / "logs/sum/version_0"
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    expected = {"config.yaml", "metrics.csv", "results.json", "test_sequences.png"}
    assert names >= expected | {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    results = json.loads((run / "results.json").read_text())
    assert results["dataset"] == "mnist"
    assert results["seed"] == 0
    assert results["test"].keys() == {f"test/{name}" for name in ("loss", "exact_step", "exact_final", "mae")}
    assert len(results["test_by_step"]["exact_step"]) == 2
    assert results["test_by_step"]["exact_final"] == [None, results["test"]["test/exact_final"]]
    assert results["parameters"] == sum(
        tensor.numel() for name, tensor in torch.load(run / "checkpoints/best.ckpt")["state_dict"].items()
        if "running" not in name and "num_batches" not in name
    )  # fmt: skip
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert sum(bool(row["val/exact_final"]) for row in rows) == 2
    stages = [
        f"{stage}/{name}" for stage in ("train", "val", "test") for name in ("loss", "exact_step", "exact_final", "mae")
    ]
    tags = EventAccumulator(str(run)).Reload().Tags()
    curves = ["train/learning_rate", "train/gradient_norm", "train/images_per_second", "val_by_step/exact_step_t2"]
    assert {*stages, *curves} <= set(tags["scalars"])
    assert {"figures/sums", "figures/gates_l0", "figures/number_line"} <= set(tags["images"])
    assert {"weights/head.weight", "gradients/head.weight", "activations/input_gate_l0"} <= set(tags["histograms"])
    assert tags["graph"]
    assert "configuration/text_summary" in tags["tensors"]


def test_hparams_are_all_settings_by_the_names_of_their_flags(finished):
    folder, *_ = finished
    found = hparams(folder / "logs/sum/version_0")
    settings = found["session_start_info"].session_start_info.hparams
    assert settings["data.batch_size"].number_value == 20
    assert settings["model.encoder.channels"].string_value == "[2, 4]"
    assert settings["data"].string_value == "seqsum.data.DigitSums"
    assert settings["trainer.gradient_clip_val"].number_value == 1
    assert "session_end_info" in found


def test_run_says_what_it_does_and_where_everything_is(finished):
    _, printed, _ = finished
    assert "mnist digits (600 train, 5,000 val, 200 test) in sequences of 2, targets +d1 -d2 +d3 …" in printed
    assert re.search(r"ConvEncoder [\d,]+ → LSTM [\d,]+ → Linear 9", printed)
    assert re.search(r"epoch 2/2 .*val/exact_final", printed)
    assert "│  all │" in printed
    assert "Best checkpoint: logs/sum/version_0/checkpoints/best.ckpt" in printed
    assert "tensorboard --logdir logs/sum/version_0" in printed


def test_test_repeats_the_figures_of_the_training_run(here, finished, checkpoint, capfd):
    main(["test", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    again = json.loads((here / "logs/sum-test/version_0/results.json").read_text())
    first = json.loads((finished[0] / "logs/sum/version_0/results.json").read_text())
    assert again["test"] == first["test"]
    assert again["test_by_step"] == first["test_by_step"]


def test_flags_win_over_the_settings_in_the_checkpoint(here, checkpoint, capfd):
    main(["test", f"--ckpt_path={checkpoint}", "--data.sequence_length=5", "--trainer.enable_progress_bar=false"])
    results = json.loads((here / "logs/sum-test/version_0/results.json").read_text())
    assert len(results["test_by_step"]["exact_step"]) == 5


def test_a_training_whose_test_fails_says_where_it_is(here, mnist_root, monkeypatch, capfd):
    kept = []
    monkeypatch.setattr(command, "keep_memory", lambda: kept.append("memory"))
    monkeypatch.setattr(SeqsumCLI, "test_best", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([*SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=1", "--trainer.limit_train_batches=1"])
    assert "checkpoints/best.ckpt" in capfd.readouterr().out
    assert kept == ["memory"]


def test_validate_runs(here, checkpoint, capfd):
    main(["validate", f"--ckpt_path={checkpoint}", "--trainer.enable_progress_bar=false"])
    assert "val/exact_final" in capfd.readouterr().out


def test_predict_reads_a_users_images(here, checkpoint, mnist_root, capfd):
    images = load_splits("mnist", mnist_root)["test"].images[:3]
    Image.fromarray(torch.cat(list(images), dim=1).numpy()).save(here / "strip.png")
    flags = [f"--ckpt_path={checkpoint}", f"--data.images={here / 'strip.png'}"]
    main(["predict", *flags, "--data.root=nowhere"])  # the data of the training aren't needed
    printed = capfd.readouterr().out
    assert re.search(r"│ 3 +│ \+ +│[^│]+│ +-?\d+ +│", printed), printed
    assert (here / "logs/sum-predict/version_0/predictions.png").stat().st_size > 1_000


@pytest.fixture
def three(here, mnist_root):
    """Make a folder with three images of one digit each."""
    (here / "digits").mkdir()
    for number, image in enumerate(load_splits("mnist", mnist_root)["test"].images[:3]):
        Image.fromarray(image.numpy()).save(here / f"digits/{number}.png")
    return here / "digits"


def rows_of_table(printed):
    """Return step, sign, digit, running sum and file of each row of the table."""
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in printed.splitlines() if line[:1] == "│"]
    return [(int(step), sign, digit, int(total), file) for step, sign, digit, total, file in cells]


@pytest.mark.parametrize(
    "given",
    [
        ["--data.images", "digits/0.png", "digits/1.png", "digits/2.png"],  # as a shell expands digits/*.png
        ["--data.images=digits/*.png"],  # as it does not
        ["--data.images=digits/0.png", "--data.images=digits/1.png", "--data.images=digits/2.png"],
        ["--data.images=~/digits"],
    ],
)
def test_predict_takes_images_as_they_come_from_a_shell(three, checkpoint, capfd, monkeypatch, given):
    monkeypatch.setenv("HOME", str(three.parent))
    main(["predict", *given, f"--ckpt_path={checkpoint}"])
    rows = rows_of_table(capfd.readouterr().out)
    assert [(row[0], row[1], row[4]) for row in rows] == [(1, "+", "0.png"), (2, "-", "1.png"), (3, "+", "2.png")]
    total = 0
    for _, sign, digit, said, _ in rows:
        total += (1 if sign == "+" else -1) * int(digit) if digit.isdecimal() else said - total
        assert total == said


def test_predict_goes_on_without_what_it_cannot_read_and_says_so(three, checkpoint, capfd):
    (three / "1.png").write_text("not a picture")
    (three / "notes.txt").write_text("not meant to be one")
    with pytest.raises(SystemExit) as exit_:
        main(["predict", "--data.images=digits", f"--ckpt_path={checkpoint}"])
    assert exit_.value.code == 1
    printed = capfd.readouterr().out
    assert [row[4] for row in rows_of_table(printed)] == ["0.png", "2.png"]
    assert "1 skipped, see below: the sums go on without it" in " ".join(printed.split())
    assert "Skipped: digits/1.png can't be read as an image (its format is unknown)\n" in printed
    assert "Not images, by their names: digits/notes.txt\n" in printed
    page = Path("logs/sum-predict/version_0/predictions.html").read_text()
    assert "digits/1.png" in page
    assert "<td>2.png</td>" in page


def test_predict_names_everything_if_it_can_read_nothing(here, checkpoint, capfd):
    Image.new("L", (50, 50)).save("black.png")
    refused(
        ["predict", "--data.images", "black.png", "typo.png", f"--ckpt_path={checkpoint}"],
        capfd,
        "`--data.images`: black.png shows no digit that differs from its paper in brightness\ntypo.png does not exist",
    )


def test_trainings_do_not_import_what_reads_a_users_images(finished):
    _, _, imported = finished
    assert "seqsum.cli.app" in imported
    assert "skimage" not in imported


def test_fast_dev_run_leaves_nothing(here, mnist_root, capfd):
    main([*SMALL, f"--data.root={mnist_root}", "--trainer.fast_dev_run=true"])
    assert "Test of sum on mnist" in capfd.readouterr().out
    assert list(here.iterdir()) == []


def test_fast_dev_run_of_a_finished_training_leaves_nothing(here, mnist_root, capfd):
    main(["fit", *SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=1"])
    there = sorted(here.rglob("*"))
    main(["fit", "--ckpt_path=last", "--trainer.fast_dev_run=true"])
    assert "Nothing was left to train" not in capfd.readouterr().out
    assert sorted(here.rglob("*")) == there


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        (["--trainer.max_steps=6"], "none, since no validation was completed"),
        (["--trainer.max_steps=6", "--trainer.limit_val_batches=0"], "none, since no validation was .*"),
        (["--trainer.max_steps=6", "--trainer.val_check_interval=3"], r"logs/.*/best\.ckpt"),
        (["--trainer.max_steps=6", "--trainer.enable_checkpointing=false"], "none"),
    ],
)
def test_why_there_is_no_best_checkpoint_is_said_in_one_sentence(here, mnist_root, capfd, flags, best):
    main(["fit", *SMALL, f"--data.root={mnist_root}", *flags])
    assert re.search(rf"^Best checkpoint: {best}$", capfd.readouterr().out, re.MULTILINE)


def test_without_a_logger_nothing_is_left(here, mnist_root, capfd):
    main([*SMALL, f"--data.root={mnist_root}", "--trainer.logger=false", "--trainer.max_epochs=1"])
    assert "Test of sum on mnist" in capfd.readouterr().out
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "flags",
    [
        ["--model.backend=eager", "--model.num_layers=2", "--model.output_activation=identity"],
        ["--model.cell=torch_lstm"],
        ["--data.sequence_length=[2,4]", "--data.operation=sum", "--data.augment=false"],
        ["--model.objective.beta=.inf", "--model.schedule=constant"],
        ["--trainer.precision=bf16-mixed"],
        ["--trainer.precision=bf16-true"],
        ["--trainer.precision=64-true"],
        ["--data.num_workers=1"],
    ],
)
def test_options_run(here, mnist_root, capfd, flags):
    main(["fit", *SMALL, f"--data.root={mnist_root}", "--trainer.fast_dev_run=2", *flags])


OFFLINE = {  # data of the configurations, and what they need to run here; the others are drawn
    DigitData: "--data.root={mnist_root}",
    ReviewData: "--data.dataset=made",
    Translation: "--data.dataset=made",
    EncodedSums: "--data.features={features}",
}
BASES = sorted((REPOSITORY / "configs").glob("*.yaml"))
DIFFERENCES = [path for base in BASES for path in sorted((REPOSITORY / "configs" / base.stem).glob("*.yaml"))]


def write_start(path, encoder):
    """Write what an encoder needs of the checkpoint that it starts from."""
    made = pydoc.locate(encoder["class_path"])(**encoder["init_args"])
    torch.save({"state_dict": {f"{PREFIX}{name}": weight for name, weight in made.state_dict().items()}}, path)


@pytest.mark.parametrize("config", [*BASES, *DIFFERENCES], ids=lambda path: path.stem)
def test_every_configuration_runs(here, mnist_root, capfd, config):
    """Files in a folder are differences from the file of the folder's name."""
    files = [config] if config in BASES else [config.parent.with_suffix(".yaml"), config]
    first = config.read_text().splitlines()[0]
    assert first.startswith("# python train.py -c "), "its header says how to run it"
    assert all(f"-c {path.relative_to(REPOSITORY).as_posix()}" in first for path in files)
    settings = yaml.safe_load(files[0].read_text())
    data = pydoc.locate(settings["data"]["class_path"])
    split = {"features": torch.zeros(100, 10), "labels": torch.zeros(100, dtype=torch.long)}
    torch.save(dict.fromkeys(("train", "val", "test"), split), "features.pt")
    places = {"mnist_root": mnist_root, "features": "features.pt"}
    offline = [flag.format(**places) for kind, flag in OFFLINE.items() if issubclass(data, kind)]
    options = [option for path in files for option in ("-c", str(path))]
    if "--model.encoder.start_from=" in first:
        write_start("start.ckpt", settings["model"]["encoder"])
        options.append("--model.encoder.start_from=start.ckpt")
    main([*options, *offline, "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu"])


def test_averaged_weights_are_what_is_tested_and_resumed(here, mnist_root, capfd):
    averaged = ["--trainer.callbacks+=seqsum.callbacks.AveragedWeights", "--trainer.callbacks.decay=0.5"]
    main([*SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=2", *averaged])
    folder = here / "logs/sum/version_0"
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    raw, average = best["current_model_state"], best["state_dict"]
    assert any(not torch.equal(raw[name], average[name]) for name in raw)
    main(["test", f"--ckpt_path={folder / 'checkpoints/best.ckpt'}", "--trainer.enable_progress_bar=false"])
    again = json.loads((here / "logs/sum-test/version_0/results.json").read_text())
    assert again["test"] == json.loads((folder / "results.json").read_text())["test"]
    main(["fit", *SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=3", *averaged,
          f"--ckpt_path={folder / 'checkpoints/last.ckpt'}"])  # fmt: skip
    assert "epoch 3/3" in capfd.readouterr().out


@pytest.mark.slow
def test_two_processes_train_and_test_together(here, mnist_root):
    """A process that waits for another would hang: hence the timeout."""
    command = [sys.executable, str(REPOSITORY / "train.py"), *SMALL, f"--data.root={mnist_root}"]
    command += [*PICTURES, "--trainer.max_epochs=1", "--trainer.devices=2", "--trainer.strategy=ddp"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    run = here / "logs/sum/version_0"
    assert json.loads((run / "results.json").read_text())["test"].keys() >= {"test/exact_final"}
    assert (run / "checkpoints/best.ckpt").is_file()
    assert not (here / "logs/sum/version_1").exists()
    assert done.stdout.count("Logs: logs/sum/version_0") == 1
    assert done.stderr.count("Warning") == 0, done.stderr
    tags = EventAccumulator(str(run)).Reload().Tags()
    assert {"figures/sums", "figures/number_line"} <= set(tags["images"])
    assert len(list(run.glob("*tfevents*"))) == 2, "one process writes: a file for the training and one for the test"


def test_config_of_a_run_repeats_it(here, finished, capfd):
    """The same seed gives the same run in another process, bit for bit on the CPU."""
    first = finished[0] / "logs/sum/version_0"
    main(["-c", str(first / "config.yaml")])
    weights = [torch.load(run / "checkpoints/last.ckpt")["state_dict"] for run in (first, here / "logs/sum/version_0")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_second_run_gets_a_folder_of_its_own(finished, mnist_root, monkeypatch, capfd):
    folder, *_ = finished
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in (folder / "logs/sum/version_0").rglob("*") if path.is_file()}
    main([*SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=1", "--trainer.limit_train_batches=5"])
    assert (folder / "logs/sum/version_1/results.json").is_file()
    assert {path: path.read_bytes() for path in before} == before


def test_rendered_digits_stand_in_without_data_and_network(here, monkeypatch, capfd):
    """Without MNIST and internet, the run trains on rendered digits, and says so everywhere."""
    from tests.conftest import fail_downloads, shrink_rendered

    fail_downloads(monkeypatch)
    shrink_rendered(monkeypatch)
    with pytest.warns(UserWarning, match="NOT MNIST"):
        main([*SMALL, "--trainer.max_epochs=1"])
    results = json.loads((here / "logs/sum-rendered/version_0/results.json").read_text())
    assert results["dataset"] == "rendered"
    assert "Test of sum-rendered on rendered" in capfd.readouterr().out


@pytest.mark.parametrize("command", [[], ["fit"]])
def test_flags_win_over_a_file_that_stands_behind_them(here, capfd, command):
    Path("my.yaml").write_text("trainer: {max_epochs: 5, min_epochs: 2}\n")
    with pytest.raises(SystemExit):
        main([*command, "--trainer.max_epochs=3", "-c", "my.yaml", "--print_config"])
    printed = yaml.safe_load(capfd.readouterr().out)
    assert (printed["trainer"]["max_epochs"], printed["trainer"]["min_epochs"]) == (3, 2)


@pytest.mark.parametrize(
    ("flags", "rates"),
    [
        (["--model.optimizer=SGD", "--model.optimizer.lr=0.1"], (0.005, 0.01)),
        (["--model.optimizer.class_path=SGD"], (0.005, 0.01)),
        (["--model.optimizer=SGD", "--model.weight_decay=0.1"], (0.005, 0.1)),
        (["--model.hidden_size=4"], (0.02, 0.03)),
        (["--model.optimizer=null"], (0.02, 0.03)),
        (["--model.optimizer=SGD", "--model.optimizer", "null"], (0.02, 0.03)),
    ],
)
def test_an_optimizer_on_the_command_line_takes_back_the_rates_of_a_file(here, capfd, flags, rates):
    Path("my.yaml").write_text("model:\n  learning_rate: 0.02\n  weight_decay: 0.03\n")
    with pytest.raises(SystemExit):
        main(["fit", *flags, "-c", "my.yaml", "--print_config"])
    model = yaml.safe_load(capfd.readouterr().out)["model"]
    assert (model["learning_rate"], model["weight_decay"]) == rates


def test_checkpoint_of_another_architecture_is_named(here, checkpoint, capfd):
    arguments = ["test", f"--ckpt_path={checkpoint}", "--model.hidden_size=9"]
    shapes = r"weight_hh: \(32, 8\) in the file, \(36, 9\) here"
    refused(arguments, capfd, r"best.ckpt\) contains another architecture .* ask for: \d+ weights differ", shapes)


def test_checkpoint_of_another_task_is_named(here, checkpoint, capfd):
    arguments = ["test", f"--ckpt_path={checkpoint}", "--data=CopyMemory", "--model.encoder=Flatten"]
    said = "it is of a network for DigitSums, not for CopyMemory as `-c` or `--data` asks for; "
    refused(arguments, capfd, rf"best.ckpt\): {said}`--model.encoder.output_size` \(=128\) must be left out")
    refused(
        [*arguments, "--model.encoder.output_size=11"], capfd, rf"error: [^;]+ flags ask for: {said}\d+ weights differ"
    )


def test_checkpoint_of_another_program_is_named(here, capfd):
    torch.save({"state_dict": {"weight": torch.ones(2)}, "hyper_parameters": {"lr": 1, "_name": "x"}}, "other.ckpt")
    for subcommand in ("test", "fit"):
        said = r"`--ckpt_path` \(=other.ckpt\) is not a checkpoint of seqsum: its settings are 'lr'"
        refused([subcommand, "--ckpt_path=other.ckpt"], capfd, said)


@pytest.mark.parametrize("content", ["text", "truncated", "no weights"])
def test_damaged_checkpoint_is_named(here, checkpoint, capfd, content):
    damaged = here / "damaged.ckpt"
    if content == "text":
        damaged.write_text("this is no checkpoint")
    elif content == "truncated":
        damaged.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        torch.save({"epoch": 3}, damaged)
    refused(["test", f"--ckpt_path={damaged}"], capfd, r"`--ckpt_path` \(=.*damaged.ckpt\) is not a checkpoint")


def test_a_folder_that_can_not_be_made_is_named(here, mnist_root, capfd):
    (here / "logs").write_text("a file in its place")
    refused(
        ["--trainer.max_epochs=1", f"--data.root={mnist_root}"], capfd, r"the folder logs/sum/version_0 can't be made"
    )


def test_a_training_of_no_epochs_says_that_nothing_was_trained(here, mnist_root, capfd):
    main([*SMALL, "--trainer.max_epochs=0", f"--data.root={mnist_root}"])
    assert "Nothing was trained: the weights are the initial ones" in capfd.readouterr().out


def test_a_training_that_diverges_says_why_its_checkpoint_is_not_tested(here, mnist_root, capfd):
    given = ["--model.learning_rate=1e9", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3"]
    with pytest.raises(SystemExit):
        main([*SMALL, *given, f"--data.root={mnist_root}"])
    error = capfd.readouterr().err
    assert re.search(
        r"error: the training diverged, and its best checkpoint can't be tested: .* NaN or infinite", error
    )


def test_the_other_checkpoint_of_a_run_is_named_where_one_is_damaged(here, checkpoint, capfd):
    other = {"best.ckpt": "last.ckpt", "last.ckpt": "best.ckpt"}[checkpoint.name]
    for name in (checkpoint.name, other):
        (here / name).write_bytes(checkpoint.read_bytes()[: 1000 if name == checkpoint.name else None])
    error = refused(["test", f"--ckpt_path={here / checkpoint.name}"], capfd)
    assert f"; the run has another one, {here / other}" in error
    (here / other).unlink()
    assert "another one" not in refused(["test", f"--ckpt_path={here / checkpoint.name}"], capfd)


def test_checkpoint_with_code_is_not_run(here, capfd):
    class Malicious:
        def __reduce__(self):
            return Path.touch, (here / "ran",)

    torch.save({"state_dict": {}, "hook": Malicious()}, here / "evil.ckpt")
    refused(["test", f"--ckpt_path={here / 'evil.ckpt'}"], capfd, "evil.ckpt")
    assert not (here / "ran").exists()


def test_file_that_is_no_image_is_named(here, checkpoint, capfd):
    (here / "note.png").write_text("not a picture")
    refused(
        ["predict", f"--ckpt_path={checkpoint}", "--data.images=note.png"],
        capfd,
        "`--data.images`: note.png can't be read",
    )
    refused(["predict", f"--ckpt_path={checkpoint}"], capfd, "`--data.images` must name image files")


# What Lightning tells the user of an epoch that was interrupted is so, and no mistake of the test's
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
def test_interrupt_leaves_a_checkpoint_and_says_how_to_go_on(here, mnist_root, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr(RunLines, "on_train_epoch_start", lambda _, trainer, *__: press_ctrl_c(trainer.current_epoch))
        with pytest.raises(SystemExit) as exit_:
            main([*SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=1000", "--experiment=my sums"])
    assert exit_.value.code == 1
    printed, error = capfd.readouterr()
    assert "Traceback" not in printed + error
    go_on = re.search(r"To resume: python train.py (.*)", printed)
    assert go_on, printed
    assert torch.load(here / "logs/my sums/version_0/checkpoints/last.ckpt")["epoch"] == 1
    main([*shlex.split(go_on[1]), "--trainer.max_epochs=3"])
    printed = capfd.readouterr().out
    assert "epoch 3/3" in printed
    assert "epoch 1/" not in printed
    assert "tensorboard --logdir 'logs/my sums/version_1'\n" in printed


def press_ctrl_c(epoch):
    """Send what Ctrl-C does, in the second epoch."""
    if epoch == 1:
        signal.raise_signal(signal.SIGINT)
