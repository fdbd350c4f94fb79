"""Clients that hang up while their answer is under way, noticed by their sockets.

One thread waits for all of them at once: a thousand silent streams that each woke twice a second to
look would be a fifth of a core.
"""

from __future__ import annotations

import contextvars
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

log = logging.getLogger(__name__)


class HangUps:
    """The sockets that are watched. The thread begins with the first one, in the process that
    serves: it would not outlive a fork."""

    def __init__(self) -> None:
        #: Held while a socket is looked at: whoever forgets it may close it.
        self._lock = threading.Lock()
        self._selector: selectors.BaseSelector | None = None
        self._waking: socket.socket
        #: Whether the thread is about to wait anew.
        self._is_woken = False

    def watch(self, client: socket.socket, hang_up: Callable[[], object]) -> int:
        """Call *hang_up* as soon as *client* has hung up; return by which number to `forget` it.

        A client that sends more is there, and from then on not known to be gone: what it has sent
        hides its end. Raises `OSError` if there is no descriptor for that.
        """
        with self._lock:
            selector = self._selector or self._begin()
            number = client.fileno()
            # One that was never forgotten is closed, and its number has come back.
            with suppress(KeyError):
                selector.unregister(number)
            selector.register(number, selectors.EVENT_READ, (client, hang_up))
            is_woken, self._is_woken = self._is_woken, True
        if not is_woken:
            # A selector may look at new sockets only when it begins to wait.
            self._waking.send(b"!")
        return number

    def forget(self, number: int) -> None:
        """Watch the socket no longer; to be called before it is closed, more than once if need
        be."""
        with self._lock:
            if self._selector is not None:
                with suppress(KeyError):
                    self._selector.unregister(number)

    def _begin(self) -> selectors.BaseSelector:
        woken, self._waking = socket.socketpair()
        selector = selectors.DefaultSelector()
        selector.register(woken, selectors.EVENT_READ)
        # It belongs to no request, whichever was the first.
        run = contextvars.Context().run
        threading.Thread(
            target=run, args=(self._wait, selector, woken), name="hang-ups", daemon=True
        ).start()
        self._selector = selector
        return selector

    def _wait(self, selector: selectors.BaseSelector, woken: socket.socket) -> None:
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    self._is_woken = False
                    woken.recv(100)
                else:
                    self._heard(selector, key)

    def _heard(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        client, hang_up = key.data
        with self._lock:
            if selector.get_map().get(key.fd) is not key:
                return  # forgotten meanwhile
            selector.unregister(key.fd)
            is_gone = has_hung_up(client)
        if not is_gone:
            return
        try:
            hang_up()
        except Exception:
            log.exception("nobody was told that a client had hung up")


def has_hung_up(client: socket.socket) -> bool:
    """Whether *client* has hung up. Does not wait, and consumes nothing; what it has sent ahead
    hides its end."""
    # Rather than ask the kernel by `poll`, which is a turn for all others, too.
    before = client.gettimeout()
    try:
        client.settimeout(0.0)
        try:
            return client.recv(1, socket.MSG_PEEK) == b""
        finally:
            client.settimeout(before)
    except BlockingIOError:
        return False
    except OSError:
        return True


#: Those of this process.
hang_ups: Final = HangUps()
