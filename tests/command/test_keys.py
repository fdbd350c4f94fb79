"""New keys for people."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


@pytest.mark.parametrize("name", ["alice", "Bob-2", "Zoë M.", "a@b.example"])
def test_a_new_key_comes_with_the_lines_for_the_file(
    run: Callable[..., Result], name: str, folder: Path
) -> None:
    """The file has the digest of the key, and the key is kept nowhere."""
    result = run("keys", "new", name)
    _, key, _, _, *lines = result.output.splitlines()
    table = tomllib.loads("\n".join(lines))

    assert 0 == result.exit_code
    assert {"clients": {name: {"key_sha256": hashlib.sha256(key.encode()).hexdigest()}}} == table
    assert len(key) > 40
    assert [] == list(folder.iterdir())


def test_two_keys_differ(run: Callable[..., Result]) -> None:
    """Even for one name."""
    assert run("keys", "new", "a").output != run("keys", "new", "a").output


@pytest.mark.parametrize("name", ["", " ", "a\nb", 'a"b', "x" * 60, "\x1b[2J", "key-1"])
def test_a_name_that_is_none_is_refused(run: Callable[..., Result], name: str) -> None:
    """Before there is a key; a name has what the file of clients takes."""
    result = run("keys", "new", name)

    assert 2 == result.exit_code
    assert "sk-" not in result.output
    assert "\x1b" not in result.output
