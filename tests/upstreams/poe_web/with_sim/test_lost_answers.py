"""The answer to a sending is lost, and the message may have arrived (sheet §25)."""

from __future__ import annotations

import time

import pytest

from ....fakes import Clock
from .accounts import WORDS, Account, Part, Reply, ask, site


@pytest.mark.parametrize(
    "words",
    [
        "!server-error-after-accept",
        "!http-after-accept=400",
        "!http-after-accept=403",
        "!http-after-accept=404",
        "!http-after-accept=429",
        "!http-after-accept=500",
        "!http-after-accept=502",
        "!empty-after-accept",
        "!html-after-accept",
        "!reset-after-accept",
        "!reset-after-accept !no-human",
        "!reset-after-accept !first=1.5",
        "!reset-after-accept !no-human !no-job",
    ],
)
def test_a_message_that_arrived_is_answered_though_its_answer_was_lost(
    part: Part, words: str
) -> None:
    """The websocket shows that the message arrived: it is never sent twice."""
    reply = ask(part.web, f"{words} !echo {WORDS}")

    assert WORDS == reply.text
    assert reply.is_whole
    assert 1 == len(part.sends())


def test_a_lost_message_is_found_in_the_history(account: Account) -> None:
    """With the answer lost and the websocket deaf, the reply is read from the history."""
    web = account.web(site=site(account.folder, ping=30))
    ask(web, "!echo first")
    account.sim.control(silence_sockets=account.label)
    reply = ask(web, f"!reset-after-accept !echo {WORDS}")

    assert WORDS == reply.text
    assert 2 == len(account.sends())


def test_a_deaf_websocket_is_replaced(account: Account) -> None:
    """A reply that goes on in the history and not on the websocket moves to a new channel."""
    clock = Clock()
    web = account.web(site=site(account.folder, ping=30), timeout=60.0, clock=clock)
    ask(web, "!echo first")
    silent_since: list[float] = []

    def wait_long(_: Reply) -> None:
        if account.journal(event="mischief"):
            silent_since.append(time.monotonic())
        if not silent_since or 2 == len(account.journal(event="socket-open")):
            return
        # What was said before the websocket fell silent is here by then, and the bot went on.
        if time.monotonic() - silent_since[0] > 0.6:
            clock.go(61.0)

    words = " ".join(map(str, range(24)))
    reply = ask(web, f"!dead-socket !delay=0.2 !echo {words}", when_idle=wait_long)

    assert words == reply.text
    assert reply.is_whole
    assert 2 == len(account.journal(event="socket-open"))
