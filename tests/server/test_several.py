"""Whether there may be several workers, and what gunicorn's process makes for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.server import several
from poe_proxy.server.several import Inherited, against
from poe_proxy.settings import Settings

REDIS = "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"api_keys": ("k",)}, several.ALONE),
        ({"tokens": ("a", "b")}, several.ALONE),
        ({"tokens": ("a", "b"), "redis_url": REDIS}, several.COOKIES),
        ({"tokens": ("a",), "api_keys": ("k",), "redis_url": REDIS}, ""),
        ({"api_keys": ("k",), "redis_url": REDIS}, ""),
    ],
)
def test_several_workers_need_redis_and_a_key(fields: dict[str, Any], why: str) -> None:
    """A cookie is at home with one worker, and a connection reaches any."""
    assert why == against(Settings(auth_keys=("sk-a",), **fields))


def test_a_key_in_the_file_of_accounts_is_one_too(tmp_path: Path) -> None:
    """If it is enabled."""
    path = tmp_path / "accounts.toml"
    path.write_text('[[account]]\nkey = "pb-x"\n\n[[account]]\ncookie = "abcdefghijklmnop=="\n')
    assert "" == against(Settings(auth_keys=("sk-a",), tokens_config=path, redis_url=REDIS))
    path.write_text(path.read_text().replace('"pb-x"', '"pb-x"\nenabled = false'))

    found = against(Settings(auth_keys=("sk-a",), tokens_config=path, redis_url=REDIS))
    assert several.COOKIES == found


def test_settings_that_change_while_several_run_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One worker is never one too many."""
    cookies = Settings(auth_keys=("sk-a",), tokens=("a",), redis_url=REDIS)
    several.warn(cookies)
    assert "" == caplog.text
    monkeypatch.setattr(several.inherited, "workers", 3)
    several.warn(Settings(auth_keys=("sk-a",), api_keys=("k",), redis_url=REDIS))
    assert "" == caplog.text
    several.warn(cookies)

    assert "3 workers, and there should be one now. All accounts are cookies" in caplog.text


# ---- what they inherit


@pytest.fixture
def inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inherited]:
    """One whose folder is made in `tmp_path`."""
    monkeypatch.setattr(several, "MEMORY", tmp_path)
    one = Inherited()
    yield one
    one.remove()


def test_a_folder_is_made_and_removed(inherited: Inherited, tmp_path: Path) -> None:
    """Only its owner may look into it."""
    inherited.make()
    (folder,) = tmp_path.iterdir()

    assert folder == inherited.folder
    assert 0o700 == folder.stat().st_mode & 0o777
    assert inherited.listener is None
    inherited.remove()
    assert [] == [*tmp_path.iterdir()]
    assert inherited.folder is None


_KILLED = """
import os, sys
from pathlib import Path
from poe_proxy.server import several

several.MEMORY = Path(sys.argv[1])
several.Inherited().make()
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_server_has_left_goes_with_the_next(
    inherited: Inherited, tmp_path: Path
) -> None:
    """Not what another one has that runs, nor what others have put there."""
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], timeout=60, check=False)
    (left,) = tmp_path.iterdir()
    others = tmp_path / f"{several.PREFIX}other"
    others.mkdir()
    inherited.make()
    second = Inherited()
    second.make()
    try:
        found = {*tmp_path.iterdir()}
    finally:
        second.remove()

    assert left not in found
    assert {others, inherited.folder} < found
    assert 3 == len(found)


def test_all_workers_answer_at_one_port(inherited: Inherited) -> None:
    """It listens before there is a worker, and whatever becomes of one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    inherited.make(metrics_port=port)

    assert inherited.listener is not None
    with (
        socket.socket(fileno=os.dup(inherited.listener)) as listener,
        socket.create_connection(("127.0.0.1", port), 10),
    ):
        listener.accept()[0].close()


def test_a_taken_port_is_said_in_one_line(inherited: Inherited) -> None:
    """As it is for one worker."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"^Port {port} is taken; .* set METRICS_PORT to"):
            inherited.make(metrics_port=port)
