"""Networks and objectives follow the sizes of the data, and trainings on images run by their configurations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seqsum.cli import main
from seqsum.inspect import evaluate, load
from seqsum.inspect.__main__ import main as inspect
from tests.data.cifar_files import write_cifar

CONFIGS = Path(__file__).parents[2] / "configs"
NAMES = ["logistic", "mlp", "cnn", "densenet"]
SMALL = [
    "--trainer.max_epochs=1", "--trainer.log_every_n_steps=2", "--trainer.accelerator=cpu", "--data.batch_size=32",
    "--trainer.enable_progress_bar=false", "--trainer.limit_val_batches=2", "--trainer.limit_test_batches=2",
]  # fmt: skip
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


@pytest.fixture(scope="module")
def cifar_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar")
    write_cifar(root, "cifar10", 1_010)
    write_cifar(root, "cifar100", 5_040)
    return root


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_says_how_it_is_run(name):
    path = CONFIGS / f"images_{name}.yaml"
    assert f"# python train.py -c configs/{path.name}\n" in path.read_text()
    assert yaml.safe_load(path.read_text())["experiment"] == path.stem


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dataset", ["cifar10", pytest.param("mnist", marks=pytest.mark.slow)])
def test_every_configuration_trains_on_grey_and_on_colours(here, mnist_root, cifar_root, name, dataset):
    root = mnist_root if dataset == "mnist" else cifar_root
    main(["-c", str(CONFIGS / f"images_{name}.yaml"), f"--data.dataset={dataset}", f"--data.root={root}", *SMALL])
    run = here / f"logs/images_{name}/version_0"
    results = json.loads((run / "results.json").read_text())
    assert results["dataset"] == dataset
    events = EventAccumulator(str(run), size_guidance={"images": 0}).Reload()
    convolutional = name in ("cnn", "densenet")
    for kind in ("misread", "filters_layers.0.0", "feature_maps_layers.0.0"):
        assert (f"figures/{kind}" in events.Tags()["images"]) == (convolutional or kind == "misread")
        assert (run / f"{kind}.png").is_file() == (convolutional or kind == "misread")
    assert 0 <= results["test"]["test/accuracy"] <= 1


def test_a_hundred_classes_are_followed_by_head_and_objective_and_found_again(here, cifar_root):
    main(
        ["fit", "-c", str(CONFIGS / "images_cnn.yaml"), "--data.dataset=cifar100", f"--data.root={cifar_root}", *SMALL]
    )
    module, data, settings = load("logs/images_cnn/version_0/checkpoints/best.ckpt")
    network = module.network
    assert network.head.out_features == module.objective.output_size == 100
    assert network.encoder.module.in_channels == 3
    assert network.encoder.module.image_size == 32
    assert settings["model.network.output_size"] is None
    assert evaluate(module, data)["test/accuracy"] < 0.2


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("model.network.encoder.image_size=28", "(=28) must be left out, or be 32, which it follows from the data"),
        ("model.network.encoder.in_channels=1", "(=1) must be left out, or be 3, which it follows from the data"),
        ("model.network.output_size=7", "(=7) must be left out, or be 100, which it follows from the data"),
        ("model.objective.num_classes=7", "(=7) must be left out, or be 100, which it follows from the data"),
    ],
)
def test_another_size_than_that_of_the_data_is_refused(here, cifar_root, flag, message, capfd):
    command = ["fit", "-c", str(CONFIGS / "images_cnn.yaml"), "--data.dataset=cifar100", f"--data.root={cifar_root}"]
    with pytest.raises(SystemExit):
        main([*command, f"--{flag}", *SMALL])
    assert re.search(re.escape(f"`--{flag.partition('=')[0]}` {message}"), capfd.readouterr().err)
    assert not (here / "logs").exists()


def test_symbols_are_followed_by_encoder_and_objective(here, capfd):
    command = ["fit", "-c", str(CONFIGS / "memory.yaml"), "--data.num_symbols=5", "--data.epoch_size=64", *SMALL]
    main(command)
    module, _, _ = load("logs/memory/version_0/checkpoints/best.ckpt")
    assert (module.network.encoder.module.output_size, module.objective.blank) == (7, 5)
    with pytest.raises(SystemExit):
        main([*command, "--model.objective.num_symbols=9"])
    message = (
        "`--model.objective.num_symbols` (=9) must be left out, or be the `--data.num_symbols` (=5), which it follows"
    )
    assert message in capfd.readouterr().err


def test_dense_net_reads_for_the_main_job_and_its_convolutions_are_looked_into(here, mnist_root, capsys):
    encoder = [
        "--model.encoder=seqsum.networks.DenseEncoder",
        "--model.encoder.growth=4",
        "--model.encoder.blocks=[3,3]",
    ]
    main([*encoder, f"--data.root={mnist_root}", "--model.hidden_size=8", *SMALL])
    assert "test/exact_final" in json.loads((here / "logs/sum/version_0/results.json").read_text())["test"]
    checkpoint = "logs/sum/version_0/checkpoints/best.ckpt"
    inspect([checkpoint, "--output=page", "--max-length=2", "--convolutions", "layers.1.layers.0.2"])
    assert {"filters_layers.1.layers.0.2.png", "feature_maps_layers.1.layers.0.2.png", "confusion.png"} <= {
        path.name for path in (here / "page").iterdir()
    }
    with pytest.raises(SystemExit):
        inspect([checkpoint, "--output=other", "--convolutions=first"])
    assert "`--convolutions` (=first) must be one of layers.0.0, layers.1.layers.0.2" in capsys.readouterr().err
    assert not (here / "other").exists()
