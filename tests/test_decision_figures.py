"""The figures of decisions show the right values."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from seqsum.figures import have_one_label, plot_decisions, plot_over_time, plot_settling, settled_at

ANSWERS = torch.tensor([[3, 5, 5, 5], [1, 1, 1, 1], [2, 2, 2, 7], [4, 6, 4, 4]])


def test_settled_is_the_first_of_the_last_answers_in_a_row():
    assert settled_at(ANSWERS).tolist() == [2, 1, 4, 3]
    assert settled_at(ANSWERS[0]).item() == 2


def test_settled_at_is_a_step_that_exists_whatever_the_mask():
    generator = torch.Generator().manual_seed(0)
    answers, mask = (torch.randint(0, high, (200, 6), generator=generator) for high in (3, 2))
    found = settled_at(answers, mask.bool()).tolist()
    for row, valid, step in zip(answers.tolist(), mask.tolist(), found, strict=True):
        kept = [k for k in range(6) if valid[k]]
        settled = [k for k in kept if all(row[later] == row[kept[-1]] for later in kept if later >= k)]
        assert step == (settled[0] if kept else 0) + 1


@pytest.mark.parametrize("masked", [False, True])
def test_sequences_have_one_label_if_all_valid_steps_agree(masked):
    targets, mask = torch.tensor([[2, 2, 2], [0, 0, 0], [5, 5, 5]]), torch.ones(3, 3, dtype=torch.bool)
    if masked:
        mask[0, 1] = mask[1, 2] = mask[2] = False
        targets = targets.masked_fill(~mask, 9)
    assert have_one_label(targets, mask if masked else None)
    targets[0, 2] = 1
    assert not have_one_label(targets, mask if masked else None)


def probabilities():
    """Make probabilities of eight classes, 0.65 for each answer."""
    return torch.full((4, 4, 8), 0.05).scatter(2, ANSWERS[..., None], 0.65)


@pytest.mark.parametrize("steps", ["rows", "columns"])
def test_decisions_show_probabilities_dots_and_where_it_settles(steps):
    images = torch.rand(4, 4, 4)
    figure = plot_decisions(images, probabilities(), steps, torch.tensor([5, 1, 0, 4]))
    assert len(figure.axes) == 8
    settled = []
    for row, (of_image, of_classes) in enumerate(zip(figure.axes[::2], figure.axes[1::2], strict=True)):
        shown = np.asarray(of_classes.images[0].get_array())
        np.testing.assert_allclose(shown if steps == "rows" else shown.T, probabilities()[row])
        dots, line = of_classes.lines
        decided, time = dots.get_data() if steps == "rows" else dots.get_data()[::-1]
        assert decided.tolist() == ANSWERS[row].tolist()
        assert time.tolist() == [0, 1, 2, 3]
        place = line.get_ydata() if steps == "rows" else line.get_xdata()
        settled.append(place[0] + 1.5)
        ink = np.asarray(of_image.images[0].get_array())
        assert ink.argmin() == images[row].argmax(), "dark where the image is light"
    assert settled == [2, 1, 4, 3]
    titles = [axes.get_title(loc="left") for axes in figure.axes[::2]]
    assert titles[0] == "5: settled at step 2"
    assert titles[2] == "✗ 7, true 0: settled at step 4"


def test_decisions_name_their_files_and_the_probability_of_the_last():
    names = ["a.png", "b.png", "scan.tif, frame 2", "a/very/long/way/to/an/image/of/a/seven.png"]
    figure = plot_decisions(torch.rand(4, 4, 4), probabilities(), names=names)
    titles = [axes.get_title(loc="left") for axes in figure.axes[::2]]
    assert titles[0] == "a.png\n5 (0.65): settled at step 2"
    assert titles[2].startswith("scan.tif, frame 2\n7 (0.65)")
    assert titles[3].partition("\n")[0] == "way/to/an/image/of/a/seven.png"


def test_a_dollar_in_a_files_name_is_no_formula():
    figure = plot_decisions(torch.rand(1, 4, 4), probabilities()[:1], names=[r"$\5_{$.png"])
    FigureCanvasAgg(figure).draw()


def test_settling_counts_right_and_settled_decisions():
    targets = torch.tensor([5, 1, 0, 4])[:, None].expand(-1, 4)
    right, settled, median = plot_settling(ANSWERS, targets).axes[0].lines
    assert right.get_ydata().tolist() == [50, 50, 75, 75]  # of 3, 1, 2, 4; 5, 1, 2, 6; 5, 1, 2, 4; 5, 1, 7, 4
    assert settled.get_ydata().tolist() == [25, 50, 75, 100]
    assert median.get_xdata()[0] == 2
    mask = torch.tensor([True, True, True, True, False])[:, None].expand(-1, 4)
    with_empty = plot_settling(torch.cat([ANSWERS, ANSWERS[:1]]), torch.cat([targets, targets[:1]]), mask)
    for line, same in zip((right, settled, median), with_empty.axes[0].lines, strict=True):
        assert np.array_equal(line.get_xydata(), same.get_xydata()), "a sequence without steps decides nothing"


def test_settling_takes_no_notice_of_masked_steps():
    answers, mask = torch.tensor([[3, 5, 5, 9], [1, 1, 2, 7]]), torch.tensor([[True] * 3 + [False], [True] * 4])
    _, settled, median = plot_settling(answers, torch.full((2, 4), 5), mask).axes[0].lines
    assert settled.get_ydata().tolist() == [0, 50, 50, 100]
    assert median.get_xdata()[0] == 2


@pytest.mark.parametrize("steps", ["rows", "columns"])
def test_states_are_sorted_by_the_last_hidden_state_and_aligned_with_the_image(steps):
    hidden = torch.tensor([[0.0, 0, 0], [0.5, -0.5, 0.9], [-0.2, 0.8, 0.1]])  # (T, H)
    gate = torch.rand(3, 3)
    figure = plot_over_time(torch.rand(3, 3), {"input_gate": gate, "hidden": hidden}, steps, torch.rand(3, 2))
    image, classes, _, shown_gate, _, shown_hidden, _ = figure.axes
    assert [axes.get_title() for axes in (image, classes, shown_gate, shown_hidden)] == [
        "image", "class probabilities", "input gate", "hidden",
    ]  # fmt: skip
    labels = [axes.get_xlabel() if steps == "rows" else axes.get_ylabel() for axes in (classes, shown_gate)]
    assert labels == ["2 classes", "3 units"]
    order = [1, 2, 0]
    for axes, expected in ((shown_gate, gate[:, order]), (shown_hidden, hidden[:, order])):
        values = np.asarray(axes.images[0].get_array())
        np.testing.assert_allclose(values if steps == "rows" else values.T, expected)
    boxes = [axes.get_position() for axes in (image, classes, shown_gate, shown_hidden)]
    along = [(box.y0, box.y1) if steps == "rows" else (box.x0, box.x1) for box in boxes]
    np.testing.assert_allclose(along, [along[0]] * 4)
