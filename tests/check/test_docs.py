"""docs/check.md shows what the commands print."""

import re
import sys
from pathlib import Path

import pytest

from seqsum.check.__main__ import main
from seqsum.check.equations.catalogue import CATALOGUE
from seqsum.check.run import ordered_checks

PAGE = (Path(__file__).parents[2] / "docs/check.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, flags=re.DOTALL)
PYTHON = [block for language, block in BLOCKS if language == "python"]
PRINTED = [block for language, block in BLOCKS if language == ""]


@pytest.fixture
def cell(here, monkeypatch):
    """The cell of the page as my_cells.py, in a folder of its own."""
    Path("my_cells.py").write_text(PYTHON[0])
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "my_cells", raising=False)
    yield PYTHON[0]
    sys.modules.pop("my_cells", None)


def test_the_report_is_the_one_that_the_command_prints(cell, capsys):
    assert main(["my_cells.MyLSTM", "--like=lstm"]) == 1
    without_time = [re.sub(r" \(\d+\.\d s\)", "", text) for text in (capsys.readouterr().out, PRINTED[0])]
    assert without_time[0] == without_time[1]


def test_the_table_is_the_one_that_the_command_prints(cell, capsys):
    right = cell.replace("torch.tanh(c)\n", "torch.tanh(c_new)\n")
    Path("submissions").mkdir()
    for name, source in {
        "ada": right,
        "ben": cell,
        "cleo": cell.replace("return h_new, [h_new, c_new]", "return h_new"),
        "dan": right.replace("h, c = state[0]", "h, c = state[0].detach()"),
    }.items():
        Path(f"submissions/{name}.py").write_text(source)
    assert main(["submissions/", "--like=lstm"]) == 1
    assert capsys.readouterr().out == PRINTED[1]


def test_every_check_is_listed_in_order():
    rows = [f"| {check.title} | {check.explanation} |" for check in ordered_checks(learn=True)]
    assert "\n".join(rows) in PAGE


def test_the_numbers_of_known_mistakes_are_true(capsys):
    counts = {name: sum(mistake.kind == "mistake" for mistake in known) for name, known in CATALOGUE.items()}
    assert f"{counts['lstm']} for an LSTM, {counts['gru']} for a GRU, {counts['rnn']} for an RNN" in PAGE
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    for name, known in CATALOGUE.items():
        assert f"{name}: {counts[name]} mistakes" in listed
        assert all(mistake.sentence in listed for mistake in known)


def test_the_python_examples_do_what_they_show(cell, capsys):
    exec(PYTHON[1], {})
    assert capsys.readouterr().out == "True torch.nn.GRUCell's\n"
    scope: dict = {}
    exec(PYTHON[2], scope)
    with pytest.raises(AssertionError, match="read from the cell state before its update"):
        scope["test_my_lstm"]()


@pytest.mark.parametrize("command", re.findall(r"^python -m seqsum\.check (.+)$", PAGE, flags=re.MULTILINE))
def test_every_command_parses(command):
    from seqsum.check.__main__ import make_parser

    assert make_parser().parse_args(command.split()).like == "lstm"


def test_no_cell_is_an_error_of_the_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "name a cell" in capsys.readouterr().err
