"""An account on the stand-in, and how a test asks it."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from poe_proxy import errors
from poe_proxy.chat import (
    ChatRequest,
    Done,
    FilePart,
    Idle,
    ImagePart,
    Message,
    Replaced,
    ReplyEvent,
    Text,
    TextPart,
)
from poe_proxy.upstreams.base import Permit
from poe_proxy.upstreams.poe_web import Credentials, Site
from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.websockets import Socket

from ....fakes import at_once
from ....with_sim.servers import Sim

#: What a test waits for in any case is short; what must not happen on a busy machine is long.
LIMITS = {
    "http": 30,
    "socket_open": 30,
    "ping": 0.3,
    "dead": 60,
    "script": 30,
    "upload": 30,
    "retry": 0.1,
    "shows": 0.4,
}
#: Seconds after which a test that hangs has failed.
LIMIT = 60.0
WORDS = "one two three four five six seven"

PNG = b"\x89PNG\r\n\x1a\n not really an image"
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
TEXT_URI = "data:text/plain;base64," + base64.b64encode(b"some notes").decode()


def chat(prompt: str, *parts: ImagePart | FilePart) -> ChatRequest:
    content = (TextPart(prompt), *parts)
    return ChatRequest(model="m", messages=(Message(role="user", content=content),))


def last_text(request: ChatRequest) -> str:
    return request.messages[-1].text


@dataclass
class Reply:
    """What came of one prompt."""

    events: list[ReplyEvent] = field(default_factory=list)
    #: When it asked for the permit to send, and how many events there were before.
    sent_at: float = 0.0
    before_sending: int = 0
    failure: BaseException | None = None

    @property
    def text(self) -> str:
        text = ""
        for event in self.events:
            match event:
                case Text(more):
                    text += more
                case Replaced(whole):
                    text = whole
        return text

    @property
    def is_whole(self) -> bool:
        """Whether it ended as it should: with one `Done`, the last."""
        done = [isinstance(event, Done) for event in self.events]
        return self.failure is None and done[-1:] == [True] and done.count(True) == 1

    def kinds(self) -> set[type]:
        return {type(event) for event in self.events}


def begin(
    web: PoeWeb,
    request: ChatRequest | str,
    bot: str = "Assistant",
    *,
    when_idle: Callable[[Reply], object] = lambda _: None,
    permit: Permit = at_once,
) -> tuple[Reply, threading.Thread]:
    """Take in a reply in a thread of its own; return both at once.

    *when_idle* is called at each sign of life: the clock may go on there.
    """
    reply = Reply()

    class Turn(Permit):
        def __call__(self) -> Generator[Idle, None, None]:
            yield from permit()
            reply.sent_at = time.monotonic()
            reply.before_sending = len(reply.events)

        def arrived(self) -> None:
            permit.arrived()

        def refused(self, failure: errors.UpstreamError) -> None:
            permit.refused(failure)

    def run() -> None:
        asked = chat(request) if isinstance(request, str) else request
        try:
            for event in web.reply(asked, bot, Turn()):
                reply.events.append(event)
                if event == Idle():
                    when_idle(reply)
        except errors.PoeProxyError as failure:
            reply.failure = failure

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return reply, thread


def ask(web: PoeWeb, request: ChatRequest | str, bot: str = "Assistant", **options: Any) -> Reply:
    """Take in a whole reply; one that hangs is a failure."""
    reply, thread = begin(web, request, bot, **options)
    thread.join(LIMIT)
    assert not thread.is_alive(), f"hangs after {reply.events}"
    return reply


def failure_of(web: PoeWeb, request: ChatRequest | str, bot: str = "Assistant") -> Any:
    """The exception in which the reply ended."""
    reply = ask(web, request, bot)
    assert reply.failure is not None, reply.text
    return reply.failure


def site(folder: Path, **limits: float) -> CurrentSite:
    """The site's data with the limits of tests, read from a file as a user's own would be."""
    text = resources.files("poe_proxy.upstreams.poe_web").joinpath("site.toml").read_text("utf-8")
    for name, seconds in {**LIMITS, **limits}.items():
        text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {seconds}", text)
        assert found == 1, name
    path = folder / "site.toml"
    path.write_text(text)
    return CurrentSite(Site.load(path))


def find_dead(own: CurrentSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the websocket, which has fallen silent, found dead soon; and no later one, however long
    a busy machine keeps its pongs."""
    really_open = Socket.open

    def open_for_good(self: Socket, data: ChannelData, min_seq: int) -> websocket.WebSocket:
        object.__setattr__(own.now.limits, "dead", LIMITS["dead"])
        return really_open(self, data, min_seq)

    monkeypatch.setattr(Socket, "open", open_for_good)
    # Some pings without a pong.
    object.__setattr__(own.now.limits, "dead", 4 * LIMITS["ping"])


@dataclass
class Account:
    """One account of the stand-in, and the upstreams that were made of it."""

    sim: Sim
    token: str
    label: str
    folder: Path
    webs: list[PoeWeb] = field(default_factory=list)

    def web(self, credentials: str | None = None, **options: Any) -> PoeWeb:
        options = {
            "site": site(self.folder),
            "to_prompt": last_text,
            "web_url": self.sim.url,
            "ws_url": self.sim.url.replace("http", "ws", 1),
            "label": self.label,
            **options,
        }
        self.webs.append(PoeWeb(Credentials.parse(credentials or self.token), **options))
        return self.webs[-1]

    def journal(self, **wanted: Any) -> list[dict[str, Any]]:
        return self.sim.journal(account=self.label, **wanted)

    def sends(self) -> list[dict[str, Any]]:
        return self.journal(queryName="sendMessageMutation")

    def forget(self) -> None:
        """Let the journal begin here: a short one is read faster."""
        requests.delete(f"{self.sim.url}/__journal", timeout=60)


@dataclass
class Part:
    """The shared account, as one test sees it."""

    account: Account

    @property
    def web(self) -> PoeWeb:
        return self.account.webs[0]

    def sends(self) -> list[dict[str, Any]]:
        """Those with a good key: another test may have changed the keys of all accounts."""
        return [entry for entry in self.account.sends() if entry["formkey"] == "ok"]


def many(web: PoeWeb, prompts: list[str], **options: Any) -> list[Reply]:
    """Ask all at once."""
    replies: list[Reply] = [Reply()] * len(prompts)

    def run(place: int) -> None:
        replies[place] = ask(web, prompts[place], **options)

    threads = [
        threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(prompts))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT + 1)
    return replies
