"""One exchange between a session and a channel that follow a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.chat import Charges, Done, Idle, ReplyEvent, Text
from poe_proxy.net import pacing
from poe_proxy.net.background import Background
from poe_proxy.upstreams.base import TICK, Permit
from poe_proxy.upstreams.poe_web import sending
from poe_proxy.upstreams.poe_web.bots import Bot
from poe_proxy.upstreams.poe_web.current import MENDED, CurrentSite
from poe_proxy.upstreams.poe_web.exchange import Exchange
from poe_proxy.upstreams.poe_web.graphql import ServerError
from poe_proxy.upstreams.poe_web.history import SILENCE
from poe_proxy.upstreams.poe_web.mailbox import Mailbox, Notice, Resync
from poe_proxy.upstreams.poe_web.open_chats import OpenChat
from poe_proxy.upstreams.poe_web.sending import (
    GRACE,
    Answered,
    Doubtful,
    Outgoing,
    Taken,
    UnderWay,
    Unsent,
)
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.tidying import Tidying
from poe_proxy.upstreams.poe_web.turn import Turn
from poe_proxy.waiting import LONG, SHORT, Listener

from ...fakes import AtOnce, Clock, at_once, until
from .fakes import FakeChannel, FakeSession, failing, say_it_all
from .test_costs import told
from .test_turn import bot


def exchange(
    session: FakeSession,
    channel: FakeChannel,
    *,
    site: Site | None = None,
    delete_chats: bool = False,
    tickets: Sequence[str] = (),
    forget: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    permit: Permit = at_once,
    tidying: Tidying | None = None,
    chat: OpenChat | None = None,
    listener: Listener | None = None,
    charges: Charges | None = None,
    deaf: Callable[[], None] = lambda: None,
) -> Exchange:
    made = Exchange(
        Outgoing(Bot("Assistant", 60.0), "prompt", "device", tickets=tickets, chat=chat),
        session,
        channel,
        permit=permit,
        site=CurrentSite(site or Site.load()),
        tidying=tidying or Tidying(label="cookie"),
        timeout=60.0,
        listener=listener,
        charges=charges,
        delete_chats=delete_chats,
        forget_tickets=forget,
        when_deaf=deaf,
        clock=clock,
    )
    made.attach()
    return made


def quick() -> Site:
    """The site, on which a message that arrived shows at once."""
    site = Site.load()
    object.__setattr__(site.limits, "shows", 0.2)
    return site


def await_sending(one: Exchange, events: Iterator[ReplyEvent]) -> None:
    """Listen until the message is on its way."""
    while isinstance(one._progress.state, Unsent):
        assert Idle() == next(events)


def await_doubt(one: Exchange, events: Iterator[ReplyEvent]) -> None:
    """Listen until the answer is here, and says that nothing was done."""
    while not isinstance(one._progress.state, Doubtful):
        assert Idle() == next(events)


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
    channel, clock = FakeChannel(), Clock()
    one = exchange(FakeSession(sendMessageMutation=failing(failure)), channel, clock=clock)
    events = one.events()
    await_doubt(one, events)
    clock.go(GRACE - 0.01)
    say_it_all(channel)

    assert [Text("hello"), Done("stop")] == [e for e in events if isinstance(e, Text | Done)]


def test_an_answer_that_nothing_contradicts_holds() -> None:
    """The failure is raised after a moment, as it is: another token may try."""
    clock, session = Clock(), FakeSession(sendMessageMutation=failing(errors.TokenLimited("429")))
    one = exchange(session, FakeChannel(), clock=clock)
    events = one.events()
    await_doubt(one, events)
    clock.go(GRACE - 0.01)
    assert Idle() == next(events)
    clock.go(0.02)
    with pytest.raises(errors.TokenLimited):
        next(events)


def test_a_repeat_waits_for_the_websocket_to_contradict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poe refuses a message that it took: frames that come a little later keep it from being
    sent twice."""
    # The frames come in time, however busy the machine is.
    monkeypatch.setattr(sending, "GRACE", 60.0)
    channel = FakeChannel()

    class Refuses(FakeSession):
        def call(self, operation: str, variables: Any, **options: Any) -> Any:
            while True:
                options["clear"]()
                self.calls.append(operation)
                if len(self.calls) == 1:
                    # Before, Poe does not have the message, and nothing is to be contradicted.
                    threading.Timer(0.1, say_it_all, (channel,)).start()

    session = Refuses()
    one = exchange(session, channel)
    events: list[ReplyEvent] = list(one.events())

    assert [Text("hello"), Done("stop")] == [e for e in events if isinstance(e, Text | Done)]
    assert ["sendMessageMutation"] == session.calls


def test_what_was_never_sent_is_a_failure_at_once() -> None:
    """Without a connection there is nothing to watch for: the failure comes while the clock
    stands still."""
    session = FakeSession(sendMessageMutation=failing(errors.UpstreamUnreachable("refused")))
    with pytest.raises(errors.UpstreamUnreachable):
        list(exchange(session, FakeChannel(), clock=Clock()).events())


@pytest.mark.parametrize(
    ("said", "failure"), [("", errors.UpstreamUncertain), ("abc", errors.UpstreamInterrupted)]
)
def test_a_dead_channel_is_no_reason_to_send_again(said: str, failure: type) -> None:
    """After the sending, the loss of the websocket is a failure that no other token may try."""
    channel = FakeChannel()
    answer = {"messageEdgeCreate": {"status": "success", "chat": {"chatId": 1234567890}}}
    one = exchange(FakeSession(sendMessageMutation=lambda: answer), channel)
    events = one.events()
    await_sending(one, events)
    channel.say("messageAdded", bot(said))
    assert channel.mailbox is not None
    channel.mailbox.put(errors.UpstreamUnreachable("gone"))
    with pytest.raises(errors.UpstreamError) as raised:
        list(events)

    assert failure is raised.type
    assert not raised.value.another_token


def test_what_comes_behind_the_end_is_of_no_account() -> None:
    """The websocket is lost with the last word: all of the answer is here."""
    channel = FakeChannel()
    one = exchange(FakeSession(sendMessageMutation=lambda: {"messageEdgeCreate": {}}), channel)
    say_it_all(channel)
    assert channel.mailbox is not None
    channel.mailbox.put(errors.UpstreamInterrupted("gone"))

    assert [Text("hello"), Done("stop")] == list(one.events())


# ---- how long it waits


def silent() -> FakeSession:
    """Poe takes the message, and the bot says nothing."""
    return FakeSession(sendMessageMutation=lambda: {"messageEdgeCreate": {}})


def test_a_wait_for_the_bot_ends_with_a_hang_up() -> None:
    """Whoever hangs up is not waited with, although nothing is due for a long time."""
    listener = Listener()
    listener.is_watched()
    one = exchange(silent(), FakeChannel(), listener=listener)
    events = one.events()
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, Taken))
    waiting = Background(lambda: next(events))
    assert not waiting.wait(0.1)
    listener.hang_up()

    assert waiting.wait(60.0)
    assert Idle() == waiting.result()
    events.close()
    assert listener._wake is None
    one.close()


def waits(one: Exchange, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each wait from now on, none of which lasts at all."""
    seconds: list[float] = []

    def wait(mailbox: Mailbox, longest: float) -> list[Notice]:
        seconds.append(longest)
        return real(mailbox, 0.0)

    real = Mailbox.wait
    monkeypatch.setattr(Mailbox, "wait", wait)
    return seconds


def test_a_wait_lasts_until_something_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign of life for the client, or the end of the bot's time."""
    clock, listener = Clock(), Listener()
    one = exchange(silent(), FakeChannel(), clock=clock, listener=listener)
    seconds, events = waits(one, monkeypatch), one.events()
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, Taken))
    assert {SHORT} == set(seconds)
    listener.is_watched()
    next(events)
    clock.go(50.0)
    next(events)

    assert [LONG, 10.0] == seconds[-2:]
    clock.go(10.0)
    with pytest.raises(errors.UpstreamTimeout):
        list(events)
    one.close()


def test_a_wait_in_doubt_lasts_until_the_message_would_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is watched is not woken in between."""
    listener = Listener()
    listener.patience = 1000.0
    session = FakeSession(sendMessageMutation=failing(errors.UpstreamUncertain("reset")))
    one = exchange(session, FakeChannel(), clock=Clock(), listener=listener)
    events = one.events()
    seconds = waits(one, monkeypatch)
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, Doubtful))
    next(events)
    one.close()

    assert Site.load().limits.shows == seconds[-1]


def test_a_wait_for_the_first_frame_ends_in_time_to_look_into_the_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer to the sending wakes nobody; once the websocket has shown the message, nothing is
    due but the bot's time."""
    listener, go_on = Listener(), threading.Event()
    listener.patience = 1000.0

    def answer() -> Any:
        go_on.wait(60)
        return {"messageEdgeCreate": {}}

    channel = FakeChannel()
    one = exchange(
        FakeSession(sendMessageMutation=answer), channel, clock=Clock(), listener=listener
    )
    seconds, events = waits(one, monkeypatch), one.events()
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, UnderWay))
    next(events)
    assert SILENCE == seconds[-1]
    human = {"messageId": 7, "author": "human", "state": "complete", "text": "prompt"}
    channel.say("messageAdded", human)
    for _ in range(2):
        next(events)
    assert 60.0 == seconds[-1]
    events.close()
    go_on.set()
    one.close()
    settle()


def test_a_wait_behind_the_last_message_lasts_until_the_turn_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes behind it comes soon, or not at all."""
    listener = Listener()
    listener.patience = 1000.0
    one = exchange(silent(), FakeChannel(), clock=Clock(), listener=listener)
    seconds, events = waits(one, monkeypatch), one.events()
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, Taken))
    monkeypatch.setattr(Turn, "next_due", lambda turn: one._clock() + 0.25)
    next(events)
    one.close()

    assert 0.25 == seconds[-1]


def test_a_wait_behind_a_gap_is_short_until_the_chat_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its history is asked then, and nobody says when that is."""
    listener = Listener()
    listener.patience = 1000.0
    one = exchange(FakeSession(), FakeChannel(), permit=Waiting(), clock=Clock(), listener=listener)
    one._mailbox.put(Resync())
    seconds, events = waits(one, monkeypatch), one.events()
    assert [Idle(), Idle()] == [next(events), next(events)]
    one.close()

    assert [60.0, TICK] == seconds


def test_a_wait_for_a_message_that_is_not_sent_is_no_longer_than_the_bot_s_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be sent in the very next moment, and then the bot has so long."""
    listener = Listener()
    listener.patience = 1000.0
    one = exchange(FakeSession(), FakeChannel(), permit=Waiting(), clock=Clock(), listener=listener)
    seconds = waits(one, monkeypatch)
    assert Idle() == next(one.events())
    one.close()

    assert [60.0] == seconds


def test_what_comes_together_is_said_to_be_there_together() -> None:
    """The last word and the end leave in one write; nothing waits for what may still come."""
    channel, listener = FakeChannel(), Listener()
    one = exchange(silent(), channel, listener=listener)
    channel.say("messageAdded", bot("hel"))
    events = one.events()
    assert Text("hel") == next(events)
    assert not listener.more_follows
    say_it_all(channel)
    said = [(event, listener.more_follows) for event in events if event != Idle()]

    assert [(Text("lo"), True), (Done("stop"), False)] == said


def test_what_was_said_before_a_failure_comes_before_it() -> None:
    """Although both were there together."""
    channel = FakeChannel()
    one = exchange(silent(), channel)
    channel.say("messageAdded", bot("hello"))
    channel.say("messageAdded", bot("hello", "error_x"))
    events = one.events()

    assert Text("hello") == next(events)
    with pytest.raises(errors.BotFailed):
        next(events)
    one.close()


# ---- what it does to others


def test_a_bot_that_floods_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By all that it says: each notice has the whole text so far."""
    sizes: list[int] = []
    monkeypatch.setattr(pacing.Flood, "came", lambda flood, size: sizes.append(size))
    channel = FakeChannel()
    one = exchange(FakeSession(sendMessageMutation=lambda: {"messageEdgeCreate": {}}), channel)
    channel.say("messageAdded", bot("x" * 10_000, "complete"))
    events = one.events()
    assert Text("x" * 10_000) == next(events)
    say_it_all(channel)
    list(events)

    assert 10_000 < sizes[0] < 11_000


def test_a_channel_that_died_before_the_sending_keeps_it_back() -> None:
    """While a message waits for its account to rest the websocket may break: a message whose
    answer could not be heard is not sent, and another token may try."""
    session, channel = FakeSession(), FakeChannel()
    one = exchange(session, channel)
    channel.is_alive = False
    with pytest.raises(errors.UpstreamUnreachable) as raised:
        list(one.events())
    one.close()

    assert raised.value.another_token
    assert [] == session.calls


class Waiting(AtOnce):
    """A permit that never comes."""

    def __call__(self) -> Generator[Idle, None, None]:
        while True:
            time.sleep(0.01)
            yield Idle()


def test_a_channel_that_dies_while_a_message_waits_for_its_permit_keeps_it_back() -> None:
    """The reader gets a failure at once: nothing was sent, and nothing will be."""
    session, channel = FakeSession(), FakeChannel()
    one = exchange(session, channel, permit=Waiting())
    events = one.events()
    assert Idle() == next(events)
    assert channel.mailbox is not None
    channel.mailbox.put(errors.UpstreamInterrupted("gone"))
    with pytest.raises(errors.UpstreamUnreachable):
        list(events)
    one.close()
    settle()

    assert [] == session.calls


def test_an_account_that_is_closed_while_a_message_waits_for_its_permit_keeps_it_back() -> None:
    """Its reader may ask another account: nothing was sent, and nothing will be."""
    session, tidying = FakeSession(), Tidying(label="cookie")
    one = exchange(session, FakeChannel(), permit=Waiting(), tidying=tidying)
    events = one.events()
    assert Idle() == next(events)
    tidying.close()
    with pytest.raises(errors.UpstreamUnreachable):
        list(events)
    one.close()
    settle()

    assert [] == session.calls


def test_the_wait_for_the_permit_is_not_the_silence_of_the_bot() -> None:
    """A message may wait for longer than its bot may be silent."""
    session, clock = FakeSession(), Clock()
    one = exchange(session, FakeChannel(), permit=Waiting(), clock=clock)
    events = one.events()
    for _ in range(5):
        assert Idle() == next(events)
        clock.go(61.0)
    events.close()
    one.close()
    settle()

    assert [] == session.calls


def test_the_silence_of_the_bot_counts_from_the_sending() -> None:
    """Behind a long wait for the permit the bot has its full time, and no more."""

    class Late(AtOnce):
        def __call__(self) -> Generator[Idle, None, None]:
            clock.go(1000.0)
            yield from super().__call__()

    clock, channel = Clock(), FakeChannel()
    one = exchange(
        FakeSession(sendMessageMutation=lambda: {"messageEdgeCreate": {}}),
        channel,
        permit=Late(),
        clock=clock,
    )
    events = one.events()
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, Taken))
    clock.go(59.0)
    assert Idle() == next(events)
    clock.go(2.0)
    with pytest.raises(errors.UpstreamTimeout):
        list(events)
    one.close()


def test_the_silence_of_the_bot_counts_behind_a_repeat_that_never_went_out() -> None:
    """Poe refused what it took, and frames showed that in time: nothing waits for a permit."""
    clock, channel = Clock(), FakeChannel()

    class Refuses(FakeSession):
        def call(self, operation: str, variables: Any, **options: Any) -> Any:
            self.calls.append(operation)
            if operation == "sendMessageMutation":
                options["clear"]()
                channel.say("messageAdded", bot("hel"))
                options["clear"]()
            return {"node": {"messagesConnection": {"edges": []}}}

    one = exchange(Refuses(), channel, clock=clock)
    events = one.events()
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, Taken))
    clock.go(61.0)
    with pytest.raises(errors.UpstreamTimeout):
        until(lambda: next(events) != Idle())
    one.close()
    settle()


def test_a_fault_of_ours_does_not_hang() -> None:
    """An unforeseen exception in the sender is a failure like others."""
    site_free = FakeSession(
        sendMessageMutation=failing(RuntimeError("a bug")),
        ChatHistoryListPaginationQuery=lambda: {"chats": {"edges": []}},
    )
    one = exchange(site_free, FakeChannel(), site=quick())
    with pytest.raises(errors.UpstreamUncertain):
        list(one.events())

    assert 1 == site_free.calls.count("sendMessageMutation")
    one.close()
    settle()
    assert 1 == site_free.calls.count("ChatHistoryListPaginationQuery")


# ---- a message that never became complete


class Unfinished(FakeSession):
    """The message was taken; each look into the history finds the next of some messages, and the
    last one from then on."""

    def __init__(self, *seen: Any) -> None:
        super().__init__()
        self.seen = list(seen)

    def call(self, operation: str, variables: Any, **_: Any) -> Any:
        self.calls.append(operation)
        if operation == "sendMessageMutation":
            return {"messageEdgeCreate": {"status": "success", "chat": {"chatId": CHAT}}}
        seen = self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        if isinstance(seen, Exception):
            raise seen
        return {"node": seen and {"messagesConnection": {"edges": [{"node": seen}]}}}


def after_the_job(session: FakeSession, said: str = "abc") -> list[ReplyEvent]:
    """What is said of a bot whose job is over, and whose message the websocket left unfinished.
    Time passes at each sign of life."""
    channel, clock = FakeChannel(), Clock()
    one = exchange(session, channel, clock=clock)
    channel.say("messageAdded", bot(said))
    channel.say("jobUpdated", {"state": "completed"})
    found = []
    for event in one.events():
        found.append(event)
        if event == Idle():
            clock.go(1.0)
    return [event for event in found if event != Idle()]


def test_the_end_of_a_message_is_read_from_the_history() -> None:
    """The frame that says so was lost."""
    session = Unfinished(bot("abcdef", "complete"))

    assert [Text("abc"), Text("def"), Done("stop")] == after_the_job(session)


def test_a_bot_that_writes_on_after_its_job_is_waited_for() -> None:
    """As long as the history has something new each second time that it is asked."""
    session = Unfinished(bot("abc"), bot("abcd"), bot("abcd"), bot("abcde", "complete"))

    assert [*map(Text, ("abc", "d", "e")), Done("stop")] == after_the_job(session)
    assert 4 == session.calls.count(MESSAGES)


@pytest.mark.parametrize(
    "seen",
    [bot("abc"), bot("abc", "incomplete"), errors.UpstreamOverloaded("502"), None],
    ids=["the same", "incomplete", "unreadable", "gone"],
)
def test_a_message_that_stays_unfinished_has_broken_off(seen: Any) -> None:
    """It is not passed off as whole: the history says that it is incomplete, or nothing."""
    session = Unfinished(seen)
    with pytest.raises(errors.UpstreamInterrupted, match="in the middle of its message"):
        after_the_job(session)

    assert 2 == session.calls.count(MESSAGES)


def test_a_message_that_stays_empty_is_no_answer() -> None:
    """The bot began a message, and its job was over before the first word."""
    with pytest.raises(errors.BotFailed):
        after_the_job(Unfinished(bot("")), said="")


def test_a_failure_may_be_in_the_history_alone() -> None:
    """The state of the message there is what counts."""
    failed = bot("abc", "error_x", messageStateText="Poe's reason")
    with pytest.raises(errors.BotFailed, match="Poe's reason"):
        after_the_job(Unfinished(failed))


# ---- the end

CHAT = 1234567890
STOP = "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"
DELETE = "useDeleteChat_deleteChat_Mutation"
NEWEST = "ChatHistoryListPaginationQuery"
MESSAGES = "ChatListPaginationQuery"


def settle() -> None:
    """Wait for what an exchange left under way."""
    names = {"cookie sending", "cookie tidying up"}
    until(lambda: names.isdisjoint(thread.name for thread in threading.enumerate()))


class Poe(FakeSession):
    """Answers a message once a test lets it; its history has one chat, or none."""

    def __init__(self, answer: Any, history: str | None = None) -> None:
        super().__init__()
        self.answer = answer
        self.history = history
        self.go_on = threading.Event()
        self.nonce = ""

    def call(self, operation: str, variables: Any, **options: Any) -> Any:
        if operation == "sendMessageMutation":
            options["clear"]()
        self.calls.append(operation)
        match operation:
            case "sendMessageMutation":
                self.nonce = variables["clientNonce"]
                self.go_on.wait(60)
                if isinstance(self.answer, Exception):
                    raise self.answer
                return {"messageEdgeCreate": self.answer}
            case "ChatHistoryListPaginationQuery":
                node = {"id": "an id", "chatId": CHAT}
                return {"chats": {"edges": [{"node": node}] if self.history == "has it" else []}}
            case "ChatListPaginationQuery":
                messages = {"edges": [{"node": {"clientNonce": self.nonce}}]}
                return {"node": {"messagesConnection": messages}}
        return {}

    def acted(self) -> list[str]:
        """What was asked for behind the message, once nothing is under way any more."""
        settle()
        return [one for one in self.calls if one != "sendMessageMutation"]


TAKEN = {"status": "success", "chat": {"chatId": CHAT}}
LOST = errors.UpstreamUncertain("reset")
LIMITED = errors.TokenLimited("429")


def test_what_was_never_sent_needs_no_tidying() -> None:
    """An exchange that is closed before the permit comes asks Poe for nothing."""
    poe = Poe(TAKEN)
    exchange(poe, FakeChannel(), delete_chats=True).close()

    assert [] == poe.calls


@pytest.mark.parametrize(
    ("answer", "history", "acts"),
    [
        (TAKEN, None, [STOP, DELETE]),
        (LIMITED, None, []),
        ({"status": "reached_limit"}, None, []),
        (errors.UpstreamUnreachable("refused"), None, []),
        (LOST, None, [NEWEST]),
        (LOST, "has it", [NEWEST, MESSAGES, STOP, DELETE]),
    ],
    ids=["taken", "limited", "refused", "unreachable", "lost", "found"],
)
def test_a_message_that_is_under_way_is_tidied_up_once_it_is_answered(
    answer: Any, history: str | None, acts: list[str]
) -> None:
    """Hanging up does not wait for the answer; the sending thread sees to the rest."""
    poe = Poe(answer, history)
    one = exchange(poe, FakeChannel(), delete_chats=True)
    events = one.events()
    assert Idle() == next(events)
    until(lambda: poe.calls)
    events.close()
    one.close()
    poe.go_on.set()

    assert acts == poe.acted()


def test_a_bot_that_is_heard_before_the_answer_is_stopped_at_once() -> None:
    """Its chat is known by the frames; and once more when the answer is here."""
    poe, channel = Poe(TAKEN), FakeChannel()
    one = exchange(poe, channel)
    events = one.events()
    await_sending(one, events)
    channel.say("messageAdded", bot("hello"))
    assert Text("hello") == next(events)
    events.close()
    one.close()
    until(lambda: STOP in poe.calls)
    poe.go_on.set()

    assert [STOP, STOP] == poe.acted()


def test_a_bot_that_is_heard_behind_its_reader_is_stopped_before_the_answer() -> None:
    """The websocket is listened to until the answer is here, also if the account closes, too."""
    poe, channel = Poe(TAKEN), FakeChannel()
    one = exchange(poe, channel)
    events = one.events()
    assert Idle() == next(events)
    until(lambda: poe.calls)
    events.close()
    for _ in range(2):
        one.close()
    assert channel.is_watched
    channel.say("messageAdded", bot("hello"))
    until(lambda: STOP in poe.calls)
    poe.go_on.set()

    assert [STOP, STOP] == poe.acted()
    assert not channel.is_watched


def test_an_account_that_closes_hangs_up_under_the_reader() -> None:
    """The bot is stopped once, and the reader gets a failure."""
    poe, channel, register = Poe(TAKEN), FakeChannel(), Tidying(label="cookie")
    poe.go_on.set()
    one = exchange(poe, channel, tidying=register)
    events = one.events()
    channel.say("messageAdded", bot("hello"))
    assert Text("hello") == next(events)
    until(lambda: isinstance(one._progress.state, Answered | Taken))
    register.close(60)
    with pytest.raises(errors.UpstreamInterrupted, match="account was closed"):
        list(events)
    one.close()

    assert [STOP] == poe.acted()
    with pytest.raises(errors.UpstreamUnreachable):
        one.attach()
    assert not channel.is_watched


@pytest.mark.parametrize(
    ("answer", "history", "acts"),
    [
        (TAKEN, None, [STOP]),
        (LIMITED, None, []),
        (LOST, None, [NEWEST]),
        (LOST, "has it", [NEWEST, MESSAGES, STOP]),
    ],
    ids=["taken", "limited", "lost", "found"],
)
def test_an_answer_that_the_reader_never_looked_at_is_acted_upon(
    answer: Any, history: str | None, acts: list[str]
) -> None:
    """The answer may come between the reader's last look and its hanging up."""
    poe = Poe(answer, history)
    poe.go_on.set()
    one = exchange(poe, FakeChannel())
    one._sending.start()
    until(lambda: isinstance(one._progress.state, Answered | Taken))
    one.close()

    assert acts == poe.acted()


@pytest.mark.parametrize(
    ("is_over", "deletes", "acts"),
    [
        (True, False, []),
        (True, True, [DELETE]),
        (False, False, [STOP]),
        (False, True, [STOP, DELETE]),
    ],
)
def test_what_is_left_of_a_chat(is_over: bool, deletes: bool, acts: list[str]) -> None:
    """A bot at work is stopped; the chat is deleted where the setting says so."""
    poe, channel = Poe(TAKEN), FakeChannel()
    poe.go_on.set()
    one = exchange(poe, channel, delete_chats=deletes)
    events = one.events()
    await_sending(one, events)
    if is_over:
        say_it_all(channel)
        assert Done("stop") == list(events)[-1]
    else:
        channel.say("messageAdded", bot("hello"))
        assert Text("hello") == next(events)
        until(lambda: isinstance(one._progress.state, Answered | Taken))
    events.close()
    one.close()

    assert acts == poe.acted()


@pytest.mark.parametrize(
    ("answer", "acts"),
    [(LIMITED, []), ({"status": "reached_limit"}, []), (LOST, [NEWEST])],
    ids=["limited", "refused", "lost"],
)
def test_a_message_that_poe_does_not_have_needs_no_tidying(answer: Any, acts: list[str]) -> None:
    """The message was looked for while the reply lasted, if at all."""
    poe = Poe(answer)
    poe.go_on.set()
    one = exchange(poe, FakeChannel(), site=quick())
    with pytest.raises(errors.UpstreamError):
        list(one.events())
    assert acts == poe.calls[1:]
    one.close()

    assert acts == poe.acted()


def test_a_doubt_that_the_history_could_not_settle_is_settled_afterwards() -> None:
    """The message's own failure is raised, and the chat is looked for once more."""

    class Flaky(Poe):
        def call(self, operation: str, variables: Any, **options: Any) -> Any:
            found = super().call(operation, variables, **options)
            if operation == NEWEST and self.calls.count(NEWEST) == 1:
                raise errors.UpstreamOverloaded("502")
            return found

    poe = Flaky(LOST, "has it")
    poe.go_on.set()
    one = exchange(poe, FakeChannel(), site=quick())
    with pytest.raises(errors.UpstreamUncertain, match="reset"):
        list(one.events())
    one.close()

    assert [NEWEST, NEWEST, MESSAGES, STOP] == poe.acted()


def test_a_server_error_names_the_hash_that_the_message_went_out_with() -> None:
    """Which may have been replaced while it was looked for."""
    old, known = "0" * 64, quick()
    poe = Poe(ServerError("a server error", hash=old))
    poe.go_on.set()
    with pytest.raises(errors.UpstreamChanged, match=f"hash {old}") as raised:
        list(exchange(poe, FakeChannel(), site=known).events())
    assert raised.value.message.endswith(MENDED)


def test_a_doubt_that_a_changed_site_leaves_says_so() -> None:
    """Nobody can look whether the message arrived; that is not the account's fault, and the message
    is not sent again."""

    class Changed(Poe):
        def call(self, operation: str, variables: Any, **options: Any) -> Any:
            found = super().call(operation, variables, **options)
            if operation == NEWEST:
                raise errors.UpstreamChanged("Poe has changed. It is being looked for.")
            return found

    poe = Changed(ServerError("a server error.", hash="0" * 64))
    poe.go_on.set()
    with pytest.raises(errors.UpstreamUncertain) as raised:
        list(exchange(poe, FakeChannel(), site=quick()).events())

    assert raised.value.message == (
        "a server error. Whether the message arrived cannot be looked up: Poe has changed. "
        "It is being looked for."
    )
    assert (None, False) == (raised.value.strikes, raised.value.another_kind)


def test_tickets_that_may_be_why_a_message_was_lost_are_forgotten() -> None:
    """A file that Poe no longer knows by its ticket is answered by a server error."""
    poe, forgotten = Poe(ServerError("a server error")), []
    poe.go_on.set()
    one = exchange(
        poe, FakeChannel(), site=quick(), tickets=["a.b.c"], forget=lambda: forgotten.append(1)
    )
    with pytest.raises(errors.UpstreamChanged, match="sendMessageMutation"):
        list(one.events())

    assert [1] == forgotten


@pytest.mark.parametrize("when", ["under way", "in doubt"])
@pytest.mark.parametrize(
    ("answer", "is_passed_on"),
    [
        (LIMITED, True),
        (errors.TokenRejected("403"), True),
        (errors.UpstreamBlocked("a challenge"), True),
        # Nothing about the token; and the message may have arrived.
        (errors.BotNotFound("none"), False),
        (LOST, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_pool_learns_what_poe_said_of_the_token_behind_its_reader(
    answer: Exception, is_passed_on: bool, when: str
) -> None:
    """A reader that hung up raises nothing, and the next request would meet the same."""
    poe, permit, clock = Poe(answer), AtOnce(), Clock()
    one = exchange(poe, FakeChannel(), permit=permit, clock=clock)
    events = one.events()
    if when == "in doubt":
        poe.go_on.set()
        await_doubt(one, events)
    else:
        await_sending(one, events)
    events.close()
    one.close()
    poe.go_on.set()
    settle()

    assert ([answer] if is_passed_on else []) == permit.refusals


# ---- chats that go on


def test_a_chat_may_stay_for_the_next_turn() -> None:
    """Once the turn is over; then it is not deleted, whatever the settings say."""
    channel = FakeChannel()
    session = FakeSession(sendMessageMutation=lambda: {"messageEdgeCreate": {}})
    one = exchange(session, channel, delete_chats=True)
    events = one.events()
    await_sending(one, events)
    until(lambda: isinstance(one._progress.state, Answered | Taken))
    assert one.keep_chat() is None
    say_it_all(channel)
    list(events)
    kept = one.keep_chat()
    assert not channel.is_watched
    one.close()

    assert kept is not None
    assert 1234567890 == kept.id
    assert ["sendMessageMutation"] == session.calls


def test_a_chat_stays_though_its_reply_was_quicker_than_the_answer_to_the_sending() -> None:
    """Whatever still comes is for the next turn, and the answer changes nothing."""
    channel, go_on, tidying = FakeChannel(), threading.Event(), Tidying(label="cookie")

    def late() -> Any:
        go_on.wait(60)
        return {"messageEdgeCreate": {}}

    session = FakeSession(sendMessageMutation=late)
    one = exchange(session, channel, delete_chats=True, tidying=tidying)
    events = one.events()
    await_sending(one, events)
    say_it_all(channel)
    list(events)

    assert one.keep_chat() is not None
    assert not channel.is_watched
    one.close()
    go_on.set()
    tidying.close(60.0)
    assert ["sendMessageMutation"] == session.calls


BEFORE = OpenChat(CHAT, 10)


def test_a_message_in_doubt_is_looked_for_in_the_chat_that_it_was_for() -> None:
    """Which need not be one of the newest of the account."""
    poe, channel = Poe(LOST), FakeChannel()
    poe.go_on.set()
    one = exchange(poe, channel, site=quick(), chat=BEFORE)
    assert CHAT == channel.chat_id
    events = one.events()
    until(lambda: next(events) == Idle() and isinstance(one._progress.state, Taken))
    say_it_all(channel)

    assert Done("stop") in list(events)
    assert NEWEST not in poe.calls
    one.close()


@pytest.mark.parametrize(
    ("answer", "is_in_doubt"),
    [(LIMITED, False), (LIMITED, True), ({"status": "reached_limit"}, False)],
    ids=["limited", "in doubt", "refused"],
)
def test_a_chat_that_neither_goes_on_nor_has_the_message_is_deleted(
    answer: Any, is_in_doubt: bool
) -> None:
    """Its reader hung up before it was certain that the message is not there."""
    poe = Poe(answer)
    one = exchange(poe, FakeChannel(), delete_chats=True, chat=BEFORE, clock=Clock())
    events = one.events()
    await_sending(one, events)
    if is_in_doubt:
        poe.go_on.set()
        await_doubt(one, events)
    events.close()
    is_untouched = one.close()
    poe.go_on.set()

    assert not is_untouched
    assert [DELETE] == poe.acted()


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize(
    ("answer", "is_untouched", "acts"),
    [
        (errors.UpstreamUnreachable("refused"), True, []),
        ({"status": "reached_limit"}, True, []),
        (LIMITED, False, [DELETE]),
        (LOST, False, [STOP, DELETE]),
        (TAKEN, False, [STOP, DELETE]),
    ],
    ids=["unreachable", "refused", "limited", "lost", "taken"],
)
def test_only_what_poe_certainly_does_not_have_leaves_a_chat_as_it_was(
    answer: Any, is_untouched: bool, acts: list[str], looks: bool
) -> None:
    """Whether the reader has looked at the answer or not; any other chat is tidied up."""
    poe = Poe(answer)
    poe.go_on.set()
    one = exchange(poe, FakeChannel(), delete_chats=True, chat=BEFORE, clock=Clock())
    one._sending.start()
    until(lambda: not isinstance(one._progress.state, Unsent | UnderWay))
    if looks:
        with suppress(errors.UpstreamError):
            one._look()

    assert [is_untouched] * 2 == [one.close(), one.close()]
    assert acts == poe.acted()


def test_frames_say_that_a_chat_is_not_as_it_was_whatever_the_answer_says() -> None:
    """They show the message there, though Poe refused it."""
    poe, channel = Poe({"status": "reached_limit"}), FakeChannel()
    poe.go_on.set()
    one = exchange(poe, channel, delete_chats=True, chat=BEFORE, clock=Clock())
    one._sending.start()
    until(lambda: isinstance(one._progress.state, Answered))
    channel.say("messageAdded", bot("hello"))

    assert not one.close()
    assert [STOP, DELETE] == poe.acted()


def test_a_chat_is_as_it_was_until_the_message_goes_out() -> None:
    """Which it cannot any more once the reader has hung up, nor once the account was closed."""
    poe, tidying = Poe(TAKEN), Tidying(label="cookie")
    one, other = (
        exchange(poe, FakeChannel(), delete_chats=True, chat=BEFORE, tidying=tidying)
        for _ in range(2)
    )
    assert one.close()
    tidying.close(60)

    assert other.close()
    assert not one._progress.begin()
    assert [] == poe.calls


@pytest.mark.parametrize("is_late", [False, True])
def test_the_reply_does_not_wait_for_its_cost(is_late: bool) -> None:
    """It is noted all the same, also if Poe tells it when the reply is over."""
    channel, charges = FakeChannel(), Charges()
    one = exchange(FakeSession(), channel, charges=charges)
    events = one.events()
    await_sending(one, events)
    if not is_late:
        channel.costs.tell(told())
    channel.say("messageAdded", bot("hello", "complete"))
    channel.say("jobUpdated", {"jobId": 555, "state": "completed"})
    said = [*events]
    one.close()
    assert Done("stop") == said[-1]
    if is_late:
        assert charges.points is None
        channel.costs.tell(told())

    assert 15 == charges.points
