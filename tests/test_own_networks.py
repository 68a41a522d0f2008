"""A user's own networks, optimizers and schedules, on the command line and in Python."""

import json
import sys

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau, StepLR

from seqsum import LSTM, LSTMCell
from seqsum.cli import main
from seqsum.data import Batch, DigitSums, SequenceData
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.objectives import Classification, RunningSum
from seqsum.optimization import make_schedule

SHORT = [
    *("--trainer.limit_train_batches=2", "--trainer.limit_val_batches=2", "--trainer.limit_test_batches=2"),
    *("--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=0"),
]
DEFAULT = [*SHORT, "--model.hidden_size=4", "--model.encoder.channels=[2]", "--trainer.accelerator=cpu"]


class TwoRecurrences(nn.Module):
    """Read digits, and output their classes backwards and an end token: one more target than inputs."""

    def __init__(self, hidden_size: int = 16) -> None:
        super().__init__()
        self.output_size = 11
        self.encoder = LSTM(28 * 28, hidden_size, batch_first=True)
        self.decoder = LSTMCell(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, 11)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Map images `(B, T, 1, Y, X)` and mask `(B, T)` to outputs `(B, T + 1, 11)`."""
        _, (hidden, cell_state) = self.encoder(batch.inputs.flatten(2), mask=batch.mask)
        state, outputs = (hidden[0], cell_state[0]), []
        for _ in range(batch.targets.shape[1]):
            state = self.decoder(state[0], state)
            outputs.append(state[0])
        return self.head(torch.stack(outputs, dim=1))


class Backwards(DigitSums):
    """Sequences of different lengths, with their digits' classes backwards and 10 for the end as targets."""

    def gather(self, batch):
        rows = batch.rows[batch.share]
        steps = torch.arange(rows.shape[1])
        mask = steps <= (rows[:, :1] % rows.shape[1])  # (B, T)
        labels = self.splits[batch.split].labels[rows]
        lengths = mask.sum(1, keepdim=True)
        backwards = labels.gather(1, (lengths - 1 - steps).clamp(min=0))
        targets = torch.cat([backwards, labels[:, :1]], dim=1)
        places = torch.arange(targets.shape[1])
        targets = torch.where(places == lengths, 10, targets)
        return Batch(super().gather(batch).inputs, targets, mask, places <= lengths, batch.rows)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_network_of_ones_own_may_give_other_steps_than_it_reads(here, mnist_root, capfd):
    main([
        *("fit", f"--data.root={mnist_root}", "--data=tests.test_own_networks.Backwards", "--data.dataset=mnist"),
        *("--model.network=tests.test_own_networks.TwoRecurrences", "--model.network.hidden_size=8"),
        *("--model.objective=seqsum.objectives.Classification", "--model.objective.num_classes=11"),
        *("--model.objective.scored=every", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"),
        *(*SHORT, "--data.batch_size=8"),
    ])  # fmt: skip
    printed = capfd.readouterr().out
    assert "TwoRecurrences" in printed
    checkpoint = next(here.glob("logs/sum/version_0/checkpoints/best.ckpt"))
    main(["test", f"--ckpt_path={checkpoint}", *SHORT])
    results = json.loads(next(here.glob("logs/sum-test/version_0/results.json")).read_text())
    assert len(results["test_by_step"]["accuracy"]) == 5, "of four digits and the end"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": TwoRecurrences()}, r"`output_size` \(=11\) of TwoRecurrences must be 1, which RunningSum takes"),
        ({"network": TwoRecurrences(), "hidden_size": 3}, r"`hidden_size` \(=3\) is of the default network"),
        ({"optimizer": torch.optim.SGD, "learning_rate": 0.1}, r"`learning_rate` \(=0.1\) is of the default optimizer"),
    ],
)
def test_arguments_that_go_unused_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceModule(**arguments)


def test_arguments_that_nobody_knows_are_refused():
    with pytest.raises(TypeError, match="`network` \\(='lstm'\\) must be a module"):
        SequenceModule("lstm")
    with pytest.raises(TypeError, match="hiden_size"):
        SequenceModule(hiden_size=3)
    with pytest.raises(TypeError, match="SequenceModule has no argument `hiden_size`"):
        SequenceModule(TwoRecurrences(), Classification(11), hiden_size=3)


def test_optimizers_and_schedules_come_from_torch(here, mnist_root):
    main([
        *("fit", f"--data.root={mnist_root}", "--data.dataset=mnist", "--trainer.max_epochs=2"),
        *("--model.optimizer=SGD", "--model.optimizer.lr=0.25", "--model.optimizer.momentum=0.5"),
        *("--model.schedule=StepLR", "--model.schedule.step_size=1", "--model.schedule.gamma=0.5"),
        *DEFAULT,
    ])  # fmt: skip
    file = here / "logs/sum/version_0/checkpoints/last.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    (group,) = checkpoint["optimizer_states"][0]["param_groups"]
    assert (group["momentum"], group["initial_lr"], group["lr"]) == (0.5, 0.25, 0.25 * 0.5**2)
    main(["fit", f"--ckpt_path={file}", "--trainer.max_epochs=3", *SHORT])
    checkpoint = torch.load(here / "logs/sum/version_1/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == 0.25 * 0.5**3, "the checkpoint says which"


@pytest.mark.parametrize("plateau", [
    ("--model.schedule=lightning.pytorch.cli.ReduceLROnPlateau", "--model.schedule.monitor=val/loss"),
    ("--model.schedule=torch.optim.lr_scheduler.ReduceLROnPlateau",),
])  # fmt: skip
def test_a_schedule_may_wait_for_a_metric(here, mnist_root, plateau):
    main([
        *("fit", f"--data.root={mnist_root}", "--data.dataset=mnist", "--trainer.max_epochs=3"),
        *DEFAULT,
        *plateau,
        *("--model.schedule.patience=0", "--model.schedule.threshold=1000", "--model.schedule.threshold_mode=abs"),
    ])  # fmt: skip
    checkpoint = torch.load(here / "logs/sum/version_0/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.005 * 0.1**2)


@pytest.mark.parametrize(("epochs", "falls"), [(1, 0), (2, 1)])
def test_a_training_that_ends_within_an_epoch_looks_for_no_plateau_in_it(here, mnist_root, epochs, falls):
    main([
        *("fit", f"--data.root={mnist_root}", "--data.dataset=mnist", f"--trainer.max_steps={4 * epochs + 2}"),
        *(*DEFAULT, "--trainer.limit_train_batches=4", "--data.batch_size=10"),
        "--model.schedule=torch.optim.lr_scheduler.ReduceLROnPlateau",
        *("--model.schedule.patience=0", "--model.schedule.threshold=1000", "--model.schedule.threshold_mode=abs"),
    ])  # fmt: skip
    checkpoint = torch.load(here / "logs/sum/version_0/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4 * epochs + 2
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.005 * 0.1**falls)


def planned(schedule, trainer=(), **objective):
    module = SequenceModule(schedule=schedule, objective=RunningSum(**objective))
    module.trainer = Trainer(**dict(trainer), logger=False, enable_checkpointing=False, accelerator="cpu")
    return make_schedule(schedule, torch.optim.SGD(module.parameters(), lr=0.1), module)


def test_schedules_made_for_steps_change_with_each():
    assert planned(lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=9))["interval"] == "step"
    assert planned(lambda optimizer: CyclicLR(optimizer, 0.1, 0.2))["interval"] == "step"
    assert "interval" not in planned(lambda optimizer: StepLR(optimizer, 2))


def test_a_cycle_that_ends_before_the_training_is_refused():
    def cycle(optimizer):
        return OneCycleLR(optimizer, 0.1, total_steps=9)

    assert planned(cycle, {"max_steps": 9})["scheduler"].total_steps == 9
    with pytest.raises(InputError, match="OneCycleLR ends after 9 steps, and the training has 10: give them as"):
        planned(cycle, {"max_steps": 10})


@pytest.mark.parametrize("kind", [torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.SGD, torch.optim.AdamW])
def test_one_cycle_changes_the_momentum_of_those_that_have_one(kind):
    module = SequenceModule(network=torch.nn.Linear(1, 1))
    module.trainer = Trainer(max_steps=10, logger=False, enable_checkpointing=False, accelerator="cpu")
    optimizer = kind(module.parameters(), lr=0.1)
    schedule = make_schedule("one_cycle", optimizer, module)["scheduler"]
    assert schedule.cycle_momentum == (kind in (torch.optim.SGD, torch.optim.AdamW))
    assert optimizer.param_groups[0]["lr"] < 0.1


class Ending(torch.optim.lr_scheduler.LambdaLR):
    """Ends after a step, which nothing says beforehand."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(optimizer, self.rate)

    def rate(self, step: int) -> float:
        if step > 1:
            raise ValueError(f"Tried to step {step} times")
        return 1.0


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--model.optimizer.lr=-1", "`--model.optimizer` can't be made: ValueError: Invalid learning rate: -1.0"),
        ("--model.schedule=OneCycleLR", "`--model.schedule` can't be made: ValueError: You must define either"),
        ("--model.schedule=StepLR", "`--model.schedule` can't go on: ZeroDivisionError"),
        (f"--model.schedule={__name__}.Ending", "`--model.schedule` can't go on: ValueError: Tried to step 2 times"),
    ],
)
def test_what_an_optimizer_or_a_schedule_refuses_is_said_in_a_line(here, mnist_root, capfd, flag, said):
    more = {
        "--model.schedule=OneCycleLR": ["--model.schedule.max_lr=1"],
        "--model.schedule=StepLR": ["--model.schedule.step_size=0"],
    }
    data = ["fit", f"--data.root={mnist_root}", "--data.dataset=mnist", "--trainer.max_epochs=2"]
    with pytest.raises(SystemExit):
        main([*data, *DEFAULT, "--model.optimizer=SGD", "--model.optimizer.lr=0.1", flag, *more.get(flag, [])])
    assert f"error: {said}" in capfd.readouterr().err


class EveryStep(StepLR):
    interval = "step"


def test_a_schedule_of_ones_own_may_say_when_it_changes():
    assert planned(lambda optimizer: EveryStep(optimizer, 2))["interval"] == "step"
    made = planned(lambda optimizer: {"scheduler": StepLR(optimizer, 2), "interval": "step"})
    assert made["interval"] == "step"
    made = planned(lambda optimizer: {"scheduler": CyclicLR(optimizer, 0.1, 0.2), "interval": "epoch"})
    assert made["interval"] == "epoch"


@pytest.mark.parametrize(("mode", "watched"), [("min", "val/loss"), ("max", "val/exact_step")])
def test_a_plateau_is_seen_in_what_falls_or_rises(mode, watched):
    made = planned(lambda optimizer: ReduceLROnPlateau(optimizer, mode), monitor="exact_step")
    assert made["monitor"] == watched


def test_no_plateau_is_waited_for_in_what_falls_by_waiting_for_it_to_rise():
    with pytest.raises(InputError, match=r"`mode` \(='max'\) .* val/mae of RunningSum is to fall"):
        planned(lambda optimizer: ReduceLROnPlateau(optimizer, "max"), monitor="mae")
    with pytest.raises(InputError, match="a dict of interval, which needs `scheduler`"):
        planned(lambda optimizer: {"interval": "step"})
    watching = {"monitor": "val/exact_step"}
    made = planned(lambda optimizer: {"scheduler": ReduceLROnPlateau(optimizer, "max"), **watching}, monitor="mae")
    assert made["monitor"] == "val/exact_step"


def test_a_plateau_is_looked_for_with_each_validation():
    made = planned(ReduceLROnPlateau, {"check_val_every_n_epoch": 3})
    assert made["frequency"] == 3
    by_step = planned(
        lambda optimizer: {"scheduler": ReduceLROnPlateau(optimizer), "interval": "step"},
        {"check_val_every_n_epoch": 3},
    )
    assert by_step.get("frequency", 1) == 1
    without = {"limit_val_batches": 0}
    with pytest.raises(InputError, match="waits for a plateau of val/loss, and there is no validation"):
        planned(ReduceLROnPlateau, without)
    for options in ({"monitor": "train/loss"}, {"strict": False}):
        made = planned(lambda optimizer, given=options: {"scheduler": ReduceLROnPlateau(optimizer), **given}, without)
        assert made.get("frequency", 1) == 1
    module = SequenceModule(schedule=ReduceLROnPlateau)
    assert module.configure_optimizers()["lr_scheduler"]["monitor"] == "val/loss", "without a Trainer, too"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.hidden_size=3"], "`hidden_size` (=3) is of the default network"),
        (["--model.encoder.output_size=3"], "`encoder` belongs to the default network"),
        (["--model.optimizer=SGD", "--model.weight_decay=0.5"], "`weight_decay` (=0.5) is of the default optimizer"),
    ],
)
def test_flags_that_go_unused_are_refused_before_a_folder_is_made(here, mnist_root, capfd, flags, message):
    with pytest.raises(SystemExit) as caught:
        main([
            *("fit", f"--data.root={mnist_root}", "--model.network=tests.test_own_networks.TwoRecurrences"),
            *("--model.objective=seqsum.objectives.Classification", "--model.objective.num_classes=11", *flags),
        ])  # fmt: skip
    assert caught.value.code == 2
    assert message in capfd.readouterr().err
    assert not (here / "logs").exists()


class Flawed(Classification):
    """What an objective of one's own may return that no training can use."""

    def __init__(self, flaw: str = "float") -> None:
        super().__init__(10, scored="every")
        self.flaw = flaw

    def loss(self, outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        loss = super().loss(outputs, batch)
        return {"float": loss.item(), "axes": loss.expand(3), "detached": loss.detach()}.get(self.flaw, loss)

    def metrics(self):
        return dict(super().metrics()) if self.flaw == "dict" else super().metrics()


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("float", "the loss of Flawed (=float) must be a tensor without axes"),
        ("axes", "the loss of Flawed (=of shape (3,)) must be a tensor without axes"),
        ("detached", "the loss of Flawed has no gradient"),
        ("dict", "`metrics` of Flawed must return a torchmetrics.MetricCollection, not dict"),
    ],
)
def test_losses_and_metrics_of_other_types_are_named(here, mnist_root, capfd, flaw, message):
    flags = ["--data=DigitRows", f"--data.root={mnist_root}", "--model.encoder=Flatten"]
    objective = [f"--model.objective={__name__}.Flawed", f"--model.objective.flaw={flaw}"]
    with pytest.raises(SystemExit):
        main(["fit", *SHORT, *flags, *objective, "--trainer.accelerator=cpu"])
    assert message in capfd.readouterr().err


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        for _ in range(3):
            yield Batch(torch.randn(2, 4, 3), torch.randn(2, 4))


class EndlessData(SequenceData):
    """Data whose loader does not know its length."""

    dataset = "endless"

    def _dataloader(self):
        return torch.utils.data.DataLoader(Endless(), batch_size=None)

    train_dataloader = val_dataloader = test_dataloader = _dataloader

    def describe(self):
        return "random numbers"


def test_data_without_a_length_need_a_schedule_or_a_number_of_steps(here, capfd):
    flags = ["fit", f"--data={__name__}.EndlessData", "--model.encoder=Flatten", "--model.encoder.output_size=3"]
    flags += ["--trainer.max_epochs=1", "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu"]
    with pytest.raises(SystemExit):
        main(flags)
    assert "`--model.schedule` (='one_cycle') needs to know the length of the training" in capfd.readouterr().err
    main([*flags, "--model.schedule=constant"])
    main([*flags, "--trainer.max_steps=2"])


def test_a_cell_is_found_in_the_current_folder(here, mnist_root, monkeypatch):
    (here / "cell_from_here.py").write_text("from seqsum import GRUCell\n\nclass Mine(GRUCell):\n    pass\n")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(here))])
    flags = ["fit", *DEFAULT, f"--data.root={mnist_root}", "--model.cell=cell_from_here.Mine"]
    monkeypatch.setattr(sys, "argv", ["/elsewhere/train.py", *flags])
    main()
    assert (here / "logs/sum/version_0/checkpoints/best.ckpt").is_file()
