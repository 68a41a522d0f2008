"""`~` is the home folder in every option."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from seqsum.benchmarks import __main__ as benchmarks_main
from seqsum.checkpoint_file import load_checkpoint
from seqsum.cli import main
from seqsum.cli.app import SeqsumCLI
from seqsum.cli.configurations import dump_settings
from seqsum.data import DigitSums, EncodedSums, FilmReviews, SineCurves, Translation, WordPairs
from seqsum.data.cifar import class_names
from seqsum.data.digits import load_splits
from seqsum.data.pairs import obtain_pairs
from seqsum.errors import InputError
from seqsum.experiments import __main__ as experiments_main
from seqsum.inspect.__main__ import main as inspect
from seqsum.paths import expand_home, expand_options
from tests.cli.test_cli import SMALL
from tests.data.pairs.written import write_multi30k
from tests.data.reviews.written import some_reviews, write_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]
# options that hold a path, and those that must be given for them to be there
PATHS = {
    "trainer.default_root_dir": [],
    "data.root": [],
    "data.init_args.root": [],
    "data.images": [],
    "data.curve": ["--data=seqsum.data.SineCurves"],
    "trainer.logger.save_dir": ["--trainer.logger=CSVLogger"],
    "trainer.callbacks.dirpath": ["--trainer.callbacks=ModelCheckpoint"],
    "trainer.profiler.dirpath": ["--trainer.profiler=SimpleProfiler"],
}


class ParsedError(Exception):
    """Stop the program once the settings are known."""


@pytest.fixture
def settings_of(here, monkeypatch):
    """Return the settings that a command line produces."""

    def stop(cli):
        raise ParsedError(cli.config[cli.subcommand].as_dict())

    def read(arguments):
        with pytest.raises(ParsedError) as stopped:
            main(arguments)
        return stopped.value.args[0]

    monkeypatch.setattr(SeqsumCLI, "instantiate_classes", stop)
    return read


@pytest.fixture
def home(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def texts(settings):
    """Yield all strings in nested settings."""
    if isinstance(settings, dict | list):
        inner = settings.values() if isinstance(settings, dict) else settings
        return [text for value in inner for text in texts(value)]
    return [str(settings)]


@pytest.mark.parametrize("option", PATHS)
@pytest.mark.parametrize("words", [["--{}=~/folder/file"], ["--{}", "~/folder/file"]], ids=["one", "two"])
def test_home_in_every_option(settings_of, home, option, words):
    found = texts(settings_of(["fit", *PATHS[option], *(word.format(option) for word in words)]))
    assert found.count(str(home / "folder/file")) == 1
    assert not any("~" in text for text in found)


def test_home_in_a_file_and_of_a_file(settings_of, home):
    settings = {
        "trainer": {
            "default_root_dir": "~/runs",
            "callbacks": [{"class_path": "ModelCheckpoint", "init_args": {"dirpath": "~/kept"}}],
        },
        "data": {"class_path": "seqsum.data.DigitSums", "init_args": {"root": "~/data", "images": ["~/a.png"]}},
    }
    (home / "settings.yaml").write_text(yaml.safe_dump(settings))
    for words in (["--config=~/settings.yaml"], ["-c", "~/settings.yaml"], ["-c~/settings.yaml"]):
        found = settings_of(["fit", *words])
        assert {str(home / name) for name in ("runs", "kept", "data", "a.png")} <= set(texts(found))
        assert not any(text.startswith("~") for text in texts(found))


def test_nothing_and_what_only_holds_a_tilde_stay(settings_of, home):
    assert settings_of(["fit", "--model.truncate=~"])["model"]["truncate"] is None
    assert settings_of(["fit", "--experiment=a~b"])["experiment"] == "a~b"
    assert expand_options(["--flag=a~/b", "a~", "--model.truncate=~"]) == ["--flag=a~/b", "a~", "--model.truncate=~"]
    assert expand_home(["~/a", ("~/b", 1), {"c": Path("~/c")}]) == [f"{home}/a", (f"{home}/b", 1), {"c": home / "c"}]


def test_the_home_of_a_user_who_is_not_there_stays_as_it_is(tmp_path):
    for given in ("~nosuchuser/data", "~ 5 stars", "~5/10, no more"):
        assert expand_home([given, Path(given)]) == [given, Path(given)]
        with pytest.raises(InputError, match=f"--data.pairs`: {given} can't be read"):
            obtain_pairs("auto", tmp_path, given, None, None)
        assert class_names("cifar10", given)[:2] == ["0", "1"]


@pytest.mark.slow
def test_a_whole_run_lies_below_the_home_folder(here, home, mnist_root, capfd):
    """Train, resume, test, predict and inspect, with all paths below `~`."""
    (home / "data").symlink_to(mnist_root)
    where = ["--trainer.default_root_dir=~/runs", "--data.root=~/data"]
    main(["fit", *SMALL, *where, "--trainer.max_epochs=1"])
    main(["fit", "--ckpt_path=last", "--trainer.default_root_dir=~/runs", "--trainer.max_epochs=2"])
    run = home / "runs/sum/version_1"
    assert torch.load(run / "checkpoints/last.ckpt")["hyper_parameters"]["hidden_size"] == 8
    Image.fromarray(load_splits("mnist", mnist_root)["test"].images[0].numpy()).save(home / "digit.png")
    best = "~/runs/sum/version_1/checkpoints/best.ckpt"
    quiet = [*where, "--trainer.enable_progress_bar=false"]
    main(["test", f"--ckpt_path={best}", *quiet])
    main(["predict", "--ckpt_path", best, "--data.images=~/digit.png", *quiet])
    assert {path.name for path in (home / "runs").iterdir()} == {"sum", "sum-test", "sum-predict"}
    inspect([best, "--root=~/data", "--images", "~/digit.png", "--output=~/look"])
    assert (home / "look/index.html").is_file()
    assert list(here.iterdir()) == []


def test_in_python_too(home, mnist_root):
    (home / "mnist").symlink_to(mnist_root)
    write_folder(home / "reviews", some_reviews())
    write_multi30k(home / "pairs")
    (home / "curve.csv").write_text("0\n1\n")
    features = {"features": torch.zeros(20, 2), "labels": torch.zeros(20).long()}
    torch.save(dict.fromkeys(("train", "val", "test"), features), home / "features.pt")
    for data in (
        DigitSums("mnist", root="~/mnist"),
        FilmReviews("imdb", root="~/reviews"),
        WordPairs(dataset="imdb", root="~/reviews"),
        Translation("multi30k", root="~/pairs"),
        EncodedSums("~/features.pt"),
    ):
        data.prepare_data()
        data.setup("fit")
        assert data.count("train") > 0
    SineCurves(curve="~/curve.csv").setup("predict")
    torch.save({}, home / "empty.ckpt")
    with pytest.raises(InputError, match="is not a checkpoint of seqsum"):
        load_checkpoint("~/empty.ckpt")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [(benchmarks_main, ["loading", "--root=~/data"]), (experiments_main, ["orders"])],
    ids=["benchmarks", "experiments"],
)
def test_home_in_the_other_programs(here, home, monkeypatch, program, arguments):
    seen = []
    name = arguments[0]
    commands = program.BENCHMARKS if program is benchmarks_main else program.EXPERIMENTS

    def note(options, *_):
        seen.append(options)
        raise SystemExit

    monkeypatch.setattr(commands[name], "run", note)
    with pytest.raises(SystemExit):
        program.main([*arguments, "--output=~/numbers"])
    assert isinstance(seen[0], argparse.Namespace)
    assert seen[0].output == home / "numbers"
    assert not any(str(value).startswith("~") for value in vars(seen[0]).values())


NUMBERS = ["1e3", "1E-3", "12", "007", "1_000", "0x10", "1:30", "1.", ".5", ".inf", "2024-01-01", "yes", "true"]
MOST = ("1e3", "007", "1:30", "2024-01-01", "yes")  # a float, an integer, base 60, a date, a truth value


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in MOST else pytest.mark.slow) for name in NUMBERS]
)
def test_a_folder_whose_name_yaml_reads_as_something_else(settings_of, capsys, name):
    """The name stays the same in written settings and when they are read again."""
    options = ["trainer.default_root_dir", "data.root", "data.images", "trainer.logger.save_dir"]
    command = ["fit", "--trainer.logger=CSVLogger", *(f"--{option}={name}" for option in [*options, "experiment"])]
    settings = settings_of(command)
    with pytest.raises(SystemExit):
        main([*command, "--print_config"])
    Path("written.yaml").write_text(capsys.readouterr().out)
    in_a_line = f"--config={dump_settings(settings, in_a_line=True)}"  # as a run that is resumed gets them
    for found in (settings, settings_of(["fit", "-c", "written.yaml"]), settings_of(["fit", in_a_line])):
        assert found["experiment"] == found["trainer"]["default_root_dir"] == name
        assert found["trainer"]["logger"]["init_args"]["save_dir"] == name
        assert found["data"]["init_args"]["root"] == found["data"]["init_args"]["images"] == name


def test_numbers_are_written_as_numbers(settings_of, capsys):
    """Numbers are not quoted: a quoted number would be refused."""
    command = ["fit", "--model.learning_rate=1e-5", "--model.weight_decay=1e3", "--model.objective.beta=.inf"]
    with pytest.raises(SystemExit):
        main([*command, "--print_config"])
    Path("written.yaml").write_text(capsys.readouterr().out)
    in_a_line = f"--config={dump_settings(settings_of(command), in_a_line=True)}"
    for given in (["-c", "written.yaml"], [in_a_line]):
        model = settings_of(["fit", *given])["model"]
        assert (model["learning_rate"], model["weight_decay"]) == (1e-5, 1e3)
        assert model["objective"]["init_args"]["beta"] == float("inf")
