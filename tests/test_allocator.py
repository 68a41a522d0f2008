"""The next step reuses the memory that a step frees."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from seqsum.allocator import keep_memory

def step():
    return [torch.ones(1_000_000 * size) for size in (3, 1, 2)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if "keep" in sys.argv:
    assert keep_memory()
for _ in range(3):
    step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""


def page_faults(*arguments, environment=None):
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return int(subprocess.run(command, capture_output=True, check=True, text=True, env=environment).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about the GNU C library")
def test_a_step_gets_the_memory_of_the_one_before():
    pages = 6_000_000 * 4 // 4096
    assert page_faults("keep") < 0.25 * 5 * pages  # the smallest of the three, a sixth, may come anew
    # what it can be without: the library raises its thresholds by what it sees, but for those in the environment
    defaults = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    assert page_faults(environment={**os.environ, **defaults}) > 0.5 * 5 * pages


def test_a_choice_in_the_environment_wins(monkeypatch):
    from seqsum import allocator

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)  # not even asked
    assert allocator.keep_memory() is False
