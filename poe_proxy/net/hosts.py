"""The way to one host: each request goes out on a connection that is kept, or on a new one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from poe_proxy.net.deadline import Deadline
from poe_proxy.net.dialing import authorization, dial, dial_proxy
from poe_proxy.net.http1 import request_head
from poe_proxy.net.kept import KEEP_IDLE, Kept
from poe_proxy.net.transfer import Transfer

#: The most bytes of a body that are joined with the head, to leave in one piece. The rest of it is
#: not copied.
JOINED: Final = 65_536


class Host:
    """A host, and what is kept open to it. May be used by several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        proxy: str | None = None,
        connections: int = 50,
        keep_idle: float = KEEP_IDLE,
        authorities: str | None = None,
    ) -> None:
        """*url* says scheme and host, and may have a path that all requests begin with. So many
        *connections* are kept for reuse, *keep_idle* seconds each; more may be open.

        *authorities* may name a file of certificates to trust in place of the usual ones.
        """
        parts = urlsplit(url)
        self._is_secure = parts.scheme == "https"
        self._name = parts.hostname or ""
        self._port = parts.port or (443 if self._is_secure else 80)
        self._proxy = proxy
        self._authorities = authorities
        self._kept = Kept(connections, keep_idle)
        self._under_way: set[Transfer] = set()
        host = parts.netloc.rpartition("@")[2]
        self._lines = f"Host: {host}\r\n"
        self._path = parts.path.rstrip("/")
        #: The HTTP proxy that passes requests on by themselves, as it does where TLS hides nothing
        #: from it anyway.
        self._passed_on_by = None
        if proxy is not None and not self._is_secure and proxy.startswith("http"):
            self._passed_on_by = urlsplit(proxy)
            self._path = f"http://{host}{self._path}"
            if login := authorization(self._passed_on_by):
                self._lines += f"Proxy-Authorization: {login}\r\n"

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Transfer:
        """Return the exchange of a request for its answer; it begins with the first wait for it.

        Only Host, Content-Length and, unless it is given, `Accept-Encoding: identity` are added to
        the *headers*.
        """
        length = None if body is None else len(body)
        request: list[bytes | memoryview] = []  # as it stays if there can be no such request
        with suppress(ValueError):
            head = request_head(method, self._path + path, self._lines, headers, length)
            request.append(head + body[:JOINED] if body else head)
            if body is not None and len(body) > JOINED:
                request.append(memoryview(body)[JOINED:])
        transfer = Transfer(self._kept, self._dial, request, self._under_way.discard)
        self._under_way.add(transfer)
        return transfer

    def close(self) -> None:
        """Close all connections, and keep none from now on. A transfer that is under way fails, as
        if the host had hung up; one that is begun later goes out on a connection of its own."""
        self._kept.close()
        for transfer in tuple(self._under_way):
            transfer.cut()

    def _dial(self, deadline: Deadline) -> Any:
        if self._passed_on_by is not None:
            return dial_proxy(self._passed_on_by, deadline)
        return dial(
            self._name,
            self._port,
            is_secure=self._is_secure,
            proxy=self._proxy,
            deadline=deadline,
            authorities=self._authorities,
        )
