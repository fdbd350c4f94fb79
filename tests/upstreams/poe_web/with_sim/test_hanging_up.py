"""Hanging up, and what is left of a chat."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.chat import Idle, Text
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.sending import SEND

from ....fakes import at_once, log_lines
from ....with_sim.servers import until
from .accounts import LIMIT, WORDS, Account, ask, chat


@pytest.mark.parametrize(
    ("words", "after"),
    [
        ("!hang", Text),
        ("!first=3600", Idle),
        ("!slow-answer=3 !hang", Idle),
        ("!early=3 !hang", Text),
        ("!slow-answer=3 !hang !reset-after-accept", Idle),
    ],
)
def test_hanging_up_stops_the_bot(
    account: Account, web: PoeWeb, monkeypatch: pytest.MonkeyPatch, words: str, after: type
) -> None:
    """Closing the generator stops the bot wherever it is, and does not wait for the answer to the
    sending, which is under way."""
    ask(web, "!echo first")
    really_call, was_seen = web._session.call, threading.Event()

    def call(operation: str, *args: Any, **options: Any) -> Any:
        try:
            return really_call(operation, *args, **options)
        finally:
            if operation == SEND:
                was_seen.wait(LIMIT)

    if "=3 " in words:
        # The answer is not taken in before the look at who waits for it, however late that is.
        monkeypatch.setattr(web._session, "call", call)
    events = web.reply(chat(f"{words} !echo {WORDS}"), "Assistant", at_once)
    until(lambda: isinstance(next(events), after))
    until(lambda: len(account.sends()) == 2)
    events.close()

    is_under_way = f"{account.label} sending" in [t.name for t in threading.enumerate()]
    was_seen.set()
    assert is_under_way or "=3 " not in words
    until(lambda: account.journal(event="reply-cancelled"))
    assert [] == account.journal(event="chat-deleted")


STOP = "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"


@pytest.mark.parametrize("words", ["!hang", "!early=1 !hang", "!hang !reset-after-accept"])
@pytest.mark.parametrize(
    ("trouble", "times"), [({"http": 502}, 2), ({"reset": ""}, 2), ({"server-error": ""}, 1)]
)
def test_a_stop_that_fails_is_tried_again(
    account: Account, web: PoeWeb, words: str, trouble: dict[str, Any], times: int
) -> None:
    """Poe fails, or the connection breaks: a little later the bot is stopped all the same. (Two
    server errors in a row mean that Poe does not know any more what is asked.)"""
    ask(web, "!echo first")
    account.sim.control(
        fail={"query_name": STOP, "account": account.label, "times": times, "with": trouble}
    )
    events = web.reply(chat(f"{words} !echo {WORDS}"), "Assistant", at_once)
    until(lambda: isinstance(next(events), Text))
    events.close()

    until(lambda: account.journal(event="reply-cancelled"))
    assert times < len(account.journal(queryName=STOP))


def test_an_account_that_closes_stops_its_bots(account: Account, web: PoeWeb) -> None:
    """Replies that are still under way are hung up, and the stops are out by then."""
    replies = [web.reply(chat(f"!hang !echo {WORDS}"), "Assistant", at_once) for _ in range(3)]
    for events in replies:
        assert any(isinstance(event, Text) for event in events)
    web.close()

    assert 3 == len(account.journal(event="reply-cancelled"))
    for events in replies:
        events.close()
    assert 3 == len(account.journal(queryName=STOP))


def test_an_account_that_closes_waits_for_an_answer_to_stop_its_bot(
    account: Account, web: PoeWeb
) -> None:
    """Nothing was heard of the message when its reader hung up."""
    ask(web, "!echo first")
    events = web.reply(chat(f"!slow-answer=2 !hang !echo {WORDS}"), "Assistant", at_once)
    until(lambda: next(events) == Idle() and len(account.sends()) == 2)
    events.close()
    web.close()

    assert 1 == len(account.journal(event="reply-cancelled"))


def test_an_account_gives_up_what_cannot_be_stopped(account: Account, web: PoeWeb) -> None:
    """After its time; there is one line in the log, and the reply is over."""
    events = web.reply(chat(f"!hang !echo {WORDS}"), "Assistant", at_once)
    until(lambda: isinstance(next(events), Text))
    account.sim.control(
        fail={"query_name": STOP, "account": account.label, "times": 99, "with": {"http": 503}}
    )
    began = time.monotonic()
    with log_lines() as lines:
        web.close()
    took = time.monotonic() - began
    with pytest.raises(errors.UpstreamError):
        list(events)

    assert 5 <= took
    assert 1 == lines.getvalue().count("1 chat(s) were not tidied up before the end")
    account.sim.control(reset=True)


def test_a_generator_that_was_never_begun_leaves_nothing(account: Account, web: PoeWeb) -> None:
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

    until(lambda: 1 == len(account.journal(event="chat-deleted")))
    until(lambda: {"ok"} == {entry["verdict"] for entry in account.journal(face="web", status=200)})


def test_chats_are_kept_by_default(account: Account, web: PoeWeb) -> None:
    """Without `delete_chats` the chats stay in the account's history."""
    ask(web, "!echo hi")
    # What a reply leaves to be done is done by then.
    until(lambda: not [t for t in threading.enumerate() if t.name == f"{account.label} tidying up"])
    ask(web, "!echo hi again")

    assert [] == account.journal(event="chat-deleted")
