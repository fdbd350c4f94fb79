"""Files with secrets: who else may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poe_proxy.environment import is_open_to_others, is_read_only


@pytest.mark.parametrize(
    ("mode", "is_open"),
    [(0o600, False), (0o400, False), (0o640, True), (0o644, True), (0o604, True), (0o711, False)],
)
def test_a_file_that_others_may_read_is_known(mode: int, is_open: bool, tmp_path: Path) -> None:
    """A group is others: what it may read is no secret of the user's."""
    path = tmp_path / ".env"
    path.touch()
    path.chmod(mode)

    assert is_open is is_open_to_others(path)


@pytest.mark.parametrize(("mode", "is_open"), [(0o640, False), (0o644, True)])
def test_a_group_may_read_a_file_of_another_owner(
    mode: int, is_open: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is in that group, and could not read it otherwise."""
    path = tmp_path / ".env"
    path.touch()
    path.chmod(mode)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    assert is_open is is_open_to_others(path)


def test_what_is_no_file_is_open_to_none(tmp_path: Path) -> None:
    """A pipe of the shell (TOKENS_FILE=<(pass tokens)), a folder, and what is gone."""
    os.mkfifo(tmp_path / "pipe", 0o644)

    assert [] == [
        name
        for name in ("pipe", "gone", ".")
        if is_open_to_others(tmp_path / name) or is_read_only(tmp_path / name)
    ]


def test_what_lies_where_nothing_can_be_changed_is_known() -> None:
    """Linux keeps such a place ready for each process."""
    places = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    read_only = [line.split()[1] for line in places if "ro" in line.split()[3].split(",")]
    if not read_only:
        pytest.skip("all that is mounted here can be changed")

    assert is_read_only(Path(read_only[0]))
