"""A server that runs."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, Self
from urllib.parse import urlsplit

import certifi

from poe_proxy.command import launching, screen
from poe_proxy.command.asking import Answer, Trouble
from poe_proxy.settings import Settings

#: Seconds until a server that is there has answered whether it is.
LOOK: Final = 3.0
#: Seconds of silence after which a server is gone: while a bot is asked, it gives a sign of life
#: four times in them.
SILENCE: Final = 60.0
#: How asking it can fail: of a name that is none Python says that by a UnicodeError.
_FAILURES: Final = (OSError, HTTPException, UnicodeError)
#: The most bytes that are read of an answer at once.
_AT_ONCE: Final = 65_536


def address_of(settings: Settings) -> str:
    """Return the address at which this computer reaches the server of *settings*."""
    return f"http://{launching.reached_at(settings.host)}:{settings.port}"


class Running:
    """A server that runs, as one who has *key* sees it. No proxy of the environment is used."""

    def __init__(self, url: str, key: str | None) -> None:
        """*url* may end in `/v1`, as clients know it. Raises `Trouble` if it is no address, or
        if no header can have the *key*."""
        url = url if "://" in url else f"http://{url}"
        try:
            parts = urlsplit(url.rstrip("/").removesuffix("/v1"))
            self._port = parts.port
        except ValueError:
            parts, self._port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Trouble("--url must be an address such as http://localhost:8080.")
        self._host: str = parts.hostname
        self._is_secure = parts.scheme == "https"
        self._path = parts.path.rstrip("/")
        # What is read of a file may have a line end; anything else `http.client` would repeat.
        self._key = None if key is None else key.strip()
        if self._key is not None and not (self._key.isascii() and self._key.isprintable()):
            raise Trouble("--key must be printable ASCII.")
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}{self._path}"

    def answers(self) -> bool:
        """Whether a server of this program is there."""
        try:
            response = self._send("GET", "/health", None, LOOK)
            with closing(response):
                is_ours = response.getheader("x-request-id", "").startswith("req_")
                return response.status == 200 and is_ours
        except _FAILURES:
            return False

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """See `Asked`."""
        try:
            response = self._send(method, path, body, SILENCE)
        except _FAILURES as failure:
            raise self._trouble(failure) from None
        return Answer(response.status, self._pieces(response))

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float
    ) -> HTTPResponse:
        made: HTTPConnection
        if self._is_secure:
            trusted = ssl.create_default_context()
            trusted.load_verify_locations(certifi.where())
            made = HTTPSConnection(self._host, self._port, timeout=seconds, context=trusted)
        else:
            made = HTTPConnection(self._host, self._port, timeout=seconds)
        headers = {"Connection": "close", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        given = None if body is None else json.dumps(body).encode()
        try:
            made.request(method, self._path + path, given, headers)
            # The connection lives on in it, until it is closed.
            return made.getresponse()
        except BaseException:
            made.close()
            raise

    def _pieces(self, response: HTTPResponse) -> Iterator[bytes]:
        with closing(response):
            try:
                while piece := response.read1(_AT_ONCE):
                    yield piece
            except _FAILURES as failure:
                raise self._trouble(failure) from None

    def _trouble(self, failure: Exception) -> Trouble:
        if isinstance(failure, TimeoutError):
            return Trouble(f"{self.name} did not answer in time.")
        why = getattr(failure, "strerror", None) or type(failure).__name__
        return Trouble(f"{self.name} cannot be asked: {screen.line(str(why))}.")

    def close(self) -> None:
        """See `Asked`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
