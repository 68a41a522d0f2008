"""Keras as a contestant: its requests and answers, its weights, and that wrong results are refused.

Keras itself is tested if TensorFlow is installed; otherwise a script answers in its place.
"""

import copy
import json
import os
import subprocess
import sys
from argparse import Namespace
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from seqsum.benchmarks import training
from seqsum.benchmarks.keras_process import ENVIRONMENT, SCRIPT, KerasRival, keras_layout, reason_against
from seqsum.benchmarks.precision import float32_products
from seqsum.benchmarks.same_numbers import Numbers, check_same_numbers, compute_numbers
from seqsum.data import Batch, DigitSums
from seqsum.data.digits import Digits
from seqsum.data.index_tables import IndexBatch
from seqsum.module import SequenceModule
from seqsum.networks import Flatten
from seqsum.recurrent import lstm_from_keras

CPU = torch.device("cpu")
needs_keras = pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")

# what a process in Keras's place does: it answers with what it was told
FAKE = """
import json, sys
from pathlib import Path
import numpy as np
folder, *options = sys.argv[1:]
folder = Path(folder)
labels = np.load(folder / "digits.npz")["labels"]
weights = list(np.load(folder / "weights.npz").values())
print("ready", file=sys.stderr)
for line in sys.stdin:
    request = json.loads(line)
    rows = np.array(request["rows"])
    if request["do"] == "numbers":
        np.savez(folder / "numbers.npz", np.float32(len(weights)), labels[rows].astype("float32"), *weights)
        answer = {"file": str(folder / "numbers.npz")}
    elif (rows < 0).any():
        sys.exit("there are no such digits")
    else:
        answer = {"seconds": len(rows) - 1, "losses": [len(options), *rows.shape]}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def network():
    return training.same_modules()[training.RIVAL].network


@pytest.fixture
def digits():
    return Digits(torch.zeros(5, 28, 28, dtype=torch.uint8), torch.tensor([3, 1, 4, 1, 5]))


@pytest.fixture
def fake(tmp_path, network, digits):
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    with KerasRival(network, digits, 2, script) as process:
        yield process


def test_process_gets_digits_and_weights_and_answers(fake, network):
    numbers = fake.numbers(torch.tensor([[4, 2], [0, 1]]))
    assert numbers.predictions.tolist() == [[5, 4], [3, 1]]
    expected = keras_layout(network, [weight.detach() for weight in network.parameters()])
    assert numbers.loss == len(expected) == 18
    for ours, theirs in zip(numbers.gradients, expected, strict=True):
        assert torch.equal(ours, theirs)
    assert fake.train(torch.zeros(7, 3, 2, dtype=torch.int64)) == (6, [2, 7, 3, 2])


def test_process_and_its_files_are_gone_afterwards(tmp_path, network, digits):
    script = tmp_path / "deaf.py"
    script.write_text("import time\nprint('{}', flush=True)\ntime.sleep(600)")
    with KerasRival(network, digits, 2, script) as process:
        assert process.process.poll() is None
    assert process.process.poll() is not None
    assert not process.errors.parent.exists()


def test_what_the_process_says_when_it_ends_is_passed_on(fake):
    with pytest.raises(RuntimeError, match=r"ended with exit status 1:\n(?s:.*)there are no such digits"):
        fake.train(torch.tensor([[[-1, 2]]]))
    with pytest.raises(RuntimeError, match="ended with exit status 1"):
        fake.train(torch.tensor([[[1, 2]]]))


def test_layout_is_that_of_keras(network):
    torch.manual_seed(1)
    values = [torch.randn_like(weight) for weight in network.parameters()]
    arrays = keras_layout(network, values)
    assert torch.equal(arrays[3][2, 0, 5, 7], values[3][7, 5, 2, 0])  # of the second convolution
    hidden = torch.randn(2, 64, 3, 3)
    flat = hidden.permute(0, 2, 3, 1).flatten(1)  # channels last
    torch.testing.assert_close(flat @ arrays[9], hidden.flatten(1) @ values[9].t(), atol=1e-3, rtol=0)
    loaded = lstm_from_keras(arrays[13:16])
    assert all(torch.equal(loaded[name], values[index]) for name, index in (("weight_ih", 13), ("weight_hh", 14)))
    assert torch.equal(loaded["bias_ih"], values[15])
    assert [tuple(array.shape) for array in arrays[16:]] == [(128, 1), (1,)]


NUMBERS = Numbers(torch.tensor(2.0), torch.tensor([[1.0, -3.0]]), [torch.tensor([1e-9, 0]), torch.tensor([3.0, 4.0])])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": torch.tensor(2.001)}, r"Keras differs from the rival in loss by 0\.0005 of it"),
        ({"loss": torch.tensor(float("nan"))}, "in loss by nan"),
        ({"predictions": torch.tensor([[1.0, 3.0]])}, "in predictions by 1.9"),
        ({"predictions": torch.tensor([1.0, -3.0])}, r"in predictions: \(2,\), not \(1, 2\)"),
        ({"gradients": [torch.zeros(2), torch.tensor([3.0, 4.1])]}, r"in gradient 1 \(2,\) by 0\.02 of it"),
        ({"gradients": [torch.tensor([1e-3, 0]), NUMBERS.gradients[1]]}, "in gradient 0"),
    ],
)
def test_other_numbers_are_refused(change, message):
    check_same_numbers("Keras", NUMBERS._replace(gradients=[torch.zeros(2), NUMBERS.gradients[1]]), NUMBERS)
    with pytest.raises(AssertionError, match=message):
        check_same_numbers("Keras", NUMBERS._replace(**change), NUMBERS)


def test_numbers_are_those_of_training_in_full_float32():
    seen = []

    class Noting(Flatten):
        def forward(self, images):
            seen.append((self.training, torch.backends.cuda.matmul.allow_tf32))
            return super().forward(images)

    module = SequenceModule(encoder=Noting(4), hidden_size=2).eval()
    with float32_products("tf32"):
        compute_numbers(module, Batch(torch.rand(2, 3, 4), torch.rand(2, 3)))
    assert seen == [(True, False)]


def test_reasons_against_keras(monkeypatch):
    monkeypatch.setattr("seqsum.benchmarks.keras_process.find_spec", lambda name: None)
    assert "not installed" in reason_against(CPU, "32-true")
    monkeypatch.setattr("seqsum.benchmarks.keras_process.find_spec", lambda name: name)
    assert "in bf16-mixed" in reason_against(CPU, "bf16-mixed")
    assert "on cuda" in reason_against(torch.device("cuda"), "32-true")
    assert reason_against(CPU, "32-true") is None


@pytest.fixture
def data(mnist_root):
    data = DigitSums(root=str(mnist_root), batch_size=4, augment=False)
    data.setup("fit")
    return data


class InTorch:
    """torch in Keras's place, with Keras's layout, in float64 so that mistakes show and rounding does not."""

    def __init__(self, module, data):
        self.module, self.data = module.double(), data

    def numbers(self, rows):
        batch = self.data.gather(IndexBatch("train", rows, 0))
        numbers = compute_numbers(self.module, batch._replace(inputs=batch.inputs.double()))
        return numbers._replace(gradients=keras_layout(self.module.network, numbers.gradients))

    def train(self, rows):
        return len(rows) / 8, []


@pytest.mark.parametrize("mistake", ["none", "gates swapped", "one weight", "epsilon", "loss"])
def test_keras_is_timed_only_if_it_computes_the_same(data, mistake):
    rival = training.same_modules()[training.RIVAL]
    wrong = copy.deepcopy(rival)
    if mistake != "none":
        MISTAKES[mistake](wrong)
    arguments = Namespace(sequence_length=4, batch_size=4, batches=7)
    if mistake == "none":
        assert training.keras_training(InTorch(wrong, data), rival, data, arguments)() == 1.0
    else:
        with pytest.raises(AssertionError, match="Keras on TensorFlow differs from the rival"):
            training.keras_training(InTorch(wrong, data), rival, data, arguments)


@torch.no_grad()
def swap_gates(module):
    for weight in module.network.recurrence.parameters():
        input_gate, forget_gate, *others = weight.chunk(4)
        weight.copy_(torch.cat([forget_gate, input_gate, *others]))


def raise_epsilon(module):
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = 1e-3  # Keras's default


def turn_kernels(module):
    weight = module.network.encoder.module.layers[1][0].weight
    weight.data = weight.data.flip(2, 3)


def change_loss(module):
    module.objective.beta = 0.11


MISTAKES = {"gates swapped": swap_gates, "one weight": turn_kernels, "epsilon": raise_epsilon, "loss": change_loss}


@pytest.mark.slow
@needs_keras
def test_keras_computes_the_same_and_learns(data):
    rival = training.same_modules()[training.RIVAL]
    arguments = Namespace(sequence_length=4, batch_size=4, batches=2)
    with KerasRival(rival.network, data.splits["train"], 4) as keras:
        assert training.keras_training(keras, rival, data, arguments)() > 0
        for mistake in MISTAKES.values():
            wrong = copy.deepcopy(rival)
            mistake(wrong)
            with pytest.raises(AssertionError, match="Keras on TensorFlow differs from the rival"):
                training.keras_training(keras, wrong, data, arguments)
        rows = torch.randint(100, (1, 8, 4)).expand(30, 8, 4)
        seconds, losses = keras.train(rows)
    assert seconds > 0
    assert losses[-1] < 0.5 * losses[0]


OPTIMIZE = """
import json, sys
import keras, numpy as np
import keras_rival
variables = [keras.Variable(np.array(value, "float32")) for value in json.loads(sys.argv[1])]
optimizer = keras_rival.make_optimizer(variables)
for gradients in json.loads(sys.argv[2]):
    optimizer.apply([keras.ops.array(gradient) for gradient in gradients], variables)
print(json.dumps({"weights": [v.numpy().tolist() for v in variables], "torch": "torch" in sys.modules}))
"""


@pytest.mark.slow
@needs_keras
def test_optimizer_is_that_of_the_main_job():
    torch.manual_seed(0)
    module = SequenceModule(schedule="constant")
    weights = list(module.network.head.parameters())  # a matrix, which decays, and a bias
    for weight in weights:
        nn.init.uniform_(weight, 0.5, 1.5)
    # norms of 6, 30, 2 and 0.6, of which all but the last are clipped
    gradients = [[scale * torch.randn_like(weight) for weight in weights] for scale in (0.5, 3.0, 0.2, 0.05)]
    start, steps = (
        json.dumps(x) for x in ([w.tolist() for w in weights], [[g.tolist() for g in s] for s in gradients])
    )
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(SCRIPT.parent)}
    command = [sys.executable, "-c", OPTIMIZE, start, steps]
    answer = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    optimizer = module.configure_optimizers()["optimizer"]
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = gradient.clone()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    for weight, found in zip(weights, answer["weights"], strict=True):
        torch.testing.assert_close(torch.tensor(found), weight.detach(), atol=1e-5, rtol=0)
    assert not answer["torch"]
