"""The websocket of a channel: its address, and opening it.

Web protocol sheet §7.3.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import websocket

from poe_proxy.errors import UpstreamBlocked, UpstreamProtocolError, UpstreamUnreachable
from poe_proxy.net.dialing import dial
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Site

#: What a websocket raises when it breaks, or cannot be opened.
BROKEN: Final = (websocket.WebSocketException, OSError)


class Socket:
    """Opens websockets to Poe."""

    def __init__(self, site: Site, *, origin: str, ws_url: str | None, proxy: str | None) -> None:
        self._site = site
        self._origin = origin
        self._ws_url = ws_url
        self._proxy = proxy

    def open(self, data: ChannelData, min_seq: int) -> websocket.WebSocket:
        """Open the websocket of a channel; raises `UpstreamError`."""
        url = self.address(data, min_seq)
        parts = urlsplit(url)
        is_secure = parts.scheme == "wss"
        limit = self._site.limits.socket_open
        try:
            port = parts.port or (443 if is_secure else 80)
            wire = websocket.create_connection(
                url,
                timeout=limit,
                socket=dial(
                    parts.hostname or "",
                    port,
                    is_secure=is_secure,
                    proxy=self._proxy,
                    timeout=limit,
                ),
                origin=self._origin,
                header=[
                    f"User-Agent: {self._site.headers['User-Agent']}",
                    "Pragma: no-cache",
                    "Cache-Control: no-cache",
                ],
                # A redirected websocket would bypass our proxy, and go to an unknown host.
                redirect_limit=0,
                # The check is written in Python and slow; orjson checks in C what we read.
                skip_utf8_validation=True,
                enable_multithread=True,
            )
        except websocket.WebSocketBadStatusException as bad:
            if bad.status_code == 403 and "cf-mitigated" in (bad.resp_headers or {}):
                raise UpstreamBlocked("Poe shows a browser challenge at its websocket.") from None
            raise UpstreamProtocolError(
                f"Poe does not open its websocket for us ({bad.status_code})."
            ) from None
        except (*BROKEN, ValueError) as bad:
            raise UpstreamUnreachable(
                f"Poe's websocket cannot be reached ({type(bad).__name__})."
            ) from None
        if wire.getstatus() != 101:
            hang_up(wire)
            raise UpstreamProtocolError("Poe redirects its websocket to somewhere else.")
        return wire

    def address(self, data: ChannelData, min_seq: int) -> str:
        """Return the URL of a channel's websocket.

        Raises `UpstreamProtocolError` if it is not on a host of Poe's.
        """
        host = data.base_host
        if self._ws_url is None and not (host == "poe.com" or host.endswith(".poe.com")):
            raise UpstreamProtocolError("Poe names a websocket on a host that is not its own.")
        url = self._site.websocket.format(
            n=random.randint(1, 1_000_000),
            base_host=host,
            box=data.box,
            min_seq=min_seq,
            channel=data.name,
            hash=data.hash,
        )
        parts = urlsplit(url)
        if self._ws_url is not None:
            return f"{self._ws_url}{parts.path}?{parts.query}"
        if not (parts.hostname or "").endswith(host.lower()) or "@" in parts.netloc:
            raise UpstreamProtocolError("Poe names a websocket on a host that is not its own.")
        return url


def hang_up(wire: websocket.WebSocket) -> None:
    """Close a websocket that no other thread uses any more."""
    wire_socket = wire.sock
    wire.shutdown()  # type: ignore[no-untyped-call]  # its authors left it untyped
    if wire_socket is not None:
        with suppress(OSError):
            wire_socket.close()
