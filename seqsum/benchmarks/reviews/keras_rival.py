"""The same training step in Keras on TensorFlow, for a process of its own, as `benchmarks/keras_rival.py` is.

Requests and answers are lines of JSON:

    {"do": "numbers"}           -> {"file": …}: loss, logits and gradients of the checked batch, as .npz
    {"do": "train", "steps": n} -> {"seconds": …, "losses": (n,)}: one step on each of the first batches

The given folder has batches.npz, `words_0`, `labels_0`, `words_1`, …, checked.npz with a single batch, and weights.npz
in the order of Keras's `trainable_variables`.

The step is one graph for all lengths: `input_signature` with the batch fixed and T left open. That is the fastest found
(processor time of a step with 64 units, LSTM and GRU, one thread; Keras 3.15, TensorFlow 2.21): 184 and 188 ms. A graph
for each length takes 189 and 196 ms and must be traced for each, which takes seconds in all, so padding to multiples
gains nothing; `reduce_retracing` takes 186 and 191, a graph with the batch open too 235 and 229. In an earlier run
`train_on_batch` took as long as a graph for each length, and XLA, `jit_compile`, almost twice as long.
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


def build_network(cell: str, hidden_size: int, vocabulary_size: int, features: int) -> keras.Model:
    """Build the network: word ids `(B, T)`, 0 for padding -> one logit for each review, `(B, 1)`.

    The embedding makes the mask, which the recurrence and the mean follow.
    """
    layer = {"lstm": layers.LSTM, "gru": layers.GRU}[cell]
    words = keras.Input((None,), dtype="int32")
    vectors = layers.Embedding(vocabulary_size, features, mask_zero=True)(words)
    states = layers.Bidirectional(layer(hidden_size, return_sequences=True))(vectors)
    return keras.Model(words, layers.Dense(1)(layers.GlobalAveragePooling1D()(states)))


def read_batches(path: Path) -> list[tuple[Any, Any]]:
    """Read word ids `(B, T)` and labels `(B, 1)` of each batch."""
    arrays = np.load(path)
    pairs = [(arrays[f"words_{k}"], arrays[f"labels_{k}"]) for k in range(len(arrays.files) // 2)]
    return [(tf.constant(words), tf.constant(labels)) for words, labels in pairs]


class Job:
    """The training: network, optimizer and batches."""

    def __init__(self, folder: Path, cell: str, hidden_size: int, learning_rate: float) -> None:
        self.batches = read_batches(folder / "batches.npz")
        self.checked = read_batches(folder / "checked.npz")[0]
        weights = np.load(folder / "weights.npz")
        initial = [weights[name] for name in weights.files]
        self.network = build_network(cell, hidden_size, *initial[0].shape)
        for variable, value in zip(self.network.trainable_variables, initial, strict=True):
            variable.assign(value)
        self.optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=1e-2, epsilon=1e-8)
        self.optimizer.build(self.network.trainable_variables)
        rows = len(self.batches[0][0])
        signature = [tf.TensorSpec((rows, None), tf.int32), tf.TensorSpec((rows, 1), tf.float32)]
        self.step = tf.function(self.take_step, input_signature=signature)

    def numbers(self, words: Any, labels: Any) -> tuple[Any, Any, list[Any]]:
        """Compute loss, logits `(B, 1)` and gradients."""
        with tf.GradientTape() as tape:
            logits = self.network(words, training=True)
            loss = ops.mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
        return loss, logits, tape.gradient(loss, [variable.value for variable in self.network.trainable_variables])

    def take_step(self, words: Any, labels: Any) -> Any:
        """Take a training step; return its loss."""
        loss, _, gradients = self.numbers(words, labels)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        return loss

    def train(self, steps: int) -> dict[str, Any]:
        """Take a step on each of the first batches."""
        start = time.perf_counter()
        losses = [float(self.step(*batch)) for batch in self.batches[:steps]]
        return {"seconds": time.perf_counter() - start, "losses": losses}

    def write_numbers(self, path: Path) -> dict[str, Any]:
        """Write the numbers of the checked batch, with all gradients dense."""
        loss, logits, gradients = self.numbers(*self.checked)
        np.savez(path, loss, logits, *(tf.convert_to_tensor(gradient) for gradient in gradients))
        return {"file": str(path)}


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cell", required=True)
    parser.add_argument("--hidden-size", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # only answers may go to standard output
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    job = Job(options.folder, options.cell, options.hidden_size, options.learning_rate)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "numbers":
            answer = job.write_numbers(options.folder / "numbers.npz")
        else:
            answer = job.train(request["steps"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
