"""What the websocket's reader puts there for the replies, until their own threads look.

Free of I/O; time is passed in.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias

from poe_proxy.errors import UpstreamError
from poe_proxy.upstreams.poe_web.frames import Known
from poe_proxy.upstreams.poe_web.items import Draft, Item


class Resync:
    """Frames were lost: what was in them has to be read from the history."""

    #: Characters that it holds.
    size: Final = 0
    message_key: Final = None


Notice: TypeAlias = "Item | Draft | Resync | UpstreamError"


class Pile:
    """Notices in their order.

    Each item about an unfinished message carries all of its text, so only the newest is kept:
    a slow client cannot make the notices pile up.
    """

    __slots__ = ("_last_key", "notices", "size")

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        #: Characters in it.
        self.size = 0
        self._last_key: str | None = None

    def add(self, notice: Notice) -> None:
        """Put *notice* on top, or in place of the one that it outdates."""
        key = None if isinstance(notice, UpstreamError) else notice.message_key
        if key is not None and key == self._last_key:
            self.size -= size_of(self.notices.pop())
        self.size += size_of(notice)
        self.notices.append(notice)
        self._last_key = key


def size_of(notice: Notice) -> int:
    """Return the characters that *notice* holds."""
    return 0 if isinstance(notice, UpstreamError) else notice.size


class Mailbox:
    """A bounded wait for its one reader; putting a notice in never waits.

    What a reader who is late has not taken is bounded, too: beyond that, it is as if the frames
    were lost, and the reader is told to look into the history.
    """

    NOTICES: Final = 1000
    CHARACTERS: Final = 16_000_000
    is_bound: Final = True

    __slots__ = (
        "_bound",
        "_filled",
        "_is_settled",
        "_lock",
        "_pile",
        "chat_id",
        "chat_nonce",
        "client_nonce",
        "known",
    )

    def __init__(self, client_nonce: str, chat_nonce: str) -> None:
        self.client_nonce = client_nonce
        self.chat_nonce = chat_nonce
        #: The chat that the notices are about, once Poe has echoed a nonce: then Poe has the
        #: message, whatever else it says.
        self.chat_id: int | None = None
        #: For the thread that puts notices in: how to tell the next ones without parsing them.
        self.known: Known | None = None
        self._pile = Pile()
        self._lock = threading.Lock()
        self._filled = threading.Event()
        #: Whether nobody needs to wait for the chat any more, and what they wait for; it is made
        #: by the first who does so, which is rare.
        self._is_settled = False
        self._bound: threading.Event | None = None

    def bind(self, chat_id: int) -> None:
        """Note which chat the mailbox is for."""
        self.chat_id = chat_id
        self.stop_waiting()

    def wait_bound(self, seconds: float | None) -> bool:
        """Wait up to *seconds* until the chat is known; return whether it is.

        None waits for as long as it takes, or until `stop_waiting`.
        """
        with self._lock:
            if self._bound is None and not self._is_settled:
                self._bound = threading.Event()
            bound = self._bound
        if bound is not None:
            bound.wait(seconds)
        return self.chat_id is not None

    def stop_waiting(self) -> None:
        """End `wait_bound`: there is no need any more to wait for the chat."""
        with self._lock:
            self._is_settled = True
            bound = self._bound
        if bound is not None:
            bound.set()

    def put(self, notice: Notice) -> None:
        """Put a notice in."""
        with self._lock:
            pile = self._pile
            pile.add(notice)
            is_full = len(pile.notices) > self.NOTICES or pile.size > self.CHARACTERS
            if is_full and len(pile.notices) > 1:
                self._pile = Pile()
                self._pile.add(Resync())
                for one in pile.notices:
                    if isinstance(one, UpstreamError):
                        self._pile.add(one)
        self._filled.set()

    def wake(self) -> None:
        """Wake the reader, although there is no notice."""
        self._filled.set()

    def wait(self, seconds: float) -> list[Notice]:
        """Return the notices, in order, as soon as there are any; none after *seconds*."""
        self._filled.wait(seconds)
        with self._lock:
            self._filled.clear()
            pile, self._pile = self._pile, Pile()
        return pile.notices


@dataclass(slots=True)
class Kept:
    """Items of one chat."""

    is_bound: ClassVar[bool] = False
    since: float
    pile: Pile = field(default_factory=Pile)
    #: As for a mailbox.
    known: Known | None = None


class Early:
    """Items of chats that belong to no reply yet: they may come before the answer that names the
    chat (§14.1). Bounded in number, size and time."""

    CHATS: Final = 256
    ITEMS: Final = 128
    CHARACTERS: Final = 16_000_000
    SECONDS: Final = 60.0

    def __init__(self) -> None:
        self._chats: OrderedDict[int, Kept] = OrderedDict()
        #: Returns what is kept of a chat; None if that is nothing.
        self.kept: Final = self._chats.get
        #: Characters of all that is kept.
        self._size = 0
        #: Chats that are over: what still comes about them is of no use.
        self._over: OrderedDict[int, None] = OrderedDict()

    def keep(self, item: Item | Draft, chat_id: int, now: float) -> None:
        """Keep *item* for the reply that turns out to own its chat."""
        if chat_id in self._over:
            return
        pile = (self._chats.get(chat_id) or self._chats.setdefault(chat_id, Kept(now))).pile
        before = pile.size
        pile.add(item)
        if len(pile.notices) > self.ITEMS:
            pile.size -= size_of(pile.notices.pop(0))
        self._size += pile.size - before
        while self._chats and self._is_too_much(now):
            self._size -= self._chats.popitem(last=False)[1].pile.size

    def _is_too_much(self, now: float) -> bool:
        return (
            len(self._chats) > self.CHATS
            or now - next(iter(self._chats.values())).since > self.SECONDS
            or self._size > self.CHARACTERS
        )

    def take(self, chat_id: int) -> list[Notice]:
        """Return what was kept of a chat, and forget it."""
        kept = self._chats.pop(chat_id, None)
        if kept is None:
            return []
        self._size -= kept.pile.size
        return kept.pile.notices

    def end(self, chat_id: int) -> None:
        """Keep nothing about this chat from now on."""
        self.take(chat_id)
        self._over[chat_id] = None
        while len(self._over) > 4 * self.CHATS:
            self._over.popitem(last=False)

    def begin(self, chat_id: int) -> None:
        """Keep what comes about this chat, although it was over: it goes on."""
        self._over.pop(chat_id, None)

    def clear(self) -> None:
        """Forget what is kept: no reply is waiting for its chat."""
        self._chats.clear()
        self._size = 0
