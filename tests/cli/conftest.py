"""What the tests of the command line share."""

import re
from pathlib import Path

import pytest

from seqsum.cli import main


def refused(arguments, capfd, *messages):
    """Run, expect one clear message and no traceback, and return it."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    error = capfd.readouterr().err
    assert exit_.value.code == 2
    assert "Traceback" not in error
    for message in messages:
        assert re.search(message, error), error
    assert not list(Path.cwd().glob("logs/*/*")), "a run's folder was made"
    return error
