"""The GPU benchmark at tiny sizes on the CPU."""

import pytest


@pytest.fixture
def tiny(monkeypatch):
    """Make the plan tiny."""
    # not at the top: pytest loads this file without capturing, and Lightning keeps the stderr that it is imported with
    from tests.benchmarks.gpu.tiny import make_tiny

    make_tiny(monkeypatch)
