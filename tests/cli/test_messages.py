"""What is said about wrong flags, values and files: one clear sentence, before anything is made."""

from __future__ import annotations

import errno
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.nn.utils import parametrizations, prune

from seqsum.cli import main, messages
from seqsum.cli.command import _quieten
from seqsum.cli.trainer import check_backends
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.recurrent import Recurrent
from seqsum.recurrent.kernels import native
from tests.cli.conftest import refused

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data.bach_size=3"], "`bach_size` is not accepted by DigitSums: did you mean `batch_size`?"),
        (["--data=CopyMemory", "--data.xy=3"], "`xy` is not accepted by CopyMemory\n"),
        (["--trainer.max_epoch=3", "--model.hiden_size", "4"], "`--trainer.max_epochs` and `--model.hidden_size`?"),
        (["test", "--ckpt=best"], "unrecognized arguments: --ckpt=best: did you mean `--ckpt_path`?"),
        (["fitt"], "unrecognized arguments: fitt: did you mean `fit`?"),
        (["fti"], "unrecognized arguments: fti: did you mean `fit`?"),
        (["--experiment=x", "test"], "unrecognized arguments: test: `test` must be the first argument, and the only"),
        (["paint"], "unrecognized arguments: paint\n"),
        (["-c", "typo.yaml"], "`model.hiden_size` is not accepted: did you mean `model.hidden_size`?"),
        (["--model.optimizer.lr=0.1"], "`lr` is not accepted by Optimizer: name a class before, by --model.optimizer"),
    ],
)
def test_a_misspelt_flag_is_recognized(here, capfd, flags, said):
    (here / "typo.yaml").write_text("model: {hiden_size: 3}\n")
    with pytest.raises(SystemExit):
        main(flags)
    assert said in capfd.readouterr().err.replace("Unrecognized", "unrecognized")  # so before jsonargparse 4.48


@pytest.mark.parametrize(
    ("flag", "value", "least"),
    [
        ("accumulate_grad_batches", "0", "at least 1"),
        ("accumulate_grad_batches", "-2", "at least 1"),
        ("check_val_every_n_epoch", "0", "at least 1"),
        ("val_check_interval", "0", "above 0"),
        ("val_check_interval", "-1", "above 0"),
        ("gradient_clip_val", "-1", "at least 0"),
        ("log_every_n_steps", "-1", "at least 0"),
    ],
)
def test_numbers_of_the_trainer_that_are_too_small_are_refused(here, capfd, flag, value, least):
    assert f"`--trainer.{flag}` (={value}) must be {least}" in refused(["fit", f"--trainer.{flag}={value}"], capfd)


@pytest.mark.parametrize("flag", ["--trainer.val_check_interval=100", "--trainer.limit_train_batches=0.001"])
def test_what_lightning_refuses_of_an_epoch_is_a_line_and_leaves_no_run(here, capfd, flag):
    given = ["-c", str(REPOSITORY / "configs/sine.yaml"), "--data.epoch_size=640", "--trainer.accelerator=cpu"]
    error = refused([*given, flag], capfd)
    assert "Traceback" not in error
    assert flag.partition("=")[0].rpartition(".")[2] in error
    assert not list(here.glob("logs/*/*"))


@pytest.mark.parametrize("flag", ["--trainer.max_steps=0", "--trainer.limit_train_batches=0", "--trainer.max_epochs=0"])
def test_nothing_to_train_needs_no_schedule(here, capfd, flag):
    given = ["-c", str(REPOSITORY / "configs/sine.yaml"), "--data.epoch_size=64", "--trainer.accelerator=cpu"]
    main([*given, flag, "--trainer.limit_test_batches=0"])
    printed = capfd.readouterr().out
    assert "Nothing was trained" in printed
    assert "No test: `--trainer.limit_test_batches` is 0" in printed


@pytest.mark.parametrize("flag", ["--data.datset", "--datset"])
def test_an_error_names_the_program_whose_flags_they_are(here, monkeypatch, capfd, flag):
    monkeypatch.setattr(sys, "argv", ["mine.py", "--data=seqsum.data.Translation", f"{flag}=made"])
    for given, program in ((sys.argv[1:], "train.py"), (None, "mine.py")):  # the first as experiments call it
        with pytest.raises(SystemExit):
            main(given)
        assert re.search(rf"\n`{program}( fit)? --help` explains every option\.$", capfd.readouterr().err.strip())


def test_help_explains_the_options(capfd):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    printed = capfd.readouterr().out
    for option in (
        "sequence_length",
        "hidden_size",
        "--trainer.devices",
        "increment_weight",
        "channels",
        "--experiment",
    ):
        assert option in printed


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--data.sequence_lenth=3"], ["sequence_lenth"]),
        (["--model.hiden_size=3"], ["model.hiden_size"]),
        (["--trainer.max_epoch=3"], ["trainer.max_epoch"]),
        (["--data.sequence_length=many"], ["sequence_length", "many"]),
        (["--data.sequence_length=0"], [r"`--data.sequence_length` \(=0\) must be at least 1"]),
        (["--data.sequence_length=[5,2]"], [r"`--data.sequence_length` \(=\[5, 2\]\) must be \[shortest"]),
        (["--data.sequence_length=300"], [r"`--data.sequence_length` \(=300\) must be at most 200, .* test split"]),
        (["--data.elastic=-1"], [r"`--data.elastic` \(=-1.0\) must be at least 0"]),
        (
            ["--tensorboard.figures_every_n_epochs=-1"],
            [r"`--tensorboard.figures_every_n_epochs` \(=-1\) must be at least"],
        ),
        (["--data.batch_size=0"], [r"`--data.batch_size` \(=0\) must be at least 1"]),
        (["--data.dataset=mnits"], ["dataset", "mnits", "kmnist"]),
        (["--model.cell=ltsm"], [r"`cell` \(='ltsm'\) must be one of .*lstm.*torch_lstm"]),
        (["--model.hidden_size=0"], [r"`hidden_size` \(=0\) must be at least 1"]),
        (["--model.backend=fast"], ["model.backend", "fast", "script"]),
        (["--model.encoder.channels=[]"], [r"`channels` \(=\[\]\)"]),
        (["--trainer.precision=12"], ["(?i)precision", "12"]),
        (["--trainer.accelerator=quantum"], ["quantum"]),
        (["--trainer.accelerator=gpu"], [r"^error: `--trainer.accelerator` \(=gpu\): torch finds no GPU"]),
        (["-c", "nowhere.yaml"], ["nowhere.yaml"]),
        (["fit", "--ckpt_path=nowhere.ckpt"], [r"`--ckpt_path` \(=nowhere.ckpt\) is not a file"]),
        (["test"], ["`--ckpt_path` must name the checkpoint to test"]),
        (["predict"], ["`--ckpt_path` must name the checkpoint to predict"]),
        (["trian"], ["trian"]),
    ],
)
def test_mistakes_get_one_clear_message(here, mnist_root, capfd, arguments, messages):
    refused([*arguments, f"--data.root={mnist_root}"], capfd, *messages)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model.encoder.views=0"], "`views` (=0) must be at least 1"),
        (
            ["--model.objective=NextToken", "--model.objective.beams=0", "--model.objective.vocabulary_size=9"],
            "`beams` (=0)",
        ),
        (
            ["--model.network=tests.networks.own_networks.NoSuper"],
            "`tests.networks.own_networks.NoSuper` can't be made: its `__init__`, or that of a part of it, must first",
        ),
        (
            ["--model.cell=tests.networks.own_cells.Unmade"],
            "can't be made: AttributeError: cannot assign module before Module.__init__() call. `python -m seqsum.",
        ),
        (
            ["--model.network=StepNetwork", "--model.network.encoder=ConvEncoder", "--model.network.encoder.frozen=9"],
            "`frozen` (=9) must be all, none, or the number of last layers to train, 1 to 4",
        ),
        (
            ["--trainer.callbacks+={class_path: seqsum.callbacks.AveragedWeights, init_args: {decay: 2}}"],
            "`decay` (=2.0) must be between 0 and 1",
        ),
    ],
)
def test_what_a_class_says_is_all_that_is_said(here, mnist_root, capfd, arguments, said):
    error = refused([*arguments, f"--data.root={mnist_root}"], capfd)
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert said in line
    for other in ("Union", "Given value", "Expected a", "Not a valid", "ubclass types"):
        assert other not in error


# a value, what is said about it, and what is not
WRONG = {
    "--data=DigitSumz": "`--data` (=DigitSumz) is no known class: did you mean `DigitSums`?",
    "--data=nowhere.Mine": "`--data` (=nowhere.Mine) can't be used: No module named 'nowhere'. A class of your own is",
    "--data.batch_size=many": "`batch_size` of DigitSums (=many) must be a whole number",
    "--model.encoder=DigitSums": "is no known class.",
    "--model.encoder=seqsum.data.DigitSums": "it is no subclass of Encoder. Extend seqsum.networks.Encoder.",
    "--model.optimizer=AdamWW": "`--model.optimizer` (=AdamWW) is no known class: did you mean `AdamW`?",
    "--model.optimizer=adamw": "is no known class: did you mean `AdamW`?",
    "--model.schedule=ReduceLROnPlateau": "several classes: give the path of one, torch.optim.lr_scheduler.Reduc",
    "--model.encoder.channels=x": "`channels` of ConvEncoder (=x) must be a list",
    "--trainer.limit_train_batches=x": "(=x) must be a number",
    "--model.schedule=one_cicle": "is no known class, and not one_cycle or constant: did you mean `one_cycle`?",
    "--model.learning_rate=big": "`--model.learning_rate` (=big) must be a number",
    "--model.backend=fast": "(=fast) must be auto, eager, script, compile, bptt, native or triton",
    "--model.network=torch.nn.LSTM": "error: `input_size` and `hidden_size` of LSTM must be given",
    "--trainer.callbacks=EarlyStopping": "error: `monitor` of EarlyStopping must be given",
    "--data.class_pat=DigitSums": "`class_pat` is not accepted by DigitSums: did you mean `class_path`?",
    "--config=nowhere.yaml": "nowhere.yaml) is not a file",
    "--config=/": "`--config` (=/) is not a file",
    "-c": "error: `-c/--config` needs a value",
    "--ckpt_path": "error: `--ckpt_path` needs a value",
    "--model.objective.class_path=Foo": "`--model.objective.class_path` (=Foo) is no known class",
    "--trainer.callbacks=EarlyStoping": "is no known class, and not a list: did you mean `EarlyStopping`?",
    "--trainer.callbacks=[EarlyStoping]": "`EarlyStoping` in `--trainer.callbacks` is no known class: did you mean",
    "--trainer.callbacks=[EarlyStopping,nowhere.Mine]": "`nowhere.Mine` in `--trainer.callbacks` can't be used: No mod",
    "--trainer.logger=[CSVLogger,CSVLoger]": "`CSVLoger` in `--trainer.logger` is no known class: did you mean `CSVLog",
    "--trainer.callbacks=[1]": "`--trainer.callbacks` (=[1]) must be a subclass of Callback",
    "--trainer.gradient_clip_val=x": "`--trainer.gradient_clip_val` (=x) must be a number",
    "--trainer.fast_dev_run=maybe": "(=maybe) must be a whole number or true or false",
    "--trainer.max_epochs=ten": "`--trainer.max_epochs` (=ten) must be a whole number",
    "--trainer.precision=bf17": "(=bf17) must be 64, 32, 16, transformer-engine, transformer-engine-float16, 16-true, ",
    "--data.sequence_length=[]": "(=[]) must be a whole number, a list of 2 or a mapping from numbers to whole numbers",
    "--data.sequence_length=2.5": "(=2.5) must be a mapping from numbers to whole numbers, a whole number or a list of",
    "--data.sequence_length=[a,3]": "(=['a', 3]) must be a whole number, a list of 2 or a mapping from numbers to",
    "--model.forget_bias=x": "(=x) must be a mapping from names to numbers or a number",
    "--model.schedule={a: 1}": "(={'a': 1}) can't be used: Dict must include a class_path",
    "--model.encoder=2.5": "`--model.encoder` (=2.5) is no known class.",
    "--trainer.plugins=[a]": "`--trainer.plugins` (=['a']) must be a subclass of Precision, ",
    "--model=lstm": "(=lstm) must be a mapping of settings or a file of them: did you mean `--model.cell=lstm`?",
    "--model=torch_gur": "did you mean `--model.cell=torch_gru`?",
    "--model=3": "or a file of them; each setting has a flag of its own, `--model.SETTING=…`",
    "--trainer=gru": "`--trainer` (=gru) must be a mapping of settings or a file of them; each setting has a flag",
    "--model={": "`--model` (={) is not YAML: while parsing a flow node",
    "--model={cell: 3}": "`--model.cell` (=3) must be a text",
    "--model={hiden_size: 3}": "`model.hiden_size` is not accepted: did you mean `model.hidden_size`?",
}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have no notes before Python 3.11")
def test_an_error_in_a_users_own_cell_keeps_its_traceback_and_names_the_check(here, mnist_root):
    cell = "tests.networks.own_cells.Broken"
    with pytest.raises(IndexError) as raised:
        main([f"--model.cell={cell}", f"--data.root={mnist_root}", "--trainer.accelerator=cpu"])
    assert raised.value.__notes__ == [f"`python -m seqsum.check {cell}` says what is wrong with the cell"]


def test_an_error_in_a_cell_of_this_package_names_no_check(here, mnist_root, monkeypatch):
    monkeypatch.setattr(Recurrent, "_unroll", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as raised:
        main([f"--data.root={mnist_root}", "--trainer.accelerator=cpu"])
    assert not hasattr(raised.value, "__notes__")


@pytest.mark.parametrize(
    ("number", "before", "said"),
    [
        (errno.ENOSPC, None, r"^error: \[Errno 28\] there \(the disk is full: `--trainer\.default_root_dir` may"),
        (errno.EDQUOT, InputError("not saved"), r"^error: not saved \(the disk is full: "),
        (errno.EIO, None, r"^$"),
    ],
)
def test_a_full_disk_alone_is_called_so(monkeypatch, capfd, number, before, said):
    error = OSError(number, "there")
    error.__context__ = before

    def fail(*_):
        raise error

    monkeypatch.setattr("seqsum.cli.command.read_settings", fail)
    with pytest.raises(SystemExit if number != errno.EIO else OSError):
        main([])
    assert re.search(said, capfd.readouterr().err)


@pytest.mark.parametrize(("subcommand", "told"), [("fit", 1), ("test", 0)])
def test_only_a_training_is_told_of_callbacks_that_it_lacks(subcommand, told):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        _quieten(subcommand)
        warnings.warn("the callbacks used to create the checkpoint need to be provided here, too", stacklevel=1)
    assert len(found) == told


class HoldsACell(nn.Module):
    """It fails, and its cell does not."""

    output_size = 1

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(784, 1)

    def forward(self, batch):
        cell = self.cell
        raise IndexError(f"of the network's own, not of {cell}")


def test_an_error_beside_a_cell_blames_no_cell(here, mnist_root):
    with pytest.raises(IndexError) as raised:
        main([f"--model.network={__name__}.HoldsACell", f"--data.root={mnist_root}", "--trainer.accelerator=cpu"])
    assert not hasattr(raised.value, "__notes__")


def test_an_option_of_a_class_is_checked_too(here, capfd):
    error = refused(["--model.optimizer=AdamW", "--model.optimizer.lr=x"], capfd)
    assert "`lr` of AdamW (=x) must be a number" in error.splitlines()[0]


def test_the_classes_that_there_are_are_named_if_they_are_few(here, capfd, monkeypatch):
    monkeypatch.setattr(messages, "SHOWN", 1_000)  # other tests have encoders of their own
    known = refused(["--model.encoder=DigitSums"], capfd).partition("Known are ")[2]
    assert {"ConvEncoder", "DenseEncoder"} <= set(re.findall(r"\w+", known))


@pytest.mark.parametrize("flag", WRONG)
def test_a_value_of_the_wrong_type_gets_one_sentence(here, capfd, flag):
    error = refused([flag], capfd)
    assert WRONG[flag] in error.splitlines()[0]
    for other in ("Union", "Given value", "Expected a", "class '", "Parser key"):
        assert other not in error


def test_a_kernel_that_cannot_run_on_the_device_is_refused_before_a_folder_is_made(
    here, mnist_root, monkeypatch, capfd
):
    monkeypatch.setattr("seqsum.recurrent.kernels.triton.compiled.INTERPRETED", False)
    error = refused(["--model.backend=triton", "--trainer.accelerator=cpu", f"--data.root={mnist_root}"], capfd)
    assert "`backend` (='triton') can't run LSTMCell: " in error
    assert not (here / "logs").exists()


def test_what_is_refused_in_the_first_step_leaves_no_run(here, capfd):
    given = ["-c", str(REPOSITORY / "configs/sine.yaml"), "--data.epoch_size=64", "--model.encoder.output_size=7"]
    error = refused([*given, "--trainer.max_epochs=1", "--trainer.accelerator=cpu"], capfd)
    assert "`output_size` (=7) of the encoder must be the 1 numbers that a step's input has" in error


@pytest.mark.parametrize("backend", ["native", "bptt"])
@pytest.mark.parametrize(
    "change", [parametrizations.weight_norm, prune.identity, lambda cell, _: cell.to("meta"), None]
)
def test_kernels_of_cells_whose_weights_are_computed_are_not_refused_ahead(backend, change):
    module = SequenceModule(backend=backend)
    if change is not None:
        change(module.network.recurrence.cells[0], "weight_hh")
    check_backends(Trainer(accelerator="cpu", logger=False), module)


def test_a_kernel_that_cannot_run_in_the_precision_is_refused(monkeypatch):
    monkeypatch.delitem(native.MULTIPLIES, torch.bfloat16)  # as if it had no way to compute in this type
    trainer = Trainer(accelerator="cpu", precision="bf16-true", logger=False)
    with pytest.raises(InputError, match=r"`backend` \(='native'\) can't run LSTMCell"):
        check_backends(trainer, SequenceModule(backend="native"))


def test_what_is_refused_only_when_a_training_begins_leaves_no_folder(here, mnist_root, capfd):
    refused(["--data.batch_size=1", f"--data.root={mnist_root}"], capfd, "batches larger, or the longest .* shorter")
    assert list((here / "logs").iterdir()) == []


def test_broken_yaml_is_named(here, capfd):
    (here / "broken.yaml").write_text("data: [unclosed\n")
    refused(["-c", "broken.yaml"], capfd, "broken.yaml|config")


def test_missing_data_is_named_and_never_replaced(here, monkeypatch, capfd):
    from tests.conftest import fail_downloads

    fail_downloads(monkeypatch)
    refused(
        ["--data.dataset=mnist", "--data.root=nowhere"],
        capfd,
        r"`--data.root` \(=nowhere\) does not hold mnist, seen from /",
    )
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("frozen", [["-c", str(REPOSITORY / "configs/count.yaml")], ["--model.encoder.frozen=2"]])
def test_an_encoder_that_would_stay_random_is_refused_before_data_are_downloaded(here, monkeypatch, capfd, frozen):
    from tests.conftest import fail_downloads

    fail_downloads(monkeypatch)
    refused([*frozen, "--data.dataset=mnist", "--data.root=nowhere"], capfd, r"`frozen` \(=.*\) keeps .* `start_from`")
    assert list(here.iterdir()) == []


def test_truncated_file_is_named(here, capfd):
    from tests.conftest import write_mnist

    file = write_mnist(here, train=20, test=10) / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-5])
    refused(
        [f"--data.root={here}"], capfd, r"train-images-idx3-ubyte is truncated or corrupt: 15691 bytes, where .* 15696"
    )
