"""Each account is asked for its balance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from poe_proxy.command import check
from poe_proxy.command.check import AT_A_TIME, Finding, ask, ask_all
from poe_proxy.errors import (
    LoginFailed,
    TokenRejected,
    UpstreamBlocked,
    UpstreamChanged,
    UpstreamError,
    UpstreamUnreachable,
)
from poe_proxy.pool.known import Funds
from poe_proxy.pool.rotator import Token
from poe_proxy.upstreams.poe_web.current import WHAT_TO_DO
from poe_proxy.upstreams.poe_web.graphql import AGAINST_CHALLENGES

from ..fakes import FakeUpstream, until


class Account(FakeUpstream):
    """An account whose balance a test decides on."""

    def __init__(self, points: int | Exception | Callable[[], int]) -> None:
        super().__init__()
        self.says = points

    def balance(self) -> Funds:
        if isinstance(self.says, Exception):
            raise self.says
        return Funds(self.says() if callable(self.says) else self.says)


def token(says: int | Exception | Callable[[], int], kind: str = "cookie") -> Token[Account]:
    return Token(f"{kind}-1", Account(says), kind=kind)


def test_an_account_with_points_is_well() -> None:
    """Its line has how many."""
    assert Finding("cookie-1", "cookie", 1_234_567) == ask(token(1_234_567))
    assert "1,234,567 points" == ask(token(1_234_567)).line


@pytest.mark.parametrize(
    ("kind", "failure", "said"),
    [
        ("cookie", TokenRejected("No."), "No (upstream_auth). Sign in at poe.com"),
        ("key", TokenRejected("No."), "No (upstream_auth). Make a new key at poe.com/api/keys"),
        (
            "key",
            UpstreamBlocked("A challenge."),
            "(upstream_blocked). Run poe-proxy where you use Poe",
        ),
        ("key", UpstreamUnreachable("Away."), "(upstream_unreachable). `poe-proxy doctor` says"),
        ("cookie", UpstreamChanged("New."), "(upstream_changed). `poe-proxy discover` looks for"),
        ("cookie", LoginFailed("Odd."), "Odd (upstream_login)."),
    ],
)
def test_what_is_wrong_comes_with_what_to_do(kind: str, failure: UpstreamError, said: str) -> None:
    """In Poe's own words, and with the code."""
    found = ask(token(failure, kind))

    assert found.wrong
    assert said in found.line


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamBlocked(f"A challenge. {AGAINST_CHALLENGES}"),
        UpstreamChanged(f"Another hash. {WHAT_TO_DO}"),
    ],
)
def test_what_a_failure_says_itself_is_not_said_again(failure: UpstreamError) -> None:
    """Its words come from where Poe is asked."""
    line = ask(token(failure)).line

    assert 1 == line.count("POE_API_KEYS")
    assert line.endswith(f"({failure.code}).")


def test_an_account_without_points_cannot_be_used() -> None:
    """It is no fault of its credential."""
    assert "0 points: It is out of points. It is not used until" in ask(token(0)).line


def test_a_fault_of_our_own_is_no_reason_to_ask_no_further() -> None:
    """It is named by its class, as its message may hold anything."""
    found = list(ask_all([token(ZeroDivisionError("sk-secret")), token(5)]))

    assert ["It could not be asked (ZeroDivisionError).", "5 points"] == [one.line for one in found]


def test_a_few_are_asked_at_a_time() -> None:
    """And they are told of in their order."""
    gate = threading.Semaphore(0)
    asked: list[int] = []
    most: list[int] = []

    def balance() -> int:
        asked.append(1)
        most.append(len(asked))
        gate.acquire()
        asked.pop()
        return 7

    tokens = [token(balance) for _ in range(3 * AT_A_TIME)]
    found: list[Finding] = []
    reader = threading.Thread(target=lambda: found.extend(ask_all(tokens)))
    reader.start()
    until(lambda: len(asked) == AT_A_TIME)
    gate.release(len(tokens))
    reader.join()

    assert AT_A_TIME == max(most)
    assert [7] * len(tokens) == [one.points for one in found]


def test_an_account_that_does_not_answer_is_not_waited_for() -> None:
    """Its line says so, and the next one is told."""
    gate = threading.Event()
    silent = token(lambda: int(gate.wait()))
    found = list(ask_all([silent], patience=0.0))
    gate.set()

    assert "Poe did not answer within 0 s (" not in found[0].line
    assert "Poe did not answer within 0 s. Try again" in found[0].line


def test_each_account_has_a_line(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """The exit status tells scripts whether all of them can be used; no file is made."""
    (folder / ".env").write_text("AuthKey=sk-client\nTOKENS=a,b\nPOE_API_KEYS=key-SECRET\n")

    def asked(one: Token[Account]) -> Finding:
        wrong = "No (upstream_auth)" if one.label == "cookie-2" else ""
        return Finding(one.label, one.kind, None if wrong else 10, wrong, "Do\x1b that.")

    monkeypatch.setattr(check, "ask", asked)
    monkeypatch.setattr("poe_proxy.upstreams.catalogue.Catalogue.start", lambda _: None)
    result = run("check")

    assert 1 == result.exit_code
    site, *accounts = (one for one in result.output.splitlines() if not one.startswith(" "))
    assert "Poe's site: as built in, " in site
    assert [
        "ok     cookie-1  cookie  10 points: Do\\x1b that.",
        "wrong  cookie-2  cookie  No (upstream_auth). Do\\x1b that.",
        "ok     key-1     key     10 points: Do\\x1b that.",
    ] == accounts
    assert "SECRET" not in result.output
    assert [folder / ".env"] == list(folder.iterdir())


def test_a_site_that_nobody_uses_is_not_told_of(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys have nothing to do with it."""
    monkeypatch.setattr(check, "ask", lambda one: Finding(one.label, one.kind, 10))
    monkeypatch.setattr("poe_proxy.upstreams.catalogue.Catalogue.start", lambda _: None)
    result = run("check", env={"AuthKey": "k", "POE_API_KEYS": "a"})

    assert ["ok     key-1  key     10 points"] == result.output.splitlines()


def test_redis_has_a_line_where_the_pool_is_there(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without it no account can be used; nobody is at this address."""
    monkeypatch.setattr(check, "ask", lambda one: Finding(one.label, one.kind, 10))
    monkeypatch.setattr("poe_proxy.upstreams.catalogue.Catalogue.start", lambda _: None)
    env = {"AuthKey": "k", "TOKENS": "a", "REDIS_URL": "redis://:SECRET@127.0.0.1:1"}
    result = run("check", env=env)

    assert 1 == result.exit_code
    first, remedy, account = result.output.splitlines()[-3:]
    assert first.startswith("wrong  Redis at 127.0.0.1:1: ")
    assert remedy.startswith("       Look whether it runs")
    assert account.startswith("ok     cookie-1")
    assert "SECRET" not in result.output


def test_wrong_settings_are_the_one_message(run: Callable[..., Result]) -> None:
    """The same as the server's."""
    result = run("check", env={"RATE_LIMIT": "ten", "TOKENS": "p-lat=SECRET"})

    assert 1 == result.exit_code
    for name in ("AuthKey", "TOKENS", "RATE_LIMIT"):
        assert f"\n  {name}: " in result.output
    assert "SECRET" not in result.output
