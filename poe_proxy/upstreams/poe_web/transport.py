"""HTTP requests to Poe and to the hosts of its scripts, with the browser's headers.

Nothing is known of accounts here: their cookies come as a header, and go back with the response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import requests

from poe_proxy.errors import (
    UpstreamError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
    let_go,
)
from poe_proxy.net import troubles
from poe_proxy.net.background import Background
from poe_proxy.net.connections import Adapter, Connection, used_by
from poe_proxy.net.kept import KEEP_IDLE
from poe_proxy.net.pacing import breathe

#: The most bytes of an answer, unpacked: the history of a chat with a long reply is the longest.
MAX_ANSWER: Final = 32_000_000
#: Seconds within which a connection must be made.
_CONNECT: Final = 10.0
#: Bytes a second at which a request goes out at the slowest; that time is beside its limit.
_SLOWEST: Final = 250_000
_READ_AT_ONCE: Final = 65_536


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


class Transport:
    """Pooled connections. May be used by several threads at once."""

    def __init__(self, headers: Mapping[str, str], *, proxy: str | None) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        # The cookies of an account are sent by hand, to Poe's own host alone.
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._http.headers.clear()
        self._http.headers.update(headers)
        adapter = Adapter(KEEP_IDLE, connections=64)
        self._http.mount("https://", adapter)
        self._http.mount("http://", adapter)
        if proxy is not None:
            self._http.proxies = {"http": proxy, "https": proxy}

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
        for a long payload. *at_most* is how many bytes
        the response may have. *when_answered* is called, by another thread, as soon as the answer
        begins: the request has arrived by then.

        Raises `UpstreamUnreachable` if the request was not sent, and `UpstreamUncertain` if its
        response was lost, or not complete in time; if the request only reads, that is an
        `UpstreamTimeout`.
        """
        request = _Request(reading)

        def exchange() -> Response:
            try:
                with (
                    used_by(request),
                    self._http.request(
                        method,
                        url,
                        headers=dict(headers),
                        data=payload,
                        timeout=(min(_CONNECT, limit), limit),
                        allow_redirects=False,
                        stream=True,
                    ) as response,
                ):
                    if response.status_code == 407:
                        raise UpstreamUnreachable("The proxy wants another login (407).")
                    when_answered()
                    content = _read_body(response, at_most)
                    request.is_complete()
                    return Response(
                        response.status_code,
                        response.headers,
                        content,
                        {one.name: one.value for one in response.cookies if one.value},
                    )
            except requests.RequestException as failure:
                let_go(failure)  # urllib3 keeps it in a frame that holds the request
                raise request.meaning(failure) from None
            finally:
                request.is_over()

        # In a thread of its own: no limit of requests is one for a name that is looked up, or for
        # an answer that drips.
        exchanging = Background(exchange, name="request")
        if not exchanging.wait(limit + len(payload or b"") / _SLOWEST):
            request.give_up()
            raise request.too_late()
        return exchanging.result()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class _GivenUp(Exception):
    """The answer is not wanted any more."""


class _Request:
    """How far a request has got. The user of its connection."""

    def __init__(self, reading: bool) -> None:
        self._reading = reading
        self._connection: Connection | None = None
        self._is_sent = False
        self._is_given_up = False

    def uses(self, connection: Connection) -> None:
        """Note the *connection*; raises if the answer is not wanted any more."""
        self._connection = connection
        if self._is_given_up:
            raise _GivenUp

    def goes_out(self) -> None:
        """Note that the request is about to be sent; raises as `uses` does."""
        # `give_up` sets its flag before it cuts: either it finds the connection, or the flag is
        # found here.
        if self._is_given_up:
            raise _GivenUp
        self._is_sent = True

    def is_complete(self) -> None:
        """Note that the answer is complete: its connection lies idle."""
        if self._connection is not None:
            self._connection.is_idle()

    def is_over(self) -> None:
        """Forget the connection: it knows its user, and may never be used again."""
        self._connection = None

    def give_up(self) -> None:
        """Cut the connection, and send nothing more."""
        self._is_given_up = True
        if connection := self._connection:
            connection.cut(self)

    def too_late(self) -> UpstreamError:
        """Return what it means that the time is over."""
        if not self._is_sent:
            return UpstreamUnreachable("Poe cannot be reached (it took too long).")
        if self._reading:
            return UpstreamTimeout("Poe did not answer in time.")
        return UpstreamUncertain("Poe's answer was not complete in time.")

    def meaning(self, failure: requests.RequestException) -> UpstreamError:
        """Return what *failure* means, without its text, which holds addresses."""
        trouble = troubles.read(failure)
        if trouble.bad_certificate:
            return UpstreamUnreachable("Poe cannot be reached: its certificate is not accepted.")
        if trouble.never_sent or not self._is_sent:
            return UpstreamUnreachable(f"Poe cannot be reached ({trouble.name}).")
        if trouble.timed_out and self._reading:
            return UpstreamTimeout("Poe did not answer in time.")
        return UpstreamUncertain(f"The connection to Poe {trouble.words} before it answered.")


def _read_body(response: requests.Response, at_most: int) -> bytes:
    if "," in response.headers.get("Content-Encoding", ""):
        # Packed twice, a few bytes may hold the work of hours.
        raise requests.exceptions.ContentDecodingError("packed more than once")
    body = bytearray()
    for piece in response.iter_content(_READ_AT_ONCE):
        body += piece
        if len(body) > at_most:
            raise requests.exceptions.ContentDecodingError("too long")
        breathe()
    return bytes(body)
