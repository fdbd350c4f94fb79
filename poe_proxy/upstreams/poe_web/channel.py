"""The push channel of an account: one websocket, shared by all its replies.

Web protocol sheet §7 and §14.1. A thread reads, and leaves what it read in the mailboxes of
the replies; it never waits for any of them.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import websocket

from poe_proxy.errors import (
    PoeProxyError,
    UpstreamBlocked,
    UpstreamInterrupted,
    UpstreamProtocolError,
    UpstreamUnreachable,
)
from poe_proxy.upstreams.poe_web.mailbox import Letter, Mailbox, Resync
from poe_proxy.upstreams.poe_web.pages import ChannelData
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.turn import ChannelLost, Item, read_frame

log = logging.getLogger(__name__)

#: Frames may come before the answer that says whose they are: so many chats and items are
#: kept for so many seconds.
_KEEP_CHATS: Final = 256
_KEEP_ITEMS: Final = 128
_KEEP_SECONDS: Final = 60.0

#: A websocket that breaks again so soon after a light reconnect needs a new channel.
_SOON: Final = 10.0


class Socket:
    """A websocket to Poe: where it is, and how to get there."""

    def __init__(self, site: Site, *, origin: str, ws_url: str | None, proxy: str | None) -> None:
        self._site = site
        self._origin = origin
        self._ws_url = ws_url
        self._proxy = _proxy_options(proxy)

    def open(self, data: ChannelData, min_seq: int) -> websocket.WebSocket:
        """Open the websocket of a channel; raises `UpstreamError`."""
        headers = self._site.headers
        try:
            return websocket.create_connection(
                self._address(data, min_seq),
                timeout=self._site.limits.socket_open,
                origin=self._origin,
                header=[
                    f"User-Agent: {headers.get('User-Agent', '')}",
                    "Pragma: no-cache",
                    "Cache-Control: no-cache",
                ],
                # The check is written in Python and slow; orjson checks in C what we read.
                skip_utf8_validation=True,
                enable_multithread=True,
                **self._proxy,
            )
        except websocket.WebSocketBadStatusException as bad:
            if bad.status_code == 403 and "cf-mitigated" in (bad.resp_headers or {}):
                raise UpstreamBlocked("Poe shows a browser challenge at its websocket.") from None
            raise UpstreamProtocolError(
                f"Poe does not open its websocket for us ({bad.status_code})."
            ) from None
        except (websocket.WebSocketException, OSError) as bad:
            raise UpstreamUnreachable(
                f"Poe's websocket cannot be reached ({type(bad).__name__})."
            ) from None

    def _address(self, data: ChannelData, min_seq: int) -> str:
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
        if self._ws_url is not None:
            parts = urlsplit(url)
            url = f"{self._ws_url}{parts.path}?{parts.query}"
        return url


def _proxy_options(proxy: str | None) -> dict[str, Any]:
    if proxy is None:
        # Else the environment's proxy would be used.
        return {"http_no_proxy": ["*"]}
    parts = urlsplit(proxy)
    options: dict[str, Any] = {
        "proxy_type": "http" if parts.scheme == "https" else parts.scheme,
        "http_proxy_host": parts.hostname,
        "http_proxy_port": parts.port or {"http": 80, "https": 443}.get(parts.scheme, 1080),
    }
    if parts.username:
        options["http_proxy_auth"] = (parts.username, parts.password or "")
    return options


class Channel:
    """An open, subscribed channel. It mends itself while it can; then it is dead."""

    def __init__(
        self,
        data: ChannelData,
        socket: Socket,
        site: Site,
        *,
        renew: Callable[[], ChannelData],
        label: str,
    ) -> None:
        self._data = data
        self._socket = socket
        self._limits = site.limits
        self._renew = renew
        self._label = label
        self._lock = threading.Lock()
        self._seq = data.min_seq
        self._by_chat: dict[int, Mailbox] = {}
        self._unbound: list[Mailbox] = []
        self._early: OrderedDict[int, tuple[float, deque[Item]]] = OrderedDict()
        self._mended_at = -_SOON
        self.is_alive = True
        self._wire = socket.open(data, data.min_seq)
        threading.Thread(target=self._run, name=f"{label} channel", daemon=True).start()

    # ---- for the replies

    def attach(self, mailbox: Mailbox) -> None:
        """Look out for the chat that *mailbox* is about to begin."""
        with self._lock:
            if not self.is_alive:
                raise UpstreamUnreachable("Poe's websocket has just broken.")
            self._unbound.append(mailbox)

    def bind(self, mailbox: Mailbox, chat_id: int) -> None:
        """Tie *mailbox* to its chat; what came too early is delivered now."""
        with self._lock:
            self._bind(mailbox, chat_id)

    def detach(self, mailbox: Mailbox) -> None:
        """Forget *mailbox*."""
        with self._lock:
            if mailbox in self._unbound:
                self._unbound.remove(mailbox)
            for chat_id in [one for one, box in self._by_chat.items() if box is mailbox]:
                del self._by_chat[chat_id]

    def close(self) -> None:
        """Close the websocket."""
        self.is_alive = False
        self._wire.shutdown()  # type: ignore[no-untyped-call]  # its authors left it untyped

    # ---- the reader's thread

    def _run(self) -> None:
        try:
            while self.is_alive:
                lost = self._read()
                if self.is_alive:
                    self._mend(lost)
        except PoeProxyError as failure:
            self._die(failure.message)
        except Exception:
            log.exception("%s: the channel's reader failed", self._label)
            self._die("a fault of the proxy")

    def _read(self) -> bool:
        """Read until the websocket breaks; return whether the channel lost its data."""
        wire = self._wire
        wire.settimeout(self._limits.ping)
        heard = time.monotonic()
        while self.is_alive:
            try:
                opcode, frame = wire.recv_data()
            except websocket.WebSocketTimeoutException:
                if time.monotonic() - heard > self._limits.dead:
                    log.info("%s: the websocket is silent", self._label)
                    return False
                try:
                    wire.send('{"type":"ping"}')
                except (websocket.WebSocketException, OSError):
                    return False
                continue
            except (websocket.WebSocketException, OSError):
                return False
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return False
            heard = time.monotonic()
            if frame.startswith(b'{"type"'):
                if b'"ping"' in frame:
                    wire.send('{"type":"pong"}')
                continue
            try:
                seq, items = read_frame(frame)
            except ChannelLost:
                return True
            with self._lock:
                self._seq = max(self._seq, seq or 0)
                for item in items:
                    self._deliver(item)
        return False

    def _deliver(self, item: Item) -> None:
        if item.chat_id is not None:
            mailbox = self._by_chat.get(item.chat_id) or self._claim(item, item.chat_id)
            if mailbox is not None:
                mailbox.put(item)
            else:
                self._keep(item, item.chat_id)
        elif item.name == "chatAddedV2":
            chat: Mapping[str, Any] = item.content().get("chat") or {}
            if isinstance(chat.get("chatId"), int):
                self._claim(item, chat["chatId"])

    def _claim(self, item: Item, chat_id: int) -> Mailbox | None:
        """Find the mailbox whose nonce *item* echoes, and tie it to the chat."""
        for mailbox in self._unbound:
            if mailbox.client_nonce in item.text or mailbox.chat_nonce in item.text:
                self._bind(mailbox, chat_id)
                return mailbox
        return None

    def _bind(self, mailbox: Mailbox, chat_id: int) -> None:
        if mailbox in self._unbound:
            self._unbound.remove(mailbox)
            self._by_chat[chat_id] = mailbox
            for item in self._early.pop(chat_id, (0.0, ()))[1]:
                mailbox.put(item)

    def _keep(self, item: Item, chat_id: int) -> None:
        if not self._unbound:
            return
        now = time.monotonic()
        while self._early:
            oldest, (since, _) = next(iter(self._early.items()))
            if now - since < _KEEP_SECONDS and len(self._early) < _KEEP_CHATS:
                break
            del self._early[oldest]
        self._early.setdefault(chat_id, (now, deque(maxlen=_KEEP_ITEMS)))[1].append(item)

    # ---- when it breaks

    def _mend(self, lost: bool) -> None:
        """Reconnect, to what this channel missed where that is possible (§7.6)."""
        self._wire.shutdown()  # type: ignore[no-untyped-call]  # its authors left it untyped
        now = time.monotonic()
        if not lost and now - self._mended_at > _SOON:
            self._mended_at = now
            try:
                self._wire = self._socket.open(self._data, self._seq)
            except PoeProxyError as failure:
                log.info("%s: no light reconnect: %s", self._label, failure)
            else:
                log.info("%s: the websocket is open again", self._label)
                return
        self._data = self._renew()
        self._seq = self._data.min_seq
        self._wire = self._socket.open(self._data, self._seq)
        self._mended_at = now
        log.info("%s: a new channel is open", self._label)
        self._tell_all(Resync())

    def _tell_all(self, letter: Letter) -> None:
        with self._lock:
            for mailbox in (*self._by_chat.values(), *self._unbound):
                mailbox.put(letter)

    def _die(self, why: str) -> None:
        with self._lock:
            self.is_alive = False
        log.warning("%s: the channel is gone: %s", self._label, why)
        self._tell_all(
            UpstreamInterrupted(f"The connection to Poe broke and could not be mended: {why}")
        )
