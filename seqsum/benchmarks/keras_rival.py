"""The same training in Keras on TensorFlow, as a rival from another framework, for a process of its own.

It is started by its path, not as a module, because `import seqsum` would import torch, which it does not need.
It reads requests from its standard input, one line of JSON each, and answers each by a line on its standard output:

    {"do": "numbers", "rows": (B, T)}   -> {"file": …}: loss, predictions and gradients of that batch, as .npz
    {"do": "train", "rows": (N, B, T)}  -> {"seconds": …, "losses": (N,)}: N steps, the first not timed

`rows` are positions in the training digits. Digits and initial weights are read from the given folder:
digits.npz with `images` and `labels`, weights.npz in the order of Keras's `trainable_variables`.

This is the fastest Keras found on two CPU cores (Keras 3.15, TensorFlow 2.21; processor time per step, taking turns).
With XLA, `jit_compile`, a step takes 1.3 to 1.4 times as long. All other variants differ by less than 5 %, which is
below the noise: `fit`, `train_on_batch`, many steps in one graph, images gathered in the graph, outside it
or by NumPy, the recurrence unrolled or not, keras.layers.LSTM, TensorFlow's fused batch normalisation. Unlike
Lightning's contestants, it computes no metrics.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

HIDDEN_SIZE = FEATURES = 128


class LSTMCell(layers.Layer):
    """A hand-written LSTM cell for `keras.layers.RNN`: gates i, f, c, o, one bias, state [hidden, cell state]."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = self.output_size = units
        self.state_size = [units, units]

    def build(self, input_shape: tuple[int, ...]) -> None:
        columns = 4 * self.units
        self.kernel = self.add_weight(shape=(input_shape[-1], columns), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, columns), name="recurrent_kernel")
        self.bias = self.add_weight(shape=(columns,), name="bias")

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        return [ops.zeros((batch_size, self.units)) for _ in self.state_size]

    def call(self, inputs: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        hidden, memory = states
        gates = ops.matmul(inputs, self.kernel) + ops.matmul(hidden, self.recurrent_kernel) + self.bias
        input_gate, forget_gate, cell_update, output_gate = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(forget_gate) * memory + ops.sigmoid(input_gate) * ops.tanh(cell_update)
        hidden = ops.sigmoid(output_gate) * ops.tanh(memory)
        return hidden, [hidden, memory]


def encode(images: Any) -> Any:
    """Encode uint8 images `(N, Y, X, 1)` into features `(N, F)`, as the default `ConvEncoder` does."""

    def norm(features: Any) -> Any:  # torch's settings
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(features)

    scaled = layers.Rescaling(1 / (255 * 0.3081), offset=-0.1307 / 0.3081)(images)
    # not padding="same", which pads 1 before and 2 after with a stride of 2
    padded = layers.ZeroPadding2D(2)(scaled)
    hidden = layers.ReLU()(norm(layers.Conv2D(16, 5, strides=2, use_bias=False)(padded)))
    for channels in (32, 64):
        convolved = layers.Conv2D(channels, 3, padding="same", use_bias=False)(hidden)
        hidden = layers.ReLU()(norm(layers.MaxPooling2D()(convolved)))
    codebook = layers.Softmax()(norm(layers.Dense(FEATURES)(layers.Flatten()(hidden))))
    return layers.Rescaling(10.0)(codebook)


def build_network(steps: int) -> keras.Model:
    """Build the network: uint8 images `(B, T, Y, X, 1)` -> predicted running sums `(B, T, 1)`.

    Time is folded into the batch by hand: Keras's TimeDistributed would encode step by step, and batch
    normalisation would then take statistics of each step separately.
    """
    images = keras.Input((steps, 28, 28, 1), dtype="uint8")
    features = encode(ops.reshape(images, (-1, 28, 28, 1)))  # (B·T, F)
    sequences = ops.reshape(features, (-1, steps, FEATURES))
    outputs = layers.RNN(LSTMCell(HIDDEN_SIZE), return_sequences=True, unroll=True)(sequences)
    return keras.Model(images, layers.Dense(1)(outputs))


def robust_loss(predictions: Any, targets: Any) -> Any:
    """Compute `RunningSum`'s loss from `(B, T)`: smooth L1, beta 0.1, of the running sums and their increments."""

    def smooth_l1(errors: Any, beta: float = 0.1) -> Any:
        size = ops.abs(errors)
        return ops.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta)

    errors = predictions - targets
    of_increments = errors - ops.pad(errors[:, :-1], ((0, 0), (1, 0)))
    return ops.mean(smooth_l1(errors) + smooth_l1(of_increments))


def make_optimizer(variables: list[Any]) -> keras.optimizers.Optimizer:
    """Make AdamW with the settings of seqsum's: weight decay for matrices only, gradients clipped by global norm."""
    optimizer = keras.optimizers.AdamW(5e-3, weight_decay=1e-2, epsilon=1e-8, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if len(variable.shape) < 2])
    optimizer.build(variables)
    return optimizer


class Job:
    """The training: network, optimizer and digits."""

    def __init__(self, folder: Path, steps: int) -> None:
        digits = np.load(folder / "digits.npz")
        self.images = tf.constant(digits["images"][..., np.newaxis])  # (N, Y, X, 1)
        signs = np.where(np.arange(steps) % 2 == 0, 1, -1)
        self.signs = tf.constant(signs, tf.float32)
        self.labels = tf.constant(digits["labels"], tf.float32)
        self.network = build_network(steps)
        weights = np.load(folder / "weights.npz")
        for variable, name in zip(self.network.trainable_variables, weights.files, strict=True):
            variable.assign(weights[name])
        self.optimizer = make_optimizer(self.network.trainable_variables)

    @tf.function
    def numbers(self, rows: Any) -> tuple[Any, Any, list[Any]]:
        """Compute loss, predictions `(B, T)` and gradients for an index table `(B, T)`, with batch statistics."""
        targets = tf.cumsum(tf.gather(self.labels, rows) * self.signs, axis=1)
        with tf.GradientTape() as tape:
            predictions = ops.squeeze(self.network(tf.gather(self.images, rows), training=True), -1)
            loss = robust_loss(predictions, targets)
        return loss, predictions, tape.gradient(loss, [v.value for v in self.network.trainable_variables])

    @tf.function
    def step(self, rows: Any) -> Any:
        """Take a training step on an index table `(B, T)`; return its loss."""
        loss, _, gradients = self.numbers(rows)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        return loss

    def train(self, rows: Any) -> dict[str, Any]:
        """Train on index tables `(N, B, T)`; as for the other contestants, the first step is not timed."""
        tables = list(tf.constant(rows))
        losses = [self.step(tables[0]).numpy()]
        start = time.perf_counter()
        losses += [self.step(table).numpy() for table in tables[1:]]
        return {"seconds": time.perf_counter() - start, "losses": [float(loss) for loss in losses]}


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sequence-length", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # only answers may go to standard output
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    job = Job(options.folder, options.sequence_length)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "numbers":
            loss, predictions, gradients = job.numbers(tf.constant(request["rows"]))
            np.savez(options.folder / "numbers.npz", loss, predictions, *gradients)
            answer: dict[str, Any] = {"file": str(options.folder / "numbers.npz")}
        else:
            answer = job.train(request["rows"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
