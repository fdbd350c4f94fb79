"""A message's fate as a table, and what the sending thread makes of each answer."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator
from math import inf
from queue import Queue
from threading import Semaphore
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.chat import Idle
from poe_proxy.upstreams.base import Permit
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.bots import Bot
from poe_proxy.upstreams.poe_web.channel import Opened
from poe_proxy.upstreams.poe_web.graphql import StillRefused
from poe_proxy.upstreams.poe_web.mailbox import Mailbox
from poe_proxy.upstreams.poe_web.open_chats import OpenChat
from poe_proxy.upstreams.poe_web.sending import (
    Abandoned,
    Answered,
    Doubtful,
    NotTaken,
    Outcome,
    Outgoing,
    Over,
    Progress,
    Sending,
    State,
    Taken,
    UnderWay,
    Unsent,
)
from poe_proxy.upstreams.poe_web.session import Keys

from ...fakes import AtOnce, at_once, until
from .fakes import FakeChannel, FakeSession, failing

NOW = 7.0
EDGE = {"chat": {"chatId": 5}}
LOST = errors.UpstreamUncertain("reset")
REFUSED = errors.TokenExhausted("no points")

ACCEPTED = Answered(EDGE)
REFUSAL = Answered(REFUSED)
FAILURE = Answered(LOST, is_certain=False)
DOUBT = Doubtful(LOST, NOW)
STATES: tuple[State, ...] = (
    Unsent(), UnderWay(), ACCEPTED, REFUSAL, FAILURE, Taken(), DOUBT, NotTaken(), Abandoned(),
    Over(),
)  # fmt: skip
#: Those in which Poe certainly does not have the message.
UNTOUCHED: tuple[State, ...] = (Unsent(), REFUSAL, NotTaken())

VERBS: dict[str, Callable[[Progress], object]] = {
    "begin": Progress.begin,
    "withdraw": Progress.withdraw,
    "answer": lambda one: one.answer(ACCEPTED),
    "look": lambda one: one.look(NOW),
    "show": Progress.show,
    "miss": Progress.miss,
    "abandon": Progress.abandon,
}
#: The arrows of the picture in `sending.py`; any other verb changes nothing.
ARROWS: list[tuple[State, str, State]] = [
    (Unsent(), "begin", UnderWay()),
    (Unsent(), "withdraw", Over(is_untouched=True)),
    (Unsent(), "answer", ACCEPTED),
    (UnderWay(), "answer", ACCEPTED),
    (ACCEPTED, "look", Taken()),
    (REFUSAL, "look", NotTaken()),
    (FAILURE, "look", DOUBT),
    (DOUBT, "show", Taken()),
    (DOUBT, "miss", NotTaken()),
    (UnderWay(), "abandon", Abandoned()),
    (Abandoned(), "answer", Over()),
    *(
        (state, "abandon", Over(is_untouched=state in UNTOUCHED))
        for state in STATES
        if state not in (UnderWay(), Abandoned(), Over())
    ),
]


def after(state: State, verb: str) -> State:
    progress = Progress(state)
    VERBS[verb](progress)
    return progress.state


@pytest.mark.parametrize(("start", "verb", "end"), ARROWS)
def test_each_arrow_leads_where_it_points(start: State, verb: str, end: State) -> None:
    """A verb moves a message from one state to another."""
    assert end == after(start, verb)


def test_any_other_verb_changes_nothing() -> None:
    """What comes twice, too late or too early does no harm."""
    arrows = [(start, verb) for start, verb, _ in ARROWS]
    others = [(state, verb) for state in STATES for verb in VERBS if (state, verb) not in arrows]

    assert len(STATES) * len(VERBS) == len(arrows) + len(others)
    for state, verb in others:
        assert state == after(state, verb), (state, verb)


def test_what_went_out_once_was_sent() -> None:
    """Whatever becomes of it; what was withdrawn before never is."""
    sent, withdrawn = Progress(), Progress()
    assert sent.begin()
    sent.abandon()
    withdrawn.withdraw()
    assert not withdrawn.begin()

    assert (True, False) == (sent.was_sent, withdrawn.was_sent)
    assert not sent.begin()


def test_a_message_begins_unsent() -> None:
    """Nothing went out before `begin`."""
    assert Unsent() == Progress().state


def test_an_answer_is_looked_at_once() -> None:
    """The reader acts on it a single time."""
    progress = Progress(FAILURE)

    assert FAILURE == progress.look(NOW)
    assert progress.look(NOW) is None


def test_an_answer_may_come_too_late_for_its_reader() -> None:
    """The sending thread learns of that, and tidies up."""
    assert Progress(UnderWay()).answer(ACCEPTED)
    assert not Progress(Abandoned()).answer(ACCEPTED)


@pytest.mark.parametrize("state", STATES)
def test_hanging_up_says_what_it_found(state: State) -> None:
    """What is left to be done at Poe depends on that."""
    assert state == Progress(state).abandon()


# ---- the request


def sending(
    session: FakeSession,
    *,
    channel: FakeChannel | None = None,
    mailbox: Mailbox | None = None,
    is_proven: bool = True,
    permit: Permit = at_once,
) -> Sending:
    return Sending(
        Outgoing(Bot("Some-Bot", 60.0, is_proven=is_proven), "prompt", "device"),
        session,
        channel or FakeChannel(),
        mailbox or Mailbox("nonce", "chat nonce"),
        permit=permit,
        clock=lambda: NOW,
        label="test",
    )


def await_told(one: Sending) -> None:
    """Wait until the reader has been woken, or its mailbox has its chat."""
    mailbox = one._mailbox
    until(lambda: mailbox.chat_id is not None or mailbox._filled.is_set())


def answered(one: Sending) -> Answered:
    """What came of the request, once the reader can know it."""
    one.start()
    await_told(one)
    found = one.progress.look(NOW)
    assert found is not None
    return found


def edge(**fields: Any) -> Callable[[], Any]:
    return lambda: {"messageEdgeCreate": fields}


@pytest.mark.parametrize("fields", [{}, {"status": "success"}, {"status": None}])
def test_poe_takes_a_message(fields: dict[str, Any]) -> None:
    """What the answer says of chat and message is handed on."""
    found = answered(sending(FakeSession(sendMessageMutation=edge(**fields, **EDGE))))

    assert Answered({**fields, **EDGE}) == found


@pytest.mark.parametrize(
    ("answer", "failure", "is_certain"),
    [
        (edge(status="reached_limit"), errors.TokenExhausted, True),
        (edge(status="no_access"), errors.BotNotAllowed, True),
        (failing(errors.UpstreamUnreachable("refused")), errors.UpstreamUnreachable, True),
        (lambda: {"messageEdgeCreate": None}, errors.UpstreamUncertain, False),
        (dict, errors.UpstreamUncertain, False),
        (failing(errors.UpstreamUncertain("reset")), errors.UpstreamUncertain, False),
        (failing(errors.TokenLimited("429")), errors.TokenLimited, False),
        (failing(errors.UpstreamProtocolError("404")), errors.UpstreamProtocolError, False),
        (failing(StillRefused("400")), StillRefused, False),
        (failing(RuntimeError("a bug")), errors.UpstreamUncertain, False),
    ],
    ids=[
        "refused", "no access", "unreachable", "no edge", "no data", "lost", "limited", "404",
        "still refused", "a bug",
    ],
)  # fmt: skip
def test_a_failure_is_certain_or_leaves_a_doubt(
    answer: Callable[[], Any], failure: type, is_certain: bool
) -> None:
    """Certain is what Poe's answer says of the message, and what never went out (§25)."""
    found = answered(sending(FakeSession(sendMessageMutation=answer)))

    assert failure is type(found.outcome)
    assert is_certain == found.is_certain


def test_a_bot_that_the_site_never_confirmed_does_not_exist() -> None:
    """It is refused in the words for a bot that others may use."""
    session = FakeSession(sendMessageMutation=edge(status="no_access"))
    found = answered(sending(session, is_proven=False))

    assert errors.BotNotFound is type(found.outcome)
    assert found.is_certain


@pytest.mark.parametrize(("is_replaced", "sends"), [(True, 2), (False, 1)])
def test_a_message_for_a_forgotten_channel_goes_by_a_new_one(is_replaced: bool, sends: int) -> None:
    """Once more, and only if there is a new channel. Else it is noted that the site has changed."""

    class Replaced(FakeChannel):
        def replace(self, generation: int) -> bool:
            return is_replaced

    session = FakeSession(sendMessageMutation=failing(StillRefused("400")))
    answered(sending(session, channel=Replaced()))

    assert (sends, 1) == (len(session.calls), len(session.noted))


class Repeating(FakeSession):
    """Refuses a message once; the repeat comes when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def call(self, operation: str, variables: Any, **options: Any) -> Any:
        for _ in range(2):
            options["clear"]()
            self.calls.append(operation)
            self.go_on.wait(60)
        raise errors.UpstreamUncertain("403")


@pytest.mark.parametrize("state", ["waited for", "bound", "abandoned"])
def test_a_message_is_repeated_only_while_it_is_wanted_and_nowhere(state: str) -> None:
    """Neither once the websocket has shown it, nor behind a reader that hung up."""
    session, mailbox, outcomes = Repeating(), Mailbox("nonce", "chat nonce"), Queue[Outcome]()
    one = sending(session, mailbox=mailbox)
    one.start(when_late=outcomes.put)
    until(lambda: session.calls)
    if state == "bound":
        mailbox.bind(5)
    if state == "abandoned":
        one.progress.abandon()
    session.go_on.set()
    if state == "abandoned":
        assert errors.UpstreamUncertain is type(outcomes.get(timeout=60))
    else:
        mailbox.wait(60)

    assert (2 if state == "waited for" else 1) == len(session.calls)


# ---- the permit


class Gate(AtOnce):
    """A permit that is there when a test says so, and says when it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Semaphore(0)
        self.open = threading.Event()
        self.failure: Exception | None = None

    def __call__(self) -> Generator[Idle, None, None]:
        self.asked.release()
        while not self.open.wait(0.01):
            yield Idle()
        if self.failure is not None:
            raise self.failure
        self.granted += 1

    def await_asked(self) -> None:
        assert self.asked.acquire(timeout=60)


def settle() -> None:
    until(lambda: "test sending" not in {thread.name for thread in threading.enumerate()})


def test_a_message_waits_for_its_permit() -> None:
    """It is unsent until then, and its silence is not the bot's."""
    permit, session = Gate(), FakeSession(sendMessageMutation=edge(**EDGE))
    one = sending(session, permit=permit)
    one.start()
    permit.await_asked()

    assert (Unsent(), inf, []) == (one.progress.state, one.sent_at, session.calls)
    permit.open.set()
    await_told(one)
    assert (1, NOW, 1) == (permit.granted, one.sent_at, len(session.calls))


def test_each_request_has_a_permit_of_its_own() -> None:
    """A repeat is a use of the account, too; while it waits, the silence is not the bot's."""
    permit, session = Gate(), Repeating()
    one = sending(session, permit=permit)
    permit.open.set()
    one.start()
    until(lambda: session.calls)
    permit.open.clear()
    session.go_on.set()
    permit.await_asked()
    permit.await_asked()

    assert inf == one.sent_at
    permit.open.set()
    await_told(one)
    assert 2 == permit.granted == len(session.calls)


@pytest.mark.parametrize(
    "failure", [errors.NoTokenFree("429"), errors.TokenHeldBack("rests"), RuntimeError("a bug")]
)
def test_without_a_permit_a_message_is_certainly_not_sent(failure: Exception) -> None:
    """Whatever the reason is, another account may try."""
    permit, session = Gate(), FakeSession()
    permit.failure = failure
    permit.open.set()
    found = answered(sending(session, permit=permit))

    is_ours = isinstance(failure, RuntimeError)
    assert (errors.InternalError if is_ours else type(failure)) is type(found.outcome)
    assert found.is_certain
    assert [] == session.calls


def test_a_repeat_without_a_permit_leaves_a_doubt() -> None:
    """The message was refused, but was on its way once."""
    permit, session = Gate(), Repeating()
    one = sending(session, permit=permit)
    permit.open.set()
    one.start()
    until(lambda: session.calls)
    permit.failure = errors.NoTokenFree("429")
    session.go_on.set()
    await_told(one)
    found = one.progress.look(NOW)

    assert found is not None
    assert (errors.NoTokenFree, False) == (type(found.outcome), found.is_certain)


def test_a_reader_that_hangs_up_before_the_permit_is_not_sent_for() -> None:
    """The thread ends by itself, though the permit never comes; there is nothing to tidy up."""
    permit, session, outcomes = Gate(), FakeSession(), Queue[Outcome]()
    one = sending(session, permit=permit)
    one.start(when_late=outcomes.put)
    permit.await_asked()

    assert Unsent() == one.progress.abandon()
    settle()
    assert ([], True) == (session.calls, outcomes.empty())


def test_a_reader_that_hangs_up_as_the_permit_comes_is_not_sent_for() -> None:
    """The last look is behind the permit."""
    session = FakeSession()

    class Late(AtOnce):
        def __call__(self) -> Generator[Idle, None, None]:
            one.progress.abandon()
            yield from super().__call__()

    one = sending(session, permit=Late())
    one.start()
    settle()

    assert [] == session.calls


def test_keys_that_are_refused_meanwhile_are_not_sent() -> None:
    """The message gives up its place, and begins again with the new ones."""
    permit, session = Gate(), FakeSession(sendMessageMutation=edge(**EDGE))
    one = sending(session, permit=permit)
    one.start()
    permit.await_asked()
    session.keys = Keys("another form key", None)
    permit.await_asked()
    permit.open.set()
    await_told(one)

    assert 1 == permit.granted


def test_a_permit_that_comes_with_new_keys_is_lost() -> None:
    """What was granted stays counted, and the message has another one."""
    session = FakeSession(sendMessageMutation=edge(**EDGE))

    class Unlucky(AtOnce):
        def __call__(self) -> Generator[Idle, None, None]:
            yield from super().__call__()
            if self.granted == 1:
                session.keys = Keys("another form key", None)

    permit = Unlucky()
    answered(sending(session, permit=permit))

    assert (2, 1) == (permit.granted, len(session.calls))


def test_a_message_waits_for_an_open_websocket() -> None:
    """No permit is asked for before, and none is used without it."""
    opened = threading.Event()

    class Mending(FakeChannel):
        def opened(self) -> Opened | None:
            return super().opened() if opened.is_set() else None

        def wait_open(self, seconds: float) -> bool:
            return opened.wait(0.01)

    permit, session = Gate(), FakeSession(sendMessageMutation=edge(**EDGE))
    permit.open.set()
    one = sending(session, channel=Mending(), permit=permit)
    one.start()
    assert not permit.asked.acquire(timeout=0.1)
    opened.set()
    await_told(one)

    assert (1, 1) == (permit.granted, len(session.calls))


def test_a_dead_channel_ends_the_wait() -> None:
    """Nothing was sent, and another account may try."""
    permit, channel = Gate(), FakeChannel()
    one = sending(FakeSession(), channel=channel, permit=permit)
    one.start()
    permit.await_asked()
    channel.is_alive = False
    await_told(one)
    found = one.progress.look(NOW)

    assert found is not None
    assert (errors.UpstreamUnreachable, True) == (type(found.outcome), found.is_certain)


def test_an_answer_behind_a_reader_that_hung_up_is_not_lost() -> None:
    """It says which chat has to be tidied up."""
    go_on, outcomes = threading.Event(), Queue[Outcome]()

    def late() -> Any:
        go_on.wait(60)
        return {"messageEdgeCreate": EDGE}

    one = sending(FakeSession(sendMessageMutation=late))
    one.start(when_late=outcomes.put)
    until(lambda: isinstance(one.progress.state, UnderWay))
    assert UnderWay() == one.progress.abandon()
    go_on.set()

    assert EDGE == outcomes.get(timeout=60)
    assert Over() == one.progress.state


def test_the_bot_s_own_parameters_are_a_text() -> None:
    """JSON within JSON (§10.1); null, if there are none."""
    bot = Bot("Some-Bot", 60.0)

    assert Outgoing(bot, "", "").variables()["parameters"] is None
    assert (
        '{"aspect":"3:2","image_only":true}'
        == (
            Outgoing(bot, "", "", parameters={"aspect": "3:2", "image_only": True}).variables()[
                "parameters"
            ]
        )
    )


def test_the_variables_are_those_of_the_sheet() -> None:
    """§10.1: a new chat, our nonces and device, and the tickets of files that went ahead."""
    outgoing = Outgoing(
        Bot("Some-Bot", 60.0), "hello", "device", [Attachment("a", "b/c", b"d")], ["a.b.c"]
    )
    found = outgoing.variables()

    assert found["chatId"] is None
    assert ("Some-Bot", "hello", "device") == (found["bot"], found["query"], found["sdid"])
    assert (["file0"], ["a.b.c"]) == (found["attachments"], found["fileHashJwts"])
    assert (outgoing.client_nonce, outgoing.chat_nonce) == (
        found["clientNonce"],
        found["chatNonce"],
    )


def test_each_message_has_nonces_of_its_own() -> None:
    """Sixteen letters and digits, by which its frames are known."""
    messages = [Outgoing(Bot("Some-Bot", 60.0), "", "") for _ in range(100)]
    nonces = {nonce for one in messages for nonce in (one.client_nonce, one.chat_nonce)}

    assert 200 == len(nonces)
    assert all(re.fullmatch("[a-zA-Z0-9]{16}", one) for one in nonces)


def test_a_message_may_go_on_in_a_chat() -> None:
    """§10.1: it names the chat, and does not want to have it described."""
    found = Outgoing(Bot("Some-Bot", 60.0), "hello", "device", chat=OpenChat(7, 70)).variables()

    assert (7, False) == (found["chatId"], found["shouldFetchChat"])
    assert {"useVoiceRecord": False} == found["source"]["chatInputMetadata"]


def test_an_answer_that_names_the_chat_wakes_nobody() -> None:
    """It is bound, and what comes there wakes the reader."""
    one = sending(FakeSession(sendMessageMutation=edge(**EDGE)))
    one.start()
    until(lambda: isinstance(one.progress.state, Answered) and one._mailbox.chat_id)

    assert EDGE["chat"]["chatId"] == one._mailbox.chat_id
    settle()
    assert not one._mailbox._filled.is_set()
