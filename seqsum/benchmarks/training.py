"""Speed of the whole main training, in images per second, against a typical Lightning pipeline and Keras."""

from __future__ import annotations

import argparse
import copy
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from seqsum.allocator import keep_memory
from seqsum.benchmarks import loading
from seqsum.benchmarks.keras_process import KerasRival, keras_layout, reason_against
from seqsum.benchmarks.plain import PlainEncoder, plain_dataloader
from seqsum.benchmarks.same_numbers import Numbers, check_same_numbers, compute_numbers
from seqsum.benchmarks.timing import row, take_turns
from seqsum.data import DigitSums
from seqsum.data.index_tables import IndexBatch
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder

RIVAL = "plain, torch.nn.LSTM"
KERAS = "Keras on TensorFlow"
CONVOLUTIONS = "seqsum, its convolutions alone"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    loading.add_arguments(parser)
    parser.add_argument("--precision", default="32-true", choices=PRECISIONS, help="the Trainer's, for all contestants")


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure a row for each contestant, with and without augmentation; Keras takes part only without.

    All train the same network with the same optimizer, and are checked to compute the same numbers from the
    same weights. The LSTM's output activation is `tanh`, torch.nn's only one. The plain pipeline gets its best number
    of workers. In 32-true the encoder's convolutions are also timed alone, the part of a step that is torch's own.
    """
    keep_memory()  # as `train.py` does, here for the plain pipeline too
    reason = reason_against(device, arguments.precision)
    if reason is not None:
        print(f"Without Keras: {reason}.")
    augmented = _compare(True, False, arguments, device)
    return augmented + _compare(False, reason is None, arguments, device)


def _compare(
    augment: bool, with_keras: bool, arguments: argparse.Namespace, device: torch.device
) -> list[dict[str, Any]]:
    data = loading.make_data(arguments, augment)
    modules = same_modules()
    rows = _few_rows(data, device)
    expected = _exact_numbers(modules[RIVAL], data, rows)
    for name, module in modules.items():
        check_same_numbers(name, _exact_numbers(module, data, rows), expected)
    with ExitStack() as stack:
        trainings = {name: _training(modules[name], data, None, arguments, device) for name in modules if name != RIVAL}
        if arguments.precision == "32-true":
            trainings[CONVOLUTIONS] = convolutions_alone(modules["seqsum"], data, arguments, device)
        if with_keras:
            keras = KerasRival(modules[RIVAL].network, data.splits["train"], arguments.sequence_length)
            trainings[KERAS] = keras_training(stack.enter_context(keras), modules[RIVAL], data, arguments)
        plain = {n: _training(modules[RIVAL], data, n, arguments, device) for n in arguments.workers}
        best = min(plain, key=lambda n: min(plain[n]() for _ in range(2)))
        trainings[RIVAL] = plain[best]
        for _ in range(arguments.warm_up):
            for call in trainings.values():
                call()
        timings = take_turns(trainings, RIVAL, arguments.rounds)
    images = arguments.batches * arguments.batch_size * arguments.sequence_length
    return [
        {"augmented": str(augment), "what": f"{name}, {best} workers" if name == RIVAL else name, **row(timing)}
        | {"images/s": round(images / timing.median)}
        for name, timing in timings.items()
    ]


def same_modules() -> dict[str, SequenceModule]:
    """Make the contestants in torch, all with the same weights.

    Their encoders pass on mixtures of codes, because the default's random choices would differ.
    """
    torch.manual_seed(0)
    modules = {
        "seqsum": SequenceModule(output_activation="tanh", encoder=ConvEncoder(activation="softmax")),
        "seqsum, torch.nn.LSTM": SequenceModule(cell="torch_lstm", encoder=ConvEncoder(activation="softmax")),
        RIVAL: SequenceModule(cell="torch_lstm", encoder=PlainEncoder()),
    }
    for module in modules.values():
        module.network.load_state_dict(modules[RIVAL].network.state_dict())
    return modules


def random_rows(data: DigitSums, batch_size: int, device: torch.device) -> IndexBatch:
    """Draw the digits of a training batch."""
    rows = torch.randint(len(data.splits["train"].labels), (batch_size, data.lengths[1]))
    return IndexBatch("train", rows.to(device), seed=0)


def _few_rows(data: DigitSums, device: torch.device) -> IndexBatch:
    return random_rows(data, max(1, 16 // data.lengths[1]), device)


def _exact_numbers(module: SequenceModule, data: DigitSums, rows: IndexBatch) -> Numbers:
    """Compute the numbers of a module in float64, for about 16 images.

    With many images in float32, rounding flips some ReLU or maximum: batch normalisation of images is off by 6e-5
    in torch as in TensorFlow, and gradients then differ by a few hundredths.
    """
    batch = data.gather(rows)
    return compute_numbers(copy.deepcopy(module).double(), batch._replace(inputs=batch.inputs.double()))


def keras_training(
    keras: KerasRival, rival: SequenceModule, data: DigitSums, arguments: argparse.Namespace
) -> Callable[[], float]:
    """Make Keras a contestant, after checking that it computes the rival's numbers from the same weights."""
    rows = _few_rows(data, torch.device("cpu"))
    expected = _exact_numbers(rival, data, rows)
    in_its_layout = expected._replace(gradients=keras_layout(rival.network, expected.gradients))
    check_same_numbers(KERAS, keras.numbers(rows.rows), in_its_layout)

    def call() -> float:
        batches = [random_rows(data, arguments.batch_size, rows.rows.device) for _ in range(arguments.batches + 1)]
        return keras.train(torch.stack([batch.rows for batch in batches]))[0]

    return call


def convolutions_alone(
    module: SequenceModule, data: DigitSums, arguments: argparse.Namespace, device: torch.device
) -> Callable[[], float]:
    """Time only the convolutions, forward and backward, of as many steps as the contestants take."""
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []  # one step's convolutions, inputs and gradients of outputs

    def note(convolution: nn.Module, inputs: tuple[Tensor], outputs: Tensor) -> None:
        needs_gradient = len(calls) > 0  # not for the images, the first input
        calls.append((convolution, inputs[0].detach().requires_grad_(needs_gradient), torch.randn_like(outputs)))

    network = copy.deepcopy(module.network).to(device)
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    hooks = [convolution.register_forward_hook(note) for convolution in convolutions]
    network(data.gather(random_rows(data, arguments.batch_size, device)))
    for hook in hooks:
        hook.remove()

    def call() -> float:
        start = time.perf_counter()
        for _ in range(arguments.batches):
            for convolution, inputs, gradient in calls:
                convolution(inputs).backward(gradient)
                convolution.zero_grad()
                inputs.grad = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    return call


class _Stopwatch(Callback):
    """Times from the end of the first batch to the end of the last, which leaves out the start of workers."""

    def __init__(self) -> None:
        self.start = self.end = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        now = time.perf_counter()
        self.start = now if batch_idx == 0 else self.start
        self.end = now


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's log and its advice on workers, whose number is compared here."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _training(
    module: SequenceModule, data: DigitSums, workers: int | None, arguments: argparse.Namespace, device: torch.device
) -> Callable[[], float]:
    """Make a contestant of a short training by Lightning's Trainer; with `workers`, on the plain pipeline."""
    if workers is None:
        source: dict[str, Any] = {"datamodule": data}
    else:
        digits, steps = data.splits["train"], data.lengths[1]
        source = {"train_dataloaders": plain_dataloader(digits, steps, data.batch_size, data.augment, workers)}

    def call() -> float:
        stopwatch = _Stopwatch()
        with _quiet():
            trainer = Trainer(
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=1,
                max_epochs=1,
                limit_train_batches=arguments.batches + 1,
                limit_val_batches=0,
                precision=arguments.precision,
                gradient_clip_val=1.0,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[stopwatch],
            )
            trainer.fit(module, **source)
        return stopwatch.end - stopwatch.start

    return call
