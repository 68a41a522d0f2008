"""Files and folders are written atomically: after an error, the old ones are unchanged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from seqsum.files import replacing, write_atomically, write_folder


class StopError(Exception):
    """Any error while writing."""


@pytest.mark.parametrize("content", ["größer", "größer".encode()], ids=["text", "bytes"])
def test_a_file_is_written_and_replaced(here, content):
    Path("file").write_text("before and longer")
    write_atomically(Path("file"), content)
    assert Path("file").read_text(encoding="utf-8") == "größer"
    assert [path.name for path in here.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt])
def test_an_error_halfway_leaves_what_was_there_and_nothing_beside(here, error):
    def stop_halfway():
        with replacing(Path("file")) as file:
            file.write(b"half of")
            raise error

    Path("file").write_text("before")
    with pytest.raises(error):
        stop_halfway()
    assert Path("file").read_text() == "before"
    assert [path.name for path in here.iterdir()] == ["file"]


@pytest.mark.parametrize("fails_at", ["open", "write"])
def test_an_error_names_the_file_that_was_wanted(here, monkeypatch, fails_at):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = Path("file") if fails_at == "write" else Path("missing/file")
    with pytest.raises(OSError, match=f"'{path}'$") as caught:
        write_atomically(path, "content")
    assert caught.value.filename == str(path)
    assert list(here.iterdir()) == []


def test_all_is_on_the_disk_before_a_file_takes_its_place(here, monkeypatch):
    def note(name):
        return lambda *_: calls.append((name, Path(f".file.{os.getpid()}").stat().st_size))

    calls = []
    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, note(name))
    write_atomically(Path("file"), "1234")
    assert calls == [("fsync", 4), ("replace", 4)]


def test_a_folder_takes_its_place_when_it_is_complete(here):
    write_folder(Path("a/page"), {"one": b"1", "two": b"2"})
    assert {path.name: path.read_bytes() for path in Path("a/page").iterdir()} == {"one": b"1", "two": b"2"}
    assert [path.name for path in Path("a").iterdir()] == ["page"]
    with pytest.raises(OSError, match="not empty"):
        write_folder(Path("a/page"), {"three": b"3"})
    assert [path.name for path in Path("a").iterdir()] == ["page"]
    assert {path.name for path in Path("a/page").iterdir()} == {"one", "two"}


def test_a_folder_that_can_not_be_finished_is_not_there(here):
    with pytest.raises(FileNotFoundError):
        write_folder(Path("page"), {"one": b"1", "missing/two": b"2"})
    assert list(here.iterdir()) == []
