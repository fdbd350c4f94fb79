"""Plays a scene against real servers, and writes down what was answered and what Poe was asked.

Only HTTP is spoken: nothing here knows how the product is built.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

import requests

from ..servers import KEY, Proxy, Sim, free_port

ANSWERS = Path(__file__).parent / "answers"
#: The accounts that a proxy is given for each way to Poe.
ACCOUNTS = {
    "cookies": {"TOKENS": "cookie-a", "POE_API_KEYS": ""},
    "keys": {"TOKENS": "", "POE_API_KEYS": "key-a"},
    "both": {"TOKENS": "cookie-a", "POE_API_KEYS": "key-a"},
}
#: The headers that clients act on. Of the others, the server beneath has its say.
HEADERS = ("content-type", "retry-after", "x-should-retry", "cache-control", "x-accel-buffering",
           "allow", "x-request-id")  # fmt: skip
CONTROLS = {"cookies": "/__control", "keys": "/__control_api"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One request, and the circumstances that it is sent in."""

    name: str
    #: The body of a chat request, or the bytes of a body that is none.
    body: Mapping[str, Any] | bytes | None = None
    #: What a way to Poe has in place of fields of the body.
    instead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ways: tuple[str, ...] = ("cookies", "keys")
    streams: tuple[bool, ...] = (False, True)
    #: The bot's lines for each way, said anew for the whole answer and for the stream.
    says: Mapping[str, list[Any]] = field(default_factory=dict)
    #: What is changed at the stand-in for the time of the scene, for each way.
    control: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Settings of the proxy. Scenes with the same settings share one.
    settings: Mapping[str, str] = field(default_factory=dict)
    #: Whether it leaves traces in the proxy, and so needs one that no other scene sees.
    alone: bool = False
    method: str = "POST"
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"Authorization": f"Bearer {KEY}", "Origin": "https://chat.test"}
    )


class Ear:
    """Stands between the proxy and the stand-in, and keeps the requests.

    A request is passed on once it is complete. Otherwise the stand-in may refuse it by its head
    alone, and the client has its answer before the body was heard.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._lock = threading.Lock()
        #: Path and body of each request, in the order in which they were complete.
        self.heard: list[tuple[str, bytes]] = []
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._threads: list[threading.Thread] = []
        self._start(self._serve)

    def close(self) -> None:
        """Return when all connections are over, which is so once one end of each is gone."""
        # To close it alone would not wake the thread that waits for a connection.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _start(self, task: Callable[..., None], *given: Any) -> threading.Thread:
        thread = threading.Thread(target=task, args=given, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._join, client)

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = self._start(self._relay, server, client, bytes)
            self._relay(client, server, Requests(self._keep).feed)
            back.join()

    def _relay(
        self, one: socket.socket, other: socket.socket, ready: Callable[[bytes], bytes]
    ) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(ready(data))
        except OSError:
            pass
        finally:
            for each in (one, other):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _keep(self, path: str, body: bytes) -> None:
        with self._lock:
            self.heard.append((path, body))


class Requests:
    """Finds the requests in the bytes of one connection."""

    def __init__(self, keep: Callable[[str, bytes], None]) -> None:
        """*keep* is given the path and the body of each request, once it is complete."""
        self._keep = keep
        self._held = b""
        self._is_upgraded = False

    def feed(self, data: bytes) -> bytes:
        """Return what may be passed on after *data*: whole requests, or a websocket's bytes."""
        self._held += data
        ready = b""
        while not self._is_upgraded and (size := self._complete()):
            ready += self._held[:size]
            self._held = self._held[size:]
        if self._is_upgraded:
            ready, self._held = ready + self._held, b""
        return ready

    def _complete(self) -> int:
        """Keep the request that comes first; return its size, or 0 if it is not complete."""
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if not end:
            return 0
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return 0
        self._keep(head.split(b" ")[1].decode(), rest[:size])
        self._is_upgraded = re.search(rb"\r\nupgrade: *websocket", head, re.I) is not None
        return len(head) + len(end) + size


class Stage:
    """One stand-in, and the proxies in front of it, each started when a scene needs it."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._proxies: list[Proxy] = []
        self._shared: dict[tuple[Any, ...], tuple[Proxy, Ear]] = {}

    def __enter__(self) -> Self:
        self._sim = self._open.enter_context(
            Sim(("cookie-a",), ("key-a",), "--max-concurrent", "50", pace=0.001)
        )
        return self

    def __exit__(self, *failure: object) -> None:
        # All are on their way out before the first is waited for: each takes a second.
        for proxy in self._proxies:
            proxy.process.terminate()
        self._open.close()

    def play(self, scene: Scene) -> str:
        """Return the text that is kept of *scene*: a part for each way, whole and streamed."""
        return "\n".join(self._parts(scene))

    def _parts(self, scene: Scene) -> Iterator[str]:
        for way in scene.ways:
            with ExitStack() as after:
                self._control(way, scene.control)
                if scene.control:
                    after.callback(self._control, way, {face: {"reset": True} for face in CONTROLS})
                if scene.alone:
                    proxy, ear = self._start(way, scene.settings)
                    after.callback(proxy.process.terminate)
                else:
                    proxy, ear = self._share(way, scene.settings)
                for stream in scene.streams if isinstance(scene.body, Mapping) else [None]:
                    yield self._part(scene, way, stream, proxy, ear)

    def _part(self, scene: Scene, way: str, stream: bool | None, proxy: Proxy, ear: Ear) -> str:
        body: Any = scene.body
        lines = scene.says.get(way)
        if isinstance(body, Mapping):
            body = {**body, **scene.instead.get(way, {}), "stream": stream}
            if lines:
                self._control(way, {way: {"lines": {body["model"]: lines}}})
        before = len(ear.heard)
        response = requests.request(
            scene.method,
            proxy.url + scene.path,
            headers=scene.headers,
            timeout=60,
            **({"data": body} if isinstance(body, bytes) else {"json": body}),
        )
        if lines:
            # A line that was not said must not be left for the next scene.
            self._control(way, {way: {"lines": {body["model"]: []}}})
        how = {None: "", False: ", whole", True: ", streamed"}[stream]
        head = [f"==== by {way}{how}", f"{response.status_code}"]
        head += [
            f"{name.title()}: {value}"
            for name, value in sorted(response.headers.items(), key=lambda one: one[0].lower())
            if name.lower() in HEADERS or name.lower().startswith("access-control-")
        ]
        text = "\n".join(head) + "\n\n" + _together(response.content.decode()) + "\n"
        for path, sent in ear.heard[before:]:
            if asked := _asked(path, sent):
                text += f"---- Poe was asked\n{asked}\n"
        for url in (proxy.url, f"http://127.0.0.1:{ear.port}", self._sim.url):
            text = text.replace(url, "http://here")
        return _normal(text)

    def _control(self, way: str, changes: Mapping[str, Mapping[str, Any]]) -> None:
        for face, path in CONTROLS.items():
            if way in (face, "both") and face in changes:
                answer = requests.post(self._sim.url + path, json=changes[face], timeout=60)
                assert answer.ok, answer.text

    def _share(self, way: str, settings: Mapping[str, str]) -> tuple[Proxy, Ear]:
        name = (way, *sorted(settings.items()))
        if name not in self._shared:
            self._shared[name] = self._start(way, settings)
        return self._shared[name]

    def _start(self, way: str, settings: Mapping[str, str]) -> tuple[Proxy, Ear]:
        ear = Ear(self._sim.port)
        self._open.callback(ear.close)
        url = f"http://127.0.0.1:{ear.port}"
        where = {"POE_WEB_URL": url, "POE_API_URL": url, "API_RATE_LIMIT": "0"}
        proxy = Proxy(self._sim, **{**where, **ACCOUNTS[way], **settings})
        self._proxies.append(self._open.enter_context(proxy))
        # Waits for the list of bots, which is fetched beside the requests.
        requests.get(f"{proxy.url}/v1/models", headers=proxy.headers, timeout=60)
        return proxy, ear


def _asked(path: str, sent: bytes) -> str | None:
    """What was said to a bot in this request; None if it was for something else."""
    if path.endswith("/chat/completions"):
        return json.dumps(json.loads(sent), ensure_ascii=False, indent=1)
    if path.endswith("/gql_POST"):
        call = json.loads(sent)
        if call["queryName"] == "sendMessageMutation":
            query = call["variables"].pop("query")
            return f"{json.dumps(call['variables'], ensure_ascii=False)}\n{query}"
    return None


#: A frame that is a piece of a text.
_PIECE = re.compile(
    r'(.*"(?:content|reasoning_content|refusal|delta|text|thinking)":")((?:[^"\\]|\\.)+)("[^"]*.*)',
    re.S,
)
_NUMBER = re.compile(r'(?<="sequence_number":)\d+')


def _together(answer: str) -> str:
    """Return *answer* with pieces of a text that follow each other in one: how many there are
    depends on what has come together."""
    if not answer.startswith(("data: ", "event: ")):
        return answer
    frames: list[str] = []
    before: re.Match[str] | None = None
    for frame in _NUMBER.sub("0", answer).split("\n\n"):
        piece = _PIECE.fullmatch(frame)
        if before and piece and (before[1], before[3]) == (piece[1], piece[3]):
            frame = before[1] + before[2] + piece[2] + piece[3]
            frames.pop()
            piece = _PIECE.fullmatch(frame)
        frames.append(frame)
        before = piece
    numbers = count()
    return _NUMBER.sub(lambda _: str(next(numbers)), "\n\n".join(frames))


#: What is made up anew each time. Equal ones stay equal, and different ones different.
_RANDOM = re.compile(
    r"(?<=chatcmpl-)[0-9a-f]{24}"
    r"|(?<=call_)[0-9A-Za-z]{16,}"
    r"|(?<=toolu_vrtx_)[0-9a-f]{24}"
    r"|(?<=resp_)[0-9a-f]{32}|(?<=msg_)[0-9a-f]{32}|(?<=rs_)[0-9a-f]{32}"
    r"|(?<=fc_)[0-9a-f]{32}|(?<=ctc_)[0-9a-f]{32}"
    r"|(?<=req_)(?:poe_)?[0-9a-f]{24,}"
    r'|(?<="clientNonce": ")\w+(?=")'
    r'|(?<="chatNonce": ")\w+(?=")'
    r'|(?<="sdid": ")[^"]+(?=")'
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]+"
)
_CREATED = re.compile(
    r'("object":"chat\.completion(?:\.chunk)?","created":'
    r'|"(?:created|completed)_at":)\d+'
)
#: Seconds that are left of a rest: one may have passed. Less than ten are Poe's own.
_LEFT = re.compile(r"(?<=in about )\d+(?= s\b)|(?<=^Retry-After: )\d{2,}$", re.M)


def _normal(text: str) -> str:
    """Take out of *text* what is random."""
    numbers = count(1)
    seen: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        if found[0] not in seen:
            seen[found[0]] = f"<{next(numbers)}>"
        return seen[found[0]]

    text = _LEFT.sub(lambda found: str(-(-int(found[0]) // 10) * 10), text)
    return _CREATED.sub(r"\g<1>0", _RANDOM.sub(name, text))
