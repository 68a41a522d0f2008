"""What is shown of classified images: mistakes with their images, convolutions by name, and a user's own images."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import nn

from seqsum.data import Images
from seqsum.data.index_tables import IndexBatch
from seqsum.errors import InputError
from seqsum.figures.convolutions import tile
from seqsum.networks import ConvEncoder, DenseEncoder, Flatten, StepNetwork
from seqsum.objectives import Classification, Evaluation, Look, Prediction
from seqsum.objectives.convolutions import convolutions, feature_maps


@pytest.fixture(scope="module")
def data(mnist_root):
    data = Images("mnist", str(mnist_root), augment=False)
    data.setup("test")
    return data


def network_of(encoder):
    torch.manual_seed(0)
    return StepNetwork(10, encoder).eval()


def evaluate(data, network, wrong=(), rows=True, split="test"):
    """An evaluation of 40 images, whose answers are right except at some places: those to the next class."""
    batches = [data.gather(IndexBatch(split, torch.arange(start, start + 20).unsqueeze(1), 0)) for start in (100, 120)]
    answers = torch.cat([batch.targets for batch in batches]).squeeze(1)
    logits = torch.zeros(40, 1, 10)
    for place, answer in enumerate(answers.tolist()):
        said = (answer + 1) % 10 if place in wrong else answer
        logits[place, 0, said] = 2.0 + (wrong.index(place) if place in wrong else 0)
    kept = [batch._replace(inputs=batch.inputs[:0], rows=batch.rows if rows else None) for batch in batches]
    return Evaluation(split, network, data, batches[0], kept, logits.split(20))


def said(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("split", ["val", "test"])
def test_misread_images_are_drawn_the_surest_first(data, split):
    evaluation = evaluate(data, network_of(Flatten(784)), wrong=[7, 33], split=split)
    figure = Classification(scored="every").figures(evaluation)["misread"]
    labels = data.splits[split].labels
    right = [int(labels[133]), int(labels[107])]  # the second wrong answer is the surer one
    texts = said(figure)
    assert texts[0] == "2 of 2 mistakes among 40 images: those that the network was surest of"
    chances = [float(torch.tensor([sure, *[0.0] * 9]).softmax(0)[0]) for sure in (3.0, 2.0)]
    assert texts[1::2] == [f"✗ {(label + 1) % 10} {chance:.3f}" for label, chance in zip(right, chances, strict=True)]
    assert [text[:4] for text in texts[2::2]] == [f"is {label}" for label in right]
    pasted = torch.tensor(figure.axes[0].images[0].get_array()[..., 0])
    torch.testing.assert_close(1 - pasted, data.splits[split].images[133] / 255, check_dtype=False)


def test_without_mistakes_or_without_rows_none_are_drawn(data):
    network = network_of(Flatten(784))
    assert Classification().figures(evaluate(data, network)) == {}
    assert Classification().figures(evaluate(data, network, wrong=[3], rows=False)) == {}
    sections = Classification().report(evaluate(data, network), Look())
    assert [(section.title, section.text) for section in sections] == [("Misread images", "There is no mistake.")]


def test_the_page_lists_the_most_frequent_mistakes(data):
    evaluation = evaluate(data, network_of(Flatten(784)), wrong=list(range(12)))
    labels = data.splits["test"].labels[100:112].tolist()
    (table,) = [section.table for section in Classification().report(evaluation, Look()) if section.table]
    assert {(row[0], row[1], int(row[2])) for row in table.rows} == {
        (str(label), str((label + 1) % 10), labels.count(label)) for label in labels
    }
    assert [int(row[2]) for row in table.rows] == sorted((labels.count(label) for label in set(labels)), reverse=True)


@pytest.mark.parametrize(
    "encoder", [ConvEncoder(channels=(4, 6)), DenseEncoder((3, 3), growth=4)], ids=["conv", "dense"]
)
def test_any_convolution_is_drawn_by_its_name(data, encoder):
    network = network_of(encoder)
    evaluation = evaluate(data, network, wrong=[1])
    names = list(convolutions(network))
    figures = Classification().figures(evaluation)
    shown = {"misread", *(f"{kind}_{name}" for kind in ("filters", "feature_maps") for name in (names[0], names[-1]))}
    assert set(figures) == shown
    for name in names:
        figures = Classification(convolutions=[name]).figures(evaluation)
        assert set(figures) == {"misread", f"filters_{name}", f"feature_maps_{name}"}
        convolution = encoder.get_submodule(name)
        seen = []
        with torch.no_grad(), convolution.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output)):
            network(evaluation.first)
        torch.testing.assert_close(
            feature_maps(network, evaluation.first, convolution), seen[0][0], rtol=1e-4, atol=1e-5
        )
        assert not convolution._forward_hooks
        of_image = torch.tensor(figures[f"feature_maps_{name}"].axes[-1].images[0].get_array()[..., 0])
        first = evaluation.first.inputs[0, 0, 0]
        torch.testing.assert_close(1 - of_image, (first - first.min()) / (first.max() - first.min()), check_dtype=False)
    drawn = Classification(convolutions=[names[0]]).figures(evaluation)[f"filters_{names[0]}"]
    pixels = drawn.axes[0].images[0].get_array().filled(float("nan"))
    torch.testing.assert_close(
        torch.tensor(pixels),
        torch.tensor(tile(encoder.get_submodule(names[0]).weight.detach()[:, 0], 8)),
        equal_nan=True,
    )


def test_an_unknown_convolution_is_refused_with_the_names_of_all(data):
    network = network_of(ConvEncoder(channels=(4, 6)))
    with pytest.raises(InputError, match=r"`convolutions` \(=first\) must be one of layers.0.0, layers.1.0"):
        Classification(convolutions=["first"]).figures(evaluate(data, network))
    with pytest.raises(InputError, match=r"`convolutions` \(=a\) must be left out: this network has none"):
        Classification(convolutions=["a"]).figures(evaluate(data, network_of(Flatten(784))))


def test_names_of_a_network_without_an_encoder_are_its_own():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(2, 2, 3)))
    assert list(convolutions(network)) == ["0", "2.0"]


def test_a_users_images_get_an_answer_and_another_one(mnist_root, tmp_path, data):
    for place in range(3):
        Image.fromarray(data.splits["test"].images[place].numpy()).save(tmp_path / f"{place}.png")
    own = Images("mnist", str(mnist_root), images=str(tmp_path))
    own.setup("predict")
    network = network_of(ConvEncoder(channels=(4, 6)))
    batches = list(own.predict_dataloader())
    with torch.no_grad():
        chances = torch.cat([network(batch) for batch in batches])[:, 0].softmax(-1)
        answers = [Classification().predict(network, batch) for batch in batches]
    shown = Classification().show(Prediction(network, own, batches, answers))
    likeliest = chances.sort(descending=True)
    assert [tuple(row) for row in shown.tables[0].rows] == [
        (f"{place}.png", str(int(order[0])), f"{sure[0]:.3f}", str(int(order[1])), f"{sure[1]:.3f}")
        for place, (sure, order) in enumerate(zip(*likeliest, strict=True))
    ]
    assert set(shown.figures) == {"own_images"}
    figure = shown.figures["own_images"]
    assert said(figure)[1::2] == ["0.png", "1.png", "2.png"]
    for drawn, batch in zip(figure.axes[0].images, batches, strict=True):
        pixels = torch.tensor(drawn.get_array()[..., 0])
        torch.testing.assert_close(1 - pixels, data.as_images(batch.inputs)[0, 0], check_dtype=False)
