"""HTTP requests to Poe and to the hosts of its scripts, with the browser's headers.

Nothing is known of accounts here: their cookies come as a header, and go back with the response.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import requests
from requests.adapters import HTTPAdapter

from poe_proxy.errors import (
    UpstreamError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.net import troubles

#: The most bytes of one response; the home page has some five million.
_MAX_RESPONSE: Final = 32_000_000
#: Seconds within which a connection must be made.
_CONNECT: Final = 10.0


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
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=64, max_retries=0)
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
        when_answered: Callable[[], None] = lambda: None,
    ) -> Response:
        """Return the whole response, whatever its status; no redirect is followed.

        *reading* says that the request changes nothing at Poe. *when_answered* is called as soon
        as the answer begins: the request has arrived by then. Raises `UpstreamUnreachable` if
        the request was not sent, and `UpstreamUncertain` if its response was lost, or was not
        complete after *limit* seconds; if the request only reads, that is an `UpstreamTimeout`.
        """
        try:
            with self._http.request(
                method,
                url,
                headers=dict(headers),
                data=payload,
                timeout=(min(_CONNECT, limit), limit),
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.status_code == 407:
                    raise UpstreamUnreachable("The proxy wants another login (407).")
                when_answered()
                return Response(
                    response.status_code,
                    response.headers,
                    _read_body(response, time.monotonic() + limit),
                    {one.name: one.value for one in response.cookies if one.value},
                )
        except requests.RequestException as failure:
            raise _failure(failure, reading=reading) from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _read_body(response: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    for piece in response.iter_content(65536):
        body += piece
        if len(body) > _MAX_RESPONSE:
            raise requests.exceptions.ContentDecodingError("too long")
        if time.monotonic() > deadline:
            raise requests.ReadTimeout("too slow")
    return bytes(body)


def _failure(failure: requests.RequestException, *, reading: bool) -> UpstreamError:
    """Return what an exception of requests means, without its text, which holds addresses."""
    trouble = troubles.read(failure)
    if trouble.bad_certificate:
        return UpstreamUnreachable("Poe cannot be reached: its certificate is not accepted.")
    if trouble.never_sent:
        return UpstreamUnreachable(f"Poe cannot be reached ({trouble.name}).")
    if trouble.timed_out and reading:
        return UpstreamTimeout("Poe did not answer in time.")
    return UpstreamUncertain(f"The connection to Poe {trouble.words} before it answered.")
