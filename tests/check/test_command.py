"""The command: a report, JSON, a page, a table for a folder, and exit codes for graders."""

import json
import sched
import subprocess
import sys
import time
from pathlib import Path

import pytest

import seqsum
from seqsum.check import Report
from seqsum.check.__main__ import main
from seqsum.check.grading import find_submissions, grade, make_table, read_grade
from seqsum.check.isolated import Ended
from seqsum.check.loading import load
from tests.check.conftest import SUBMISSIONS


def write(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    source = (SUBMISSIONS / "lstm.py").read_text()
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    path = folder / name
    path.write_text(source)
    return path


OLD = ("o * torch.tanh(c_new)", "o * torch.tanh(c)")
SAID = "your hidden state is read from the cell state before its update"


def test_a_right_cell_ends_with_0_and_a_wrong_one_with_1(here, capsys):
    assert main([str(write(here, "ada.py")), "--like=lstm"]) == 0
    assert "MyLSTM: is right" in capsys.readouterr().out
    assert main([str(write(here, "ben.py", OLD)), "--like=lstm"]) == 1
    out = capsys.readouterr().out
    assert f"FAIL its equations: {SAID}" in out
    assert "look at  ben.py:30: h_new = o * torch.tanh(c)" in out


def test_a_cell_is_found_by_its_dotted_path_in_the_folder_one_is_in(here, capsys, monkeypatch):
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path])
    write(here, "dotted_cells.py")
    assert main(["dotted_cells.MyLSTM", "--like=lstm"]) == 0


def test_a_part_that_takes_no_state_is_no_cell(here, capsys):
    part = "class Activation(nn.Module):\n    def forward(self, x):\n        return torch.tanh(x)\n\n\n"
    plain = (
        "import torch\nfrom torch import nn\n\n\n" + part + "class Cell(nn.Module):\n"
        "    def __init__(self, input_size, hidden_size):\n        super().__init__()\n"
        "        self.x, self.h = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)\n"
        "        self.activation = Activation()\n\n"
        "    def forward(self, x, h):\n        return self.activation(self.x(x) + self.h(h))\n"
    )
    (here / "ada.py").write_text(plain)
    assert main(["ada.py", "--like=rnn"]) == 0
    assert "Cell: is right" in capsys.readouterr().out


def test_json_is_all_that_is_printed_and_holds_every_result(here, capsys):
    path = write(here, "ben.py", OLD, ("import torch\n", "import torch\nprint('hello')\n"))
    assert main([str(path), "--like=lstm", "--json"]) == 1
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert "hello" in captured.err
    assert report["passed"] is False
    assert report["cell"] == "MyLSTM"
    wrong = [result for result in report["results"] if result["status"] == "failed"]
    assert [result["message"] for result in wrong] == [SAID]
    assert wrong[0]["data"]["mistakes"] == ["hidden_from_old_cell"]
    assert {"expected", "came", "example", "where"} <= wrong[0].keys()


def test_json_has_null_where_a_number_is_not_finite(here, capsys):
    path = write(here, "diverging.py", ("h_new = o * torch.tanh(c_new)", "h_new = i + 1e3 * h"))
    main([str(path), "--learn", "--json"])
    printed = capsys.readouterr().out
    report = json.loads(printed, parse_constant=pytest.fail)
    assert "null" in printed
    assert Report.from_dict(report).to_html().startswith("<!")


def test_a_notebook_shows_what_is_printed():
    report = seqsum.check_cell(seqsum.GRUCell, like="gru")
    assert repr(report) == str(report)


def test_the_page_says_the_same_with_a_picture(here):
    assert main([str(write(here, "ben.py", OLD)), "--like=lstm", "--html=ben.html"]) == 1
    page = Path("ben.html").read_text()
    assert SAID in page
    assert "<code>step</code> makes no weights" in page
    assert page.count('src="data:image/png;base64,') == 1
    assert "http" not in page


@pytest.mark.parametrize(
    ("content", "target", "says"),
    [
        ("def f(:\n", "a.py", "a.py can't be imported: SyntaxError"),
        ("import nothing_of_the_kind\n", "a.py", "No module named 'nothing_of_the_kind'"),
        ("from .others import x\n", "a.py", "its dotted path, from the folder above its package"),
        ("raise SystemExit(3)\n", "a.py", "a.py can't be imported: SystemExit: 3"),
        ("x = 1\n", "a.py", "no cell in the file"),
        ("x = 1\n", "a.py:Mine", "there is no `Mine`"),
        ("x = 1\n", "b.py", "there is no file b.py"),
        ("x = 1\n", "nowhere", "`nowhere` names no class"),
        ("x = 1\n", "nowhere/", "there is no file or folder nowhere/"),
        ("x = 1\n", "no.such.Cell", "No module named 'no'"),
        (
            "from torch import nn\nclass A(nn.LSTMCell):\n  def forward(s): 0\nclass B(A):\n  def forward(s): 0\n",
            "a.py",
            "several cells in the file",
        ),
        ("class Mine:\n  def step(s): 0\n", "a.py", "Mine is no nn.Module"),
        ("class Base: 0\nclass Mine(Base): 0\n", "a.py", "several classes, but no cell, in the file"),
        ("class Options: 0\nclass MyLSTM: 0\n", "a.py", "MyLSTM is no nn.Module"),
        ("from torch import nn\nclass Mine(nn.Module):\n  def step(s): 0\n", "a.py", "1 of 26 checks failed"),
    ],
)
def test_what_can_not_be_loaded_is_told_in_one_line(here, capsys, content, target, says):
    Path("a.py").write_text(content)
    assert main([target, "--like=lstm"]) == 1
    out = capsys.readouterr().out
    assert says in out
    assert "Traceback" not in out


def test_notebooks_are_named_unless_they_were_exported(here, capsys):
    handed_in = {
        ".": ["ada.py", "ada.ipynb", "ben.ipynb", "cem.py", "_notes.ipynb"],  # files of all
        "dan": ["my_cells.py", "tour.ipynb"],  # a folder of one
        "eva": ["tour.ipynb"],
    }
    for folder, names in handed_in.items():
        (here / "all" / folder).mkdir(exist_ok=True)
        for name in names:
            write(here / "all" / folder, name)
    assert main(["all", "--like=lstm"]) == 1
    _, *rows, last = capsys.readouterr().out.splitlines()[:7]
    assert [row.split()[0] for row in rows] == ["ada.py", "cem.py", "ben.ipynb", "dan/my_cells.py", "eva/tour.ipynb"]
    assert "ben.ipynb is a notebook, of which no cell can be imported" in rows[2]
    assert last == "3 of 5 are right"


@pytest.mark.parametrize(
    ("content", "target", "expected"),
    [
        ("import nowhere_at_all", "mine.py", "`nowhere_at_all` to be installed"),
        ("from torch import no_such_name", "mine.py", "a file that Python can run"),
        ("x = nn.Linear", "mine.py", "a file that Python can run"),
        ("", "nofile.MyLSTM", "`my_cells.MyLSTM`, `my_cells.py`, or"),
    ],
)
def test_what_a_file_that_fails_needs_is_said(here, capsys, content, target, expected):
    (here / "mine.py").write_text(content)
    assert main([target]) == 1
    assert f"expected {expected}" in capsys.readouterr().out


ANOTHER = "class {name}(nn.Module):\n  def forward(self, x): return x\n"


@pytest.mark.parametrize("more", ["", ANOTHER.format(name="GRU")])
def test_of_several_classes_that_of_the_reference_is_taken(here, more):
    mine = "class MyGRUCell(nn.GRUCell):\n  def forward(self, x, h): return super().forward(x, h)\n"
    Path("both.py").write_text("from torch import nn\n" + mine + mine.replace("GRU", "RNN") + more)
    assert load("both.py", "gru").__name__ == "MyGRUCell"


def test_what_a_cell_is_made_from_is_no_other_cell(here):
    mine = "class MyLSTM"
    path = write(here, "ada.py", (mine, ANOTHER.format(name="Part") + mine))
    assert load(str(path)).__name__ == "MyLSTM"
    text = "from torch import nn\nclass Base(nn.Module): 0\nclass Mine(Base):\n  def forward(self): 0\n"
    (here / "ben.py").write_text(text)
    assert load("ben.py").__name__ == "Mine"


def test_a_file_imports_from_its_folder_and_hides_no_module_of_its_name(here):
    (here / "ada").mkdir()
    (here / "ada/beside_ada.py").write_text("")
    path = write(here / "ada", "sched.py", ("import torch\n", "import torch\nimport beside_ada\n"))
    assert load(str(path)).__name__ == "MyLSTM"
    assert sys.modules["sched"] is sched


def test_a_page_that_can_not_be_written_is_an_error_of_the_command(here, capsys):
    write(here, "ada.py")
    with pytest.raises(SystemExit) as ended:
        main(["ada.py", "--html=missing/page.html"])
    assert ended.value.code == 2
    assert "error: missing/page.html can't be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["."], "there are no Python files in ."), (["ada.py", "--timeout=3"], "--timeout is for a folder")],
)
def test_what_the_command_can_not_do_is_an_error_of_it(here, capsys, arguments, says):
    (here / "_shared.py").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_folder_becomes_a_table_whatever_the_submissions_do(here, capsys):
    write(here, "ada.py")
    write(here, "ben.py", OLD)
    (here / "cleo.py").write_text("import os\nos._exit(3)\n")
    (here / "_shared.py").write_text("raise RuntimeError\n")
    assert main([str(here), "--like=lstm"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["submission", "result", "wrong", "unchecked", "first"]
    assert lines[1].split() == ["ada.py", "right", "0", "0"]
    assert lines[2].split(maxsplit=4) == ["ben.py", "WRONG", "1", "0", SAID]
    assert lines[3].split(maxsplit=4) == ["cleo.py", "WRONG", "-", "-", "the process ended with code 3: nothing said"]
    assert lines[4] == "1 of 3 are right"


@pytest.mark.parametrize("arguments", [["--list"], ["cells.py", "--json"], ["all"]], ids=str)
def test_a_reader_that_has_enough_ends_it_quietly(here, arguments):
    (here / "all").mkdir()
    source = (SUBMISSIONS / "lstm.py").read_text()
    (here / "cells.py").write_text(source)
    (here / "all/ada.py").write_text(source)
    command = [sys.executable, "-m", "seqsum.check", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert said == ""


def test_a_submission_that_does_not_end_is_given_up(here):
    (here / "endless.py").write_text("while True: pass\n")
    (found,) = grade(find_submissions([str(here)]), timeout=0.5)
    assert not found.passed
    assert found.verdict == "not finished within 0.5 s"
    assert "WRONG" in make_table([found])


def test_nothing_a_submission_prints_starts_or_reads_changes_its_grade(here):
    told = "print('{}'); import sys; sys.stdout.close()\n"
    forks = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n"
    for name, first in {
        "prints": told,
        "forks": forks,
        "reads": "input()\n",
        "ends": "import os; os._exit(0)\n",
        "leaves": "import os\nif child := os.fork():\n    os.waitpid(child, 0)\n    os._exit(0)\n",
    }.items():
        path = write(here, f"{name}.py")
        path.write_text(first + path.read_text())
    start = time.monotonic()
    ends, forked, leaves, printed, reads = grade(find_submissions([str(here)]), "lstm", timeout=50)
    assert time.monotonic() - start < 50, "waits for no process that a submission left"
    assert forked.passed
    assert printed.passed
    assert "EOFError" in reads.verdict
    for left in (ends, leaves):  # whatever a process that it forked goes on to do
        assert left.verdict == "the process ended with code 0: nothing said"
        assert not left.passed


def test_what_a_submission_started_ends_with_it(here):
    path = write(here, "ada.py")
    beat = "import os, time\nif os.fork() == 0:\n  while True: open('alive', 'a').write('x'); time.sleep(0.02)\n"
    path.write_text(beat + "time.sleep(0.2)\n" + path.read_text())
    assert grade([path], "lstm")[0].passed
    size = Path("alive").stat().st_size
    assert size > 0
    time.sleep(0.3)
    assert Path("alive").stat().st_size == size


def test_grades_as_json_hold_the_reports(here, capsys):
    paths = [str(write(here, "ada.py")), str(write(here, "ben.py", OLD))]
    assert main([*paths, "--like=lstm", "--json", "--html=pages"]) == 1
    assert sorted(path.name for path in Path("pages").iterdir()) == ["ada.html", "ben.html"]
    ada, ben = json.loads(capsys.readouterr().out)
    assert ada["passed"]
    assert ben["verdict"] == SAID
    assert len(ben["report"]["results"]) == len(ada["report"]["results"]) > 20


def test_submissions_of_the_same_name_are_told_apart_by_their_folders(here, capsys):
    for who, change in (("ada", ()), ("ben", OLD)):
        (here / "all" / who).mkdir(parents=True)
        write(here / "all" / who, "cell.py", *([change] if change else []))
    for other in (".venv", "_shared"):
        (here / "all" / other).mkdir()
        write(here / "all" / other, "helper.py")
    write(here / "all", "ada_cell.py")
    assert main(["all", "--like=lstm", "--html=pages"]) == 1
    printed = capsys.readouterr().out.splitlines()
    told = [["ada_cell.py", "right"], ["ada/cell.py", "right"], ["ben/cell.py", "WRONG"]]
    assert [line.split()[:2] for line in printed[1:4]] == told
    pages = sorted(path.name for path in Path("pages").iterdir())
    assert pages == ["ada_cell.html", "ada_cell_.html", "ben_cell.html"], "none in another's place"


def test_a_submission_in_a_folder_keeps_its_name_and_one_that_can_not_be_read_has_nothing_unchecked(here, capsys):
    (here / "all/ada").mkdir(parents=True)
    write(here / "all/ada", "cell.py")
    (here / "all/zoe.py").write_text("import nowhere")
    assert main(["all", "--like=lstm"]) == 1
    rows = [line.split()[:4] for line in capsys.readouterr().out.splitlines()[1:3]]
    assert sorted(rows) == [["ada/cell.py", "right", "0", "0"], ["zoe.py", "WRONG", "1", "-"]]


def test_a_class_that_is_not_in_a_file_is_named_with_the_file(here, capsys):
    write(here, "my_cells.py")
    assert main(["my_cells.py:Foo"]) == 1
    assert "there is no `Foo` in my_cells" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["nan", "-1", "0", "inf", "soon"])
def test_a_timeout_is_a_number_above_0(seconds, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([str(Path(__file__).parent / "submissions"), f"--timeout={seconds}"])
    assert exit_.value.code == 2
    assert f"argument --timeout: {seconds} is no number of seconds above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("made", "verdict"), [(1, ""), (2, "a variant"), (3, "a wrong gradient"), (4, "a wrong gradient")]
)
def test_a_row_says_what_failed_first_or_else_what_is_noted_of_the_equations(made, verdict):
    results = [
        {"check": check, "status": status, "message": message}
        for check, status, message in (
            ("compiles", "noted", "it runs as Python"),
            ("equations", "noted", "a variant"),
            ("gradients_right", "failed", "a wrong gradient"),
            ("masks", "failed", "a wrong mask"),
        )
    ][:made]
    report = {"passed": made < 3, "results": results}
    found = read_grade(Path("cell.py"), Ended(0, json.dumps(report), ""), 9)
    assert (found.passed, found.verdict, found.count("failed")) == (made < 3, verdict, max(made - 2, 0))


def test_of_a_process_that_ends_early_the_last_line_is_told():
    said = "Traceback (most recent call last):\n  ...\nMemoryError: too large\n"
    assert read_grade(Path("cell.py"), Ended(1, "", said), 9).verdict.endswith("code 1: MemoryError: too large")
