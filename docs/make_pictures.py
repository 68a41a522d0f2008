"""Makes the pictures of TensorBoard that the README shows, from the folder of a run.

python docs/make_pictures.py logs/sum/version_0

Needs Debian's `chromium` and `chromium-driver`, and `pip install -e '.[test]'` for Selenium, which drives them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SHOWN = ("train/loss", "val/loss", "val/exact_final", "train/gradient_norm", "train/learning_rate", "val/mae")
FIGURES = ("gates_l0", "number_line", "confusion")
WINDOW = (1500, 1175)  # pixels
SECONDS = 60  # the longest wait for a server or a page
# Tags of the cards that have a curve, or a picture, in them
PAINTED = """
return [...document.querySelectorAll('scalar-card, image-card')].filter(card =>
  card.querySelector('.series-view > svg :is(path, circle)') ||
  [...card.querySelectorAll('img')].some(image => image.complete && image.naturalWidth > 0)
).map(card => card.querySelector('tb-truncated-path').title)
"""
HIDE_SETTINGS = """
const button = [...document.querySelectorAll('button')].find(button => button.innerText.trim() === 'Settings');
button?.click();
return Boolean(button)
"""


class NoBrowserError(Exception):
    """Chromium or what drives it is not there; the message says which."""


@contextmanager
def serve(logs: Path) -> Iterator[str]:
    """TensorBoard on a free port, as long as it is needed; gives its address, with a slash at the end."""
    with tempfile.TemporaryFile("w+") as said:
        command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs}", "--host=127.0.0.1", "--port=0"]
        process = subprocess.Popen([*command, "--reload_interval=1"], stdout=said, stderr=subprocess.STDOUT)
        try:
            yield _wait_for_address(process, said)
        finally:
            process.terminate()
            process.wait(SECONDS)


def _wait_for_address(process: subprocess.Popen[bytes], said: Any) -> str:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        said.seek(0)
        if found := re.search(r"http://127\.0\.0\.1:\d+/", said.read()):
            return found[0]
        time.sleep(0.1)
    said.seek(0)
    raise RuntimeError(f"TensorBoard did not start in {SECONDS} s: {said.read()}")


@contextmanager
def chromium(width: int, height: int) -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a page of so many pixels.

    Raises:
        NoBrowserError: There is none, or nothing to drive it.
    """
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in paths.items():
        if path is None:
            raise NoBrowserError(f"there is no `{name}`: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(paths["chromium"])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # as root there is no sandbox; without WebGL TensorBoard draws curves into the page, where one can look for them
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-3d-apis", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=Service(str(paths["chromedriver"])))
    try:
        driver.set_window_size(width, height)
        driver.set_page_load_timeout(SECONDS)
        yield driver
    finally:
        driver.quit()


def open_time_series(driver: webdriver.Chrome, address: str, tags: set[str], with_settings: bool = True) -> None:
    """TensorBoard's first page, with these scalars and images alone, when all of them are painted.

    Raises:
        RuntimeError: Some are not, or others are there too.
    """
    pattern = "|".join(sorted(re.escape(tag) for tag in tags))
    driver.get(f"{address}?tagFilter={quote(f'^({pattern})$')}&smoothing=0#timeseries")
    if not with_settings:  # which take the room of a column
        WebDriverWait(driver, SECONDS).until(lambda page: page.execute_script(HIDE_SETTINGS))
    try:
        WebDriverWait(driver, SECONDS).until(lambda page: set(page.execute_script(PAINTED)) == tags)
    except TimeoutException as error:
        painted = driver.execute_script(PAINTED)
        raise RuntimeError(f"after {SECONDS} s {painted} are painted, and not {sorted(tags)}") from error


def main(arguments: list[str] | None = None) -> None:
    """Write `tensorboard.png`, and some of the run's last figures, into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, such as logs/sum/version_0")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="default: the folder of this script")
    options = parser.parse_args(arguments)
    images = EventAccumulator(str(options.run), size_guidance={"images": 1}).Reload()
    for name in FIGURES:
        (options.output / f"{name}.png").write_bytes(images.Images(f"figures/{name}")[-1].encoded_image_string)
    with tempfile.TemporaryDirectory() as logs:  # of this run alone, under its name
        alone = Path(logs) / options.run.resolve().parent.name / options.run.resolve().name
        alone.mkdir(parents=True)
        for events in options.run.glob("events.out.tfevents.*"):
            shutil.copy(events, alone)
        screenshot(Path(logs), options.output / "tensorboard.png")


def screenshot(logs: Path, path: Path) -> None:
    """TensorBoard's first page with the curves that tell how a training goes."""
    with serve(logs) as address, chromium(*WINDOW) as driver:
        open_time_series(driver, address, set(SHOWN), with_settings=False)
        driver.save_screenshot(str(path))


if __name__ == "__main__":
    main()
