"""A channel on websockets that follow a test. No socket is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
import websocket

from poe_proxy.chat import Charges
from poe_proxy.errors import TokenRejected, UpstreamChanged, UpstreamError, UpstreamUnreachable
from poe_proxy.upstreams.poe_web.channel import Channel, Opened
from poe_proxy.upstreams.poe_web.items import Draft, Item
from poe_proxy.upstreams.poe_web.mailbox import Mailbox, Resync
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.websockets import Unreadable

from ...fakes import log_lines
from .test_turn import bot, frame
from .test_websockets import data

SITE = Site.load()


class Wire:
    """A websocket with the frames of a test."""

    def __init__(self, *frames: bytes | Exception) -> None:
        self.frames = list(frames)
        self.sent: list[Any] = []
        self.sock = None

    def receive(self) -> list[tuple[int, bytes]]:
        if not self.frames:
            raise websocket.WebSocketConnectionClosedException
        one = self.frames.pop(0)
        if isinstance(one, Exception):
            raise one
        return [(websocket.ABNF.OPCODE_TEXT, one)]

    def send(self, text: str) -> None:
        self.sent.append(text)

    def ping(self) -> None:
        self.sent.append("protocol ping")

    def settimeout(self, seconds: float) -> None: ...
    def shutdown(self) -> None: ...
    def getstatus(self) -> int:
        return 101


class Wires:
    """A `Socket` that hands out what it has."""

    def __init__(self, *wires: Wire | UpstreamError) -> None:
        self.wires = list(wires)
        self.opened: list[tuple[ChannelData, int]] = []

    def open(self, data: ChannelData, min_seq: int) -> Wire:
        self.opened.append((data, min_seq))
        one = self.wires.pop(0) if self.wires else UpstreamUnreachable("none left")
        if isinstance(one, UpstreamError):
            raise one
        return one


def channel(
    wires: Wires,
    *mailboxes: Mailbox,
    renew: Any = data,
    when_open: Callable[[str], None] = lambda _: None,
    when_pinging: Callable[[], None] = lambda: None,
) -> Channel:
    """A channel whose reader runs here, when a test says so."""
    made = Channel.__new__(Channel)
    real = Channel._run
    Channel._run = lambda self: None
    try:
        made.__init__(
            data(),
            wires,
            SITE.limits,
            renew=renew,
            when_open=when_open,
            when_pinging=when_pinging,
            label="test",
        )
    finally:
        Channel._run = real
    for mailbox in mailboxes:
        made.attach(mailbox)
    made._rest = lambda attempt: None
    return made


def boxes() -> tuple[Mailbox, Mailbox]:
    return Mailbox("nonce-1", "chat-nonce-1"), Mailbox("nonce-2", "chat-nonce-2")


def added(text: str, chat: int, nonce: str = "", seq: int = 6) -> bytes:
    author = "human" if nonce else "claude"
    content = {**bot(text, "complete"), "author": author, "clientNonce": nonce}
    return frame("messageAdded", content, f":{chat}", seq)


def texts(mailbox: Mailbox) -> list[str]:
    notices = mailbox.wait(0)
    return [notice.content()["text"] for notice in notices if isinstance(notice, Item | Draft)]


def test_items_find_their_reply_by_the_echoed_nonce() -> None:
    """The human message ties a chat to its mailbox; what follows goes there."""
    one, two = boxes()
    made = channel(
        Wires(Wire(added("q2", 22, "nonce-2"), added("a2", 22), added("q1", 11, "nonce-1"))),
        one,
        two,
    )
    made._run()

    assert (11, 22) == (one.chat_id, two.chat_id)
    assert ["q1"] == texts(one)
    assert ["q2", "a2"] == texts(two)


def test_a_text_that_grows_reaches_its_reply_unparsed() -> None:
    """Only the newest of what the reader has not taken, and the last sequence counts."""
    one, _ = boxes()
    made = channel(Wires(Wire()), one)
    made.bind(one, 11)
    for end in range(1, 6):
        made._take(frame("messageAdded", bot("hello"[:end]), ":11", seq=100 + end))
    first, *rest = one.wait(0), one.wait(0)

    assert [[]] == rest
    assert isinstance(first[0], Draft)
    assert ["hello"] == [notice.content()["text"] for notice in first]
    assert 105 == made._seq


def test_a_text_that_grows_before_its_chat_is_known_is_kept_unparsed() -> None:
    """And what follows the tie goes on from there."""
    one, _ = boxes()
    made = channel(Wires(Wire()), one)
    for end in range(1, 4):
        made._take(frame("messageAdded", bot("hello"[:end]), ":11"))
    made.bind(one, 11)
    made._take(frame("messageAdded", bot("hello"), ":11"))
    (last,) = one.wait(0)

    assert isinstance(last, Draft)
    assert "hello" == last.content()["text"]


def test_what_came_before_the_tie_is_delivered_with_it() -> None:
    """Frames of an unknown chat are kept until the answer says which reply they belong to."""
    one, two = boxes()
    made = channel(Wires(Wire()), one, two)
    for raw in (added("early", 11), added("for two", 22), added("more", 11)):
        made._take(raw)
    made.bind(one, 11)
    made._take(added("later", 11))

    assert ["early", "more", "later"] == texts(one)
    assert [] == two.wait(0)


def test_what_comes_early_in_a_chat_that_goes_on_is_delivered_too() -> None:
    """Its last turn is over, and what comes of that is dropped until the next one begins."""
    one, two = boxes()
    made = channel(Wires(Wire()), one)
    made.bind(one, 11)
    made.detach(one)
    made._take(added("late", 11))
    made.attach(two, 11)
    made._take(added("early", 11))
    made.bind(two, 11)

    assert [] == texts(one)
    assert ["early"] == texts(two)


def test_a_new_chat_is_tied_by_its_own_nonce() -> None:
    """chatAddedV2 echoes the chat's nonce, and is about no chat by its name."""
    one, two = boxes()
    made = channel(Wires(Wire()), one, two)
    made._take(frame("chatAddedV2", {"chat": {"chatId": 22, "chatNonce": "chat-nonce-2"}}, ""))
    made._take(added("hi", 22))

    assert 22 == two.chat_id
    assert ["hi"] == texts(two)


def test_a_finished_chat_is_forgotten() -> None:
    """Late frames of a reply that is over go nowhere, and are not kept either."""
    one, two = boxes()
    made = channel(Wires(Wire()), one, two)
    made.bind(one, 11)
    made.detach(one)
    made._take(added("late", 11))

    assert [] == one.wait(0)
    assert [] == made._early.take(11)


def test_nothing_is_kept_while_no_reply_waits() -> None:
    """The frames of the user's own browser are not collected."""
    made = channel(Wires(Wire()))
    made._take(added("from the browser", 11))

    assert [] == made._early.take(11)


def test_a_broken_websocket_goes_on_where_it_was() -> None:
    """The first reconnect asks the same channel for what came after the last sequence."""
    one, _ = boxes()
    wires = Wires(Wire(added("a", 11, "nonce-1", seq=77)), Wire(added("b", 11, seq=78)))
    made = channel(wires, one)
    made._run()

    assert [(data(), 5), (data(), 77)] == wires.opened[:2]
    assert ["a", "b"] == texts(one)


def test_a_lost_channel_is_replaced_and_the_gap_told() -> None:
    """After missed_messages there is a new channel, and the replies look at the history."""
    one, _ = boxes()
    fresh = ChannelData(name="new", hash="9", box="b", base_host="poe.com", min_seq=500)
    wires = Wires(Wire(b'{"error":"missed_messages"}'), Wire())
    made = channel(wires, one, renew=lambda: fresh)
    made._run()

    assert (fresh, 500) == wires.opened[1]
    assert 1 <= made.generation
    assert isinstance(one.wait(0)[0], Resync)


def test_a_websocket_that_keeps_breaking_is_given_up() -> None:
    """After a few breaks in a row the channel is dead, and its replies fail."""
    one, _ = boxes()
    wires = Wires(*[Wire() for _ in range(20)])
    made = channel(wires, one)
    made._run()

    assert not made.is_alive
    assert len(wires.opened) < 8
    assert isinstance(one.wait(0)[-1], UpstreamError)
    with pytest.raises(UpstreamUnreachable):
        made.attach(one)


def test_a_channel_that_is_not_needed_is_not_mended_again_and_again() -> None:
    """One reconnect for an idle account, then it waits for the next reply."""
    wires = Wires(*[Wire() for _ in range(20)])
    channel(wires)._run()

    assert 2 == len(wires.opened)


def test_a_ping_is_answered_and_pings_are_sent_while_frames_flow() -> None:
    """Poe's ping gets a pong; ours goes out on time whether or not there is silence. With each of
    ours the account may see to what is due."""
    wire = Wire(b'{"type":"ping"}', b'{"type":"pong"}')
    seen: list[str] = []
    made = channel(Wires(wire), when_pinging=lambda: seen.append("a ping"))
    made._read(wire)
    assert [] == seen
    made._limits = type("Often", (), {"ping": 0.0, "dead": 60.0})()
    busy = Wire(*[orjson.dumps({"min_seq": n}) for n in range(3)])
    made._read(busy)

    assert ['{"type":"pong"}'] == wire.sent
    assert 3 <= busy.sent.count('{"type":"ping"}')
    assert busy.sent.count("protocol ping") == len(seen)


def test_a_closed_channel_stays_closed() -> None:
    """Closing while it mends leaves no websocket open."""
    made = channel(Wires(Wire(), Wire()))
    made.close()
    made._run()

    assert not made.is_alive


def test_a_channel_is_closed_if_it_is_idle() -> None:
    """A reply that waits for it keeps it open, be it in its chat already or not yet."""
    one, _ = boxes()
    made = channel(Wires(Wire()), one)

    assert not made.close_if_idle()
    made.bind(one, 11)
    assert not made.close_if_idle()
    assert made.is_alive
    made.detach(one)
    assert made.close_if_idle()
    assert not made.is_alive
    assert not made.close_if_idle()


# ---- whether a message may go out


class Gates(Wires):
    """Says what is open each time that a websocket is about to be opened."""

    def __init__(self, *wires: Wire | UpstreamError) -> None:
        super().__init__(*wires)
        self.channel: Channel | None = None
        self.seen: list[Opened | None] = []

    def open(self, data: ChannelData, min_seq: int) -> Wire:
        if self.channel is not None:
            self.seen.append(self.channel.opened())
        return super().open(data, min_seq)


def test_a_channel_is_open_while_its_websocket_is() -> None:
    """Nothing is open while it is opened again, nor once it is dead."""
    wires = Gates(Wire(), Wire())
    made = wires.channel = channel(wires, *boxes())
    assert Opened(data().name, 0) == made.opened()
    assert made.wait_open(0)
    made._run()

    assert {None} == set(wires.seen)
    assert made.opened() is None
    with pytest.raises(UpstreamUnreachable):
        made.wait_open(0)


def test_a_new_channel_is_named_only_once_its_websocket_is_open() -> None:
    """It is subscribed before, but what is sent by it then would not be heard."""
    fresh = ChannelData(name="new", hash="9", box="b", base_host="poe.com", min_seq=500)
    named: list[tuple[str, int]] = []
    wires = Gates(Wire(b'{"error":"missed_messages"}'), Wire())
    made = wires.channel = channel(
        wires,
        *boxes(),
        renew=lambda: fresh,
        when_open=lambda name: named.append((name, len(wires.opened))),
    )
    made._run()

    assert [(data().name, 1), ("new", 2)] == named[:2]


def test_a_channel_that_is_to_be_replaced_is_not_open() -> None:
    """From the moment on that a reply asks for a new one, until that is there."""
    fresh = ChannelData(name="new", hash="9", box="b", base_host="poe.com", min_seq=500)
    named: list[str] = []
    wires = Wires(Wire(), Wire())
    made = channel(wires, *boxes(), renew=lambda: fresh, when_open=named.append)
    made._is_unwanted = True

    assert made.opened() is None
    assert not made.wait_open(0)
    made._run()
    assert [data().name, "new"] == named[:2]


def test_a_channel_that_took_the_place_is_asked_for_once() -> None:
    """Whoever wants it has it subscribed already; others wait for that one."""
    fresh = ChannelData(name="new", hash="9", box="b", base_host="poe.com", min_seq=500)
    asked: list[str] = []
    opened: list[tuple[str, int]] = []

    def renew() -> ChannelData:
        asked.append("a channel")
        return fresh

    wires = Wires(Wire(), Wire())
    made = channel(
        wires, *boxes(), renew=renew, when_open=lambda name: opened.append((name, len(asked)))
    )
    assert made._wants(0)
    assert not made._wants(0)
    made._take_place(0)
    made._run()

    assert [(data().name, 0), ("new", 1)] == opened[:2]
    assert (fresh, 500) == wires.opened[1]
    assert len(asked) > 1  # once that is lost, another one is


@pytest.mark.parametrize(
    "failure", [UpstreamChanged("refused"), UpstreamUnreachable("none"), TokenRejected("out")]
)
def test_a_channel_in_whose_place_there_is_none_goes_on(failure: UpstreamError) -> None:
    """With the replies that it has: their websocket is as good as before."""
    one, _ = boxes()

    def renew() -> ChannelData:
        raise failure

    made = channel(Wires(Wire()), one, renew=renew)
    if isinstance(failure, TokenRejected):
        with pytest.raises(TokenRejected):
            made.replace(0)
    else:
        assert not made.replace(0)

    assert Opened(data().name, 0) == made.opened()
    assert [] == one.wait(0)


def test_a_channel_that_is_to_be_replaced_while_it_is_opened_again_is_not_open() -> None:
    """The old one is not used any more, though its websocket is there again."""
    made = channel(Wires(Wire()), *boxes())
    made._is_unwanted = True
    made._install(Wire(), None)

    assert made.opened() is None


def test_a_websocket_that_is_unreadable_is_mended_like_a_broken_one() -> None:
    """The same channel is opened again, and the log says why."""
    one, _ = boxes()
    wires = Wires(
        Wire(added("q1", 11, "nonce-1"), Unreadable("a message of more than 32 MB")),
        Wire(added("a1", 11, seq=7)),
    )
    with log_lines() as lines:
        channel(wires, one)._run()

    assert ["q1", "a1"] == texts(one)[:2]
    assert [data()] * 2 == [opened for opened, _ in wires.opened[:2]]
    assert "more than 32 MB" in lines.getvalue()


def test_costs_find_their_reply_by_its_job() -> None:
    """They are about no chat."""
    charges = Charges()
    cost = {"jobId": 555, "state": "completed", "totalCostPoints": 15}
    made = channel(Wires(Wire(frame("jobCostUpdated", cost, ":555"))))
    made.costs.want(555, charges)
    made._run()

    assert 15 == charges.points
