"""The answer to a sending is lost, and the message may have arrived (sheet §25)."""

from __future__ import annotations

import threading

import pytest

from poe_proxy.upstreams.poe_web.chats import Chats

from ....fakes import Clock
from ....with_sim.servers import until
from .accounts import LIMIT, WORDS, Account, Part, Reply, ask, begin, site


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
    is_deaf = threading.Event()

    def wait_long(reply: Reply) -> None:
        if not is_deaf.is_set() or 2 == len(account.journal(event="socket-open")):
            return
        chat_id = account.journal(event="reply-start")[-1]["chatId"]
        messages = Chats(web._session).messages(chat_id)
        # The bot went on, and the websocket did not say so.
        if messages and len(messages[-1]["text"]) > len(reply.text):
            clock.go(61.0)

    words = " ".join(map(str, range(24)))
    reply, thread = begin(web, f"!delay=0.2 !echo {words}", when_idle=wait_long)
    until(lambda: reply.text)
    # Early in the reply: most of it is still to come when the history is asked for.
    account.sim.control(silence_sockets=account.label)
    is_deaf.set()
    thread.join(LIMIT)

    assert words == reply.text
    assert reply.is_whole
    assert 2 == len(account.journal(event="socket-open"))
