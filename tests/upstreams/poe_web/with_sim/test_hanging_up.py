"""Hanging up, and what is left of a chat."""

from __future__ import annotations

import time

import pytest

from poe_proxy import errors
from poe_proxy.chat import Idle, Text
from poe_proxy.upstreams.poe_web import PoeWeb

from ....with_sim.servers import until
from ..fakes import at_once
from .accounts import WORDS, Account, ask, chat


@pytest.mark.parametrize(
    ("words", "after"),
    [
        ("!hang", Text),
        ("!first=9", Idle),
        ("!slow-answer=1", Idle),
        ("!early=1.5 !delay=0.3", Text),
        ("!slow-answer=1 !reset-after-accept", Idle),
    ],
)
def test_hanging_up_stops_the_bot(account: Account, web: PoeWeb, words: str, after: type) -> None:
    """Closing the generator stops the bot wherever it is, and does not wait for that."""
    ask(web, "!echo first")
    events = web.reply(chat(f"{words} !echo {WORDS}"), "Assistant", at_once)
    until(lambda: isinstance(next(events), after))
    until(lambda: len(account.sends()) == 2)
    began = time.monotonic()
    events.close()

    assert time.monotonic() - began < 0.3
    until(lambda: account.journal(event="reply-cancelled"), 4)
    assert [] == account.journal(event="chat-deleted")


def test_a_generator_that_nobody_began_leaves_nothing(account: Account, web: PoeWeb) -> None:
    """A reply that was never asked for costs nothing."""
    web.reply(chat("hello"), "Assistant", at_once).close()

    assert [] == account.journal()


@pytest.mark.parametrize("words", ["", "!hang", "!slow-answer=1", "!state=error_x"])
def test_chats_are_deleted_where_that_is_wished(account: Account, words: str) -> None:
    """With `delete_chats` a chat is gone once answered, and once hung up."""
    web = account.web(delete_chats=True)
    events = web.reply(chat(f"{words} !echo {WORDS}"), "Assistant", at_once)
    try:
        for event in events:
            if isinstance(event, Text) and words == "!hang":
                break
            if words.startswith("!slow") and account.sends():
                break
    except errors.BotFailed:
        pass
    events.close()

    until(lambda: 1 == len(account.journal(event="chat-deleted")), 4)
    until(lambda: {"ok"} == {entry["verdict"] for entry in account.journal(face="web", status=200)})


def test_chats_are_kept_by_default(account: Account, web: PoeWeb) -> None:
    """Without `delete_chats` the chats stay in the account's history."""
    ask(web, "!echo hi")
    time.sleep(0.2)

    assert [] == account.journal(event="chat-deleted")
