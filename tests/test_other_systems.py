"""What Windows and Macs do otherwise, as far as Linux can play them."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqsum import console, files, versions
from seqsum.check.loading import load
from seqsum.check.result import Fault
from seqsum.cli.configurations import read_configuration
from seqsum.data import cifar
from seqsum.data.curve_file import read_samples
from seqsum.data.downloads import MissingDataError, downloading
from seqsum.errors import InputError
from seqsum.options import quoted_flags
from seqsum.recurrent.kernels.native import build

ROOT = Path(__file__).parents[1]


def test_output_may_lack_characters(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252", write_through=True))
    console.write_any_character()
    print("1 − z → σ")
    assert written.getvalue() == b"1 ? z ? ?\n"


@pytest.mark.parametrize("program", [["-m", "seqsum.check", "--list"], ["-m", "seqsum.experiments", "--help"]])
def test_programs_write_to_files_in_the_encoding_of_old_windows(program):
    done = subprocess.run(
        [sys.executable, *program], cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_a_runs_settings_are_written_in_utf8_whatever_the_systems_encoding(tmp_path):
    refused = "error::EncodingWarning:jsonargparse._core"  # which would write them in that of the system
    environment = {**os.environ, "PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": refused, "PYTHONPATH": str(ROOT)}
    flags = [f"--trainer.limit_{split}_batches=1" for split in ("train", "val")]
    command = [sys.executable, ROOT / "train.py", "fit", "--experiment=Jürgen", "--data.dataset=rendered", *flags]
    done = subprocess.run([*command, "--trainer.max_epochs=1"], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    (saved,) = tmp_path.glob("logs/*/version_0/config.yaml")
    assert "experiment: Jürgen" in saved.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["", ":Cell"])
def test_a_file_may_be_on_a_drive(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("C:\\my cells.py").write_text(
        "from torch import nn\nclass Cell(nn.GRUCell):\n    forward = nn.GRUCell.forward\n"
    )
    assert load(f"C:\\my cells.py{name}").__name__ == "Cell"
    with pytest.raises(Fault, match=r"there is no file D:\\cells.py"):
        load(f"D:\\cells.py{name}")


def test_printed_commands_fit_the_shell(monkeypatch):
    assert console.quote("logs/my run") == "'logs/my run'"
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        quoted = [console.quote(text) for text in ("logs\\sum\\version_0", "logs\\my run")]
        flags = quoted_flags('--data.root=C:\\Users\\me --experiment="my run"')
    assert quoted == ["logs\\sum\\version_0", '"logs\\my run"']
    assert flags == ["--data.root=C:\\Users\\me", "--experiment=my run"]
    assert quoted_flags(r"--a=b\ c '--d=#e f'") == ["--a=b c", "--d=#e f"]


def test_a_file_that_another_program_holds_is_replaced_when_it_lets_go(tmp_path, monkeypatch):
    replace, refusals = os.replace, [PermissionError(13, "held")] * 2

    def busy(source, target):
        if refusals:
            raise refusals.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(files, "WAITS", (0.0, 0.0))
    files.write_atomically(tmp_path / "new", "text")
    assert (tmp_path / "new").read_text() == "text"
    refusals += [PermissionError(13, "held")] * 3
    with pytest.raises(PermissionError):
        files.write_atomically(tmp_path / "new", "other")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_files_of_powershell_are_read(tmp_path):
    (tmp_path / "mine.yaml").write_bytes("data:\n  root: Jürgen\n".encode("utf-16"))
    assert read_configuration(str(tmp_path / "mine.yaml")).settings == {"data": {"root": "Jürgen"}}
    (tmp_path / "curve.csv").write_bytes("sample\n1\n0.5\n".encode("utf-16"))
    assert read_samples(tmp_path / "curve.csv").tolist() == [1, 0.5]
    for read in (lambda: read_configuration(str(tmp_path / "old")), lambda: read_samples(tmp_path / "old")):
        (tmp_path / "old").write_bytes("Jürgen".encode("cp1252"))
        with pytest.raises(InputError, match="is not UTF-8 text: byte 0xfc at place 2; save it as UTF-8"):
            read()


def test_kernels_are_left_out_where_no_compiler_can_make_them(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        assert build.load_library.__wrapped__("float") == "the kernels are not compiled on Windows"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        patch.setattr(shutil, "which", lambda name: "/usr/bin/c++")
        said = build.load_library.__wrapped__("float")
    assert said.startswith("no C++ compiler but Apple’s was found")


def test_a_folder_whose_name_a_file_has_is_refused(tmp_path):
    (tmp_path / "logs").write_text("")
    with pytest.raises(InputError, match=r"the folder .*version_0 can't be made"):
        versions.claim_version(tmp_path / "logs")


def test_an_archive_is_copied_where_links_need_rights(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1314, "A required privilege is not held by the client")

    (tmp_path / "archive").write_text("content")
    monkeypatch.setattr(Path, "symlink_to", refuse)
    cifar._link(tmp_path / "place", tmp_path / "archive")
    assert (tmp_path / "place").read_text() == "content"


def test_missing_certificates_are_explained(tmp_path):
    with (
        pytest.raises(MissingDataError, match=r"on a Mac, run `Install Certificates.command`"),
        downloading("x", tmp_path),
    ):
        raise OSError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate")
