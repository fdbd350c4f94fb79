"""Notices, piled up and taken."""

from __future__ import annotations

import time

import pytest

from poe_proxy.errors import UpstreamInterrupted
from poe_proxy.net.background import Background
from poe_proxy.upstreams.poe_web.items import Item
from poe_proxy.upstreams.poe_web.mailbox import Early, Mailbox, Resync


def item(
    number: int, text: str = "", state: str = "incomplete", name: str = "messageAdded"
) -> Item:
    return Item(name, 1, f'{{"messageId":{number},"state":"{state}","text":"{text}"}}')


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox("client", "chat")


def test_the_chat_is_waited_for(mailbox: Mailbox) -> None:
    """The wait ends as soon as the chat is known, or after the seconds that it may last."""
    assert not mailbox.wait_bound(0.01)
    waiting = Background(lambda: mailbox.wait_bound(3600.0))
    assert not waiting.wait(0.05)
    mailbox.bind(7)

    assert waiting.wait(60.0)
    assert waiting.result()
    assert 7 == mailbox.chat_id


def test_notices_come_in_their_order_and_once(mailbox: Mailbox) -> None:
    """What was taken is gone."""
    notices = [item(1, state="complete"), Resync(), UpstreamInterrupted("x"), item(2)]
    for notice in notices:
        mailbox.put(notice)

    assert notices == mailbox.wait(0)
    assert [] == mailbox.wait(0)


def test_only_the_newest_of_an_unfinished_message_is_kept(mailbox: Mailbox) -> None:
    """Each item of a message holds all that those before it held."""
    for number in range(1000):
        mailbox.put(item(1, "x" * number))
    done = item(1, "x" * 1000, "complete")
    mailbox.put(done)

    assert [item(1, "x" * 999), done] == mailbox.wait(0)


def test_messages_that_take_turns_are_all_kept(mailbox: Mailbox) -> None:
    """Nothing is moved past anything else."""
    notices = [item(1, "a"), item(2, "b"), item(1, "aa"), item(1, "j", name="jobUpdated")]
    for notice in notices:
        mailbox.put(notice)

    assert notices == mailbox.wait(0)


def test_waiting_ends_with_a_notice_or_a_wake(mailbox: Mailbox) -> None:
    """A notice or a wake ends a wait of an hour, and without them it lasts its time."""
    for rouse in (mailbox.wake, lambda: mailbox.put(Resync())):
        waiting = Background(lambda: mailbox.wait(3600.0))
        assert not waiting.wait(0.05)
        rouse()
        assert waiting.wait(60.0)

    began = time.monotonic()
    assert [] == mailbox.wait(0.05)
    assert 0.04 < time.monotonic() - began


def test_what_is_not_taken_has_a_number(mailbox: Mailbox) -> None:
    """Beyond it the reader is told to look into the history; failures are kept."""
    failure = UpstreamInterrupted("x")
    mailbox.put(failure)
    for number in range(Mailbox.NOTICES):
        mailbox.put(item(number, state="complete"))
    mailbox.put(item(1, "last"))
    gap, *rest = mailbox.wait(0)

    assert isinstance(gap, Resync)
    assert [failure, item(1, "last")] == rest


def test_what_is_not_taken_has_a_size(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """One notice may be larger: it is what the reader waits for."""
    monkeypatch.setattr(Mailbox, "CHARACTERS", 1000)
    large = item(1, "x" * 2000, "complete")
    mailbox.put(large)
    assert [large] == mailbox.wait(0)
    for _ in range(100):
        mailbox.put(item(1, "x" * 300, "complete"))
    gap, *rest = mailbox.wait(0)

    assert isinstance(gap, Resync)
    assert sum(len(one.text) for one in rest if isinstance(one, Item)) <= 1000


# ---- early items


def test_early_items_are_kept_by_chat() -> None:
    """Each chat's items are given out once."""
    early = Early()
    early.keep(item(1, "a", "complete"), 7, now=0)
    early.keep(item(2, "b", "complete"), 8, now=0)

    assert [item(1, "a", "complete")] == early.take(7)
    assert [] == early.take(7)
    assert [item(2, "b", "complete")] == early.take(8)


def test_early_items_grow_old() -> None:
    """An item that no reply took within a minute is dropped."""
    early = Early()
    early.keep(item(1), 7, now=0)
    early.keep(item(2), 8, now=Early.SECONDS + 1)

    assert [] == early.take(7)
    assert 1 == len(early.take(8))


def test_early_items_are_bounded_in_number() -> None:
    """Only so many chats are kept, and so many items of each: the newest."""
    early = Early()
    for chat in range(Early.CHATS + 10):
        early.keep(item(1), chat, now=0)
    for number in range(Early.ITEMS + 10):
        early.keep(item(number, state="complete"), 9999, now=0)

    assert [] == early.take(0)
    kept = early.take(9999)
    assert Early.ITEMS == len(kept)
    assert item(Early.ITEMS + 9, state="complete") == kept[-1]


def test_early_items_are_bounded_in_size() -> None:
    """Long texts of many chats do not pile up; one unfinished message is kept once."""
    early = Early()
    for number in range(10):
        early.keep(item(1, "x" * 1_000_000), 1, now=0)
        early.keep(item(number, "x" * 3_000_000, "complete"), 100 + number, now=0)

    kept = [early.take(chat) for chat in (1, *range(100, 110))]
    assert sum(len(one.text) for notices in kept for one in notices) <= Early.CHARACTERS
    assert kept[-1]


def test_the_size_of_early_items_is_that_of_those_that_are_kept() -> None:
    """Whatever is taken, dropped or over makes room."""
    early = Early()
    large = item(1, "x" * 3_000_000, "complete")
    for chat in range(100):
        early.keep(large, chat, now=0)
        early.keep(item(2, "x"), chat, now=0)
        if chat % 3 == 0:
            early.take(chat)
        if chat % 3 == 1:
            early.end(chat)
    early.clear()
    for chat in range(200, 205):
        early.keep(large, chat, now=0)

    assert [1] * 5 == [len(early.take(chat)) for chat in range(200, 205)]


def test_a_chat_that_is_over_is_not_kept() -> None:
    """Late frames of a finished reply are dropped."""
    early = Early()
    early.keep(item(1), 7, now=0)
    early.end(7)
    early.keep(item(1), 7, now=0)

    assert [] == early.take(7)


def test_clearing_forgets_everything() -> None:
    """While no reply waits nothing is kept."""
    early = Early()
    early.keep(item(1), 7, now=0)
    early.clear()

    assert [] == early.take(7)


def test_a_wait_for_the_chat_can_be_ended() -> None:
    """It is not known then, and there is no need to wait any longer."""
    mailbox = Mailbox("nonce", "chat nonce")
    assert not mailbox.wait_bound(0.0)
    mailbox.stop_waiting()

    assert not mailbox.wait_bound(None)
    mailbox.bind(5)
    assert mailbox.wait_bound(None)


def test_a_chat_that_was_over_may_go_on() -> None:
    """From then on what comes about it is kept again."""
    early = Early()
    early.end(7)
    early.begin(7)
    early.keep(item(1), 7, now=0)

    assert [item(1)] == early.take(7)
