"""What the websocket's reader leaves for one reply, until the reply's own thread looks."""

from __future__ import annotations

import threading
from typing import TypeAlias

from poe_proxy.errors import UpstreamError
from poe_proxy.upstreams.poe_web.turn import Item


class Resync:
    """Frames were lost: what they told has to be read from the history."""


Letter: TypeAlias = "Item | Resync | UpstreamError"


class Mailbox:
    """A bounded wait for one reader, and no wait at all for those who write.

    An unfinished message carries all of its text in each item, so only the newest is kept:
    a slow client cannot make the letters pile up.
    """

    def __init__(self, client_nonce: str, chat_nonce: str) -> None:
        self.client_nonce = client_nonce
        self.chat_nonce = chat_nonce
        self._letters: list[Letter] = []
        self._last_key: str | None = None
        self._lock = threading.Lock()
        self._filled = threading.Event()

    def put(self, letter: Letter) -> None:
        """Leave a letter."""
        key = letter.message_key if isinstance(letter, Item) else None
        with self._lock:
            if key is not None and key == self._last_key:
                self._letters[-1] = letter
            else:
                self._letters.append(letter)
            self._last_key = key
        self._filled.set()

    def wake(self) -> None:
        """Let the reader look up, though there is no letter."""
        self._filled.set()

    def wait(self, seconds: float) -> list[Letter]:
        """Return the letters, in order, as soon as there are any; none after *seconds*."""
        self._filled.wait(seconds)
        with self._lock:
            self._filled.clear()
            letters, self._letters, self._last_key = self._letters, [], None
        return letters
