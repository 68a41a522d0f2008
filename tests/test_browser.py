"""TensorBoard shows everything that a real run wrote, in a real browser."""

from __future__ import annotations

import csv
import io
import json
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import make_pictures
import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver.support.ui import WebDriverWait

from seqsum.cli import main
from seqsum.inspect.__main__ import main as inspect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
SCALARS = "data/plugin/scalars/scalars"
FIGURES = {f"figures/{name}" for name in ("sums", "errors", "predictions", "confusion", "gates_l0", "number_line")}
ACTIVATIONS = ("outputs", *(f"{name}_l0" for name in ("input_gate", "forget_gate", "cell_update", "output_gate")))
STATES = ("hidden_l0", "cell_state_l0")
METRICS = ("loss", "exact_step", "exact_final", "mae")
CURVES = {
    *(f"{stage}/{name}" for stage in ("train", "val", "test") for name in METRICS),
    *(f"train/{name}" for name in ("step_loss", "learning_rate", "gradient_norm", "images_per_second")),
    *(f"val_by_step/{name}_t{step}" for name in ("exact_step", "mae") for step in (1, 2, 3)),
    "epoch",
}


@pytest.fixture(scope="module")
def folder(mnist_root, tmp_path_factory):
    """Run two epochs and a test by the command line; return the run's folder."""
    logs = tmp_path_factory.mktemp("logs")
    main([
        f"--data.root={mnist_root}", "--data.dataset=mnist", "--data.batch_size=20", "--data.sequence_length=3",
        "--model.hidden_size=8", "--model.encoder.channels=[2,4]", "--trainer.max_epochs=2",
        "--trainer.limit_val_batches=3", "--trainer.log_every_n_steps=2", "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={logs}",
        "--tensorboard.figures_every_n_epochs=1", "--tensorboard.histograms_every_n_epochs=1",
    ])  # fmt: skip
    return logs / "sum/version_0"


@pytest.fixture(scope="module")
def address(folder):
    with make_pictures.serve(folder.parent) as address:
        wait_until(lambda: fetch(address, "data/runs") == ["version_0"])
        wait_until(lambda: "test/mae" in fetch(address, "data/plugin/scalars/tags").get("version_0", {}))
        yield address


@pytest.fixture(scope="module")
def browser():
    try:
        with make_pictures.chromium(1500, 1200) as driver:
            yield driver
    except make_pictures.NoBrowserError as reason:
        pytest.skip(str(reason))


def wait_until(condition):
    WebDriverWait(None, make_pictures.SECONDS).until(lambda _: condition())


def get(address, path, post=None, **query):
    body, kind = post and json.dumps(post).encode(), {"Content-Type": "application/json"}
    request = Request(f"{address}{path}?{urlencode(query)}", body, kind)
    with urlopen(request, timeout=make_pictures.SECONDS) as answer:
        return answer.read()


def fetch(address, path, post=None, **query):
    return json.loads(get(address, path, post, **query))


def tags(address, plugin):
    return set(fetch(address, f"data/plugin/{plugin}/tags")["version_0"])


def test_every_curve_is_served_with_its_values(folder, address):
    """Compare with `metrics.csv`, written by another logger."""
    assert tags(address, "scalars") == CURVES
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in CURVES:
        written = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        served = {step: value for _, step, value in fetch(address, SCALARS, run="version_0", tag=name)}
        assert served == pytest.approx(written, rel=1e-5), name


def test_every_figure_is_served(address):
    assert tags(address, "images") == FIGURES
    for name in FIGURES:
        entries = fetch(address, "data/plugin/images/images", run="version_0", tag=name, sample=0)
        assert [entry["step"] for entry in entries] == [0, 10, 20], "before, and after both epochs"
        for entry in entries:
            picture = Image.open(io.BytesIO(get(address, f"data/plugin/images/individualImage?{entry['query']}&")))
            assert min(picture.size) > 250, name
            assert np.asarray(picture.convert("L")).std() > 5, f"{name} is blank"


@pytest.mark.parametrize("plugin", ["histograms", "distributions"])
def test_every_histogram_is_served(folder, address, plugin):
    weights = torch.load(folder / "checkpoints/best.ckpt")["state_dict"]
    weights = {name.removeprefix("network."): tensor for name, tensor in weights.items() if tensor.is_floating_point()}
    weights = {name: tensor for name, tensor in weights.items() if not name.split(".")[-1].startswith("running_")}
    expected = {
        f"{group}/{name}": tensor.numel() for group in ("weights", "gradients") for name, tensor in weights.items()
    }
    expected |= {f"activations/{name}": 20 * 3 * 8 for name in (*ACTIVATIONS, *STATES)}
    assert tags(address, plugin) == set(expected)
    for name, count in expected.items():
        served = fetch(address, f"data/plugin/{plugin}/{plugin}", run="version_0", tag=name)
        assert len(served) == (2 if name.startswith("gradients") else 3), name
        if plugin == "histograms":
            assert sum(bucket[2] for bucket in served[-1][2]) == count, name


def test_settings_and_test_metrics_are_served_for_the_hparams_tab(folder, address):
    experiment = fetch(address, "data/plugin/hparams/experiment", {"experimentName": ""})
    assert {metric["name"]["tag"] for metric in experiment["metricInfos"]} == {f"test/{name}" for name in METRICS}
    question = {
        "experimentName": "", "startIndex": 0, "sliceSize": 10, "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN",
        "STATUS_RUNNING"], "colParams": [{"hparam": info["name"]} for info in experiment["hparamInfos"]],
    }  # fmt: skip
    (group,) = fetch(address, "data/plugin/hparams/session_groups", question)["sessionGroups"]
    expected = {"model.hidden_size": 8.0, "data.sequence_length": 3.0, "data.dataset": "mnist", "model.cell": "lstm"}
    assert expected.items() <= group["hparams"].items()
    served = {entry["name"]["tag"]: entry["value"] for entry in group["metricValues"]}
    assert served == pytest.approx(json.loads((folder / "results.json").read_text())["test"])


def test_settings_graph_and_layout_are_served(address):
    assert tags(address, "text") == {"configuration/text_summary"}
    (text,) = fetch(address, "data/plugin/text/text", run="version_0", tag="configuration/text_summary")
    assert "hidden_size: 8" in text["text"]
    assert b"LSTM[recurrence]" in get(address, "data/plugin/graphs/graph", run="version_0", conceptual="false")
    charts = fetch(address, "data/plugin/custom_scalars/layout")["category"][0]["chart"]
    assert [chart["title"] for chart in charts] == ["exact_step", "mae"]
    for chart in charts:
        (pattern,) = chart["multiline"]["tag"]
        found = fetch(address, "data/plugin/custom_scalars/scalars", run="version_0", tag=pattern)
        assert found["regex_valid"]
        assert set(found["tag_to_events"]) == {f"val_by_step/{chart['title']}_t{step}" for step in (1, 2, 3)}


def errors(browser):
    """Return the browser's errors since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("stage", ["train", "val", "val_by_step", "test", "figures"])
def test_tensorboard_paints_every_curve_and_figure(address, browser, stage):
    shown = {name for name in CURVES | FIGURES if name.startswith(f"{stage}/")}
    browser.set_window_size(1500, 3000)  # a card is painted when it comes into view
    make_pictures.open_time_series(browser, address, shown)
    assert errors(browser) == []


def test_page_of_a_network_stands_alone_and_is_whole(folder, browser, mnist_root, tmp_path):
    checkpoint = str(folder / "checkpoints/best.ckpt")
    inspect([checkpoint, f"--root={mnist_root}", f"--output={tmp_path / 'page'}", "--max-length=5"])
    for width in (1500, 500):
        browser.set_window_size(width, 900)
        browser.get((tmp_path / "page/index.html").as_uri())
        pictures = browser.execute_script(
            "return [...document.images].map(image => [image.alt, image.complete && image.naturalWidth > 0])"
        )
        assert len(pictures) == len(list((tmp_path / "page").glob("*.png"))) >= 8
        assert all(painted for _, painted in pictures), pictures
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), "no line is cut off"
        asked = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [name for name in asked if not name.startswith("data:")] == []
        assert errors(browser) == []


def test_errors_of_a_page_are_noticed(browser, tmp_path):
    """Otherwise the tests above would prove nothing."""
    page = tmp_path / "broken.html"
    page.write_text("<img src='nowhere.png'><script>undefinedFunction()</script>")
    browser.get(page.as_uri())
    assert len(errors(browser)) == 2


def test_pictures_of_the_readme_can_be_made(folder, browser, tmp_path):
    make_pictures.main([str(folder), f"--output={tmp_path}"])
    names = {"tensorboard", *make_pictures.FIGURES}
    assert {path.stem for path in tmp_path.iterdir()} == names
    for name in names:
        colours = Image.open(tmp_path / f"{name}.png").convert("RGB").getcolors(maxcolors=1 << 24)
        assert len(colours) > 20, name


def test_no_browser_is_said_by_name(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None if name == "chromedriver" else "/usr/bin/true")
    missing = pytest.raises(make_pictures.NoBrowserError, match="there is no `chromedriver`")
    with missing, make_pictures.chromium(100, 100):
        pass
