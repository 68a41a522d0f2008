"""A flag takes several values, as a shell produces them from a pattern; flags take precedence over files."""

import pytest

from seqsum.cli.arguments import files_first, join_values


@pytest.mark.parametrize(
    ("options", "joined"),
    [
        ([], []),
        (["--a=1", "--b", "2"], ["--a=1", "--b", "2"]),
        (["--f=x"], ["--f=x"]),
        (["--f", "x"], ["--f=x"]),
        (["--f", "x", "y.png", "--a=1"], ["--a=1", '--f=["x", "y.png"]']),
        (["--f=x", "y", "-c", "z"], ["-c", "z", '--f=["x", "y"]']),
        (["--f=x", "--a=1", "--f=y"], ["--a=1", '--f=["x", "y"]']),
        (["--f=[x,y]"], ["--f=[x,y]"]),
        (["--f=null"], ["--f=null"]),
        (["--f=a=b"], ["--f=a=b"]),
        (["--f", "Good: I liked it"], ['--f=["Good: I liked it"]']),
        (["--f=- no"], ['--f=["- no"]']),
        (["--f", "- no", "null"], ['--f=["- no", "null"]']),
        (["--f", "x", "-1 out of 10"], ['--f=["x", "-1 out of 10"]']),
        (["--f=x", "-- no", "-:-(", "-c", "z"], ["-c", "z", '--f=["x", "-- no", "-:-("]']),
        (["--f=[sic] great"], ['--f=["[sic] great"]']),
        (["--f=[x"], ['--f=["[x"]']),
        (["--f=10"], ["--f=10"]),
        (["--f=yes"], ["--f=yes"]),
        (["--f=*.png"], ['--f=["*.png"]']),
        (["--f", 'say "x"', "ü,]"], ['--f=["say \\"x\\"", "\\u00fc,]"]']),
        (["--f="], ["--f="]),
        (["--f+=x", "--fa", "y"], ["--f+=x", "--fa", "y"]),
        (["--a=1", "--f"], ["--a=1", "--f"]),
    ],
)
def test_all_values_of_the_flag_become_one(options, joined):
    assert join_values(options, "--f") == joined


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], []),
        (["--a=1", "-c", "x", "--b"], ["-c", "x", "--a=1", "--b"]),
        (["--a", "1", "-cx", "--config=y", "-b", "-c", "z"], ["-cx", "--config=y", "-c", "z", "--a", "1", "-b"]),
        (["--a=1", "-c=x", "--configs=1"], ["-c=x", "--a=1", "--configs=1"]),
        (["--a=1", "-c"], ["-c", "--a=1"]),
    ],
)  # fmt: skip
def test_files_come_first(options, expected):
    assert files_first(options) == expected
