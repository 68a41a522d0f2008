"""The LightningModule, without a Trainer and in a short training."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import LambdaCallback
from torch import nn
from torchmetrics import MetricCollection

from seqsum.data import Batch, DigitSums, unlabelled
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Flatten
from seqsum.objectives import RunningSum
from seqsum.objectives.base import update_metrics
from seqsum.objectives.metrics import StepMean
from seqsum.optimization import _steps_to_come, check_length


def make_module(**arguments):
    torch.manual_seed(0)
    return SequenceModule(**{"hidden_size": 16, "encoder": ConvEncoder((4, 8)), **arguments})


def make_trainer(tmp_path, **arguments):
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "enable_checkpointing": False,
    }
    return Trainer(accelerator="cpu", devices=1, default_root_dir=tmp_path, **{**quiet, **arguments})


SGD = torch.optim.SGD([nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"objective": nn.CrossEntropyLoss()},
            r"`objective` \(=CrossEntropyLoss\) must be an instance of",
        ),
        ({"objective": RunningSum}, r"`objective` \(=RunningSum\) must be an instance"),
        (
            {"optimizer": SGD},
            r"`optimizer` \(=SGD\) must be what .*: `lambda parameters: SGD\(parameters, …\)`",
        ),
        (
            {"schedule": torch.optim.lr_scheduler.StepLR(SGD, 3)},
            r"`schedule` \(=StepLR\) .* `lambda optimizer: StepLR\(",
        ),
        (
            {"schedule": torch.optim.lr_scheduler.ReduceLROnPlateau(SGD)},
            r"`schedule` \(=ReduceLROnPlateau\) must be what makes one, of the optimizer",
        ),
    ],
)
def test_what_torch_takes_in_these_places_is_refused(arguments, message):
    with pytest.raises(TypeError, match=message):
        make_module(**arguments)


@pytest.mark.parametrize("part", [lambda module: module, lambda module: module.network])
def test_a_tensor_is_no_batch(part):
    with pytest.raises(InputError, match=r"this is a tensor: `seqsum.data.unlabelled\(inputs\)` makes one"):
        part(make_module())(torch.zeros(2, 3, 1, 28, 28))


def test_inputs_as_numpy_makes_them_are_refused_in_words():
    batch = unlabelled(torch.zeros(2, 3, 1, 28, 28, dtype=torch.float64))
    with pytest.raises(InputError, match=r"of torch.float64, .*: the data must convert them, by `inputs.float\(\)`"):
        make_module()(batch)
    assert make_module().double()(batch).dtype == torch.float64


class Penalised(SequenceModule):
    def training_step(self, batch, batch_idx):
        loss = self.objective.loss(self(batch), batch)
        return loss + 0.1 * sum(weight.square().sum() for weight in self.parameters())

    def validation_step(self, batch, batch_idx):
        update_metrics(self.val_metrics, self(batch), batch)


def test_a_training_step_of_ones_own_logs_no_metrics_that_it_did_not_make(tmp_path, mnist_root):
    torch.manual_seed(0)
    module = Penalised(hidden_size=16, encoder=ConvEncoder((4, 8)))
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=2, limit_val_batches=1, num_sanity_val_steps=0)
    trainer.fit(module, datamodule=DigitSums("mnist", str(mnist_root), sequence_length=2))
    assert not [name for name in trainer.callback_metrics if name.startswith("train/")]
    assert "val/loss" not in trainer.callback_metrics
    assert trainer.callback_metrics["val/mae"].isfinite()


@pytest.mark.parametrize(
    ("batches", "limits", "goes_on", "total"),
    [
        ((2, 2), {"max_epochs": 3}, False, 4),
        ((2, 2), {"max_epochs": 3}, True, 6),
        ((3, 1), {"max_epochs": 3}, False, 2),  # of data of another length
        ((1, 3), {"max_epochs": 3}, False, 6),
        ((2, 2), {"max_epochs": -1, "max_steps": 5}, False, 3),
        ((2, 2), {"max_epochs": 9, "max_steps": 5}, False, 3),
        ((2, 2), {"max_epochs": 1}, False, 1),  # nothing is left
    ],
)
def test_a_second_fit_ends_at_the_end_of_its_schedule(tmp_path, mnist_root, batches, limits, goes_on, total):
    data, module = DigitSums("mnist", str(mnist_root), sequence_length=2), make_module()
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=batches[0], limit_val_batches=0)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    trainer.limit_train_batches = batches[1]
    trainer.fit_loop.max_epochs = limits["max_epochs"]
    trainer.fit_loop.epoch_loop.max_steps = limits.get("max_steps", -1)
    before = trainer.global_step
    trainer.fit(module, datamodule=data, ckpt_path=tmp_path / "last.ckpt" if goes_on else None)
    assert trainer.lr_scheduler_configs[0].scheduler.total_steps == total
    assert limits == {"max_epochs": 1} or trainer.global_step - (0 if goes_on else before) == total


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 10), (2, 6), (5, 2), (9, 2)])
def test_the_steps_of_a_second_fit_end_with_each_epoch(accumulate, steps):
    """Of three epochs of five batches two are to come; the last step of an epoch may have fewer batches."""
    to_come = {"max_steps": -1, "max_epochs": 3, "current_epoch": 1, "num_training_batches": 5}
    before = {"estimated_stepping_batches": 99, "ckpt_path": None, "global_step": 7}
    trainer = SimpleNamespace(**to_come, **before, accumulate_grad_batches=accumulate)
    assert _steps_to_come(trainer, None) == steps


def test_a_training_may_go_on_from_the_end_of_its_schedule_and_not_from_beyond():
    check_length(SimpleNamespace(last_epoch=5, total_steps=5))
    check_length(SimpleNamespace(last_epoch=5))
    with pytest.raises(InputError, match="the checkpoint is of step 6, and this training would end after 5"):
        check_length(SimpleNamespace(last_epoch=6, total_steps=5))


def test_weight_decay_spares_vectors():
    module = make_module(weight_decay=0.3, schedule="constant")
    decayed, spared = module.configure_optimizers()["optimizer"].param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0)
    assert {p.dim() for p in spared["params"]} == {1}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(module.parameters()))


def test_predictions_are_whole_numbers():
    answers = make_module().eval().predict_step(unlabelled(torch.randn(2, 3, 1, 28, 28)), 0)
    assert answers.shape == (2, 3)
    assert torch.equal(answers, answers.round())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.0}, r"`learning_rate` \(=0.0\) must be above 0"),
        ({"weight_decay": -1.0}, r"`weight_decay` \(=-1.0\) must be at least 0"),
        ({"weight_decay": float("nan")}, r"`weight_decay` \(=nan\) must be at least 0"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_module(**arguments)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("monitor", ["loss", "exact_final"])
def test_a_metric_to_monitor_needs_its_prefix(monitor):
    objective = RunningSum()
    objective.monitor = monitor
    with pytest.raises(
        ValueError, match=rf"^`monitor` \(='{monitor}'\) of RunningSum must say in what: 'val/{monitor}'$"
    ):
        SequenceModule(objective=objective)


def test_one_cycle_needs_an_end(tmp_path, mnist_root):
    trainer = make_trainer(tmp_path, max_epochs=-1)
    with pytest.raises(InputError, match=r"`--model.schedule` \(='one_cycle'\) .* `--trainer.max_epochs`"):
        trainer.fit(make_module(), DigitSums("mnist", str(mnist_root)))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_logged_metrics_equal_those_of_the_whole_split(tmp_path, mnist_root):
    """Metrics over uneven batches equal the metrics of one large batch, also after those of other weights."""
    data, module = DigitSums("mnist", str(mnist_root), sequence_length=3, batch_size=7), make_module()
    make_trainer(tmp_path).test(module, data, verbose=False)
    module.network.head.weight.data.add_(1)
    (logged,) = make_trainer(tmp_path).test(module, data, verbose=False)
    whole = DigitSums("mnist", str(mnist_root), sequence_length=3, batch_size=1_000)
    whole.setup("test")
    (batch,) = (whole.gather(rows) for rows in whole.test_dataloader())
    with torch.no_grad():
        outputs = module.eval()(batch)
    metrics = module.objective.metrics()
    metrics.update(outputs, batch.targets)
    expected = {f"test/{name}": value.item() for name, value in metrics.compute().items()}
    expected["test/loss"] = module.objective.loss(outputs, batch).item()
    assert logged == pytest.approx(expected, rel=1e-4)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_learns_and_hand_written_equals_torch(tmp_path, mnist_root):
    """Short trainings with each cell, from the same initial weights, have the same falling losses."""
    losses = {}
    for cell in ("lstm", "torch_lstm"):
        seed_everything(0, verbose=False)
        data = DigitSums("mnist", str(mnist_root), sequence_length=2, batch_size=10, augment=False)
        torch.manual_seed(0)
        encoder = ConvEncoder((4, 8), activation="softmax")  # without random choices
        module = make_module(cell=cell, output_activation="tanh", objective=RunningSum(beta=math.inf), encoder=encoder)
        recorded = losses[cell] = []
        record = LambdaCallback(
            on_train_epoch_end=lambda _, module, recorded=recorded: recorded.append(module.train_loss.compute().item())
        )
        trainer = make_trainer(tmp_path, max_epochs=5, gradient_clip_val=1.0, limit_val_batches=0, callbacks=[record])
        trainer.fit(module, data)
    assert losses["lstm"][0] == pytest.approx(losses["torch_lstm"][0], rel=1e-3)
    assert losses["lstm"][-1] < 0.6 * losses["lstm"][0]
    assert losses["torch_lstm"][-1] < 0.6 * losses["torch_lstm"][0]


def test_loss_and_metrics_take_a_mask():
    module = make_module()
    batch = Batch(torch.randn(2, 3, 1, 28, 28), torch.tensor([[1.0, 2, 3], [4, 5, 6]]), torch.ones(2, 3).bool())
    batch.mask[1, 2] = False
    module.log = module.log_dict = lambda *_, **__: None
    module.test_step(batch, 0)
    assert module.test_metrics["exact_step"].count.tolist() == [2, 2, 1]
    assert module.training_loss(batch)[1] == 5


@pytest.mark.parametrize("stage", ["train", "val", "test"])
def test_the_loss_of_an_epoch_is_the_mean_over_all_steps_that_are_scored(stage):
    module, losses = make_module(objective=RunningSum(beta=math.inf)).eval(), []
    for scored in (1, 6):
        batch = Batch(
            torch.randn(2, 3, 1, 28, 28), torch.randint(9, (2, 3)).float(), torch.arange(6).view(2, 3) < scored
        )
        losses.append(scored * module._shared_step(batch, stage)[0].item())
    assert getattr(module, f"{stage}_loss").compute().item() == pytest.approx(sum(losses) / 7)


def test_loggers_are_due_after_every_nth_step():
    module = make_module()
    module._trainer = SimpleNamespace(log_every_n_steps=3, global_step=0)
    due = []
    for module._trainer.global_step in range(7):
        due.append(module.logs_this_step)
    assert due == [False, False, True, False, False, True, False]
    module._trainer.log_every_n_steps = 0
    assert not module.logs_this_step


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("fused", [True, None])
def test_the_optimizer_runs_as_the_device_at_hand_wants_it(tmp_path, mnist_root, fused):
    """AdamW is fused on a GPU, and only there, whichever device wrote the checkpoint."""
    data, path = DigitSums("mnist", str(mnist_root), batch_size=50), tmp_path / "last.ckpt"
    trainer = make_trainer(tmp_path, max_epochs=1, limit_val_batches=0)
    trainer.fit(make_module(), data)
    trainer.save_checkpoint(path)
    checkpoint = torch.load(path, weights_only=True)
    for group in checkpoint["optimizer_states"][0]["param_groups"]:
        assert group["fused"] is None
        group["fused"] = fused
    torch.save(checkpoint, path)
    trainer = make_trainer(tmp_path, max_epochs=2, limit_val_batches=0)
    trainer.fit(make_module(), data, ckpt_path=path)
    assert trainer.global_step == 6
    assert [group["fused"] for group in trainer.optimizers[0].param_groups] == [None, None]


def test_a_gpu_has_its_optimizer_fused_unless_gradients_are_scaled(monkeypatch):
    module = SequenceModule(hidden_size=4, schedule="constant")
    assert module.configure_optimizers()["optimizer"].defaults["fused"] is None
    monkeypatch.setattr(SequenceModule, "device", torch.device("cuda"))  # all that is asked of a device
    assert module.configure_optimizers()["optimizer"].defaults["fused"] is True
    module.trainer = SimpleNamespace(scaler=torch.amp.GradScaler("cpu"))
    assert module.configure_optimizers()["optimizer"].defaults["fused"] is None


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("precision", ["32", "bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.parametrize("optimizer", [None, partial(torch.optim.SGD, lr=0.1, fused=True)])
def test_gradients_of_a_fused_optimizer_are_clipped_in_every_precision(
    tmp_path, mnist_root, monkeypatch, precision, optimizer
):
    """As on a GPU, whose AdamW is fused."""
    monkeypatch.setattr(SequenceModule, "_fused", lambda self, device: True)
    norms = []

    def note(trainer, module, optimizer):
        gradients = [weight.grad.float() for weight in module.parameters() if weight.grad is not None]
        norms.extend([nn.utils.get_total_norm(gradients)] if gradients else [])

    options = {"precision": precision, "gradient_clip_val": 1e-3, "max_epochs": 1, "limit_val_batches": 0}
    trainer = make_trainer(tmp_path, callbacks=[LambdaCallback(on_before_zero_grad=note)], **options)
    trainer.fit(make_module(optimizer=optimizer), DigitSums("mnist", str(mnist_root), batch_size=32))
    assert trainer.optimizers[0].param_groups[0]["fused"] is True
    assert len(norms) > 2
    assert all(norm == pytest.approx(1e-3, rel=0.01) for norm in norms)


class NearAndExact(RunningSum):
    """Two metrics that are equal in the first batch."""

    def metrics(self):
        class Within(StepMean):
            def __init__(self, most):
                super().__init__()
                self.most = most

            def score(self, outputs, targets):
                return (outputs.squeeze(-1) - targets).abs() <= self.most

        return MetricCollection({"near": Within(0.5), "exact": Within(0.0)}, prefix="mine/", postfix="!")


@pytest.mark.parametrize("stage", ["train", "val", "test"])
def test_metrics_that_are_equal_by_chance_stay_apart(stage):
    metrics = getattr(make_module(objective=NearAndExact()), f"{stage}_metrics")
    for error in (2.0, 0.3, 0.0):
        metrics.update(torch.full((2, 3, 1), error), torch.zeros(2, 3), None)
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found == pytest.approx({f"{stage}/near!": 2 / 3, f"{stage}/exact!": 1 / 3})


def test_encoder_may_have_a_learning_rate_of_its_own():
    module = make_module(encoder_learning_rate=1e-4, weight_decay=0.3, schedule="constant")
    groups = module.configure_optimizers()["optimizer"].param_groups
    rates = {id(weight): group["lr"] for group in groups for weight in group["params"]}
    decays = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    assert len(rates) == len(list(module.parameters()))
    for name, weight in module.named_parameters():
        assert rates[id(weight)] == (1e-4 if name.startswith("network.encoder.") else module.learning_rate), name
        assert decays[id(weight)] == (0.3 if weight.dim() > 1 else 0), name
    assert len(make_module(schedule="constant").configure_optimizers()["optimizer"].param_groups) == 2


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_one_cycle_keeps_the_ratio_of_the_rates(tmp_path, mnist_root):
    ratios = []

    def note(trainer, *_):
        ratios.extend(
            group["lr"] / trainer.optimizers[0].param_groups[0]["lr"] for group in trainer.optimizers[0].param_groups
        )

    module = make_module(learning_rate=0.01, encoder_learning_rate=0.001)
    data = DigitSums(root=str(mnist_root), dataset="mnist", batch_size=8, num_workers=0)
    trainer = make_trainer(
        tmp_path, max_epochs=1, limit_train_batches=5, limit_val_batches=0,
        callbacks=[LambdaCallback(on_train_batch_end=note)],
    )  # fmt: skip
    trainer.fit(module, data)
    assert ratios == pytest.approx([1, 1, 0.1, 0.1] * 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder_learning_rate": 0.0}, r"`encoder_learning_rate` \(=0.0\) must be above 0"),
        (
            {"encoder_learning_rate": 0.1, "optimizer": torch.optim.SGD},
            r"`encoder_learning_rate` \(=0.1\) is of the default optimizer",
        ),
        (
            {"encoder_learning_rate": 0.1, "network": torch.nn.Linear(2, 1)},
            r"`encoder_learning_rate` \(=0.1\) needs a network with an `encoder`, which Linear has not",
        ),
        (
            {"encoder_learning_rate": 0.1, "encoder": Flatten(3)},
            r"`encoder`, whose weights are trained: that of SequenceNetwork has none",
        ),
    ],
)
def test_an_encoder_rate_without_effect_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceModule(**arguments)


def test_checkpoints_of_the_first_version_give_what_they_gave(tmp_path, mnist_root):
    """The command line's checkpoints say what the encoder does; those made in Python left it to the default."""
    module, data = SequenceModule(hidden_size=4), DigitSums("mnist", str(mnist_root), batch_size=8)
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "new.ckpt")
    checkpoint = torch.load(tmp_path / "new.ckpt", weights_only=True)
    assert checkpoint["state_dict"]._metadata["network.encoder.module"] == {"version": 2}
    checkpoint["state_dict"]._metadata["network.encoder.module"]["version"] = 1
    torch.save(checkpoint, tmp_path / "old.ckpt")
    batch = unlabelled(torch.randn(2, 3, 1, 28, 28))
    features = {}
    for name in ("old", "new"):
        found = SequenceModule.load_from_checkpoint(tmp_path / f"{name}.ckpt").eval()
        features[name] = found.network.features(batch)
    assert torch.equal(features["new"], module.eval().network.features(batch))
    before = SequenceModule(hidden_size=4, encoder=ConvEncoder(activation="softmax", views=1)).eval()
    before.load_state_dict(module.state_dict())
    assert torch.equal(features["old"], before.network.features(batch))
    assert not torch.equal(features["old"], features["new"])


class Half(RunningSum):
    """An objective of a user's own."""


def test_the_objective_that_a_network_was_trained_for_must_be_given_again(tmp_path, mnist_root):
    module, data = SequenceModule(hidden_size=4, objective=Half()), DigitSums("mnist", str(mnist_root), batch_size=8)
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    with pytest.raises(ValueError, match=rf"`objective` must be given: .* was trained for {__name__}\.Half"):
        SequenceModule.load_from_checkpoint(tmp_path / "half.ckpt")
    for chosen in (Half(), RunningSum()):
        assert SequenceModule.load_from_checkpoint(tmp_path / "half.ckpt", objective=chosen).objective is chosen
