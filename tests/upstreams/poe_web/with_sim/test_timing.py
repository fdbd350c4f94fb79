"""Time: signs of life, patience, and what is too long."""

from __future__ import annotations

import time

from poe_proxy import errors
from poe_proxy.chat import Idle
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_web import PoeWeb

from ....with_sim.servers import until
from .accounts import WORDS, Account, ask, failure_of


def test_idle_comes_while_there_is_nothing_to_say(account: Account, web: PoeWeb) -> None:
    """Whoever waits is given the word every half second: at the login, before and in a reply."""
    account.sim.control(
        fail={"path": "/", "account": account.label, "times": 1, "with": {"slow": 0.8}}
    )
    began = time.monotonic()
    reply = ask(web, f"!first=0.8 !silence=0.8 !echo {WORDS}")

    assert WORDS == reply.text
    gaps = [later - sooner for sooner, later in zip([began, *reply.at], reply.at, strict=False)]
    assert max(gaps) < TICK + 0.4
    assert Idle is type(reply.events[0])


def test_the_sending_is_told_once_the_login_is_over(account: Account, web: PoeWeb) -> None:
    """What comes before, a slow login among it, is no use of the token."""
    account.sim.control(
        fail={"path": "/", "account": account.label, "times": 1, "with": {"slow": 0.8}}
    )
    began = time.monotonic()
    reply = ask(web, f"!echo {WORDS}")

    assert WORDS == reply.text
    assert reply.sent_at - began > 0.8


def test_the_first_word_may_take_as_long_as_the_bot_needs(account: Account) -> None:
    """Before the first word a bot has the time that Poe grants it, if that is more."""
    web = account.web(timeout=0.5)

    assert "hi" == ask(web, "!first=1 !echo hi").text


def test_silence_in_mid_reply_is_a_time_out(account: Account) -> None:
    """A bot that falls silent is given up after TIMEOUT, and stopped."""
    web = account.web(timeout=0.7)
    told = failure_of(web, f"!hang !echo {WORDS}")

    assert isinstance(told, errors.UpstreamTimeout)
    assert "0.7 s" in str(told)
    assert not told.another_token
    until(lambda: account.journal(event="reply-cancelled"), 3)


def test_a_bot_that_never_begins_is_a_time_out(account: Account) -> None:
    """Not one word within what Poe grants the bot is a time-out; time runs fast here."""
    web = account.web(clock=lambda: time.monotonic() * 60)
    told = failure_of(web, "!first=30 hello")

    assert isinstance(told, errors.UpstreamTimeout)
    assert "120 s" in told.message
    until(lambda: account.journal(event="reply-cancelled"), 3)
