"""Memory that a file takes is let go of where nothing in it was changed."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from poe_proxy import mapped

SIZE = 1_000_000


def resident(path: Path) -> int:
    """Return how many kilobytes of *path* this process has in memory."""
    found, is_it = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_it = line.endswith(f" {path}")
        elif is_it and words[0] == "Rss:":
            found += int(words[1])
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "with a blank"
    path.write_bytes(b"x" * SIZE)
    return path


# Anywhere else nothing goes, as the last test says, and nobody says what is there.
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is mapped")
def test_what_was_only_read_goes(path: Path, tmp_path: Path) -> None:
    """Also by another name of the file; and it is there again when it is read again."""
    other = tmp_path / "other"
    other.symlink_to(path)
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    assert SIZE == view[:].count(b"x")
    before = resident(path)
    mapped.let_go(str(other))

    assert before > 900
    assert 0 == resident(path)
    assert SIZE == view[:].count(b"x")
    view.close()


def test_what_can_be_changed_stays(path: Path) -> None:
    """It may have been, and would be lost."""
    with path.open("rb") as file:
        view = mmap.mmap(
            file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE
        )
    view[10] = ord("y")
    mapped.let_go(str(path))

    assert b"y" == view[10:11]
    view.close()


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Where the system does not say what is mapped, all stays as it is."""
    monkeypatch.setattr(mapped, "_MAPPINGS", str(path.with_name("none")))

    mapped.let_go(str(path))
