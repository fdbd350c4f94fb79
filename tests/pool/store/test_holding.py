"""One server for a state file, among processes of their own."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from poe_proxy.pool.store.holding import StateInUse, hold, is_held, let_go

from ...fakes import log_lines

_HOLD = """
import os, sys
from pathlib import Path
from poe_proxy.pool.store.holding import hold

hold(Path(sys.argv[1]))
print(os.getpid(), flush=True)
sys.stdin.read()
"""
#: Holds the file and forks; the first process ends, and the second one goes on.
_FORK = """
import os, sys
from pathlib import Path
from poe_proxy.pool.store.holding import hold, is_held

hold(Path(sys.argv[1]))
if os.fork():
    os._exit(0)
assert is_held(Path(sys.argv[1]))
print(os.getppid(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "state.sqlite3"
    yield path
    let_go(path)


@contextmanager
def process(script: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs *script*, with the first line that it printed; it ends with its input."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as one:
        assert one.stdout is not None
        try:
            yield one, one.stdout.readline().strip()
        finally:
            one.kill()


def end(one: subprocess.Popen[str]) -> None:
    assert one.stdin is not None
    assert one.stdout is not None
    one.stdin.close()
    one.stdout.read()


def test_a_second_process_hears_which_one_has_the_file(path: Path) -> None:
    """The message has its number, so that it can be ended."""
    with process(_HOLD, path) as (_, pid), pytest.raises(StateInUse) as refused:
        hold(path, patience=0.0)

    assert f"STATE_FILE {path} is in use by another server (process {pid})." in str(refused.value)
    assert not is_held(path)


def test_a_process_that_is_ending_is_waited_for(path: Path) -> None:
    """The one that follows gets the file as soon as the other one has ended."""
    with process(_HOLD, path) as (one, _):
        end(one)
        hold(path, patience=60.0)

    assert is_held(path)


def test_a_process_that_was_killed_holds_nothing(path: Path) -> None:
    """The system takes the lock from it."""
    with process(_HOLD, path) as (one, _):
        one.kill()
        one.wait()
        hold(path, patience=0.0)

    assert is_held(path)


def test_a_forked_process_holds_the_file_for_as_long_as_it_lives(path: Path) -> None:
    """gunicorn may be killed, and its worker go on for a moment: that still uses the accounts."""
    with ExitStack() as stack:
        one, _ = stack.enter_context(process(_FORK, path))
        with pytest.raises(StateInUse):
            hold(path, patience=0.0)
        end(one)
        hold(path, patience=60.0)

    assert is_held(path)


def test_a_file_that_is_held_may_be_held_again(path: Path) -> None:
    """Nothing happens, and it is let go once."""
    hold(path)
    hold(path)
    assert is_held(path)

    let_go(path)
    let_go(path)

    assert not is_held(path)


def test_one_file_in_two_spellings_is_one_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is that of the folder in which it was held."""
    monkeypatch.chdir(path.parent)

    hold(Path(path.name))

    assert is_held(path)


def test_the_lock_is_for_its_owner_and_so_is_a_new_folder(tmp_path: Path) -> None:
    """Nothing beside the file is open to others."""
    path = tmp_path / "new" / "state.sqlite3"

    hold(path)
    let_go(path)

    lock = path.with_name("state.sqlite3.lock")
    assert [0o700, 0o600] == [one.stat().st_mode & 0o777 for one in (path.parent, lock)]


@pytest.mark.parametrize("name", ["open", "mkdir"])
def test_where_there_can_be_no_lock_the_server_starts_all_the_same(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken disk is no reason not to answer; the log says what is missing."""

    def fail(*args: object, **options: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with log_lines() as lines, monkeypatch.context() as patch:
        patch.setattr(*((os, "open") if name == "open" else (Path, "mkdir")), fail)
        hold(path)

    assert is_held(path)
    assert "cannot be opened (Read-only file system)" in lines.getvalue()


def test_a_file_system_without_locks_is_used_without_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is with some that are on other machines."""

    def fail(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with log_lines() as lines:
        monkeypatch.setattr(fcntl, "flock", fail)
        hold(path)

    assert is_held(path)
    assert "cannot be locked (No locks available)" in lines.getvalue()
