"""The benchmark of film reviews: the same reviews and the same numbers for all contestants, and what it writes."""

import copy
import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.reviews import batches, command, networks
from seqsum.benchmarks.reviews.batches import Source, draw_reviews, read_reviews, share_of_padding, take_sample
from seqsum.benchmarks.reviews.keras_process import KerasReviews, keras_layout
from seqsum.benchmarks.reviews.networks import compute_numbers, make_network, run_masked, run_packed, run_padded
from seqsum.benchmarks.same_numbers import check_same_numbers
from seqsum.errors import InputError
from seqsum.recurrent import GRU, gru_from_keras, lstm_from_keras
from tests.data.reviews.written import some_reviews, write_folder

needs_keras = pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


@pytest.fixture(scope="module")
def source():
    return draw_reviews()


@pytest.fixture(scope="module")
def sample(source):
    """Short reviews, with which the checks are fast."""
    short = source._replace(lengths=source.lengths.clamp(max=12) - torch.arange(len(source.lengths)) % 8)
    return take_sample(short._replace(gather=lambda rows, steps: cut(source, short, rows, steps)), 2, 8)


def cut(source, short, rows, steps):
    batch = source.gather(rows, steps)
    mask = torch.arange(steps) < short.lengths[rows].unsqueeze(1)
    return batch._replace(inputs=batch.inputs * mask, mask=mask)


def test_drawn_lengths_resemble_those_of_real_reviews(source):
    lengths = source.lengths.double()
    assert lengths.median() == pytest.approx(176, rel=0.03)
    assert lengths.quantile(0.9) == pytest.approx(460, rel=0.03)
    assert lengths.max() == 500
    assert "lengths drawn" in source.what
    batch = source.gather(torch.tensor([3, 7]), int(source.lengths[[3, 7]].max()))
    assert batch.mask.sum(1).tolist() == source.lengths[[3, 7]].tolist()
    assert torch.equal(batch.inputs > 0, batch.mask)  # 0 is padding, for Keras too


def test_all_contestants_read_the_same_reviews(source):
    sample = take_sample(source, 5, 16)
    of_buckets, shuffled = (
        sorted(
            (review[mask].tolist(), int(label))
            for batch in kind
            for review, mask, label in zip(batch.inputs, batch.mask, batch.targets, strict=True)
        )
        for kind in sample
    )
    assert of_buckets == shuffled
    assert len(of_buckets) == 80
    assert [len(batch.inputs) for kind in sample for batch in kind] == 10 * [16]
    steps = [batch.inputs.shape[1] for batch in sample.bucketed]
    assert steps == sorted(steps)
    assert steps[0] < 150 < 400 < steps[-1]  # across the lengths
    assert share_of_padding(sample.bucketed) < 0.05 < 0.4 < share_of_padding(sample.shuffled)


def test_a_sample_is_no_larger_than_the_epoch():
    few = Source("", torch.arange(1, 11), lambda rows, steps: None)
    for count in (0, 4):
        with pytest.raises(InputError, match=rf"`--batches` \(={count}\) must be between 1 and 3"):
            take_sample(few, count, 3)


def test_real_reviews_are_read_from_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_folder(tmp_path, some_reviews())
    source = read_reviews(str(tmp_path))
    batch = source.gather(torch.tensor([1]), int(source.lengths[1]))
    assert batch.mask.all()
    assert batch.inputs.shape == (1, source.lengths[1])
    assert "Large Movie Review Dataset" in source.what


@CELLS
def test_packed_and_masked_compute_the_same(cell, sample):
    checked = command.few_reviews(sample)
    assert not checked.mask.all()
    expected = compute_numbers(make_network(cell, 5, run_packed), checked)
    check_same_numbers("seqsum", compute_numbers(make_network(cell, 5, run_masked), checked), expected)
    with pytest.raises(AssertionError, match=r"padded differs from the rival in loss"):
        check_same_numbers("padded", compute_numbers(make_network(cell, 5, run_padded), checked), expected)


class WithoutMask(GRU):
    def forward(self, features, mask):
        return super().forward(features)


class OneDirection(GRU):
    def forward(self, features, mask):
        states, final = super().forward(features, mask=mask)
        return states * (torch.arange(states.shape[2]) < self.hidden_size), final


@pytest.mark.parametrize("altered", [WithoutMask, OneDirection])
def test_an_altered_contestant_is_refused(altered, sample, monkeypatch):
    monkeypatch.setitem(networks.CELLS, "gru", (nn.GRU, altered))
    with pytest.raises(AssertionError, match="seqsum differs from the rival"):
        command.compare_contestants("gru", 5, sample, False, None, torch.device("cpu"))


@CELLS
def test_layout_is_that_of_keras(cell):
    network = make_network(cell, 5, run_packed)
    torch.manual_seed(1)
    values = [torch.randn_like(weight) for weight in network.parameters()]
    arrays = keras_layout(network, values)
    assert torch.equal(arrays[0], values[0])
    convert = {"lstm": lstm_from_keras, "gru": gru_from_keras}[cell]
    for first_array, first_value in ((1, 1), (4, 5)):
        loaded = convert(arrays[first_array : first_array + 3])
        for name, value in zip(("weight_ih", "weight_hh", "bias_ih"), values[first_value:], strict=False):
            assert torch.equal(loaded[name], value), name
        assert cell == "lstm" or torch.equal(loaded["bias_hh"], values[first_value + 3])
    assert [tuple(array.shape) for array in arrays[7:]] == [(10, 1), (1,)]


@pytest.mark.slow
@needs_keras
@CELLS
def test_keras_computes_the_same_and_trains_on_the_batches(cell, sample):
    checked = command.few_reviews(sample)
    network = make_network(cell, 5, run_packed)
    expected = compute_numbers(network, checked)
    with KerasReviews(network, sample.bucketed, checked, cell) as keras:
        numbers = keras.numbers()
        check_same_numbers("Keras", numbers, expected._replace(gradients=keras_layout(network, expected.gradients)))
        assert keras.train(1) > 0
        losses = [keras.ask(do="train", steps=2)["losses"] for _ in range(30)]
    assert len(losses[0]) == 2
    assert sum(losses[-1]) < sum(losses[0])
    unmasked = copy.copy(network)
    unmasked.run = run_padded
    wrong = compute_numbers(unmasked, checked)
    with pytest.raises(AssertionError, match="Keras differs"):
        check_same_numbers("Keras", numbers, wrong._replace(gradients=keras_layout(network, wrong.gradients)))


class InTorch:
    """torch in Keras's place."""

    def __init__(self, network, trained, checked, cell):
        self.network, self.trained, self.checked = network, trained, checked

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def numbers(self):
        numbers = compute_numbers(self.network, self.checked)
        return numbers._replace(gradients=keras_layout(self.network, numbers.gradients))

    def train(self, steps):
        return 0.5 * steps


def test_command(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "KerasReviews", InTorch)
    monkeypatch.setattr(command, "reason_against", lambda *_: None)
    monkeypatch.setattr(batches, "LONGEST", 20)
    options = ["--sizes", "3", "--batches", "2", "--batch-size", "4", "--rounds", "2", "--warm-up", "1"]
    main(["reviews", *options, "--device", "cpu"])
    text = capsys.readouterr().out
    written = json.loads((tmp_path / "logs/benchmarks/reviews.json").read_text())
    table = (tmp_path / "logs/benchmarks/reviews.md").read_text().splitlines()
    rows = written["rows"]
    assert [(row["cell"], row["H"]) for row in rows] == 7 * [("lstm", 3)] + 7 * [("gru", 3)]
    of_ours = [row for row in rows if row["what"] == command.OURS]
    assert [(row["time"], row["quartiles"]) for row in of_ours] == 2 * [(1, "1.00 to 1.00")]
    keras = rows[6]
    assert (keras["what"], keras["ms a step"]) == (command.KERAS, 500)
    assert keras["time"] > 1
    assert len(table) == 2 + 14
    assert table[2].startswith("| lstm | 3 | seqsum, mask, buckets |")
    assert "random words, lengths drawn like those of real reviews, up to 20 words" in text
    assert written["settings"]["reviews"] in text.replace("\n", "")
    assert "another function" in text


def test_weights_are_the_same_for_all_contestants():
    ours, theirs = (make_network("lstm", 4, run).state_dict() for run in (run_masked, run_packed))
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items() if "recurrence" not in name)
    oracle = nn.LSTM(64, 4, bidirectional=True)
    oracle.load_state_dict(
        {name.removeprefix("recurrence."): weight for name, weight in theirs.items() if "rec" in name}
    )
    assert not oracle.bias_hh_l0.any()
    assert not oracle.bias_hh_l0_reverse.any()
