"""What one process and several compute alike."""

from __future__ import annotations

import os
import warnings
from typing import Any
from unittest import mock

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from seqsum.data import Batch, DigitSums, FilmReviews, Translation
from seqsum.data.index_tables import IndexBatch
from seqsum.data.rendered import render_digits
from seqsum.diagnosis import FiniteLoss
from seqsum.errors import NotFiniteError
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Embed, Encoder
from seqsum.objectives import Classification
from tests.data.pairs.translator import Translator

TRAIN, VALIDATION, TEST = 600, 101, 203
EVEN = {"sequence_length": 7}  # 85 sequences
RANGE = {"sequence_length": (2, 8), "elastic": 0.5}
EPOCHS = 2


class PixelEncoder(Encoder):
    """Without batch normalisation, whose statistics each process takes from its own rows."""

    output_size = 10

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class Watched(DigitSums):
    """Keeps which digits this process trains on, and may hide steps, very many of some sequences and none of others."""

    def __init__(self, masked: bool = False, **arguments: Any) -> None:
        super().__init__(dataset="rendered", seed=3, **arguments)
        self.masked = masked
        self.used: list[Tensor] = []

    def gather(self, batch: IndexBatch) -> Batch:
        rows = batch.rows[batch.share]
        if batch.split == "train":
            self.used.append(rows.cpu())
        gathered = super().gather(batch)
        return gathered._replace(mask=rows % (rows[:, :1] % 5 + 1) == 0) if self.masked else gathered


class WatchedReviews(FilmReviews):
    """Keeps which reviews this process trains on, and the pieces that it cuts out of them."""

    def __init__(self, batch_size: int) -> None:
        super().__init__(dataset="made", crop=9, vocabulary_size=60, batch_size=batch_size, seed=3)
        self.used: list[Tensor] = []

    def gather(self, batch: IndexBatch) -> Batch:
        if batch.split == "train":
            self.used.append(batch.rows[batch.share].cpu())
        return super().gather(batch)


class WatchedPairs(Translation):
    """Keeps which pairs this process trains on."""

    def __init__(self, batch_size: int) -> None:
        super().__init__(dataset="made", vocabulary_size=(70, 50), batch_size=batch_size, max_length=9, seed=3)
        self.used: list[Tensor] = []

    def gather(self, batch: IndexBatch) -> Batch:
        if batch.split == "train":
            self.used.append(batch.rows[batch.share].cpu())
        return super().gather(batch)


class Gradients(Callback):
    """Keeps the gradients of each step, and holds the weights still."""

    def __init__(self) -> None:
        self.steps: list[list[Tensor]] = []
        self.losses: list[float] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.steps.append([weight.grad.clone() for weight in pl_module.parameters()])
        for group in optimizer.param_groups:
            group["lr"] = group["weight_decay"] = 0.0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.losses.append(outputs["batch_loss"].item())


def make_trainer(**arguments: Any) -> Trainer:
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    strategy = "ddp" if world_size > 1 else "auto"
    return Trainer(accelerator="cpu", devices=world_size, strategy=strategy, **dict.fromkeys(quiet, False), **arguments)


def training(batch_size: int, accumulate: int = 1, **settings: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    module = SequenceModule(hidden_size=8, encoder=PixelEncoder(), schedule="constant")
    return watched(Watched(batch_size=batch_size, **settings), module, accumulate_grad_batches=accumulate)


def training_on_reviews(batch_size: int) -> dict[str, Any]:
    torch.manual_seed(0)
    options = {"cell": "gru", "bidirectional": True, "readout": "mean_max", "hidden_size": 4, "schedule": "constant"}
    module = SequenceModule(None, Classification(2, sigmoid=True), encoder=Embed(60, 8), **options)
    return watched(WatchedReviews(batch_size), module)


def training_on_pairs(batch_size: int) -> dict[str, Any]:
    torch.manual_seed(0)
    network = Translator(70, 50, dropout=0.0)
    module = SequenceModule(network, Classification(50, scored="every"), schedule="constant")
    return watched(WatchedPairs(batch_size), module)


def watched(data: Watched | WatchedReviews | WatchedPairs, module: SequenceModule, **options: Any) -> dict[str, Any]:
    gradients = Gradients()
    make_trainer(max_epochs=EPOCHS, limit_val_batches=0, callbacks=[gradients], **options).fit(module, data)
    return {"used": data.used, "gradients": gradients.steps, "losses": gradients.losses}


class SpoiltInLastProcess(Callback):
    """The last process computes with NaNs from step 4 on."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step == 4 and trainer.global_rank == trainer.world_size - 1:
            pl_module.network.head.register_forward_hook(lambda module, inputs, outputs: outputs * torch.nan)


def spoilt(batch_size: int) -> str:
    """What a training says that comes to a NaN in one of the processes."""
    torch.manual_seed(0)
    module = SequenceModule(hidden_size=8, encoder=PixelEncoder(), schedule="constant")
    callbacks = [SpoiltInLastProcess(), FiniteLoss()]
    try:
        make_trainer(max_epochs=2, callbacks=callbacks).fit(module, Watched(batch_size=batch_size, sequence_length=2))
    except NotFiniteError as error:
        return str(error)
    return "nothing"


def evaluation(batch_size: int, **settings: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    module = SequenceModule(hidden_size=8, encoder=ConvEncoder((4, 8)))
    data = Watched(batch_size=batch_size, **settings)
    (validated,) = make_trainer().validate(module, data, verbose=False)
    (tested,) = make_trainer().test(module, data, verbose=False)
    steps = {name: metric.by_step() for name, metric in module.test_metrics.items()}
    return {"metrics": {**validated, **tested}, "by_step": steps}


def learning(batch_size: int) -> dict[str, Any]:
    """The whole training of the default network: batch normalisation, clipping, schedule."""
    torch.manual_seed(0)
    module = SequenceModule(hidden_size=8, encoder=ConvEncoder((4, 8)))
    trainer = make_trainer(max_epochs=1, gradient_clip_val=1.0)
    trainer.fit(module, Watched(batch_size=batch_size, **EVEN))
    return {"weights": [weight.detach() for weight in module.parameters()], "metrics": dict(trainer.callback_metrics)}


def compute(global_batch_size: int) -> dict[str, Any]:
    """All of it, with a count of how often this process drew digits."""
    batch_size = global_batch_size // int(os.environ.get("WORLD_SIZE", "1"))
    draw = mock.Mock(side_effect=lambda count, seed: render_digits(TEST if seed else TRAIN + VALIDATION, seed))
    with mock.patch("seqsum.data.digits.render_digits", draw), mock.patch(
        "seqsum.data.digits.VALIDATION_SIZE", VALIDATION
    ), warnings.catch_warnings():  # fmt: skip
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        found = {
            "even": training(batch_size, **EVEN),
            "range": training(batch_size, masked=True, **RANGE),
            "accumulated": training(batch_size // 3, accumulate=3, masked=True, **RANGE),
            "reviews": training_on_reviews(batch_size),
            "pairs": training_on_pairs(batch_size),
            "evaluation": evaluation(batch_size, **EVEN),
            "masked evaluation": evaluation(batch_size, masked=True, **RANGE),
            "learning": learning(batch_size),
            "spoilt": spoilt(batch_size),
        }
    return found | {"drawn": draw.call_count, "made": 7}
