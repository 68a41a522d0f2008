"""Tables print their cells as they are, and files of results name the machine."""

import argparse
import json

import pytest
import torch

from seqsum.experiments.files import save_table
from seqsum.tables import show


@pytest.mark.parametrize("text", ["[/b]", "[bold]", "[red]x[/red]", "plain"])
def test_a_table_prints_what_stands_in_it(capsys, text):
    show(text, [{"name": "first", text: text}, {"name": "second", text: 0.12345}])
    printed = capsys.readouterr().out
    assert printed.count(text) == 3  # title, column and cell
    assert "0.123" in printed


@pytest.mark.parametrize("gpu", [False, True])
def test_an_experiments_file_names_the_device_that_trainings_take(tmp_path, monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr("seqsum.tables.machine", lambda device: {"device": device.type})
    save_table("title", "name", [{"a": 1}], argparse.Namespace(output=tmp_path))
    found = json.loads((tmp_path / "name.json").read_text())
    assert found["machine"] == {"device": "cuda" if gpu else "cpu"}
    assert found["rows"] == [{"a": 1}]
