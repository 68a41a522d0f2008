"""Sine curves, and a user's own curve from a file."""

from __future__ import annotations

import math
import random

import pytest
import torch

from seqsum.data import SineCurves, sine_curves
from seqsum.data.curve_file import read_samples
from seqsum.data.sine_curves import draw_curves, sine
from seqsum.errors import InputError
from tests.data.test_copy_memory import batches


def test_sine_written_out():
    curves = sine(torch.tensor([0.25, 0.125]), torch.tensor([0.0, 0.25]), 5)
    half = math.sqrt(0.5)
    expected = torch.tensor([[0, 1, 0, -1, 0], [1, half, 0, -half, -1]])
    torch.testing.assert_close(curves, expected, rtol=0, atol=1e-6)


def test_periods_lie_between_the_two_and_phases_everywhere():
    curves = draw_curves(500, 4_000, (10.0, 40.0), torch.Generator().manual_seed(0))
    peaks = torch.fft.rfft(curves).abs()[:, 1:].argmax(-1) + 1
    frequencies = peaks / 4_000
    assert 1 / 40 - 1e-3 < frequencies.min() < 1 / 38
    assert 1 / 10.5 < frequencies.max() < 1 / 10 + 1e-3
    assert abs(frequencies.mean() - (1 / 40 + 1 / 10) / 2) < 2e-3  # drawn evenly in frequency
    assert abs(curves[:, 0].mean()) < 0.1
    assert abs(curves[:, 0].square().mean() - 0.5) < 0.05


def test_phases_do_not_depend_on_frequencies(monkeypatch):
    monkeypatch.setattr(sine_curves, "sine", lambda frequencies, phases, _: torch.stack([frequencies, phases]))
    drawn = draw_curves(1_000, 3, (10.0, 40.0), torch.Generator().manual_seed(0))
    assert drawn[1].min() < 0.01 < 0.99 < drawn[1].max()
    assert drawn.corrcoef()[0, 1].abs() < 0.1


def test_targets_are_the_samples_one_step_later():
    data = SineCurves(sequence_length=20, batch_size=8, epoch_size=20)
    data.setup("fit")
    found = batches(data.train_dataloader(), data)
    assert [batch.inputs.shape for batch in found] == [(8, 20, 1), (8, 20, 1), (4, 20, 1)]
    for batch in found:
        assert torch.equal(batch.inputs[:, 1:, 0], batch.targets[:, :-1])
        assert batch.targets.std() > 0.5
    assert not torch.equal(found[0].inputs, found[1].inputs)


@pytest.mark.parametrize("text", [
    "0.5\n-0.25\n1e-1\n",
    "sample\n0.5\n-0.25\n1e-1",
    "\ufeffsample\r\n0.5\r\n-0.25\r\n0.1\r\n",
    '0.5\n\n"-0.25"\n0.1\n\n',
])  # fmt: skip
def test_curve_is_read_with_and_without_heading(text, tmp_path):
    (tmp_path / "curve.csv").write_bytes(text.encode())
    torch.testing.assert_close(read_samples(tmp_path / "curve.csv"), torch.tensor([0.5, -0.25, 0.1]))


@pytest.mark.parametrize(("content", "message"), [
    (b"1\n2\nx\n", "must have one number in line 3, not 'x'"),
    (b"t,sample\n1,2\n", "must have one number in line 1, not 't,sample'"),
    (b"1\n2\n3,4\n", "must have one number in line 3, not '3,4'"),
    (b"1\nnan\n2\n", "must have one number in line 2, not 'nan'"),
    (b"1\n2\ninf\n", "must have one number in line 3, not 'inf'"),
    (b"", "must hold at least 2 samples, one a line, not 0"),
    (b"sample\n1\n", "must hold at least 2 samples, one a line, not 1"),
    (b"\xff\xfe\x00\x81", "can't be read as a text file"),
    (b"sample\n1\n\n1e39\n1e40\n", "must have no number above 3.4e+38, as 1e39 in line 4"),
    (b"0\n-1e39\n", "must have no number above 3.4e+38, as -1e39 in line 2"),
    (b"1\n" + b"0.25;" * 50_000, "must have one number in line 2: field larger than field limit"),
    (b"1\n" + b"0.25," * 50_000, "must have one number in line 2, not '0.25,0.25,"),
    (b"1\n2\n" + b"x" * 5_000, "must have one number in line 3, not 'xxx"),
])  # fmt: skip
def test_a_bad_file_is_refused(content, message, tmp_path):
    path = tmp_path / "curve.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_samples(path)
    assert str(error.value).startswith(f"`--data.curve` (={path}) {message}")
    assert len(str(error.value)) < len(str(path)) + 150


def test_curves_are_finite_or_refused(tmp_path):
    chance = random.Random(0)
    for _ in range(50):
        numbers = [chance.uniform(-10, 10) * 10 ** chance.choice([0, 0, 20, 37, 38, 300, -300]) for _ in range(5)]
        (tmp_path / "curve.csv").write_text("\n".join(map(str, numbers)))
        if torch.tensor(numbers).isfinite().all():
            assert torch.equal(read_samples(tmp_path / "curve.csv"), torch.tensor(numbers))
        else:
            with pytest.raises(InputError, match="must have no number above"):
                read_samples(tmp_path / "curve.csv")


@pytest.mark.parametrize("path", ["missing.csv", "."])
def test_what_is_no_file_is_refused(path, tmp_path):
    with pytest.raises(InputError, match=r"`--data.curve` \(=.*\) can't be read as a text file"):
        read_samples(tmp_path / path)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"sequence_length": 0}, r"`--data.sequence_length` \(=0\) must be at least 1"),
    ({"periods": (2.0, 5.0)}, r"`--data.periods` \(=\[2.0, 5.0\]\) must be \[shortest, longest\], above 2 steps"),
    ({"periods": (9.0, 5.0)}, r"`--data.periods` \(=\[9.0, 5.0\]\)"),
    ({"periods": (9.0, math.inf)}, r"`--data.periods` \(=\[9.0, inf\]\)"),
])  # fmt: skip
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SineCurves(**arguments)


def test_prediction_needs_a_curve():
    with pytest.raises(InputError, match=r"`--data.curve` must name a CSV file to predict from"):
        SineCurves().setup("predict")
