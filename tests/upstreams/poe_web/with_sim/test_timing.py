"""Time: signs of life, patience, and what is too long."""

from __future__ import annotations

import time

import pytest

from poe_proxy import errors
from poe_proxy.chat import Idle
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_web.account import PoeWeb

from ....fakes import Clock, at_once
from ....with_sim.servers import until
from .accounts import WORDS, Account, Reply, ask, chat, failure_of


@pytest.mark.parametrize(("words", "said"), [("!first=3600", ""), ("!hang", "one two three four")])
def test_idle_comes_while_there_is_nothing_to_say(
    account: Account, web: PoeWeb, words: str, said: str
) -> None:
    """Idle comes again and again before a reply and in it, as long as the bot is silent."""
    events = web.reply(chat(f"{words} !echo {WORDS}"), "Assistant", at_once)
    text = ""
    while text != said or not account.journal(event="reply-start"):
        text += getattr(next(events), "text", "")
    # Frames that say nothing are followed by Idle at once; the silence after them is meant here.
    end = time.monotonic() + 4 * TICK
    while time.monotonic() < end:
        assert Idle() == next(events)
    events.close()


def test_the_permit_is_asked_for_once_the_login_is_over(account: Account, web: PoeWeb) -> None:
    """What comes before the sending, a slow login among it, is no use of the token; Idle comes
    meanwhile."""
    account.sim.control(
        fail={"path": "/", "account": account.label, "times": 1, "with": {"slow": 2}}
    )
    began = time.monotonic()
    reply = ask(web, f"!echo {WORDS}")

    assert WORDS == reply.text
    assert reply.sent_at - began > 2
    assert 0 < reply.before_sending
    assert {Idle} == {type(event) for event in reply.events[: reply.before_sending]}


def test_the_first_word_may_take_as_long_as_the_bot_needs(account: Account) -> None:
    """Before the first word a bot has the time that Poe grants it, 120 s, if TIMEOUT is less."""
    clock = Clock()
    began = clock.now
    web = account.web(timeout=60.0, clock=clock)

    def wait_long(reply: Reply) -> None:
        # What is pushed before the first word is here by then.
        is_silent = reply.sent_at and time.monotonic() - reply.sent_at > 1
        if is_silent and not reply.text:
            clock.now = began + 110.0

    # Long enough for some Idle in the silence, however busy the machine is.
    assert "hi" == ask(web, "!first=5 !echo hi", when_idle=wait_long).text
    assert began + 110.0 == clock.now


def test_silence_in_mid_reply_is_a_time_out(account: Account) -> None:
    """A bot that falls silent is given up after TIMEOUT, and stopped."""
    web = account.web(timeout=0.7)
    failure = failure_of(web, f"!hang !echo {WORDS}")

    assert isinstance(failure, errors.UpstreamTimeout)
    assert "0.7 s" in str(failure)
    assert not failure.another_token
    until(lambda: account.journal(event="reply-cancelled"))


def test_a_bot_that_never_begins_is_a_time_out(account: Account) -> None:
    """Not one word within what Poe grants the bot is a time-out; time runs fast here."""
    web = account.web(clock=lambda: time.monotonic() * 60)
    failure = failure_of(web, "!first=3600 hello")

    assert isinstance(failure, errors.UpstreamTimeout)
    assert "120 s" in failure.message
    until(lambda: account.journal(event="reply-cancelled"))
