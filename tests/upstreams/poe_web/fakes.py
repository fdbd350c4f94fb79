"""A session and a channel that follow a test; no socket, and no Poe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Semaphore
from typing import Any

from poe_proxy.errors import UpstreamChanged, UpstreamUnreachable
from poe_proxy.upstreams.poe_web.channel import Opened
from poe_proxy.upstreams.poe_web.costs import Costs
from poe_proxy.upstreams.poe_web.items import Item, read_frame
from poe_proxy.upstreams.poe_web.mailbox import Mailbox
from poe_proxy.upstreams.poe_web.session import Keys

from .test_turn import bot, frame


class FakeSession:
    """Answers each operation by a function."""

    def __init__(self, **answers: Callable[[], Any]) -> None:
        self.answers = answers
        self.calls: list[str] = []
        #: The failures by which it was told that the site has changed.
        self.noted: list[UpstreamChanged] = []
        self.keys = Keys("a form key", None)

    def ready_keys(self) -> Keys:
        return self.keys

    def are_good(self, keys: Keys) -> bool:
        return keys is self.keys

    def call(self, operation: str, variables: Any, **options: Any) -> Any:
        if clear := options.get("clear"):
            clear()
        self.calls.append(operation)
        return self.answers[operation]()

    def met(self, failure: UpstreamChanged) -> UpstreamChanged:
        self.noted.append(failure)
        return failure


class FakeChannel:
    """Lets a test be Poe."""

    def __init__(self) -> None:
        self.generation = 0
        self.is_alive = True
        self.mailbox: Mailbox | None = None
        self.costs = Costs()
        #: Whether an exchange looks out for what comes, and in which chat, if that goes on.
        self.is_watched = False
        self.chat_id: int | None = None

    def attach(self, mailbox: Mailbox, chat_id: int | None = None) -> None:
        self.mailbox, self.chat_id = mailbox, chat_id
        self.is_watched = True

    def bind(self, mailbox: Mailbox, chat_id: int) -> None:
        mailbox.bind(chat_id)

    def detach(self, mailbox: Mailbox) -> None:
        self.is_watched = False

    def opened(self) -> Opened | None:
        return Opened("a channel", self.generation) if self.is_alive else None

    def wait_open(self, seconds: float) -> bool:
        if not self.is_alive:
            raise UpstreamUnreachable("gone")
        return True

    def replace(self, generation: int) -> bool:
        return False

    def close_if_idle(self) -> bool:
        self.is_alive = self.is_alive and self.is_watched
        return not self.is_alive

    def say(self, name: str, content: Any) -> None:
        assert self.mailbox is not None
        self.mailbox.bind(1234567890)
        _, (item,) = read_frame(frame(name, content))
        assert isinstance(item, Item)
        self.mailbox.put(item)


def failing(failure: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise failure

    return fail


def say_it_all(channel: FakeChannel) -> None:
    channel.say("messageAdded", bot("hello", "complete"))
    channel.say("jobUpdated", {"state": "completed"})


class Door:
    """A lock that counts the threads that came to it."""

    def __init__(self) -> None:
        self.visitors = Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.visitors.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
