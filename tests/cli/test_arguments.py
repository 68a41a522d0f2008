"""A flag takes several values, as a shell produces them from a pattern."""

import pytest

from seqsum.cli.arguments import join_values


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
        (["--f=a=b"], ["--f=a=b"]),
        (["--f", 'say "x"', "ü,]"], ['--f=["say \\"x\\"", "\\u00fc,]"]']),
        (["--f="], ["--f="]),
        (["--f+=x", "--fa", "y"], ["--f+=x", "--fa", "y"]),
        (["--a=1", "--f"], ["--a=1", "--f"]),
    ],
)
def test_all_values_of_the_flag_become_one(options, joined):
    assert join_values(options, "--f") == joined
