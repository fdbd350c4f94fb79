"""Fetches the files that bots make: pictures, sounds and films, of which a reply holds the links.

They lie on Poe's own hosts (official API sheet §3.5), and from nowhere else is anything fetched: a
bot repeats what strangers wrote, links included.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING, Final

from poe_proxy.errors import UpstreamProtocolError

if TYPE_CHECKING:
    from poe_proxy.net.fetching import Fetched, Fetcher, Fetching

#: Hosts that Poe's files are on, with all hosts beneath them.
HOSTS: Final = ("poecdn.net",)
#: Bytes of one file.
MAX_BYTES: Final = 20_000_000
#: Seconds for one file, those in which it waits for its turn included.
TIMEOUT: Final = 60.0
#: Files that are fetched at a time: each is held in memory.
AT_A_TIME: Final = 8


class MediaFetcher:
    """Fetches files of bots by their links, some at a time."""

    def __init__(self, proxy: str | None = None, origins: Collection[str] = ()) -> None:
        """*origins* are those of a Poe that is elsewhere, such as `http://127.0.0.1:9000`."""
        self._proxy = proxy
        self._origins = frozenset(origins)
        self._places = threading.BoundedSemaphore(AT_A_TIME)

    @cached_property
    def _fetcher(self) -> Fetcher:
        # Made at the first use: it reads all certificates of the machine. What it needs is imported
        # then, too, if no account has needed it: 6 MB, and up to 40 ms.
        from poe_proxy.net.fetching import Fetcher

        return Fetcher(
            self._proxy, MAX_BYTES, TIMEOUT, hosts=HOSTS, origins=self._origins, max_redirects=0
        )

    def owns(self, url: str) -> bool:
        """Whether *url* leads to a file that a bot made."""
        return self._fetcher.is_for(url)

    def begin(self, url: str) -> MediaFile:
        """Begin to fetch the file at *url*."""
        return MediaFile(self._fetcher, url, self._places)


class MediaFile:
    """A file on its way; for one thread at a time. To be closed, wanted or not."""

    def __init__(
        self,
        fetcher: Fetcher,
        url: str,
        places: threading.BoundedSemaphore,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._url = url
        self._places = places
        self._clock = clock
        self._until = clock() + TIMEOUT
        self._fetching: Fetching | None = None

    def wait(self, seconds: float) -> bool:
        """Wait for its end, *seconds* at most; return whether it has come, or must not take any
        longer."""
        left = self._until - self._clock()
        if left <= 0:
            return True
        seconds = min(seconds, left)
        if self._fetching is not None:
            return self._fetching.wait(seconds)
        if self._places.acquire(timeout=seconds):
            try:
                self._fetching = self._fetcher.begin(self._url, left)
            except BaseException:
                self._places.release()
                raise
        return False

    def result(self) -> Fetched:
        """Return the file, once `wait` has said that it is over; raises `UpstreamProtocolError`."""
        from poe_proxy.net.fetching import NotFetched

        why = f"took longer than {TIMEOUT:g} seconds"
        if self._fetching is not None and self._fetching.wait(0):
            try:
                return self._fetching.result()
            except NotFetched as failure:
                why = failure.why
        raise UpstreamProtocolError(
            f"The bot has made a file, but its link {why}.", code="media_unreachable"
        )

    def close(self) -> None:
        """End it, if it is not over, and let the next one begin."""
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            fetching.cut()
            self._places.release()
