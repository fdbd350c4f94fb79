"""One exchange between a session and a channel that do as they are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from poe_proxy import errors
from poe_proxy.chat import ChatRequest, Done, Idle, ImagePart, Message, ReplyEvent, Text
from poe_proxy.net.fetching import Fetched
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.client import Bot, Exchange, Login, PoeWeb
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.mailbox import Mailbox
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.turn import Item

from .test_turn import bot, frame, read_frame
from .with_sim.accounts import at_once


class FakeSession:
    """Answers each operation by a function."""

    def __init__(self, **answers: Callable[[], Any]) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def call(self, operation: str, variables: Any, **_: Any) -> Any:
        self.calls.append(operation)
        return self.answers[operation]()


class FakeChannel:
    """Lets a test be Poe."""

    def __init__(self) -> None:
        self.generation = 0
        self.is_alive = True
        self.mailbox: Mailbox | None = None

    def attach(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    def bind(self, mailbox: Mailbox, chat_id: int) -> None:
        mailbox.bind(chat_id)

    def detach(self, mailbox: Mailbox) -> None: ...
    def replace(self, generation: int) -> bool:
        return False

    def say(self, name: str, content: Any) -> None:
        assert self.mailbox is not None
        self.mailbox.bind(1234567890)
        _, (item,) = read_frame(frame(name, content))
        assert isinstance(item, Item)
        self.mailbox.put(item)


def exchange(session: FakeSession, channel: FakeChannel) -> Exchange:
    account = PoeWeb(Credentials.parse("x"), site=Site.load(), to_prompt=lambda _: "")
    login = Login(session, channel)  # type: ignore[arg-type]
    made = Exchange(account, login, Bot("Assistant", 60.0), "prompt", (), ())
    made.attach()
    return made


def failing(failure: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise failure

    return fail


def say_it_all(channel: FakeChannel) -> None:
    channel.say("messageAdded", bot("hello", "complete"))
    channel.say("jobUpdated", {"state": "completed"})


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
    one = exchange(site_free, FakeChannel())
    object.__setattr__(one._account.site.limits, "shows", 0.2)
    with pytest.raises(errors.UpstreamUncertain):
        list(one.events())

    assert 1 == site_free.calls.count("sendMessageMutation")
    one.close()
    time.sleep(0.1)
    assert 1 == site_free.calls.count("ChatHistoryListPaginationQuery")


# ---- images and files


def asking(*urls: str) -> ChatRequest:
    message = Message(role="user", content=tuple(ImagePart(url) for url in urls))
    return ChatRequest(model="m", messages=(message,))


def workers() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if "(run)" in one.name}


def hang_up_in_the_midst(web: PoeWeb, chat: ChatRequest, go_on: threading.Event) -> None:
    """Close a reply while something takes its time; then let that go on, to its end."""
    before = workers()
    events = web.reply(chat, "Assistant", at_once)
    assert isinstance(next(events), Idle)
    events.close()
    go_on.set()
    for thread in workers() - before:
        thread.join(5)


def test_hanging_up_ends_the_fetching() -> None:
    """The fetch that is under way is the last one."""
    asked: list[str] = []
    go_on = threading.Event()

    def fetch(url: str, seconds: float) -> Fetched:
        asked.append(url)
        go_on.wait(5)
        return Fetched(b"x", "image/png", "x.png")

    web = PoeWeb(Credentials.parse("x"), site=Site.load(), to_prompt=lambda _: "", fetch=fetch)
    hang_up_in_the_midst(web, asking("https://x.test/1", "https://x.test/2"), go_on)

    assert ["https://x.test/1"] == asked


def test_hanging_up_ends_the_uploading() -> None:
    """The upload that is under way is the last one, and nothing is sent."""
    uploaded: list[bytes] = []
    go_on = threading.Event()

    class Slow(FakeSession):
        def upload(self, file: Attachment) -> str:
            uploaded.append(file.data)
            go_on.wait(5)
            return "a ticket"

    session = Slow(HandleBotLandingPageQuery=lambda: {"bot": {}})
    web = PoeWeb(Credentials.parse("x"), site=Site.load(), to_prompt=lambda _: "")
    web._session, web._channel = session, FakeChannel()  # type: ignore[assignment]
    hang_up_in_the_midst(web, asking("data:image/png,1", "data:image/png,2"), go_on)

    assert [b"1"] == uploaded
    assert ["HandleBotLandingPageQuery"] == session.calls


def test_bots_are_remembered_within_bounds() -> None:
    """A client cannot fill the memory with names."""
    web = PoeWeb(Credentials.parse("x"), site=Site.load(), to_prompt=lambda chat: chat.model)
    session = FakeSession(HandleBotLandingPageQuery=lambda: {"bot": None})
    for number in range(1500):
        web._look_up(session, f"some_codename_{number}")  # type: ignore[arg-type]

    assert 1000 == len(web._bots)
    assert web._known("some_codename_1499") is not None
    assert web._known("some_codename_0") is None


def test_a_reply_is_nothing_until_it_is_asked_for() -> None:
    """Making the generator does nothing yet."""
    web = PoeWeb(Credentials.parse("x"), site=Site.load(), to_prompt=lambda _: "")

    web.reply(ChatRequest(model="m", messages=()), "Assistant", at_once).close()
