"""An account whose session and channel do as they are told."""

from __future__ import annotations

import threading

from poe_proxy.chat import ChatRequest, Idle, ImagePart, Message
from poe_proxy.net.fetching import Fetched
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.site import Site

from .fakes import FakeChannel, FakeSession, at_once


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


def test_a_reply_is_nothing_until_it_is_asked_for() -> None:
    """Making the generator does nothing yet."""
    web = PoeWeb(Credentials.parse("x"), site=Site.load(), to_prompt=lambda _: "")

    web.reply(ChatRequest(model="m", messages=()), "Assistant", at_once).close()
