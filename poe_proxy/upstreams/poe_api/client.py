"""One API key at api.poe.com as an upstream.

Official API sheet §1, §3, §8 and §13.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
)

from poe_proxy import sse
from poe_proxy.chat import ChatRequest, Done, Idle, ReplyEvent
from poe_proxy.errors import (
    ParameterRefused,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_api import protocol
from poe_proxy.upstreams.poe_api.catalogue import Catalogue
from poe_proxy.upstreams.poe_api.protocol import Learned

log = logging.getLogger(__name__)

CONNECT: Final = 10.0
#: Seconds that the first byte may take: bots that think, draw or film are slow (§13).
FIRST_BYTE: Final = 600.0
#: Seconds for the small questions beside the requests.
ASIDE: Final = 15.0

#: Seconds that the end of the body may come after the end of the reply.
_VERY_END: Final = 0.2

_READ_AT_ONCE: Final = 65536
_ERROR_AT_MOST: Final = 100_000
_ANSWER_AT_MOST: Final = 64_000_000

#: What a bot puts out that is not text comes whole or not at all (§3.5).
_MEDIA: Final = frozenset({"image", "audio", "video"})


class PoeApi:
    """One API key. Its connections are pooled and reused."""

    def __init__(
        self,
        key: str,
        *,
        catalogue: Catalogue | None = None,
        learned: Learned | None = None,
        api_url: str = "https://api.poe.com",
        proxy: str | None = None,
        timeout: float = 60.0,
        first_byte: float = FIRST_BYTE,
        concurrency: int = 50,
        clock: Callable[[], float] = time.monotonic,
        label: str = "key",
    ) -> None:
        self._key = key
        self._catalogue = catalogue
        self._learned = learned or Learned()
        self._url = api_url
        self._timeout = timeout
        self._first_byte = first_byte
        self._clock = clock
        self._label = label
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._adapter = _Adapter(
            pool_connections=2, pool_maxsize=concurrency, max_retries=0, pool_block=False
        )

    def reply(self, chat: ChatRequest, bot: str) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers; see `Upstream`."""
        known = self._catalogue.find(bot) if self._catalogue else {}
        outputs = (known.get("architecture") or {}).get("output_modalities") or ()
        declared = frozenset(one.get("name", "") for one in known.get("parameters") or ())
        while True:
            sent = protocol.body(
                chat,
                bot,
                stream=not _MEDIA & set(outputs),
                declared=declared,
                without=self._learned.of(bot),
            )
            exchange = Exchange(self._request("POST", "/v1/chat/completions", sent))
            try:
                yield from self._events(exchange)
                return
            except ParameterRefused as failure:
                # A 400 is a clear refusal: nothing was done, and nothing was said.
                name = protocol.refused_field(sent, failure)
                if name is None or exchange.has_spoken:
                    raise
                log.info("%s: %s does not take %s; asking without it", self._label, bot[:60], name)
                self._learned.add(bot, name)
            except UpstreamError as failure:
                # Poe has no reason to repeat our key; if it ever does, it stops here.
                failure.message = failure.message.replace(self._key, "***")
                raise
            finally:
                exchange.close()

    def balance(self) -> int:
        """Return the points that are left (§8); raises `UpstreamError`."""
        data = orjson.loads(self._aside("/usage/current_balance"))
        points = data.get("current_point_balance") if isinstance(data, dict) else None
        if not isinstance(points, int):
            raise UpstreamProtocolError("Poe tells no balance of points.")
        return points

    def fetch_models(self) -> bytes:
        """Return Poe's list of models as it came; raises `UpstreamError`."""
        return self._aside("/v1/models")

    def close(self) -> None:
        """Close the pooled connections."""
        self._adapter.close()

    # ---- the exchange

    def _events(self, exchange: Exchange) -> Iterator[ReplyEvent]:
        threading.Thread(
            target=exchange.run,
            args=(self._adapter, (CONNECT, self._first_byte), self._proxies),
            daemon=True,
        ).start()
        reply = _Reading()
        heard, limit = self._clock(), self._first_byte
        while not reply.is_over:
            letters = exchange.wait(TICK)
            if not letters:
                if self._clock() - heard > limit:
                    raise UpstreamTimeout(f"Poe said nothing for {limit:.0f} s.")
                yield Idle()
                continue
            heard, limit = self._clock(), self._timeout
            for letter in letters:
                for event in reply.take(letter):
                    exchange.has_spoken = True
                    exchange.is_complete = isinstance(event, Done)
                    yield event

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> requests.PreparedRequest:
        # Prepared by hand: a Session would look for cookies, redirects and the environment's
        # proxies with each request, and none of them is wanted here.
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.url = self._url + path
        headers = {"Authorization": f"Bearer {self._key}", "Accept-Encoding": "identity"}
        if body is not None:
            request.body = orjson.dumps(body)
            headers |= {
                "Content-Type": "application/json",
                "Content-Length": str(len(request.body)),
            }
        request.prepare_headers(headers)
        return request

    def _aside(self, path: str) -> bytes:
        try:
            answer = self._adapter.send(
                self._request("GET", path), timeout=ASIDE, proxies=self._proxies
            )
        except requests.RequestException as failure:
            raise _failure(failure) from None
        if answer.status_code != 200:
            raise protocol.failure(answer.status_code, answer.headers, answer.content)
        return answer.content


# ---- what comes, read in a thread of its own


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer has begun, with this content type."""

    content_type: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is over."""


Letter = Opened | bytes | Ended | UpstreamError


@dataclass(slots=True)
class Exchange:
    """A request on the wire. A thread reads; closing the socket from outside ends it."""

    request: requests.PreparedRequest = field(repr=False)
    #: Whether anything of the answer was passed on.
    has_spoken: bool = False
    #: Whether the reply has come to its own end.
    is_complete: bool = False
    #: urllib3's connection, once the request goes out on it.
    connection: Any = None
    _letters: queue.SimpleQueue[Letter] = field(default_factory=queue.SimpleQueue)
    _is_over: bool = False

    def run(
        self,
        adapter: HTTPAdapter,
        timeout: tuple[float, float],
        proxies: Mapping[str, str],
    ) -> None:
        """Send, and leave what comes as letters. Runs in a thread."""
        _now.exchange = self
        try:
            answer = adapter.send(self.request, stream=True, timeout=timeout, proxies=proxies)
        except requests.RequestException as failure:
            self._letters.put(_failure(failure))
            return
        finally:
            _now.exchange = None
        try:
            if answer.status_code == 200:
                self._letters.put(Opened(answer.headers.get("Content-Type", "")))
                self._read(answer.raw)
            else:
                content = answer.raw.read(_ERROR_AT_MOST, decode_content=True)
                self._letters.put(protocol.failure(answer.status_code, answer.headers, content))
        except (HTTPError, OSError, ValueError) as failure:
            kind = type(failure).__name__
            self._letters.put(UpstreamInterrupted(f"Poe's reply broke off ({kind})."))
        finally:
            self._is_over = True
            # What was read to its end goes back to the pool; anything else is closed.
            answer.close()

    def _read(self, raw: Any) -> None:
        # The one call that is prompt for every framing of the body.
        while data := raw.read1(_READ_AT_ONCE, decode_content=True):
            self._letters.put(data)
        self._is_over = True
        self._letters.put(Ended())

    def wait(self, seconds: float) -> list[Letter]:
        """Return what has come; nothing after so many seconds."""
        letters: list[Letter] = []
        with suppress(queue.Empty):
            letters.append(self._letters.get(timeout=seconds))
            while True:
                letters.append(self._letters.get_nowait())
        return letters

    def close(self) -> None:
        """Cut the connection if the answer is not over; its thread then ends by itself."""
        if self.is_complete and not self._is_over:
            # Only the end of the body is missing; then the connection can be used again.
            self.wait(_VERY_END)
        sock = getattr(self.connection, "sock", None)
        if not self._is_over and sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Reading:
    """Letters into reply events, streamed or whole."""

    def __init__(self) -> None:
        self.is_over = False
        self._is_stream = False
        self._decoder = sse.Decoder()
        self._stream = protocol.StreamReader()
        self._whole = bytearray()

    def take(self, letter: Letter) -> Iterator[ReplyEvent]:
        match letter:
            case UpstreamError():
                raise letter
            case Opened(content_type):
                self._is_stream = content_type.startswith("text/event-stream")
            case Ended():
                self.is_over = True
                if self._is_stream:
                    yield from self._stream.close()
                else:
                    yield from protocol.whole_answer(bytes(self._whole))
            case bytes() if self._is_stream:
                for data in self._decoder.feed(letter):
                    yield from self._stream.feed(data)
                    if self._stream.is_over:
                        self.is_over = True
                        return
            case bytes():
                self._whole += letter
                if len(self._whole) > _ANSWER_AT_MOST:
                    raise UpstreamProtocolError("Poe's answer is too large.")


# ---- connections that can be cut while somebody waits on them


class _Now(threading.local):
    """The exchange that this thread is sending."""

    exchange: Exchange | None = None


_now: Final = _Now()


class _Tracked:
    """What makes a connection known to the exchange that is sent on it."""

    def request(self, *args: Any, **options: Any) -> None:
        if _now.exchange is not None:
            _now.exchange.connection = self
        super().request(*args, **options)  # type: ignore[misc]  # of the class it is mixed into


def _tracked(pool: Any) -> Any:
    connection = type("TrackedConnection", (_Tracked, pool.ConnectionCls), {})
    return type("TrackedPool", (pool,), {"ConnectionCls": connection})


def _track(manager: Any) -> Any:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _tracked(pool) for scheme, pool in pools.items()}
    return manager


class _Adapter(HTTPAdapter):
    """requests' own way to the wire, with connections that know their exchange."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        _track(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        return _track(manager) if is_new else manager


def _failure(failure: requests.RequestException) -> UpstreamError:
    """Return what an exception of requests means; its text has addresses, so it stays here."""
    inner = failure.args[0] if failure.args else None
    reason = getattr(inner, "reason", inner)
    kind = type(reason).__name__ if isinstance(reason, Exception) else type(failure).__name__
    if isinstance(
        failure,
        requests.ConnectTimeout | requests.exceptions.ProxyError | requests.exceptions.SSLError,
    ) or isinstance(reason, NewConnectionError | ConnectTimeoutError | ProxyError):
        return UpstreamUnreachable(f"Poe's API cannot be reached ({kind}).")
    if isinstance(failure, requests.ReadTimeout):
        return UpstreamTimeout("Poe's API did not answer in time.")
    return UpstreamUncertain(f"The connection to Poe's API broke before it answered ({kind}).")
