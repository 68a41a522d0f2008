"""A network that counts starts from the encoder of a network that reads; its checkpoints don't need that file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seqsum.cli import main
from seqsum.errors import InputError
from seqsum.inspect.restore import load
from seqsum.networks import ConvEncoder

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{part}")
    for part in ("does not have many workers", "module\\(s\\) in eval mode")
]
CONFIGS = Path(__file__).parents[2] / "configs"
TINY = "channels=[2]"
SHORT = [
    *("--trainer.max_epochs=2", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"),
    *("--trainer.limit_test_batches=1", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1"),
    *("--tensorboard.figures_every_n_epochs=0", "--data.batch_size=16"),
]
BEST = "checkpoints/best.ckpt"


def read(mnist_root, *more):
    encoder = f"--model.network.encoder.{TINY}"
    main(["-c", str(CONFIGS / "reading.yaml"), f"--data.root={mnist_root}", *SHORT, encoder, *more])


def count(mnist_root, *more):
    grows = "--data.sequence_length={0: 2, 0.5: 4}"
    main(
        [
            *("-c", str(CONFIGS / "count.yaml"), f"--data.root={mnist_root}", *SHORT, grows),
            *("--model.hidden_size=4", f"--model.encoder.{TINY}", *more),
        ]
    )


@pytest.fixture
def encoder_of():
    def weights(path):
        state = torch.load(path, weights_only=True)["state_dict"]
        return {name: weight for name, weight in state.items() if name.startswith("network.encoder.")}

    return weights


def test_reading_then_counting(here, mnist_root, encoder_of, capfd):
    read(mnist_root)
    start = here / "logs/reading/version_0" / BEST
    count(mnist_root, f"--model.encoder.start_from={start}")
    run = here / "logs/count/version_0"
    before, after = encoder_of(start), encoder_of(run / BEST)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)  # frozen
    assert f"start_from: {start}" in (run / "config.yaml").read_text()
    start.unlink()  # all that follows needs the run alone
    main(["test", f"--ckpt_path={run / BEST}", f"--data.root={mnist_root}"])
    assert load(run / BEST).module.network.encoder.module.frozen
    main(["-c", str(run / "config.yaml"), f"--ckpt_path={run / 'checkpoints/last.ckpt'}", "--trainer.max_epochs=3"])
    assert torch.load(here / "logs/count/version_1/checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
    assert "error" not in capfd.readouterr().err


@pytest.mark.slow
def test_an_encoder_of_ones_own_network_starts_too(here, mnist_root):
    read(mnist_root)
    start = here / "logs/reading/version_0" / BEST
    read(mnist_root, f"--model.network.encoder.start_from={start}", "--experiment=again")
    start.unlink()
    run = here / "logs/again/version_0"
    main(["test", f"--ckpt_path={run / BEST}", f"--data.root={mnist_root}"])
    main(["-c", str(run / "config.yaml"), f"--ckpt_path={run / 'checkpoints/last.ckpt'}", "--trainer.max_epochs=3"])
    assert (here / "logs/again/version_1/results.json").is_file()


def test_another_encoder_or_no_file_is_refused(here):
    encoder, start = ConvEncoder((2,), depth=2, output_size=6), "start.ckpt"
    weights = {f"network.encoder.module.{name}": weight for name, weight in encoder.state_dict().items()}
    torch.save({"state_dict": {**weights, "network.head.bias": torch.zeros(10)}}, start)
    again = ConvEncoder((2,), depth=2, output_size=6, activation="choice", start_from=start)
    assert all(torch.equal(weight, encoder.state_dict()[name]) for name, weight in again.state_dict().items())
    for channels in ((3,), (2, 3)):  # weights of other shapes, and more weights
        with pytest.raises(InputError, match=r"^`start_from` \(=start.ckpt\) contains another encoder .* layers"):
            ConvEncoder(channels, depth=2, output_size=6, start_from=start)
    with pytest.raises(InputError, match=r"^`start_from` \(=nowhere\) is not a file"):
        ConvEncoder(start_from="nowhere")


@pytest.mark.parametrize("weight", ["network.weight", "network.encoder.module.weight", "network.head.bias"])
def test_a_checkpoint_without_an_encoder_of_images_is_refused_whatever_the_place_of_ours(here, capfd, weight):
    """Word vectors, an encoder of words, and none at all; our encoder may be part of a network of the user's."""
    torch.save({"state_dict": {weight: torch.zeros(7, 5)}}, "words.ckpt")
    with pytest.raises(SystemExit):
        main(["-c", str(CONFIGS / "reading.yaml"), "--model.network.encoder.start_from=words.ckpt"])
    error = capfd.readouterr().err
    assert "`start_from` (=words.ckpt) contains no ConvEncoder: it must be the checkpoint of a training with" in error
    assert "model.encoder" not in error
