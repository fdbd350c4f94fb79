"""A wire that follows a script, and what its scripts are made of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, TypeAlias

import orjson

from poe_proxy.chat import ChatRequest, Idle, ReplyEvent
from poe_proxy.net.http1 import Head, Headers
from poe_proxy.net.transfer import End, Received, Stage, Trouble
from poe_proxy.upstreams.base import Permit
from poe_proxy.upstreams.poe_api import PoeApi
from poe_proxy.waiting import LONG
from tests.fakes import Clock

KEY = "sk-poe-secret"

#: What is received, one after the other; a number is so many seconds of silence.
Steps: TypeAlias = Iterable[Received | float]
#: Makes an upstream on a wire with these scripts.
Make: TypeAlias = Callable[..., tuple[PoeApi, "FakeWire"]]


class Script:
    """A transfer of which all is known beforehand; a number is so many seconds of silence."""

    def __init__(self, clock: Clock, steps: Steps) -> None:
        self._clock = clock
        self._steps = list(steps)
        self._silence = 0.0
        self.closed: list[float] = []
        self.is_woken = False

    def wait(self, seconds: float) -> list[Received]:
        assert seconds <= LONG
        if self.is_woken:
            return []
        while self._steps:
            step = self._steps[0]
            if not isinstance(step, float):
                received = [self._steps.pop(0)]
                # What comes together is read together.
                while self._steps and not isinstance(self._steps[0], float | Head):
                    received.append(self._steps.pop(0))
                return received
            if self._silence + seconds < step:
                self._silence += seconds
                break
            self._clock.go(step - self._silence)
            seconds -= step - self._silence
            self._silence = 0.0
            del self._steps[0]
        self._clock.go(max(0.0, seconds))
        return []

    def wake(self) -> None:
        self.is_woken = True

    def close(self, *, patience: float = 0.0) -> None:
        self.closed.append(patience)


class FakeWire:
    """Plays its scripts, one a transfer and the last one again and again."""

    def __init__(self, clock: Clock, *scripts: Steps) -> None:
        self.clock = clock
        self.scripts = list(scripts)
        self.sent: list[tuple[str, str, Mapping[str, str], Any]] = []
        self.transfers: list[Script] = []

    def __call__(self, url: str, **options: Any) -> FakeWire:
        self.url, self.options = url, options
        return self

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Script:
        self.sent.append((method, path, headers, body and orjson.loads(body)))
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.transfers.append(Script(self.clock, script))
        return self.transfers[-1]

    def close(self) -> None:
        self.url = "closed"


def head(status: int = 200, kind: str = "text/event-stream", **headers: str) -> Head:
    given = {"content-type": kind, **headers}
    return Head(status, Headers({name.encode(): [one.encode()] for name, one in given.items()}))


def chunk(delta: Any = None, reason: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"delta": delta, "finish_reason": reason}]
    return b"data: " + orjson.dumps({"choices": choices, **more}) + b"\n\n"


def error(status: int, message: str = "No.", **more: Any) -> list[Received | float]:
    return [
        head(status, "application/json"),
        orjson.dumps({"error": {"message": message, **more}}),
        End(),
    ]


def unknown(field: str) -> list[Received | float]:
    return error(400, f"Unknown parameter: '{field}' is not declared.", param=field)


#: What may become of a connection, by how far it had come.
REFUSED = Trouble(Stage.NOT_SENT, "ConnectionRefusedError")
RESET = Trouble(Stage.SENT, "ConnectionResetError", happened="was reset")
CUT = Trouble(Stage.HEAD, "ConnectionEnded", happened="was closed")

DONE = b"data: [DONE]\n\n"
ANSWER: list[Received | float] = [
    head(),
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hello"}),
    chunk({}, "stop"),
    chunk(usage={"prompt_tokens": 1, "completion_tokens": 2}),
    DONE,
    End(),
]
WHOLE = orjson.dumps(
    {"choices": [{"message": {"content": "https://x/y"}, "finish_reason": "stop"}]}
)


class Turns(Permit):
    """Permits to send, given at once or after so many signs of life; it counts them, and what
    arrived."""

    def __init__(self, idle: int = 0) -> None:
        self.idle = idle
        self.taken = 0
        self.arrivals = 0

    def __call__(self) -> Generator[Idle, None, None]:
        yield from [Idle()] * self.idle
        self.taken += 1

    def arrived(self) -> None:
        self.arrivals += 1


def reply(api: PoeApi, chat: ChatRequest, bot: str) -> Generator[ReplyEvent, None, None]:
    """The reply, where each request may go out at once."""
    return api.reply(chat, bot, Turns())


def spoken(events: Iterable[ReplyEvent]) -> list[ReplyEvent]:
    return [event for event in events if not isinstance(event, Idle)]
