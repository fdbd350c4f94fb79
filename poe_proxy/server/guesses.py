"""Whether a request brings the key of whoever runs the server, and how many wrong ones are looked
at: on every route that takes it, as a guess is worth the same on each."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Final

from poe_proxy.errors import PoeProxyError
from poe_proxy.server.access import keys_in
from poe_proxy.server.asked import Asked

#: Wrong keys in a minute from one address, and from all: after them none is looked at.
MOST_GUESSES: Final = 10
MOST_GUESSES_OF_ALL: Final = 200
#: The most addresses that are remembered because the right key has come from them.
MOST_KNOWN: Final = 100
_MINUTE: Final = 60.0
#: What stands for all addresses, and for those of this machine, of which there are millions.
_ALL: Final = "*"
_HERE: Final = "127.0.0.1"


class TooManyGuesses(PoeProxyError):
    """Too many wrong keys have come; even the right one is not looked at for a moment."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    client_may_retry = False


class Guesses:
    """How many wrong keys have come in this minute.

    What others try keeps nobody out who is on this machine, or where the right key has come from
    before: there, only wrong keys from that address count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._wrong: Counter[str] = Counter()
        self._known: OrderedDict[str, None] = OrderedDict()
        #: Called with where a wrong key has come from, or, with True, the first right one. It must
        #: not wait: other workers are told, so that they count together.
        self.tell: Callable[[str, bool], object] = lambda place, is_right: None

    def check(self, peer: str) -> None:
        """Raise `TooManyGuesses` if no further key of *peer* is looked at."""
        place, is_here = _place(peer)
        with self._lock:
            left = self._left()
            is_over = self._wrong[place] >= MOST_GUESSES
            if not (is_here or place in self._known):
                is_over = is_over or self._wrong[_ALL] >= MOST_GUESSES_OF_ALL
            if is_over:
                raise TooManyGuesses(
                    "Too many wrong keys have come; try again in a minute.", retry_after=left
                )

    def wrong(self, peer: str) -> None:
        """Count a wrong key of *peer*."""
        place, _ = _place(peer)
        self.heard(place, is_right=False)
        self.tell(place, False)

    def right(self, peer: str) -> None:
        """Note that the right key has come from *peer*."""
        place, _ = _place(peer)
        is_new = place not in self._known
        self.heard(place, is_right=True)
        if is_new:
            self.tell(place, True)

    def heard(self, place: str, *, is_right: bool) -> None:
        """Note what another worker has told of a key from *place*."""
        with self._lock:
            if not is_right:
                self._left()
                # There are no more addresses than guesses.
                self._wrong.update((place, _ALL))
                return
            self._known[place] = None
            self._known.move_to_end(place)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)

    def _left(self) -> float:
        """Return the seconds that are left of this minute; a new one begins if none are."""
        left = self._since + _MINUTE - self._clock()
        if left <= 0.0:
            self._since, left = self._clock(), _MINUTE
            self._wrong.clear()
        return left


guesses: Final = Guesses()


def is_right(request: Asked, key: str, admin_key: str) -> bool:
    """Whether *key*, which *request* brings, is the one of whoever runs the server.

    Raises `TooManyGuesses`.
    """
    peer = request.record.peer
    guesses.check(peer)
    # Digests have one length, so that the time reveals nothing of the key's.
    digest, wanted = (
        hashlib.sha256(one.encode("utf-8", "replace")).digest() for one in (key, admin_key)
    )
    if hmac.compare_digest(digest, wanted):
        guesses.right(peer)
        return True
    guesses.wrong(peer)
    return False


def is_admin(request: Asked, admin_key: str | None) -> bool:
    """Whether *request* brings the key of whoever runs the server, as a client would bring its own;
    never if there is none. Of several keys the first one counts.

    Raises `TooManyGuesses`.
    """
    given = next(keys_in(request), None)
    if not admin_key or given is None:
        return False
    return is_right(request, given.decode("utf-8", "replace"), admin_key)


def _place(peer: str) -> tuple[str, bool]:
    """Return what *peer* counts as, and whether it is this machine. Of IPv6 that is the network of
    64 bits, all addresses of which one house may have."""
    with suppress(ValueError):
        address = ip_address(peer)
        if address.is_loopback:
            return _HERE, True
        if isinstance(address, IPv6Address):
            return address.exploded[:19], False
    return peer, False
