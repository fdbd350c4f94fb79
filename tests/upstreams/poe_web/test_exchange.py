"""One exchange between a session and a channel that do as they are told."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.chat import Done, ReplyEvent, Text
from poe_proxy.upstreams.poe_web.bots import Bot
from poe_proxy.upstreams.poe_web.exchange import Exchange
from poe_proxy.upstreams.poe_web.sending import Outgoing
from poe_proxy.upstreams.poe_web.site import Site

from .fakes import FakeChannel, FakeSession, failing, say_it_all
from .test_turn import bot


def exchange(session: FakeSession, channel: FakeChannel, site: Site | None = None) -> Exchange:
    made = Exchange(
        Outgoing(Bot("Assistant", 60.0), "prompt", "device"),
        session,  # type: ignore[arg-type]
        channel,  # type: ignore[arg-type]
        site=site or Site.load(),
        timeout=60.0,
    )
    made.attach()
    return made


@pytest.mark.parametrize(
    "failure",
    [
        errors.TokenLimited("429"),
        errors.UpstreamProtocolError("404"),
        errors.UpstreamUncertain("reset"),
        errors.PromptTooLong("413"),
    ],
)
def test_the_websocket_may_contradict_an_answer_a_little_later(failure: Exception) -> None:
    """An answer says that nothing was done, and frames say otherwise: the frames are right."""
    channel = FakeChannel()
    one = exchange(FakeSession(sendMessageMutation=failing(failure)), channel)
    threading.Timer(0.1, say_it_all, (channel,)).start()

    events: list[ReplyEvent] = list(one.events())
    assert [Text("hello"), Done("stop")] == [e for e in events if isinstance(e, Text | Done)]


def test_an_answer_that_nobody_contradicts_holds() -> None:
    """It is told after a moment, as it is: another token may try."""
    failure = errors.TokenLimited("429")
    one = exchange(FakeSession(sendMessageMutation=failing(failure)), FakeChannel())
    began = time.monotonic()
    with pytest.raises(errors.TokenLimited):
        list(one.events())

    assert time.monotonic() - began < 0.6


def test_a_repeat_waits_for_the_websocket_to_contradict() -> None:
    """Poe refuses a message that it took: frames that come a little later keep it from being
    sent twice."""
    channel = FakeChannel()

    class Refuses(FakeSession):
        def call(self, operation: str, variables: Any, **options: Any) -> Any:
            self.calls.append(operation)
            if len(self.calls) == 1 and options["may_repeat"]():
                self.calls.append(operation)
            raise errors.UpstreamUncertain("403")

    session = Refuses()
    one = exchange(session, channel)
    threading.Timer(0.1, say_it_all, (channel,)).start()
    events: list[ReplyEvent] = list(one.events())

    assert [Text("hello"), Done("stop")] == [e for e in events if isinstance(e, Text | Done)]
    assert ["sendMessageMutation"] == session.calls


def test_what_was_never_sent_is_told_at_once() -> None:
    """Without a connection there is nothing to watch for."""
    session = FakeSession(sendMessageMutation=failing(errors.UpstreamUnreachable("refused")))
    began = time.monotonic()
    with pytest.raises(errors.UpstreamUnreachable):
        list(exchange(session, FakeChannel()).events())

    assert time.monotonic() - began < 0.25


@pytest.mark.parametrize(
    ("said", "failure"), [("", errors.UpstreamUncertain), ("abc", errors.UpstreamInterrupted)]
)
def test_a_dead_channel_is_no_reason_to_send_again(said: str, failure: type) -> None:
    """After the sending, the loss of the websocket is a failure that no other token may try."""
    channel = FakeChannel()
    answer = {"messageEdgeCreate": {"status": "success", "chat": {"chatId": 1234567890}}}
    one = exchange(FakeSession(sendMessageMutation=lambda: answer), channel)
    channel.say("messageAdded", bot(said))
    assert channel.mailbox is not None
    channel.mailbox.put(errors.UpstreamUnreachable("gone"))
    with pytest.raises(errors.UpstreamError) as told:
        list(one.events())

    assert failure is told.type
    assert not told.value.another_token


def test_a_channel_that_died_before_the_sending_keeps_it_back() -> None:
    """While a message waits until its account is rested the websocket may go: what nobody could
    hear the answer to is not sent, and another token may try."""
    session, channel = FakeSession(), FakeChannel()
    one = exchange(session, channel)
    channel.is_alive = False
    with pytest.raises(errors.UpstreamUnreachable) as told:
        list(one.events())
    one.close()

    assert told.value.another_token
    assert [] == session.calls


def test_a_fault_of_ours_does_not_hang() -> None:
    """An unforeseen exception in the sender is a failure like others."""
    site_free = FakeSession(
        sendMessageMutation=failing(RuntimeError("a bug")),
        ChatHistoryListPaginationQuery=lambda: {"chats": {"edges": []}},
    )
    site = Site.load()
    object.__setattr__(site.limits, "shows", 0.2)
    one = exchange(site_free, FakeChannel(), site)
    with pytest.raises(errors.UpstreamUncertain):
        list(one.events())

    assert 1 == site_free.calls.count("sendMessageMutation")
    one.close()
    time.sleep(0.1)
    assert 1 == site_free.calls.count("ChatHistoryListPaginationQuery")
