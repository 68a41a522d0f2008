"""Figures are pure functions, so their contents are checked without a Trainer."""

import importlib
import pkgutil
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import seqsum.figures as figures_of_all
from seqsum.data.sums import running_targets
from seqsum.figures import (
    GIVEN,
    INK,
    WRONG,
    binomial_interval,
    count_readings,
    order_units,
    plot_all,
    plot_causes,
    plot_codes,
    plot_confusion,
    plot_errors,
    plot_gates,
    plot_increment_errors,
    plot_leaks,
    plot_length_curve,
    plot_long_run,
    plot_number_line,
    plot_over_time,
    plot_predictions,
    plot_sums,
    principal_components,
    together,
)
from seqsum.figures.continuations import plot_continuations, plot_drift
from seqsum.figures.convolutions import plot_feature_maps, plot_filters
from seqsum.figures.decisions import plot_settling
from seqsum.figures.style import shorten_all
from tests.drawn import draw_nothing

GATES = ("input_gate", "forget_gate", "cell_update", "output_gate", "hidden", "cell_state")


def sequences(batch, steps, operation="alternating", hidden=6):
    """Make images, predictions, targets, and states that follow the targets, as a validation has them."""
    generator = torch.Generator().manual_seed(batch + 10 * steps)
    targets = running_targets(torch.randint(0, 10, (batch, steps), generator=generator), operation)
    predictions = targets + 0.4 * torch.randn(batch, steps, generator=generator)
    states = targets[..., None] * torch.linspace(-1, 1, hidden)
    states = states + 0.1 * torch.randn(batch, steps, hidden, generator=generator)
    return torch.rand(batch, steps, 28, 28, generator=generator), predictions, targets, states


def every_figure(images, predictions, targets, states, operation):
    return {
        "sums": plot_sums(images[:4], predictions[:4], operation, targets[:4]),
        "errors": plot_errors(predictions, targets),
        "predictions": plot_predictions(predictions, targets),
        "confusion": plot_confusion(predictions, targets, operation),
        "gates": plot_gates(dict.fromkeys(GATES, states[0]), images[0], operation, order_units(states, targets)),
        "hidden alone": plot_gates({"hidden": states[0]}, images[0], operation, order_units(states, targets)),
        "number line": plot_number_line(states, targets, operation),
    }


def draw(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def lies_inside(figure, name):
    """Check that nothing of a figure lies beyond its edges, in inches."""
    box = draw(figure).get_tightbbox()
    assert box.x0 > -0.02, name
    assert box.y0 > -0.02, name
    assert box.x1 < figure.get_figwidth() + 0.02, name
    assert box.y1 < figure.get_figheight() + 0.02, name


def texts(axes):
    return [text.get_text() for text in axes.texts]


def heat_map(axes, name):
    """Return the values `(H, T)` of the heat map under a title: the nearest image below it."""
    x, y = next(text.get_position() for text in axes.texts if text.get_text() == name)
    below = {}
    for image in axes.images:
        left, right, _, top = image.get_extent()
        if left < x < right and top > y:
            below[top] = image
    return below[min(below)]


@pytest.mark.parametrize(
    ("batch", "steps", "operation"),
    [(1, 1, "alternating"), (3, 1, "sum"), (1, 4, "alternating"), (5, 11, "sum"), (2_000, 4, "alternating")],
)
def test_nothing_is_cut_off(batch, steps, operation):
    for name, figure in every_figure(*sequences(batch, steps, operation), operation).items():
        lies_inside(figure, name)
    assert plt.get_fignums() == [], "pyplot keeps figures alive"


def test_figures_look_the_same_in_any_style_of_the_user():
    given = (*sequences(4, 4), "alternating")
    drawn = []
    for own in ({}, {"font.size": 20, "savefig.facecolor": "black", "lines.linewidth": 9}):
        with plt.style.context([own, "dark_background"] if own else []):
            figures = every_figure(*given)
            drawn.append([np.asarray(picture(figure)) for figure in figures.values()])
    for name, ours, theirs in zip(figures, *drawn, strict=True):
        assert np.array_equal(ours, theirs), name


def test_every_figure_is_in_the_common_style():
    for module in pkgutil.iter_modules(figures_of_all.__path__):
        for name, plot in vars(importlib.import_module(f"seqsum.figures.{module.name}")).items():
            if name.startswith("plot_") and name != "plot_all":  # which calls others
                assert plot.__wrapped__, name


def test_files_are_written_as_the_user_has_set(tmp_path):
    _, predictions, targets, _ = sequences(4, 4)
    with plt.rc_context({"savefig.dpi": 300, "svg.fonttype": "none"}):
        figure = plot_errors(predictions, targets)
        figure.savefig(tmp_path / "errors.png")
        figure.savefig(tmp_path / "errors.svg")
    assert plt.imread(tmp_path / "errors.png").shape[1] == round(300 * figure.get_figwidth())
    assert "<text" in (tmp_path / "errors.svg").read_text()


def test_the_users_style_is_left_as_it_is_in_threads():
    _, predictions, targets, _ = sequences(4, 4)
    with plt.style.context("dark_background"):
        before = dict(plt.rcParams)
        with ThreadPoolExecutor(4) as threads:
            pictures = [*threads.map(lambda _: picture(plot_errors(predictions, targets)), range(8))]
        assert dict(plt.rcParams) == before
    assert all(np.array_equal(each, picture(plot_errors(predictions, targets))) for each in pictures)


def picture(figure):
    """Its pixels, as a file has them."""
    file = BytesIO()
    figure.savefig(file, format="rgba")
    return np.frombuffer(file.getvalue(), np.uint8)


@pytest.mark.parametrize("finite", [0, 1, 9])
def test_units_of_a_network_that_diverged_have_no_leak(finite):
    gates = torch.rand(50, 4, 9).where(torch.arange(9) < finite, torch.nan)
    draw(plot_leaks(gates, torch.randn(9)))


@pytest.mark.parametrize(
    "scale", [1e-6, pytest.param(0.006, marks=pytest.mark.slow), pytest.param(1e4, marks=pytest.mark.slow), 1e12]
)
def test_nothing_is_cut_off_where_numbers_are_tiny_or_huge(scale):
    """As after a perfect training, or one that diverged."""
    images, _, targets, states = sequences(50, 4)
    errors, states, run = scale * torch.randn(50, 4), scale * states, scale * torch.randn(30, 9)
    readings = [4 * scale, 9 * scale, -5 * scale]
    figures = every_figure(images, targets + errors, targets, states, "alternating") | {
        "increment errors": plot_increment_errors(errors, scale * targets),
        "long run": plot_long_run(run[:, 0], run[:, 1], run, torch.arange(9)),
        "leaks": plot_leaks(torch.rand(50, 4, 9), run[0]),
        "codes": plot_codes(images[:2, 0], torch.eye(3)[:2], torch.tensor([1, 2]), [readings] * 2),
        "causes": plot_causes({"network": (torch.rand(10), errors, scale * targets)}),
        "over time": plot_over_time(images[0, 0], dict.fromkeys(GATES, run), "rows"),
        "over time, columns": plot_over_time(images[0, 0], dict.fromkeys(GATES, run), "columns"),
        "filters": plot_filters(run.view(30, 1, 3, 3)),
        "feature maps": plot_feature_maps(images[0, :1], run.view(30, 3, 3)),
        "continuations": plot_continuations(run, {"lstm": run}, ["curve"] * 30),
        "drift": plot_drift({"lstm": run.abs()}, typical=scale),
    }
    for name, figure in figures.items():
        lies_inside(figure, name)


def test_no_two_texts_overlap():
    figures = every_figure(*sequences(4, 6), "alternating")
    for name in ("sums", "gates", "hidden alone"):
        (axes,) = draw(figures[name]).axes
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2)), name


def test_figures_of_the_default_length_are_legible_in_a_card_of_tensorboard():
    """TensorBoard shrinks figures to cards of 365 × 215 pixels (measured in version 2.21)."""
    images, predictions, targets, states = sequences(12, 4)
    recorded = dict.fromkeys((f"{name}_l0" for name in GATES), states) | {"outputs": states}
    for name, figure in plot_all(images, recorded, predictions, targets, "alternating").items():
        scale = min(365 / figure.get_figwidth(), 215 / figure.get_figheight())  # pixels per inch
        written = [text for text in draw(figure).findobj(Text) if text.get_text() and text.get_visible()]
        assert written, name
        for text in written:
            assert text.get_fontsize() / 72 * scale > 8, (name, text.get_text())


def test_short_sequences_stand_side_by_side():
    images, sums = [torch.rand(3, 28, 28)] * 5, torch.arange(15.0).view(5, 3)
    (axes,) = plot_sums(images, list(sums), "sum").axes
    places = np.array([text.get_position() for text in axes.texts[:-1]]).reshape(5, 3, 2)
    assert texts(axes)[:-1] == [str(k) for k in range(15)]
    for left, right in ((0, 1), (2, 3)):
        assert np.ptp(places[[left, right], :, 1]) == 0, "on one line"
        within, between = places[left, 1, 0] - places[left, 0, 0], places[right, 0, 0] - places[left, 2, 0]
        assert between > 1.3 * within, "with a gap between them"
    assert (places[2, :, 1] > places[0, :, 1]).all()
    assert np.array_equal(places[4, :, 0], places[0, :, 0])


def test_a_training_that_diverged_can_still_be_drawn():
    images, predictions, targets, states = sequences(3, 4)
    figures = every_figure(images, predictions * torch.nan, targets, states * torch.nan, "alternating")
    for figure in figures.values():
        draw(figure)
    assert texts(figures["sums"].axes[0])[0] == "✗ –"
    assert count_readings(predictions * torch.nan, targets, "alternating")[:, 10].sum() == 12


def test_plot_sums_shows_signs_predictions_and_truth():
    images = [torch.rand(3, 28, 28), torch.rand(2, 28, 28)]
    predictions = [torch.tensor([4.2, -3, 2]), torch.tensor([9.0, 1])]
    targets = [torch.tensor([4.0, -2, 2]), torch.tensor([9.0, 1])]
    (axes,) = plot_sums(images, predictions, "alternating", targets).axes
    assert texts(axes)[:-1] == ["4", "4", "✗ −3", "−2", "2", "2", "9", "9", "1", "1"]
    plus, minus = axes.lines
    assert (plus.get_marker(), minus.get_marker()) == ("+", "_")
    sums = [np.array(text.get_position()) for text in axes.texts[:-1:2]]  # below the middles of their digits
    assert np.allclose(plus.get_xydata() - [sums[k] for k in (0, 2, 3)], plus.get_xydata()[0] - sums[0])
    assert np.allclose(minus.get_xydata() - [sums[k] for k in (1, 4)], plus.get_xydata()[0] - sums[0])
    assert [text.get_text() for text in axes.texts if text.get_color() == WRONG] == ["✗ −3"]
    assert [text.get_text() for text in axes.texts if text.get_color() == GIVEN] == ["4", "−2", "2", "9", "1"]


def test_plot_sums_without_truth():
    (axes,) = plot_sums([torch.rand(2, 28, 28)], [torch.tensor([4.0, 11])], "sum").axes
    assert texts(axes) == ["4", "11", "running sum"]


def test_plot_sums_of_a_users_files_shows_what_each_digit_was_read_as():
    sums = [torch.tensor([4.2, -3.4, 6]), torch.tensor([12.0, torch.nan])]
    names = [["a.png", "folders/b.png", "to/a_long_name_of_a.png"], ["strip.png", "strip.png"]]
    (axes,) = plot_sums([torch.rand(3, 28, 28), torch.rand(2, 28, 28)], sums, "alternating", names=names).axes
    assert texts(axes) == [
        "4", "read 4\na.png", "−3", "read 7\nb.png", "6", "read 9\na_long…a.png",
        "12", "read –\nstrip.png", "–", "read –\nstrip.png", "running sum (bold), digit read, file",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a_long_name_1_x_y.png", "a_long_name_2_x_y.png"], ["…1_x_y.png", "…2_x_y.png"]),
        (["a_long_name_1_of_many.png", "a_long_name_12_of_many.png"], ["…1…", "…12…"]),
        (["a_long_name_1.png", "of/a_long_name_1.png"], ["a_long…1.png", "…of/…"]),
        (["x" * 20, "x" * 40], ["xxxxxx…xxxxx", "…xxxxx…xxxx…"]),
        (["of_a/long_name.jpeg", "of_b/long_name.jpeg"], ["…a…", "…b…"]),
        (["short.png", "a_name_that_is_long.png", "a_name_that_is_long.png"], ["short.png", *["a_name…g.png"] * 2]),
    ],
)
def test_shortened_names_of_different_files_differ(names, expected):
    short = shorten_all(names, most=12)
    assert [short[name] for name in names] == expected
    digits = torch.rand(len(names), 28, 28)
    (axes,) = plot_sums([digits], [torch.zeros(len(names))], "sum", names=[names]).axes
    assert texts(axes)[1:-1:2] == [f"read 0\n{name}" for name in expected]


def test_a_dollar_in_a_files_name_is_no_formula():
    draw(plot_sums([torch.rand(1, 28, 28)], [torch.tensor([4.0])], "sum", names=[[r"$\5_{$.png"]]))


def test_a_users_files_do_not_run_into_what_is_below():
    names = [[f"photograph_{step}.jpeg" for step in range(9)]]
    figure = draw(plot_sums([torch.rand(9, 28, 28)], [torch.arange(9.0)], "sum", names=names))
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    for text, box in zip(axes.texts, boxes, strict=True):
        assert not any(box.overlaps(other) for other in boxes if other is not box), text.get_text()


def test_plot_sums_shows_the_digits_given_each_over_its_sum():
    digits = torch.zeros(2, 28, 28)
    digits[0, 5, 7], digits[1, 20, 3] = 2.0, -1.0  # ink is what is largest; the second digit is inverted
    (axes,) = plot_sums([digits], [torch.tensor([4.0, 11])], "sum").axes
    page = axes.images[0].get_array()
    rows, columns = page.shape
    left, right, bottom, top = axes.images[0].get_extent()
    for step, image in enumerate(digits):
        x, _ = axes.texts[step].get_position()  # of the sum, below the middle of the digit
        start = round((x - left) / (right - left) * columns) - 14
        shown = page[2:30, start : start + 28]
        assert np.allclose(shown, ((image.max() - image) / (image.max() - image.min())).numpy())
    assert (bottom - top) / (right - left) == pytest.approx(rows / columns), "digits are square"


def test_long_sequences_go_on_below():
    (axes,) = plot_sums([torch.rand(11, 28, 28)], [torch.arange(11.0)], "sum").axes
    places = np.array([text.get_position() for text in axes.texts[:-1]])
    assert texts(axes)[:-1] == [str(step) for step in range(11)]
    assert (np.diff(places[:8, 0]) > 0).all()
    assert np.ptp(places[:8, 1]) == 0
    assert np.allclose(places[8:, 0], places[:3, 0])
    assert (places[8:, 1] > places[:3, 1]).all()


def test_plot_errors_shows_the_errors_of_each_step():
    targets = torch.tensor([[1.0, 2], [3, 4]])
    figure = plot_errors(targets + torch.tensor([[0.25, 1.0], [-0.25, 0.0]]), targets)
    lines = [axes.lines[0].get_xydata().tolist() for axes in figure.axes]
    assert lines == [[[1, 0.25], [2, 0.5]], [[1, 0], [2, 50]]]


def test_plot_predictions_tells_right_from_wrong():
    targets = torch.tensor([[1.0, 2], [3, -4]])
    figure = plot_predictions(torch.tensor([[1.4, 2.6], [3.0, -4.1]]), targets)
    (axes,) = figure.axes
    right, wrong = axes.lines
    assert np.allclose(right.get_xydata(), [[1, 1.4], [3, 3], [-4, -4.1]])
    assert np.allclose(wrong.get_xydata(), [[2, 2.6]])
    assert (right.get_color(), wrong.get_color()) == (INK, WRONG)
    assert right.get_marker() != wrong.get_marker(), "not by colour alone"
    assert axes.get_title() == "1 of 4 sums wrong (×)"


def test_errors_and_readings_leave_masked_steps_out():
    digits, mask = torch.tensor([[1, 2, 3], [4, 0, 6]]), torch.tensor([[True] * 3, [True, False, True]])
    targets = running_targets(digits, "alternating")
    predictions = targets + torch.tensor([[0.25, 0.25, 1.25], [0.25, 90, 0.25]])
    mean, wrong = (axes.lines[0].get_ydata().tolist() for axes in plot_errors(predictions, targets, mask).axes)
    assert (mean, wrong) == ([0.25, 0.25, 0.75], [0, 0, 50])
    assert plot_predictions(predictions, targets, mask).axes[0].get_title() == "1 of 5 sums wrong (×)"
    counts = count_readings(predictions, targets, "alternating", mask)
    assert np.argwhere(counts).tolist() == [[1, 1], [2, 2], [3, 4], [4, 4], [6, 6]]


def test_readings_are_what_each_step_added():
    digits = torch.tensor([[3, 5, 0, 9], [7, 7, 1, 2]])
    predictions = running_targets(torch.tensor([[3, 6, 0, 9], [7, 7, -1, 12]]), "alternating") + 0.2
    expected = np.zeros((10, 11), dtype=int)
    for true, read in [(3, 3), (5, 6), (0, 0), (9, 9), (7, 7), (7, 7), (1, 10), (2, 10)]:
        expected[true, read] += 1
    assert np.array_equal(count_readings(predictions, running_targets(digits), "alternating"), expected)
    axes = plot_confusion(predictions, running_targets(digits), "alternating").axes[0]
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (read, true): str(expected[true, read]) for true, read in zip(*expected.nonzero(), strict=True)
    }
    assert {text.get_position() for text in axes.texts if text.get_color() == GIVEN} == {(k, k) for k in (3, 0, 9, 7)}
    shown = axes.images[0].get_array()
    assert shown[5, 6] == 1.0
    assert shown[7, 7] == 0, "what is right has no colour"
    assert "most frequent" not in axes.get_title(), "all are there"


def test_confusion_labels_the_most_frequent_mistakes_alone():
    _, _, targets, _ = sequences(2_000, 4)
    guesses = running_targets(torch.randint(0, 10, targets.shape, generator=torch.Generator().manual_seed(0)))
    counts = count_readings(guesses, targets, "alternating")
    labels = {
        text.get_position(): int(text.get_text())
        for text in plot_confusion(guesses, targets, "alternating").axes[0].texts
    }
    assert len(labels) == 40 + 10
    assert "40 most frequent mistakes" in plot_confusion(guesses, targets, "alternating").axes[0].get_title()
    missing = [
        counts[true, read] / counts[true].sum()
        for true in range(10)
        for read in range(10)
        if (read, true) not in labels
    ]
    assert max(missing) < min(count / counts[true].sum() for (read, true), count in labels.items() if read != true)


def test_targets_of_another_operation_are_refused():
    _, predictions, targets, _ = sequences(5, 4)
    with pytest.raises(ValueError, match=r"`targets` must be sums of digits by `operation` \(='sum'\), but .* adds -"):
        plot_confusion(predictions, targets, "sum")


def test_units_are_ordered_by_how_they_follow_the_sum():
    _, _, targets, _ = sequences(50, 4)
    noisy = targets + 20 * torch.randn(targets.shape, generator=torch.Generator().manual_seed(0))
    units = torch.stack([-targets, 0 * targets, 9 * noisy, targets / 9], dim=-1)
    assert order_units(units, targets).tolist() == [3, 2, 1, 0], "by correlation, whatever the scale"


def test_plot_gates_shows_the_gates_given_in_the_order_given():
    gates = {name: torch.rand(4, 6) for name in GATES[:2]} | {name: 3 * torch.randn(4, 6) for name in GATES[2:]}
    order = torch.tensor([3, 1, 0, 5, 4, 2])
    (axes,) = plot_gates(gates, torch.rand(4, 28, 28), "alternating", order).axes
    for name, values in gates.items():
        image = heat_map(axes, name.replace("_", " "))
        assert np.allclose(image.get_array(), values[:, order].T)
        limit = float(values.abs().quantile(0.98))
        limits = (0, 1) if name in GATES[:2] else (-limit, limit)
        assert image.get_clim() == pytest.approx(limits), "gates from 0 to 1, signed values with 0 in the middle"
    assert [(line.get_marker(), len(line.get_xdata())) for line in axes.lines] == [("+", 2), ("_", 2)] * 3, "columns"


def test_heat_maps_say_where_values_lie_beyond_their_colours():
    values = torch.linspace(-2, 2, 400).view(4, 100)
    values[0, 0] = 70.0
    (axes,) = plot_gates({"memory": values, "input_gate": values.abs().clamp(max=1)}, None, "sum").axes
    assert heat_map(axes, "memory").get_clim() == pytest.approx((-1.96, 1.96), abs=0.01)
    assert texts(axes)[1:3] == ["≥2", "≤−2"]
    assert {"0", "1"} < set(texts(axes)), "where none does, the bounds alone"


def test_plot_gates_of_states_that_differ_in_size_and_without_images():
    gates = {"hidden": torch.randn(4, 3), "memory": torch.randn(4, 6)}
    (axes,) = plot_gates(gates, None, "sum", torch.arange(6).flip(0)).axes
    assert np.allclose(heat_map(axes, "hidden").get_array(), gates["hidden"].T), "no order for these"
    assert np.allclose(heat_map(axes, "memory").get_array(), gates["memory"].flip(1).T)
    assert not axes.lines, "nor signs"


def test_principal_components_match_svd():
    _, _, targets, states = sequences(30, 4)
    states = states * torch.tensor([1, 3, 1, 1, 2, 1])
    seen, shares = principal_components(states, targets)
    flat = (states - states.mean(dim=(0, 1))).flatten(0, 1).double()
    left, singular, _ = torch.linalg.svd(flat, full_matrices=False)
    assert torch.allclose(seen.double().flatten(0, 1).abs(), (left * singular)[:, :2].abs(), atol=1e-4)
    assert torch.allclose(shares.double(), (singular**2 / (singular**2).sum())[:2], atol=1e-5)


def test_principal_components_do_not_depend_on_the_sign_of_the_states():
    _, _, targets, states = sequences(30, 4)
    seen, _ = principal_components(states, targets)
    mirrored, _ = principal_components(-states, targets)
    assert torch.allclose(seen, mirrored, atol=1e-4)
    for batch in (10, 20, 30, 40, 50):
        _, _, targets, states = sequences(batch, 4)
        seen, _ = principal_components(states, targets)
        assert (seen[..., 0] * (targets - targets.mean())).sum() > 0, "the first rises with the targets"


def test_principal_components_of_a_single_unit():
    _, _, targets, states = sequences(30, 4, hidden=1)
    seen, shares = principal_components(states, targets)
    assert torch.allclose(seen[..., 0].abs(), (states - states.mean())[..., 0].abs(), atol=1e-4)
    assert shares.tolist() == [1, 0]
    draw(plot_number_line(states, targets, "sum"))


def test_plot_number_line_colours_states_by_their_true_sum():
    _, _, targets, states = sequences(40, 4)
    axes, bar = plot_number_line(states, targets, "alternating").axes
    seen, _ = principal_components(states, targets)
    after_plus, after_minus = axes.collections
    for dots, steps in ((after_plus, slice(0, None, 2)), (after_minus, slice(1, None, 2))):
        assert np.allclose(dots.get_offsets(), seen[:, steps].flatten(0, 1))
        assert np.array_equal(dots.get_array(), targets[:, steps].flatten())
        assert dots.get_clim() == (-targets.abs().max(), targets.abs().max())
    assert len(after_plus.get_paths()[0]) > len(after_minus.get_paths()[0]), "circles and squares, as the title says"
    assert np.allclose(axes.lines[0].get_xydata(), seen[0])
    assert bar.get_ylabel() == "true running sum"


def test_plot_all_takes_each_layer_by_itself_and_the_number_line_from_the_last():
    images, predictions, targets, states = sequences(20, 4)
    first = states[:10]
    recorded = {"outputs": 0 * first, "update_gate_l0": first / 9, "hidden_l0": -first, "hidden_l1": first.square()}
    figures = plot_all(images[:10], recorded, predictions, targets, "alternating")
    assert list(figures) == ["sums", "errors", "predictions", "confusion", "gates_l0", "gates_l1", "number_line"]
    order = order_units(-first, targets[:10])
    shown = heat_map(figures["gates_l0"].axes[0], "update gate").get_array()
    assert np.allclose(shown, first[0, :, order].T / 9), "the first sequence, units by how the state follows the sum"
    seen, _ = principal_components(first.square(), targets[:10])
    assert np.allclose(figures["number_line"].axes[0].lines[0].get_xydata(), seen[0])


def test_plot_all_leaves_out_what_is_masked(monkeypatch):
    names = ["plot_sums", "plot_errors", "plot_predictions", "plot_confusion", "plot_gates", "plot_number_line"]
    draw_nothing(monkeypatch, together, *names)
    images, predictions, targets, states = sequences(6, 5, hidden=2)
    mask = torch.arange(5) < torch.tensor([4, 5, 2, 5, 1, 5])[:, None]
    states = states.where(mask[..., None], -1e3 * states)  # masked, the units would change places
    recorded = {"hidden_l0": states[:4], "outputs": states[:4]}
    figures = plot_all(images[:4], recorded, predictions, targets, "alternating", mask)
    given = {name: figure.given for name, figure in figures.items()}
    for name in ("errors", "predictions", "confusion"):
        assert torch.equal(given[name].mask, mask)
        assert torch.equal(given[name].predictions, predictions)
        assert torch.equal(given[name].targets, targets)
    drawn = zip(given["sums"].images, given["sums"].predictions, given["sums"].targets, strict=True)
    for row, of_sequence in enumerate(drawn):
        for tensor, whole in zip(of_sequence, (images, predictions, targets), strict=True):
            assert torch.equal(tensor, whole[row, mask[row]])
    assert torch.equal(given["gates_l0"].images, images[0])
    assert given["gates_l0"].order.tolist() == order_units(states[:4], targets[:4], mask[:4]).tolist() == [1, 0]
    assert torch.equal(given["number_line"].states, states[[1, 3]]), "of whole sequences"
    assert torch.equal(given["number_line"].targets, targets[[1, 3]])


def test_plot_all_without_gates_shows_the_outputs():
    images, predictions, targets, states = sequences(5, 4, "sum")
    figures = plot_all(images, {"outputs": states}, predictions, targets, "sum")
    assert not [name for name in figures if "gates" in name]
    seen, _ = principal_components(states, targets)
    assert np.allclose(figures["number_line"].axes[0].lines[0].get_xydata(), seen[0])


def test_plot_all_of_long_sequences_shows_what_can_be_seen():
    images, predictions, targets, states = sequences(30, 50, "sum")
    figures = plot_all(images, {"hidden_l0": states, "outputs": states}, predictions, targets, "sum")
    assert heat_map(figures["gates_l0"].axes[0], "hidden").get_array().shape == (6, 12)
    assert len(figures["sums"].axes[0].lines[0].get_xdata()) == 3 * 12
    assert sum(len(dots.get_offsets()) for dots in figures["number_line"].axes[0].collections) == 1_000


def test_figures_leave_their_tensors_as_they_are():
    given = sequences(5, 4)
    copies = [tensor.clone() for tensor in given]
    every_figure(*given, "alternating")
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(given, copies, strict=True))


def test_figures_take_tensors_with_gradients_and_of_low_precision():
    every_figure(*(tensor.bfloat16().requires_grad_() for tensor in sequences(3, 4)), "alternating")


@pytest.mark.parametrize("longest", [1, 4, 100, 1000, 5000, 10**6])
def test_lengths_of_any_size_are_numbered_without_overlap(longest):
    lengths = sorted({1, longest})
    figure = plot_length_curve(lengths, torch.ones(len(lengths)), torch.full((len(lengths),), 2), 0.9)
    figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert figure.axes[0].get_xticks()[-1] * 10 > longest
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))


@pytest.mark.parametrize("length", [4, 28, 99, 100, 300, 784, 5000])
def test_numbers_of_steps_do_not_overlap(length):
    sums = torch.zeros(2, length)
    for figure in (plot_errors(sums, sums), plot_settling(sums.long(), sums.long())):
        figure.draw_without_rendering()
        for axes in figure.axes:
            labels = [label.get_window_extent() for label in axes.get_xticklabels()]
            assert labels
            assert all(left.x1 < right.x0 for left, right in pairwise(labels))


def test_length_curve_draws_shares_intervals_and_all_digits_read_right():
    right, counts = torch.tensor([990, 460, 3]), torch.tensor([1000, 500, 10])
    figure = draw(plot_length_curve([1, 4, 100], right, counts, 0.99, trained=[2, 3, 4, 8]))
    (axes,) = figure.axes
    bands = [(band.get_x(), band.get_x() + band.get_width()) for band in axes.patches]
    np.testing.assert_allclose(bands, [(2 / 1.06, 4 * 1.06), (8 / 1.06, 8 * 1.06)])
    assert [text.get_text() for text in axes.get_legend().get_texts()].count("in training") == 1
    all_right, curve = axes.lines
    np.testing.assert_allclose(curve.get_ydata(), [99, 92, 30], rtol=1e-6)
    np.testing.assert_allclose(all_right.get_ydata(), 100 * 0.99 ** all_right.get_xdata())
    low, high = binomial_interval(right, counts)
    (lines,) = axes.collections
    drawn = np.array([segment[:, 1] for segment in lines.get_segments()])
    np.testing.assert_allclose(drawn, 100 * torch.stack([low, high], dim=1).numpy())
    assert {"length", "right"} <= set(f"{axes.get_xlabel()} {axes.get_ylabel()}".split())
    assert figure.get_tightbbox().x0 > 0
    assert figure.get_tightbbox().x1 < figure.get_figwidth()


def test_binomial_interval_solves_the_score_equation():
    """Wilson's ends are the two shares `p` that are 1.96 standard deviations from the observed one."""
    hits, trials = torch.tensor([1, 7, 50, 0, 10]), torch.tensor([10, 9, 2500, 4, 10])
    for p in binomial_interval(hits, trials):
        inside = (p > 0) & (p < 1)
        distance = (hits / trials - p).abs() / (p * (1 - p) / trials).sqrt()
        torch.testing.assert_close(distance[inside], torch.full_like(distance[inside], 1.959964), rtol=1e-5, atol=0)
    low, high = binomial_interval(hits, trials)
    assert low[3] == 0
    assert high[4] == 1
    assert (low < high).all()
