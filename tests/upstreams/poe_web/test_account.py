"""An account whose session and channel follow a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from poe_proxy.chat import ChatRequest, Idle, ImagePart, Message
from poe_proxy.errors import (
    BotNotAllowed,
    BotNotFound,
    InvalidRequest,
    LoginFailed,
    NoTokenFree,
    PartRefused,
    PoeProxyError,
    PromptTooLong,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net.background import Background
from poe_proxy.net.fetching import Fetched
from poe_proxy.upstreams.base import Abilities
from poe_proxy.upstreams.poe_web.account import Login, PoeWeb
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.graphql import HashUnknown
from poe_proxy.upstreams.poe_web.site import Site

from ...fakes import AtOnce, at_once
from .fakes import Door, FakeChannel, FakeSession, failing


def asking(*urls: str) -> ChatRequest:
    message = Message(role="user", content=tuple(ImagePart(url) for url in urls))
    return ChatRequest(model="m", messages=(message,))


def workers() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith("cookie ")}


def hang_up_in_the_midst(web: PoeWeb, chat: ChatRequest, go_on: threading.Event) -> None:
    """Close a reply while something takes its time; then let that go on, to its end."""
    before = workers()
    events = web.reply(chat, "Assistant", at_once)
    assert isinstance(next(events), Idle)
    events.close()
    go_on.set()
    for thread in workers() - before:
        thread.join(60)


def test_hanging_up_ends_the_fetching() -> None:
    """The fetch that is under way is the last one."""
    asked: list[str] = []
    go_on = threading.Event()

    def fetch(url: str, seconds: float) -> Fetched:
        asked.append(url)
        go_on.wait(60)
        return Fetched(b"x", "image/png", "x.png")

    web = PoeWeb(
        Credentials.parse("x"), site=CurrentSite(Site.load()), to_prompt=lambda _: "", fetch=fetch
    )
    hang_up_in_the_midst(web, asking("https://x.test/1", "https://x.test/2"), go_on)

    assert ["https://x.test/1"] == asked


def test_hanging_up_ends_the_uploading() -> None:
    """The upload that is under way is the last one, and nothing is sent."""
    uploaded: list[bytes] = []
    go_on = threading.Event()

    class Slow(FakeSession):
        def upload(self, file: Attachment, give: Callable[[int], None]) -> str:
            uploaded.append(file.data)
            go_on.wait(60)
            return "a ticket"

    session = Slow(HandleBotLandingPageQuery=lambda: {"bot": {}})
    web = account()
    web._session, web._channel = session, FakeChannel()
    hang_up_in_the_midst(web, asking("data:image/png,1", "data:image/png,2"), go_on)

    assert [b"1"] == uploaded
    assert ["HandleBotLandingPageQuery"] == session.calls


def test_a_reply_is_nothing_until_it_is_asked_for() -> None:
    """Making the generator does nothing yet."""
    web = account()

    web.reply(ChatRequest(model="m", messages=()), "Assistant", at_once).close()


# ---- the permit to send


def account(**options: Any) -> PoeWeb:
    site = CurrentSite(Site.load())
    return PoeWeb(Credentials.parse("x"), site=site, to_prompt=lambda _: "", **options)


def test_tools_and_length_are_left_to_others() -> None:
    """The site has no field for either; both are done in `shaping`."""
    assert Abilities(tools=False, length=False, tells_costs=True) == account().abilities(
        "Assistant"
    )


def test_nothing_is_sent_without_the_permit() -> None:
    """Bot and websocket are ready by then; without a permit the websocket is let go of."""
    web, channel = account(), FakeChannel()
    session = FakeSession(HandleBotLandingPageQuery=lambda: {"bot": {}})
    web._session, web._channel = session, channel

    class Never(AtOnce):
        def __call__(self) -> Generator[Idle, None, None]:
            assert channel.is_watched
            yield Idle()
            raise NoTokenFree("Not in time.")

    with pytest.raises(NoTokenFree, match="Not in time"):
        list(web.reply(asking(), "Assistant", Never()))

    assert ["HandleBotLandingPageQuery"] == session.calls
    assert not channel.is_watched


def test_only_an_account_that_goes_on_with_chats_remembers() -> None:
    """Otherwise nobody has to find out what the client was given."""
    web = PoeWeb(
        Credentials.parse("x"), site=CurrentSite(Site.load()), to_prompt=str, reuse_chats=True
    )

    assert web.abilities("Assistant").remembers
    assert not account().abilities("Assistant").remembers


# ---- logging in


def log_in_at_once(
    web: PoeWeb, times: int, failure: UpstreamError | None = None
) -> tuple[list[Background[Login]], int]:
    """Want the login in several threads; return them, and how often Poe was asked."""
    door, asked = Door(), []

    def open_channel() -> FakeChannel:
        asked.append("/")
        for _ in range(times):
            assert door.visitors.acquire(timeout=60)
        if failure is not None:
            raise failure
        return FakeChannel()

    web._login._lock = door
    web._open_channel = open_channel
    waiting = [Background(web._log_in) for _ in range(times)]
    assert all(one.wait(60) for one in waiting)
    return waiting, len(asked)


def test_of_many_that_wait_for_a_login_one_tries() -> None:
    """All the others get the login of the one that tried."""
    web = account()
    logins, asked = log_in_at_once(web, 5)

    assert [web._channel] * 5 == [one.result().channel for one in logins]
    assert 1 == asked


def test_of_many_that_wait_for_a_login_all_get_its_failure() -> None:
    """Each gets an exception of its own; a later login is tried anew."""
    web = account()
    refusal = TokenRejected("Poe does not accept this cookie any more.")
    failures = []
    logins, asked = log_in_at_once(web, 5, refusal)
    for one in logins:
        with pytest.raises(TokenRejected, match="this cookie") as raised:
            one.result()
        failures.append(raised.value)

    assert 5 == len({id(one) for one in failures})
    assert 1 == asked
    assert 1 == log_in_at_once(web, 1)[1]


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamProtocolError("Poe's form key cannot be computed: the scripts loop"),
        UpstreamOverloaded("Poe answers / with 502."),
        UpstreamTimeout("Poe did not answer in time."),
        UpstreamUncertain("reset"),
    ],
)
def test_an_account_without_a_login_is_left_for_another_one(failure: UpstreamError) -> None:
    """No message was sent, whatever went wrong; the message says what it was."""
    (login,), _ = log_in_at_once(account(), 1, failure)
    with pytest.raises(LoginFailed) as raised:
        login.result()

    assert raised.value.another_token
    assert (failure.message, "upstream_login") == (raised.value.message, raised.value.code)


@pytest.mark.parametrize(
    "failure",
    [
        TokenRejected("the login page"),
        TokenLimited("429", retry_after=90),
        UpstreamBlocked("a challenge"),
        UpstreamUnreachable("no route"),
        HashUnknown("a new hash"),
    ],
)
def test_a_login_that_fails_for_a_known_reason_says_so(failure: UpstreamError) -> None:
    """These say by themselves what they mean for the account."""
    (login,), _ = log_in_at_once(account(), 1, failure)
    with pytest.raises(type(failure)) as raised:
        login.result()

    assert failure.retry_after == raised.value.retry_after


# ---- what comes before the message


def before_the_message(step: str, failure: Exception) -> PoeWeb:
    """An account that is logged in, and whose *step* fails."""

    class Session(FakeSession):
        def upload(self, file: Attachment, give: Callable[[int], None]) -> str:
            raise failure

    look_up = failing(failure) if step == "the look-up" else lambda: {"bot": {}}
    web = account()
    web._session = Session(HandleBotLandingPageQuery=look_up)
    web._channel = FakeChannel()
    return web


STEPS = pytest.mark.parametrize("step", ["the look-up", "the upload"])


@STEPS
@pytest.mark.parametrize(
    "failure",
    [
        UpstreamTimeout("Poe did not answer in time."),
        UpstreamUncertain("The connection to Poe was reset before it answered."),
        UpstreamOverloaded("Poe answered with 502."),
        UpstreamProtocolError("Poe took a file and gave no ticket for it."),
        UpstreamRefused("Poe refused HandleBotLandingPageQuery: no."),
    ],
)
def test_an_account_that_fails_before_the_message_is_left_for_another_one(
    step: str, failure: UpstreamError
) -> None:
    """The bot could not be looked up, or a file not be uploaded, so no message was sent."""
    web = before_the_message(step, failure)
    with pytest.raises(LoginFailed) as raised:
        list(web.reply(asking("data:image/png,1"), "Assistant", at_once))

    assert raised.value.another_token
    assert (failure.message, "upstream_login") == (raised.value.message, raised.value.code)
    assert ["HandleBotLandingPageQuery"] == web._session.calls


@STEPS
@pytest.mark.parametrize(
    "failure",
    [
        BotNotFound("no such bot"),
        BotNotAllowed("not for this account"),
        PartRefused("no such image"),
        PromptTooLong("413"),
        InvalidRequest("not an image"),
        TokenRejected("the login page"),
        TokenLimited("429", retry_after=90),
        UpstreamBlocked("a challenge"),
        UpstreamUnreachable("no route"),
        HashUnknown("a new hash"),
    ],
)
def test_what_fails_before_the_message_for_a_known_reason_says_so(
    step: str, failure: PoeProxyError
) -> None:
    """These say by themselves whose trouble it is: the client's, the bot's or the account's."""
    web = before_the_message(step, failure)
    with pytest.raises(type(failure)) as raised:
        list(web.reply(asking("data:image/png,1"), "Assistant", at_once))

    assert failure.retry_after == raised.value.retry_after


# ---- the device


def test_each_account_has_a_device_of_its_own_for_ever() -> None:
    """It follows from the account, unless it is given."""
    site = Site.load()
    devices = [
        PoeWeb(Credentials.parse(text), site=site, to_prompt=lambda _: "")._device
        for text in ("p-b=a%3D", "p-b=a=; p-lat=x", "p-b=b")
    ]

    assert devices[0] == devices[1] != devices[2]
    given = PoeWeb(Credentials.parse("a"), site=site, to_prompt=lambda _: "", device="given")
    assert "given" == given._device


def test_an_account_that_is_let_go_logs_in_anew_when_it_comes_back() -> None:
    """Another worker uses it meanwhile: there is one session at a time."""
    logins: list[FakeChannel] = []
    closed: list[str] = []

    def open_channel() -> FakeChannel:
        logins.append(FakeChannel())
        return logins[-1]

    web = account()
    web._open_channel = open_channel
    web._session.close = lambda: closed.append("session")
    web.let_go()
    assert [] == closed

    first = web._log_in()
    assert first.channel is web._log_in().channel
    logins[0].is_watched = True
    web.let_go()
    assert [] == closed, "a reply is under way"
    logins[0].is_watched = False
    web.let_go()
    assert ["session"] == closed
    assert web._log_in().channel is logins[1] is not first.channel
