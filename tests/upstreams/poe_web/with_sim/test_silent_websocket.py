"""Poe refuses subscriptions without a word: the bot answers, and the websocket does not say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from poe_proxy.chat import Text

from ....with_sim.servers import until
from .accounts import WORDS, Account, ask, site

MESSAGES = "ChatListPaginationQuery"
#: How much faster than the world's the time of an account goes here that has to wait.
FASTER = 10


class Quick:
    """An account with a quick clock, and the signs that the site has changed."""

    def __init__(self, account: Account) -> None:
        self.signs: list[str] = []
        own = site(account.folder)
        own.hear(self.told)
        self.web = account.web(site=own, clock=lambda: time.monotonic() * FASTER)

    def told(self, sign: str, label: str) -> str:
        self.signs.append(f"{label}: {sign}")
        return ""


@pytest.mark.parametrize("retired", ["messageAdded", "all"])
@pytest.mark.parametrize("words", ["", "!messages=2", "!no-human"])
def test_an_answer_is_read_from_the_history(
    account: Account, control: Callable[..., Any], retired: str, words: str
) -> None:
    """All of it, once, and the prompt goes out once."""
    control(retire_subscription=retired)
    quick = Quick(account)
    reply = ask(quick.web, f"{words} !echo {WORDS}".strip())
    again = ask(quick.web, f"{words} !echo {WORDS}".strip())

    whole = f"{WORDS} (1/2)\n\n{WORDS} (2/2)" if words == "!messages=2" else WORDS
    assert (whole, whole) == (reply.text, again.text)
    assert reply.is_whole
    assert again.is_whole
    assert 2 == len(account.sends())
    # It might have been the channel; another one was tried, once.
    until(lambda: 2 == len(account.journal(event="socket-open")))
    # Once for each reply: whoever hears of it knows what was heard before.
    sign = f"{account.label}: Poe's websocket says nothing of a reply"
    assert [True, True] == [one.startswith(sign) for one in quick.signs]


def test_a_long_answer_is_read_as_it_grows(account: Account, control: Callable[..., Any]) -> None:
    """In pieces, each of which is what was new in the history then."""
    control(retire_subscription="all")
    words = " ".join(map(str, range(30)))
    reply = ask(Quick(account).web, f"!delay=0.1 !echo {words}")

    assert words == reply.text
    assert reply.is_whole
    texts = [event for event in reply.events if isinstance(event, Text)]
    assert 2 <= len(texts) <= len(account.journal(queryName=MESSAGES))


@pytest.mark.parametrize("words", ["", "!first=1.5", "!silence=1.5", "!no-human", "!slow-answer=1"])
def test_an_ordinary_reply_asks_the_history_for_nothing(account: Account, words: str) -> None:
    """However slow the bot is, for a websocket that shows its messages: one request is all."""
    quick = Quick(account)
    ask(quick.web, "!echo first")
    account.forget()
    reply = ask(quick.web, f"{words} !echo {WORDS}".strip())

    assert WORDS == reply.text
    assert ["sendMessageMutation"] == [
        entry["queryName"] for entry in account.journal(path="/api/gql_POST")
    ]
    assert [] == quick.signs


def test_a_channel_that_has_fallen_silent_is_replaced(account: Account) -> None:
    """It was the channel: the next reply is heard on another one."""
    quick = Quick(account)
    ask(quick.web, "!echo first")
    account.sim.control(silence_sockets=account.label)
    assert WORDS == ask(quick.web, f"!echo {WORDS}").text
    until(lambda: 2 == len(account.journal(event="socket-open")))
    channel = quick.web._channel
    assert channel is not None
    until(channel.opened)
    account.forget()

    assert WORDS == ask(quick.web, f"!echo {WORDS}").text
    assert [] == account.journal(queryName=MESSAGES)
