"""The websocket, which all replies of an account share."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.net.background import Background
from poe_proxy.upstreams.poe_web.account import PoeWeb

from ....with_sim.servers import Sim, until
from .accounts import (
    LIMIT,
    LIMITS,
    WORDS,
    Account,
    ask,
    begin,
    failure_of,
    find_dead,
    many,
    site,
)


def test_all_replies_share_one_websocket(account: Account, web: PoeWeb) -> None:
    """Twenty replies at once, each with its own text, over one websocket and one login."""
    prompts = [f"!delay=0.01 !early={n % 2 / 10} !echo {n} {WORDS}" for n in range(20)]
    replies = many(web, prompts)

    assert [f"{n} {WORDS}" for n in range(20)] == [reply.text for reply in replies]
    assert 1 == len(account.journal(event="socket-open"))
    assert 1 == len(account.journal(path="/", method="GET"))


@pytest.mark.parametrize("what", ["close-socket", "dead-socket", "missed", "refetch"])
def test_all_replies_survive_a_broken_websocket(
    account: Account, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What happens to the websocket in one reply happens to all, and all of them go on."""
    own = site(account.folder)
    web = account.web(site=own)
    prompts = [f"!delay=0.1 !echo {n} {WORDS}" for n in range(5)]
    asking = Background(lambda: many(web, [f"!{what} !delay=0.1 !echo trouble {WORDS}", *prompts]))
    if what == "dead-socket":
        until(lambda: account.journal(event="mischief"))
        find_dead(own, monkeypatch)
    replies = asking.result()

    assert [f"trouble {WORDS}", *(f"{n} {WORDS}" for n in range(5))] == [r.text for r in replies]
    assert 2 == len(account.journal(event="socket-open"))
    assert 6 == len(account.sends())


@pytest.mark.parametrize("words", ["!missed", "!refetch"])
def test_what_was_said_in_a_gap_is_read_from_the_history(account: Account, words: str) -> None:
    """A reply that ended while there was no channel is not waited for until TIMEOUT, an hour."""
    web = account.web(timeout=3600.0)

    assert WORDS == ask(web, f"{words} !delay=0 !echo {WORDS}").text


def test_a_websocket_that_broke_between_two_replies_is_opened_again(
    account: Account, web: PoeWeb
) -> None:
    """A websocket that breaks between two replies does no harm."""
    texts = []
    for number in range(4):
        texts.append(ask(web, f"!echo {number}").text)
        account.sim.control(drop_sockets=account.label)

    assert ["0", "1", "2", "3"] == texts


def test_a_silent_websocket_is_kept_alive(account: Account) -> None:
    """Pings keep a websocket on which nothing is said: it is the same one afterwards."""
    # Longer than a busy machine keeps a pong.
    dead = 5.0
    web = account.web(site=site(account.folder, dead=dead))
    ask(web, "!echo hi")
    account.forget()
    # The pings of more time than a silent websocket would live.
    until(lambda: len(account.journal(event="ping")) > dead / LIMITS["ping"] + 1)
    ask(web, "!echo hi")

    assert [] == account.journal(event="socket-open")


def test_a_websocket_without_pongs_is_dead(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A websocket on which no pong comes is replaced by a new one."""
    own = site(account.folder)
    web = account.web(site=own)
    ask(web, "!echo hi")
    account.sim.control(silence_sockets=account.label)
    find_dead(own, monkeypatch)

    until(lambda: 2 == len(account.journal(event="socket-open")))
    assert "hi again" == ask(web, "!echo hi again").text


def test_poe_s_own_pings_are_answered(account: Account, control: Callable[..., Any]) -> None:
    """A ping from Poe gets its pong."""
    web = account.web(site=site(account.folder, ping=30, dead=60))
    control(server_ping=0.2)
    ask(web, "!delay=0.2 !echo a b c d e f g")

    until(lambda: account.journal(event="pong"))


def test_poe_dies_and_comes_back(tmp_path: Path) -> None:
    """A reply in flight ends in a failure that no other token may repeat; then all is well."""
    with Sim(("one",)) as first:
        account = Account(first, "one", "cookie-1", tmp_path)
        web = account.web()
        reply, thread = begin(web, "!hang !long=9000 x")
        until(lambda: reply.text)
        first.stop(signal.SIGKILL)
        thread.join(LIMIT)
        down = failure_of(web, "!echo hi")
        with Sim(("one",), port=first.port):
            back = ask(web, "!echo back")
        web.close()

    assert isinstance(reply.failure, errors.UpstreamInterrupted)
    assert not reply.failure.another_token
    assert isinstance(down, errors.UpstreamUnreachable)
    assert "back" == back.text, back.failure


def at_work() -> set[threading.Thread]:
    """The threads that are not only kept for the next work."""
    return {thread for thread in threading.enumerate() if thread.name != "idle"}


def test_closing_ends_the_replies(account: Account) -> None:
    """Closing the upstream ends its replies at once, though their bots would hang for an hour, and
    leaves no thread behind."""
    web = account.web(timeout=3600.0)
    before = at_work()
    reply, thread = begin(web, "!hang hello")
    until(lambda: account.journal(event="reply-start"))
    web.close()
    thread.join(LIMIT)

    assert isinstance(reply.failure, errors.UpstreamError)
    until(lambda: not {t for t in at_work() if t not in before and t is not thread})


def test_replies_leave_no_threads_behind(account: Account, web: PoeWeb) -> None:
    """After any number of replies there is one thread: the websocket's reader."""
    ask(web, "!echo hi")
    before = len(at_work())
    many(web, [f"!echo {n}" for n in range(10)])
    failure_of(web, "!status=no_access hello")

    until(lambda: len(at_work()) <= before)
