"""The end of the server, by the stand-in's record: no bot goes on at Poe.

The stand-in is asked once the process has ended, and never waited for.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests

from .servers import Proxy, Sim, ask, until

STOP = "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"
#: A bot that both ways to Poe lead to.
BOT = "GPT-4o"
WORDS = "!echo one two three four"
#: Seconds within which gunicorn has to end, on a busy machine too, when no grace is left.
END = 20.0


@contextmanager
def servers(kind: str, grace: int = 60, **settings: str) -> Iterator[tuple[Sim, Proxy]]:
    """The stand-in, and the proxy with one account of it."""
    tokens, keys = (("cookie-a",), ()) if kind == "cookie" else ((), ("key-a",))
    with (
        Sim(tokens, keys, "--max-concurrent", "20") as sim,
        Proxy(sim, GUNICORN_CMD_ARGS=f"--graceful-timeout={grace}", **settings) as proxy,
    ):
        yield sim, proxy


@contextmanager
def under_way(sim: Sim, proxy: Proxy, count: int, words: str = "!hang") -> Iterator[None]:
    """So many clients that wait for their answers, streamed and whole ones by turns."""

    def listen(number: int) -> None:
        body = ask(f"{words} {WORDS} {number}", BOT, stream=number % 2 == 0)
        with suppress(requests.RequestException):
            proxy.post(body).close()

    with ThreadPoolExecutor(count) as clients:
        for number in range(count):
            clients.submit(listen, number)
        until(lambda: count == len(sim.journal(event="reply-start")))
        yield


def end(proxy: Proxy, how: int) -> None:
    """Ask the server to end, and wait until it has."""
    proxy.process.send_signal(how)
    assert 0 == proxy.process.wait(END)


def ends(sim: Sim) -> list[str]:
    """How the replies ended, in the words of the stand-in."""
    return [
        entry["event"]
        for entry in sim.journal()
        if entry.get("event", "").startswith("reply-") and entry["event"] != "reply-start"
    ]


SIGNALS = [
    pytest.param(signal.SIGTERM, 0, id="TERM, no grace"),
    pytest.param(signal.SIGTERM, 12, id="TERM, a short grace"),
    pytest.param(signal.SIGINT, 0, id="INT, no grace"),
    pytest.param(signal.SIGQUIT, 60, id="QUIT"),
]


@pytest.mark.parametrize(("how", "grace"), SIGNALS)
def test_the_server_ends_when_all_bots_are_stopped(how: int, grace: int) -> None:
    """By cookie, with eight replies under way, and a Poe that takes its time for a stop."""
    with servers("cookie", grace) as (sim, proxy), under_way(sim, proxy, 8):
        slow = {"query_name": STOP, "times": 8, "with": {"slow": 3}}
        sim.control(fail=slow)
        end(proxy, how)

        assert ["reply-cancelled"] * 8 == ends(sim)
    assert "not tidied up" not in proxy.output()
    assert "Traceback" not in proxy.output()


def test_the_server_ends_when_its_only_bot_is_stopped() -> None:
    """Ctrl-C, by cookie, with one reply under way."""
    with servers("cookie") as (sim, proxy), under_way(sim, proxy, 1):
        end(proxy, signal.SIGINT)

        assert ["reply-cancelled"] == ends(sim)


@pytest.mark.parametrize(("how", "grace"), [SIGNALS[0], SIGNALS[2]])
def test_the_server_ends_with_all_its_calls_by_key(how: int, grace: int) -> None:
    """By key, hanging up is what stops a bot: the end of the process does it, if nothing else."""
    with servers("key", grace) as (sim, proxy), under_way(sim, proxy, 8):
        end(proxy, how)

        until(lambda: ["reply-aborted"] * 8 == ends(sim))


def test_a_stop_that_fails_at_the_end_is_tried_again_at_once() -> None:
    """Poe answers the first two tries with a 502 and a cut connection; there is time for more."""
    with servers("cookie", 0) as (sim, proxy), under_way(sim, proxy, 1):
        broken = [
            {"query_name": STOP, "times": 1, "with": {"http": 502}},
            {"query_name": STOP, "times": 1, "with": {"reset": ""}},
        ]
        sim.control(fail=broken)
        end(proxy, signal.SIGTERM)

        assert ["reply-cancelled"] == ends(sim)


def test_the_server_ends_although_poe_answers_no_stop() -> None:
    """After five seconds it gives up, and says what is left behind."""
    with servers("cookie", 0) as (sim, proxy), under_way(sim, proxy, 2):
        sim.control(fail={"query_name": STOP, "times": 1000, "with": {"http": 503}})
        end(proxy, signal.SIGTERM)
        output = proxy.output()

        assert [] == ends(sim)
        sim.control(reset=True)
    assert 1 == output.count("cookie-1: 2 chat(s) were not tidied up before the end")


def test_a_message_without_an_answer_is_stopped_at_the_end() -> None:
    """The sending is under way when the server ends: its answer says which chat it is."""
    with servers("cookie", 0) as (sim, proxy), under_way(sim, proxy, 1, "!early=4 !hang"):
        end(proxy, signal.SIGTERM)

        assert ["reply-cancelled"] == ends(sim)


def test_chats_are_deleted_before_the_end() -> None:
    """With DELETE_CHATS what a reply leaves behind is deleted, too, when the server ends."""
    with (
        servers("cookie", 0, DELETE_CHATS="1") as (sim, proxy),
        under_way(sim, proxy, 2),
    ):
        end(proxy, signal.SIGTERM)

        assert ["reply-cancelled"] * 2 == ends(sim)
        assert 2 == len(sim.journal(event="chat-deleted"))


def test_a_client_that_does_not_read_holds_up_no_stop() -> None:
    """What a stream is sent at the end does not get through; the bot is stopped all the same."""
    body: Any = ask("!hang !long=4000000 !chunks=4", stream=True)
    with servers("cookie", 0) as (sim, proxy):
        answer = proxy.post(body, stream=True)
        until(lambda: sim.control()["accounts"][0]["running"])
        end(proxy, signal.SIGTERM)

        assert ["reply-cancelled"] == ends(sim)
        answer.close()
