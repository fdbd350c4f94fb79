"""What is wrong, in plain words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from poe_proxy.command import looking
from poe_proxy.command.looking import Finding, Way


@pytest.fixture(autouse=True)
def ways(monkeypatch: pytest.MonkeyPatch) -> list[Way]:
    """The ways that are looked at; nobody is asked."""
    looked: list[Way] = []

    def look(way: Way) -> list[Finding]:
        looked.append(way)
        return [Finding("ok", "it answers\x1b")]

    monkeypatch.setattr(looking, "look_at_way", look)
    monkeypatch.setattr(looking, "look_at_port", lambda _: [Finding("ok", "the port is free")])
    return looked


def test_all_is_well(run: Callable[..., Result], folder: Path) -> None:
    """Each setting is there with its origin, and each thing that was looked at."""
    (folder / ".env").write_text("AuthKey=sk-SECRET\nPOE_API_KEYS=SECRET\nPORT=9000\n")
    result = run("doctor")

    assert 0 == result.exit_code
    assert "  ok     PORT = 9000 (.env, line 3)\n" in result.output
    assert "  ok     POE_API_KEYS = set (.env, line 2)\n" in result.output
    assert "The way to api.poe.com\n  ok     it answers\\x1b\n" in result.output
    assert "SECRET" not in result.output


def test_what_is_wrong_with_the_settings_does_not_end_the_look(
    run: Callable[..., Result], ways: list[Way]
) -> None:
    """The rest is looked at with defaults."""
    result = run("doctor", env={"RATE_LIMIT": "ten", "PROXY": "http://127.0.0.1:9"})

    assert 1 == result.exit_code
    assert '  wrong  RATE_LIMIT: "ten" is not a valid integer.' in result.output
    assert "  wrong  AuthKey: Set the key" in result.output
    assert {"http://127.0.0.1:9"} == {way.proxy for way in ways}
    assert ["https://poe.com", "https://api.poe.com"] == [way.url for way in ways]


def test_only_ways_that_accounts_go_are_looked_at(
    run: Callable[..., Result], ways: list[Way]
) -> None:
    """Whoever has keys alone need not reach the site."""
    run("doctor", env={"AuthKey": "k", "POE_API_KEYS": "a,b"})

    assert ["https://api.poe.com"] == [way.url for way in ways]


def test_redis_is_looked_at_where_the_pool_is_there(run: Callable[..., Result]) -> None:
    """Nobody is at this address; the password is not shown."""
    env = {"AuthKey": "k", "POE_API_KEYS": "a", "REDIS_URL": "redis://:SECRET@127.0.0.1:1"}
    result = run("doctor", env=env)

    assert 1 == result.exit_code
    assert "\nThe pool in Redis\n  wrong  Redis at 127.0.0.1:1: " in result.output
    assert "SECRET" not in result.output
    assert "The pool in Redis" not in run("doctor", env={**env, "REDIS_URL": ""}).output


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"POE_API_KEYS": "a"}, "set WEB_CONCURRENCY=1, or REDIS_URL"),
        ({"TOKENS": "a", "REDIS_URL": "redis://127.0.0.1:1"}, "All accounts are cookies"),
        ({"POE_API_KEYS": "a", "REDIS_URL": "redis://127.0.0.1:1"}, ""),
    ],
)
def test_more_workers_than_may_be_are_named(
    env: dict[str, str], why: str, run: Callable[..., Result]
) -> None:
    """The server would not start."""
    result = run("doctor", env={"AuthKey": "k", "WEB_CONCURRENCY": "2", **env})

    assert bool(why) == ("  wrong  WEB_CONCURRENCY: " in result.output)
    assert why in result.output


def test_a_file_that_cannot_be_read_is_named(run: Callable[..., Result], folder: Path) -> None:
    """And the look goes on."""
    (folder / ".env").write_bytes(b"\xff\xfe")
    result = run("doctor")

    assert 1 == result.exit_code
    assert "wrong  .env: is not a readable file of UTF-8 text." in result.output
