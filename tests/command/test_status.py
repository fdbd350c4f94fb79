"""How a server is, in a terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from poe_proxy.command import asking
from poe_proxy.errors import TokenRejected
from poe_proxy.pool.known import Funds, Grant

from ..fakes import site_told
from ..server.admin.owner import Owner
from .canned import Canned


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a server with an account that is refused tells."""
    owner = Owner()
    owner.tokens.suspend(owner.token, TokenRejected("Log in.\x1b[2J"))
    owner.tokens.pause(owner.others[0], 600.0)
    owner.tokens.points.note("key-1", Funds(5, Grant(time.time() + 86400.0, 300)))
    said = owner.ask("/status.json")
    owner.close()
    monkeypatch.setattr(asking, "admin", lambda url, key: Canned(**{"status.json": (200, said)}))
    return said


def test_the_table_of_the_page_is_shown(told: Any, run: Callable[..., Result]) -> None:
    """One sentence, then each account: how it stands, until when and why. What Poe says commands
    no terminal."""
    result = run("status")
    lines = result.output.splitlines()

    assert 0 == result.exit_code, result.output
    assert "No account can be used." == lines[0]
    assert "1 of 2 accounts is suspended." == lines[1]
    (place,) = [number for number, line in enumerate(lines) if line.startswith("cookie-1")]
    assert "suspended" in lines[place]
    assert lines[place + 1].startswith("    looked at again at ")
    assert lines[place + 1].endswith("Log in.\\x1b[2J")
    assert "set aside by you" in lines[place + 2]
    assert re.search(r"next grant \d{4}-\d\d-\d\d \d\d:\d\d UTC, \+300$", lines[place + 3])
    assert "\x1b" not in result.output


def test_the_site_is_shown_too(told: Any, run: Callable[..., Result]) -> None:
    """The same lines as on the page, and the same fact; nothing of it without a cookie."""
    told["site"] = site_told(
        outcome="same", at=told["now"], said="Nothing\x1b[2J differs.", missing=["chatDeleted"],
        differs=[{"name": "tag.salt", "before": "a", "after": "b"}],
    )  # fmt: skip
    told["facts"].insert(
        0, {"level": "bad", "fact": "upstream_changed", "doing": "off", "at": None}
    )
    output = run("status").output
    lines = output.splitlines()

    assert lines[0].endswith("`poe-proxy discover`, looks for what is new.")
    place = lines.index(
        "Poe's site: its names and hashes as they came with poe-proxy · newest evidence "
        "2026-03-12, 263 days old"
    )
    assert [
        "    Looked for what is new just now: nothing differs.",
        "    Nothing\\x1b[2J differs.",
        "    Not in the page, nor in its scripts: chatDeleted.",
        "",
    ] == lines[place + 1 : place + 5]
    assert ["tag.salt", "a", "b"] in [line.split() for line in lines]
    assert "\x1b" not in output
    told["site"] = None
    assert "Poe's site" not in run("status").output


def test_only_failures_are_cut(told: Any, run: Callable[..., Result]) -> None:
    """All accounts and all clients are shown, however many; of failures the last five."""
    (client,) = told["clients"]
    told["clients"] = [{**client, "name": f"client-{number}"} for number in range(300)]
    account = told["accounts"][0]
    told["accounts"] = [{**account, "label": f"cookie-{number}"} for number in range(100)]
    failure = {
        "at": told["now"], "client": "alice", "model": "", "account": "", "code": "server_error",
        "message": "", "times": 1,
    }  # fmt: skip
    told["failures"] = [{**failure, "request": f"req_{number}"} for number in range(50)]
    first = [line.split() for line in run("status").output.splitlines()]
    words = [word for line in first for word in line]

    assert [f"client-{number}" for number in range(300)] == [
        line[0] for line in first if line and line[0].startswith("client-")
    ]
    assert 100 == sum(line[:1] != [] and line[0].startswith("cookie-") for line in first)
    assert [f"req_{number}" for number in range(5)] == [
        word for word in words if word.startswith("req_")
    ]


def test_numbers_are_shown_as_they_are(told: Any, run: Callable[..., Result]) -> None:
    """For programs."""
    assert told == json.loads(run("status", "--json").output)


def test_it_is_chinese_where_the_terminal_is(told: Any, run: Callable[..., Result]) -> None:
    """As the page is."""
    assert run("status", env={"LANG": "zh_CN.UTF-8"}).output.startswith("没有可用的账号。")


def test_a_server_of_another_version_is_said(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Result]
) -> None:
    """No traceback."""
    canned = Canned(**{"status.json": (200, {"sentence": "All well."})})
    monkeypatch.setattr(asking, "admin", lambda url, key: canned)
    result = run("status")

    assert 1 == result.exit_code
    assert "it is not of this version" in result.output
