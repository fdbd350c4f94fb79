"""Files that are locked for as long as a process lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poe_proxy.locks import held, is_held


def test_a_file_is_held_until_it_is_closed(tmp_path: Path) -> None:
    """By its owner, and with what it is to say; nothing else is left beside it."""
    path = tmp_path / "held"
    assert not is_held(path)
    descriptor = held(path, b"words")

    assert is_held(path)
    assert b"words" == path.read_bytes()
    assert [path] == [*tmp_path.iterdir()]
    assert 0o600 == path.stat().st_mode & 0o777
    os.close(descriptor)
    assert not is_held(path)
    assert path.exists()


_HOLDS = """
import os, sys
from pathlib import Path
from poe_proxy.locks import held

held(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    print("held", flush=True)
    sys.stdin.read()
os.kill(os.getpid(), 9)
"""


def test_what_was_forked_holds_it_too(tmp_path: Path) -> None:
    """Until it has ended as well, be it killed."""
    path = tmp_path / "held"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert b"held\n" == parent.stdout.readline()
        parent.wait(10)
        assert is_held(path)
        parent.stdin.close()
        assert b"" == parent.stdout.read()  # the end of whoever had it last
    assert not is_held(path)


def test_what_cannot_be_looked_at_counts_as_held(tmp_path: Path) -> None:
    """Whatever goes with nobody holding it would go wrongly."""
    path = tmp_path / "held"
    path.symlink_to(path)
    assert is_held(path)


def test_what_a_killed_process_began_is_no_hindrance(tmp_path: Path) -> None:
    """Nor are its words any longer there."""
    path = tmp_path / "held"
    (tmp_path / ".held").write_bytes(b"of another one")
    os.close(held(path, b"mine"))

    assert b"mine" == path.read_bytes()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        held(tmp_path / "none" / "held")
