"""What unit tests share: a clock moved by hand, an upstream that follows a script, the log."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

from poe_proxy import logs
from poe_proxy.budget import Budget
from poe_proxy.chat import Charges, ChatRequest, Done, Idle, Message, ReplyEvent, Text, TextPart
from poe_proxy.errors import UpstreamError
from poe_proxy.pool.known import Funds, Grant
from poe_proxy.upstreams.base import Abilities, Permit

#: What happens next in a reply: an event is said, a failure is raised, a function is called.
Step: TypeAlias = ReplyEvent | BaseException | Callable[[], object]

#: The request goes out, and arrives.
SENDING: Final = Idle()
ANSWER: Final[tuple[Step, ...]] = (Text("Hello"), Text(" there"), Done())


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += seconds


def until(condition: Callable[[], object]) -> None:
    """Return as soon as *condition* is true; fail after a minute without it."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"not within a minute: {condition}"
        time.sleep(0.002)


class AtOnce(Permit):
    """A permit to send that is there at once, and counts what became of it."""

    def __init__(self) -> None:
        self.granted = 0
        self.arrivals = 0
        self.refusals: list[UpstreamError] = []

    def __call__(self) -> Generator[Idle, None, None]:
        self.granted += 1
        yield from ()

    def arrived(self) -> None:
        self.arrivals += 1

    def refused(self, failure: UpstreamError) -> None:
        self.refusals.append(failure)


#: For tests that do not count.
at_once: Final = AtOnce()


class FakeUpstream:
    """Plays its scripts, one a reply and the last one for ever, and keeps what it was asked."""

    def __init__(self, *scripts: Iterable[Step], abilities: Abilities | None = None) -> None:
        self.asked: list[tuple[ChatRequest, str]] = []
        #: Replies that were begun and are not over, and those that were hung up on.
        self.open = 0
        self.hung_up = 0
        self.points = 100_000
        self.next_grant: Grant | None = None
        #: What Poe says a reply has cost; None if it says nothing.
        self.charges: int | None = None
        #: What it was told that clients were given.
        self.given: list[tuple[ChatRequest, Message]] = []
        #: How often it was told that it is used from elsewhere.
        self.let_gos = 0
        self.able = abilities or Abilities()
        self._replies: list[Generator[ReplyEvent, None, None]] = []
        self._scripts = list(scripts) or [ANSWER]

    def abilities(self, bot: str) -> Abilities:
        return replace(self.able, tells_costs=self.charges is not None)

    def reply(
        self, chat: ChatRequest, bot: str, turn: Permit = at_once
    ) -> Generator[ReplyEvent, None, None]:
        self.asked.append((chat, bot))
        if self.charges is not None:
            chat.kept.get(Charges).note(id(self) + len(self.asked), self.charges)
        # Kept, so that a reply is over because it was closed, not because Python did it.
        self._replies.append(self.play(turn))
        return self._replies[-1]

    def play(self, turn: Permit = at_once) -> Generator[ReplyEvent, None, None]:
        """Play the next script."""
        script = self._scripts[0] if len(self._scripts) == 1 else self._scripts.pop(0)
        self.open += 1
        try:
            for step in script:
                if step is SENDING:
                    yield from turn()
                    turn.arrived()
                    continue
                if isinstance(step, BaseException):
                    raise step
                if callable(step):
                    step()
                else:
                    yield step
        except GeneratorExit:
            self.hung_up += 1
            raise
        finally:
            self.open -= 1

    def answered(self, chat: ChatRequest, answer: Message) -> None:
        self.given.append((chat, answer))

    def balance(self) -> Funds:
        return Funds(self.points, self.next_grant)

    def let_go(self) -> None:
        self.let_gos += 1

    def close(self) -> None:
        """There is nothing to give back."""


def ask(text: str = "Hello!", **fields: Any) -> ChatRequest:
    """A request of one user message, which may cost more than any machine needs for it."""
    message = Message(role="user", content=(TextPart(text),))
    defaults = {"model": "gpt-4", "messages": (message,), "budget": Budget(60.0)}
    return ChatRequest(**{**defaults, **fields})


@contextmanager
def log_lines() -> Iterator[io.StringIO]:
    """What is written into the log meanwhile."""
    package = logging.getLogger("poe_proxy")
    lines = io.StringIO()
    handler = logs.handler(lines)
    level = package.level
    package.addHandler(handler)
    package.setLevel("INFO")
    try:
        yield lines
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


def site_told(**found: Any) -> dict[str, Any]:
    """What is told of Poe's site: its own entries, and a search for new ones that ended as *found*
    says; without anything nobody has looked."""
    discovery = {
        "automatic": True, "running": False, "at": None, "outcome": None, "said": "",
        "differs": [], "missing": [], "notes": [], "written": None, "not_before": None,
    }  # fmt: skip
    return {
        "file": None,
        "own_entries": 0,
        "in_use_since": None,
        "newest_evidence": "2026-03-12",
        "age_days": 263,
        "discovery": {**discovery, **found},
    }
