"""What is shown of decisions after each step: every image with its own probabilities, label, states and name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsum.data import Batch, DigitRows, unlabelled
from seqsum.data.own import OwnDigits, OwnSequence
from seqsum.objectives import Classification, Evaluation, Prediction, classification_shown
from tests.drawn import draw_nothing

IMAGES = torch.rand(6, 5, 3, generator=torch.Generator().manual_seed(0))  # six of five rows and three columns
STATES = torch.rand(6, 3, 2, generator=torch.Generator().manual_seed(1))  # of two units while they are read by columns
LABELS = torch.tensor([4, 0, 3, 1, 2, 4])[:, None].expand(-1, 3)


class Columns(nn.Module):
    """Each pixel of a column is the logit of a class: what it says of an image shows which image that is."""

    def forward(self, batch: Batch):
        return batch.inputs


def chances_of(images):
    return images.transpose(1, 2).softmax(-1)  # (N, T, K)


@pytest.fixture(autouse=True)
def nothing_drawn(monkeypatch):
    draw_nothing(monkeypatch, classification_shown, "plot_decisions", "plot_over_time", "plot_settling")


@pytest.mark.parametrize(("split", "drawn"), [("val", 4), ("test", 5)])
def test_each_image_of_the_first_batch_is_drawn_with_its_own_decisions_and_label(split, drawn):
    inputs = IMAGES.transpose(1, 2)
    first, second = Batch(inputs[:5], LABELS[:5]), Batch(inputs[5:], LABELS[5:])
    evaluation = Evaluation(
        split, Columns(), DigitRows(steps="columns"), first, [first, second], [inputs[:5], inputs[5:]],
        {"hidden_l0": STATES[:5], "outputs": STATES[:5]},
    )  # fmt: skip
    figures = Classification(5, "every").figures(evaluation)
    assert set(figures) == {"settling", "decisions", "states_l0"}
    given = figures["decisions"].given
    torch.testing.assert_close(given.images, IMAGES[:drawn])
    torch.testing.assert_close(given.probabilities, chances_of(IMAGES[:drawn]))
    assert given.targets.tolist() == LABELS[:drawn, 0].tolist()
    given = figures["states_l0"].given
    torch.testing.assert_close(given.image, IMAGES[0])
    torch.testing.assert_close(given.parts, {"hidden": STATES[0]})
    torch.testing.assert_close(given.chances, chances_of(IMAGES)[0])


def test_when_decisions_settle_is_counted_over_all_batches_without_masked_steps():
    inputs, mask = IMAGES.transpose(1, 2), torch.rand(6, 3, generator=torch.Generator().manual_seed(2)) < 0.7
    batches = [Batch(inputs[few], LABELS[few], mask[few]) for few in (slice(5), slice(5, 6))]
    evaluation = Evaluation("val", Columns(), None, batches[0], batches, [batch.inputs for batch in batches])
    given = Classification(5, "every").figures(evaluation)["settling"].given
    assert torch.equal(given.answers, IMAGES.argmax(1))
    assert torch.equal(given.targets, LABELS)
    assert torch.equal(given.mask, mask)


def test_each_of_a_users_images_has_its_own_states_name_and_steps(monkeypatch):
    monkeypatch.setattr(classification_shown, "trace_batch", lambda *_: {"l0": {"hidden": STATES}})
    images, data = IMAGES.clone(), DigitRows(steps="columns")
    images[1] = torch.tensor([[1, 16, 36], [1, 1, 1], [4, 1, 1], [1, 1, 1], [1, 1, 1]]).log()  # says 2, 0, 0
    names = [f"{place}.png" for place in range(6)]
    data.own = OwnDigits([OwnSequence(images[:4], names[:4]), OwnSequence(images[4:], names[4:])], [], [])
    batches = [unlabelled(image.T[None]) for image in images]
    shown = Classification(5, "every").show(Prediction(Columns(), data, batches, []))
    decisions = shown.figures["decisions"].given
    torch.testing.assert_close(decisions.images, images)
    torch.testing.assert_close(decisions.probabilities, chances_of(images))
    assert decisions.names == names
    for place in range(6):
        given = shown.figures[f"states_{place + 1}_l0"].given
        torch.testing.assert_close(given.image, images[place])
        torch.testing.assert_close(given.parts, {"hidden": STATES[place]})
        torch.testing.assert_close(given.chances, chances_of(images)[place])
    assert shown.tables[1].title == "1.png: 0, probability 0.900"
    assert shown.tables[1].rows == [("1", "2", "0.500"), ("2", "0", "0.800  settled"), ("3", "0", "0.900")]
    assert shown.page[0].table.rows[1] == ("1.png", "0", "0.900")
