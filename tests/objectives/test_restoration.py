"""Restoration: losses and errors against NumPy, masked pixels, and what is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seqsum.data import RestoredImages
from seqsum.data.base import Batch
from seqsum.data.index_tables import IndexBatch
from seqsum.figures.restored import plot_restored
from seqsum.networks import Autoencoder, ConvEncoder
from seqsum.objectives import Evaluation, Look, Prediction, Restoration, restoration_shown
from tests.drawn import draw_nothing

EPS = 1e-12


def oracle(outputs, targets, mask, loss):
    """Mean loss and squared error over the scored pixels, in NumPy."""
    outputs, targets, scored = outputs.astype(float)[..., 0], targets.astype(float), mask.astype(bool)
    pixels = 1 / (1 + np.exp(-outputs)) if loss == "cross_entropy" else outputs
    if loss == "cross_entropy":
        of_pixels = -targets * np.log(pixels + EPS) - (1 - targets) * np.log(1 - pixels + EPS)
    else:
        of_pixels = (outputs - targets) ** 2
    return of_pixels[scored].mean(), ((pixels - targets) ** 2)[scored].mean()


def make_batch(count, pixels, masked, seed=0):
    rng = np.random.default_rng(seed)
    outputs = 3 * rng.standard_normal((count, pixels, 1)).astype(np.float32)
    targets = rng.random((count, pixels)).astype(np.float32)
    mask = rng.random((count, pixels)) < 0.5 if masked else np.ones((count, pixels), bool)
    mask[0, 0] = True
    return outputs, targets, mask


def as_batch(targets, mask, masked):
    inputs = torch.zeros(len(targets), 1, 1, 1, targets.shape[1])
    return Batch(inputs, torch.from_numpy(targets), target_mask=torch.from_numpy(mask) if masked else None)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@given(st.integers(1, 5), st.integers(1, 9), st.booleans(), st.integers(0, 99))
def test_loss_and_error_are_those_of_numpy(loss, count, pixels, masked, seed):
    outputs, targets, mask = make_batch(count, pixels, masked, seed)
    objective, batch = Restoration(loss), as_batch(targets, mask, masked)
    expected, error = oracle(outputs, targets, mask, loss)
    found = objective.loss(torch.from_numpy(outputs), batch)
    np.testing.assert_allclose(float(found), expected, rtol=1e-5, atol=1e-7)
    metrics = objective.metrics()
    half = count // 2
    for rows in (slice(half), slice(half, None)):  # over batches of different sizes
        scored = None if batch.scored is None else batch.scored[rows]
        metrics.update(torch.from_numpy(outputs)[rows], batch.targets[rows], scored)
    np.testing.assert_allclose(float(metrics.compute()["mse"]), error, rtol=1e-5, atol=1e-7)


def test_what_is_not_scored_may_be_anything_and_gets_no_gradient():
    outputs, targets, mask = make_batch(3, 8, masked=True)
    batch = as_batch(targets, mask, masked=True)
    objective = Restoration()
    clean = objective.loss(torch.from_numpy(outputs), batch)
    wild = torch.from_numpy(np.where(mask[..., None], outputs, 1e4).astype(np.float32)).requires_grad_()
    loss = objective.loss(wild, batch)
    torch.testing.assert_close(loss, clean)
    loss.backward()
    assert torch.equal(wild.grad.squeeze(-1) != 0, batch.target_mask)


@pytest.mark.parametrize("masked", [False, True])
def test_answers_keep_the_pixels_that_were_not_damaged(masked):
    outputs, targets, mask = make_batch(3, 8, masked=masked)
    batch = as_batch(targets, mask, masked)
    answers = Restoration().answers(torch.from_numpy(outputs), batch)
    expected = np.where(mask, 1 / (1 + np.exp(-outputs[..., 0])), targets)
    np.testing.assert_allclose(answers.numpy(), expected, rtol=1e-5)


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match=r"`loss` \(='hinge'\) must be one of 'cross_entropy', 'squared_error'"):
        Restoration("hinge")


@pytest.mark.parametrize("colours", [1, 3])
def test_the_figure_has_a_row_for_each_name(colours):
    images = {name: torch.rand(5, colours, 8, 8) for name in ("read", "restored", "true")}
    (axes,) = plot_restored(images).axes
    assert [text.get_text() for text in axes.texts] == ["read", "restored", "true"]
    drawn = [image.get_array() for image in axes.images]
    assert len(drawn) == 15
    first = images["read"][0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(drawn[0], first if colours == 3 else 1 - first.repeat(3, axis=-1), rtol=1e-6)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Autoencoder(ConvEncoder((2, 3), output_size=5, activation="logits", views=1), (4, 3)).eval()


@pytest.mark.parametrize("damage", ["none", "noise", "hole"])
def test_the_page_has_restored_images_and_convolutions(mnist_root, network, damage):
    data = RestoredImages(damage, dataset="mnist", root=str(mnist_root))
    data.setup("test")
    batch = data.gather(IndexBatch("test", torch.arange(20).unsqueeze(1), 0))
    with torch.no_grad():
        outputs = network(batch)
    evaluation = Evaluation("test", network, data, batch, [batch._replace(inputs=batch.inputs[:0])], [outputs])
    sections = Restoration().report(evaluation, Look())
    assert [section.name for section in sections] == [
        "restored", "filters_layers.0.0", "feature_maps_layers.0.0", "filters_layers.1.0", "feature_maps_layers.1.0",
    ]  # fmt: skip
    (axes,) = sections[0].figure.axes
    names = ["read", "restored", "true"]
    assert [text.get_text() for text in axes.texts] == (names[:2] if damage == "none" else names)
    drawn = torch.tensor(np.stack([image.get_array()[..., 0] for image in axes.images])).unflatten(0, (-1, 12))
    answers = Restoration().answers(outputs, batch).view(20, 28, 28)[:12]
    torch.testing.assert_close(1 - drawn[1], answers, check_dtype=False)
    whole = data.images_of("test", torch.arange(12))[:, 0]
    torch.testing.assert_close(1 - drawn[0 if damage == "none" else 2], whole, check_dtype=False)


def test_a_users_images_are_damaged_restored_and_scored(mnist_root, network, tmp_path):
    data = RestoredImages("hole", dataset="mnist", root=str(mnist_root), images=str(tmp_path))
    data.setup("test")
    for place in range(14):
        Image.fromarray(data.splits["test"].images[place].numpy()).save(tmp_path / f"{place:02}.png")
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert len({tuple(batch.target_mask.nonzero()[0].tolist()) for batch in batches}) > 5  # holes in different places
    with torch.no_grad():
        answers = [Restoration().predict(network, batch) for batch in batches]
        outputs = [network(batch) for batch in batches]
    shown = Restoration().show(Prediction(network, data, batches, answers))
    errors = []  # by the metric of a test
    for of_image, batch in zip(outputs, batches, strict=True):
        metrics = Restoration().metrics()
        metrics.update(of_image, batch.targets, batch.scored)
        errors.append(float(metrics.compute()["mse"]))
    assert [tuple(row) for row in shown.tables[0].rows] == [
        (f"{place:02}.png", f"{error:.4f}") for place, error in enumerate(errors)
    ]
    read, targets = (torch.cat([batch[part] for batch in batches]) for part in (0, 1))
    for figure, few in zip(shown.figures.values(), (slice(12), slice(12, 14)), strict=True):
        drawn = torch.tensor(np.stack([1 - image.get_array()[..., 0] for image in figure.axes[0].images]))
        for row, pixels in zip(
            drawn.unflatten(0, (3, -1)), (data.as_images(read), torch.cat(answers), targets), strict=True
        ):
            torch.testing.assert_close(row, pixels[few].view_as(row), check_dtype=False)
    assert list(shown.figures) == ["own_restored_1", "own_restored_2"]
    assert {section.title for section in shown.page} == {"Your images, restored"}


def test_images_stand_above_what_was_made_of_them(monkeypatch, network):
    draw_nothing(monkeypatch, restoration_shown, "plot_restored")
    data, pixels = RestoredImages(dataset="mnist"), torch.rand(2, 5, 784)
    batches = [Batch(data._as_inputs(of.view(5, 1, 28, 28)), of) for of in pixels]
    outputs = [10 * of.unsqueeze(2) for of in pixels]
    evaluation = Evaluation("test", network, data, batches[0], batches, outputs)
    rows = Restoration("squared_error").figures(evaluation)["restored"].given.images
    torch.testing.assert_close(rows["read"], pixels[0].view(5, 1, 28, 28))
    assert torch.equal(rows["restored"], 10 * pixels[0].view(5, 1, 28, 28))
