"""Fixtures of the experiments."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def with_configs(here: Path) -> Path:
    """Change to a folder that contains the configurations."""
    (here / "configs").symlink_to(REPOSITORY / "configs")
    return here
