"""Run the command line repeatedly in processes that are killed: `python -m tests.resume.killed_runs`.

Reads one JSON a line from standard input and answers each with one. A process is forked from this one, which has
imported everything (that takes longer than a small training) and has not computed anything yet.

    arguments      of `train.py`
    folder         to run in
    kill_at        how many function calls later SIGKILL comes, or null
    after          later than what: `start` of the program, `training`, or the first `checkpoint` but one
    seconds        between checkpoints within an epoch
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from itertools import count
from typing import Any

from seqsum.cli import main
from seqsum.resume.checkpoint_files import CheckpointFiles
from seqsum.resume.last import LastCheckpoint


class Bomb:
    """Count calls of functions, including C functions, to kill the process at any of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.kill_at = kill_at
        self.calls = 0

    def __call__(self, *_: Any) -> None:
        self.calls += 1
        if self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def light(self) -> None:
        sys.setprofile(self)

    def light_within(self, owner: type, name: str, visit: int) -> None:
        """Start to count when a method is called for the `visit`-th time."""
        method, visits = getattr(owner, name), count(1)

        def visited(*arguments: Any, **named: Any) -> None:
            if next(visits) == visit:
                self.light()
            method(*arguments, **named)

        setattr(owner, name, visited)


def run(job: dict[str, Any], answer: int) -> None:
    """In the child process: run, and report the number of calls."""
    os.chdir(job["folder"])
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    bomb = Bomb(job["kill_at"])
    if job["after"] == "training":
        bomb.light_within(LastCheckpoint, "on_train_start", 1)
    elif job["after"] == "checkpoint":
        bomb.light_within(CheckpointFiles, "save_checkpoint", 2)
    LastCheckpoint.seconds = job["seconds"]
    if job["after"] == "start":
        bomb.light()
    main(job["arguments"])
    os.write(answer, str(bomb.calls).encode())


def serve() -> None:
    """Fork a process for each line; report its exit status, and its number of calls if it finished."""
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run(json.loads(line), writing)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as answer:
            calls = answer.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"status": status, "calls": int(calls or 0)}), flush=True)


if __name__ == "__main__":
    serve()
