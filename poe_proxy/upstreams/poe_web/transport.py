"""HTTP requests to Poe and to the hosts of its scripts, with the browser's headers.

Nothing is known of accounts here: their cookies come as a header, and go back with the response.
"""

from __future__ import annotations

import http.cookiejar
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from types import SimpleNamespace
from typing import Any, Final, cast
from urllib.parse import quote

from poe_proxy.errors import (
    UpstreamError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net.hosts import Host
from poe_proxy.net.http1 import Head
from poe_proxy.net.pacing import breathe
from poe_proxy.net.transfer import End, Stage, Transfer, Trouble

#: The most bytes of an answer, unpacked: the history of a chat with a long reply is the longest.
MAX_ANSWER: Final = 32_000_000
#: Bytes a second at which a request goes out at the slowest; that time is beside its limit.
_SLOWEST: Final = 250_000
#: Connections to a host that are kept, and hosts.
_CONNECTIONS: Final = 64
_HOSTS: Final = 8
#: What an address is made of that goes out as it is; and what may stand in any other, where all
#: else is written in percent.
_AS_IT_IS: Final = re.compile(r"[\w/-]+", re.ASCII)
_PLAIN: Final = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    #: Cookies that it sets.
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The beginning of the content, which shows what it is."""
        return self.content[:4000].decode("utf-8", "replace")


class TooLong(UpstreamUncertain):
    """An answer has more bytes than it may have."""


class Transport:
    """Kept connections. May be used by several threads at once."""

    def __init__(self, headers: Callable[[], Mapping[str, str]], *, proxy: str | None) -> None:
        """*headers* returns those that each request has."""
        self._headers = headers
        self._proxy = proxy
        #: By their addresses, without paths.
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        payload: bytes | None = None,
        *,
        reading: bool,
        limit: float,
        at_most: int = MAX_ANSWER,
        when_answered: Callable[[], None] = lambda: None,
    ) -> Response:
        """Return the whole response, whatever its status; no redirect is followed.

        *reading* says that the request changes nothing at Poe. *limit* is how many seconds all of
        it may take: a name to be resolved, connecting, the answer's head and body; there is more
        for a long payload. *at_most* is how many bytes the response may have. *when_answered* is
        called as soon as the answer begins: the request has arrived by then.

        Raises `UpstreamUnreachable` if the request was not sent, and `UpstreamUncertain` if its
        response was lost, or not complete in time; if the request only reads, that is an
        `UpstreamTimeout`. One that is too long is a `TooLong`.
        """
        until = time.monotonic() + limit + len(payload or b"") / _SLOWEST
        host, path = self._way_to(url)
        transfer = host.send(method, path, {**self._headers(), **headers}, payload)
        head: Head | None = None
        content: list[bytes] = []
        size = 0
        try:
            while (left := until - time.monotonic()) > 0:
                for one in transfer.wait(left):
                    match one:
                        case Head():
                            if one.status == 407:
                                raise UpstreamUnreachable("The proxy wants another login (407).")
                            head = one
                            when_answered()
                        case bytes():
                            content.append(one)
                            size += len(one)
                            if size > at_most:
                                raise TooLong("Poe's answer is too long.")
                        case Trouble():
                            raise meaning(one, reading=reading)
                        case End():
                            assert head is not None
                            return _response(url, head, content)
                breathe()
            raise too_late(transfer, reading=reading)
        finally:
            transfer.close()

    def _way_to(self, url: str) -> tuple[Host, str]:
        """Return the host of an address, and the path there."""
        end = url.find("/", len("https://"))
        origin, path = (url, "/") if end < 0 else (url[:end], url[end:])
        host = self._hosts.get(origin)
        if host is None:
            host = self._meet(origin)
        if not _AS_IT_IS.fullmatch(path):
            path = quote(path.partition("#")[0], safe=_PLAIN)
        return host, path

    def _meet(self, origin: str) -> Host:
        try:
            host = Host(origin, proxy=self._proxy, connections=_CONNECTIONS)
        except ValueError:
            raise UpstreamUnreachable("Poe cannot be reached (no address).") from None
        with self._lock:
            if origin not in self._hosts and len(self._hosts) >= _HOSTS:
                # Poe's own is the first one; those of its scripts may change.
                self._hosts.pop(next(reversed(self._hosts))).close()
            return self._hosts.setdefault(origin, host)

    def close(self) -> None:
        """Close the connections. Requests that are under way fail."""
        with self._lock:
            for host in self._hosts.values():
                host.close()


def meaning(trouble: Trouble, *, reading: bool) -> UpstreamError:
    """Return what *trouble* means for a request."""
    if trouble.bad_certificate:
        return UpstreamUnreachable("Poe cannot be reached: its certificate is not accepted.")
    if trouble.stage is Stage.NOT_SENT:
        return UpstreamUnreachable(f"Poe cannot be reached ({trouble.name}).")
    if trouble.timed_out and reading:
        return UpstreamTimeout("Poe did not answer in time.")
    return UpstreamUncertain(f"The connection to Poe {trouble.words} before it answered.")


def too_late(transfer: Transfer, *, reading: bool) -> UpstreamError:
    """Return what it means that the time of a request is over."""
    if transfer.stage is Stage.NOT_SENT:
        return UpstreamUnreachable("Poe cannot be reached (it took too long).")
    if reading:
        return UpstreamTimeout("Poe did not answer in time.")
    return UpstreamUncertain("Poe's answer was not complete in time.")


def _response(url: str, head: Head, content: list[bytes]) -> Response:
    cookies: Mapping[str, str] = {}
    if issued := head.headers.all("Set-Cookie"):
        cookies = _cookies(url, issued)
    body = content[0] if len(content) == 1 else b"".join(content)
    return Response(head.status, head.headers, body, cookies)


def _cookies(url: str, issued: list[str]) -> dict[str, str]:
    """Return the cookies that the answer from *url* sets, as a browser takes them."""
    message = Message()
    for one in issued:
        message["Set-Cookie"] = one
    jar = http.cookiejar.CookieJar()
    answer = cast("Any", SimpleNamespace(info=lambda: message))
    jar.extract_cookies(answer, urllib.request.Request(url))
    return {one.name: one.value for one in jar if one.value}
