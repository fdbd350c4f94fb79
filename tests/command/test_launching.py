"""How the command becomes gunicorn."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from poe_proxy.command import launching
from poe_proxy.origins import origins
from poe_proxy.settings import Settings


@pytest.mark.parametrize(
    ("dotenv", "variables", "path"),
    [
        ("AuthKey=k\n", {}, ".state/state.sqlite3"),
        ("#STATE_FILE=\n", {}, ".state/state.sqlite3"),
        ("AuthKey=k\nSTATE_FILE=mine\n", {}, None),
        ("export STATE_FILE=mine\n", {}, None),
        ("STATE_FILE_FILE=/run/secrets/state\n", {}, None),
        ("STATE_FILE=\n", {}, None),
        ("AuthKey=k\n", {"STATE_FILE": "other"}, "other"),
        ("AuthKey=k\n", {"STATE_FILE": ""}, ""),
        ("STATE_FILE=mine\n", {"STATE_FILE": "other"}, "other"),
        ("AuthKey=k\n", {"STATE_FILE_FILE": "/run/secrets/state"}, None),
    ],
)
def test_it_remembers_unless_something_else_is_set(
    dotenv: str, variables: dict[str, str], path: str | None, folder: Path
) -> None:
    """Limits hold over a restart of `poe-proxy serve`, and of `make run`, which ends in it."""
    (folder / ".env").write_text(dotenv)
    os.environ.update(variables)

    launching.keep_state()

    assert path == os.environ.get("STATE_FILE")


def test_another_file_than_env_is_read(
    run: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gets its path, and what is behind it."""
    became = []
    monkeypatch.setattr(os, "execv", lambda path, command: became.append(command))
    (folder / "mine.env").write_text("STATE_FILE=mine\n")

    result = run("serve", "--env", "mine.env", "--graceful-timeout", "6")

    assert 0 == result.exit_code, result.output
    assert [[*launching.gunicorn(), "--graceful-timeout", "6"]] == became
    assert str(folder / "mine.env") == os.environ["POE_PROXY_DOTENV"]
    assert "STATE_FILE" not in os.environ


def test_a_file_that_is_not_there_is_said_at_once(run: Callable[..., Result]) -> None:
    """What is missing is not taken for an empty one."""
    result = run("check", "--env", "none")

    assert 2 == result.exit_code
    assert "'none' does not exist" in result.output


@pytest.mark.parametrize(("given", "becomes"), [("", "1"), (" ", "1"), ("2", "2")])
def test_a_number_of_workers_that_is_blank_is_not_set(
    given: str, becomes: str, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """gunicorn would end in a traceback."""
    became = []
    monkeypatch.setattr(os, "execv", lambda path, command: became.append(os.environ.copy()))
    os.environ["WEB_CONCURRENCY"] = given

    assert 0 == run("serve").exit_code
    assert [becomes] == [one["WEB_CONCURRENCY"] for one in became]


@pytest.mark.parametrize("given", ["many", "1.5", "0x2"])
def test_a_number_of_workers_that_is_none_is_named_with_all_other_mistakes(
    given: str, run: Callable[..., Result]
) -> None:
    """Before gunicorn reads it."""
    os.environ |= {"WEB_CONCURRENCY": given, "PORT": "none"}

    result = run("serve")

    assert 1 == result.exit_code
    assert "  WEB_CONCURRENCY: " in result.output
    assert "  PORT: " in result.output


@pytest.mark.parametrize(
    ("host", "there"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("[::1]", "[::1]"), ("nas", "nas")],
)
def test_a_server_on_all_addresses_is_reached_on_one(host: str, there: str) -> None:
    """No program can connect to an address that stands for all of them everywhere."""
    assert there == launching.reached_at(host)


def test_what_the_command_has_chosen_is_not_taken_for_the_owners_word(folder: Path) -> None:
    """Neither on the status page nor by `doctor`."""
    (folder / ".env").write_text("AuthKey=k\n")
    launching.keep_state()

    (state,) = (one for one in origins(Settings, folder / ".env") if one.name == "STATE_FILE")
    assert (".state/state.sqlite3", "poe-proxy serve") == (state.shown, state.where)
