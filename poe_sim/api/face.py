"""The state of the stand-in's official API: accounts, switches, waiting connections."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from aiohttp import web

from ..directives import number, parse
from ..journal import Journal
from ..lines import Lines
from . import catalogue, errors
from .catalogue import Json
from .replies import MEDIA_HOST, Ids
from .script import Script
from .tools import CallMaker

# Enough for a long benchmark, which would use up a month of a real subscription in minutes.
_POINTS = 100_000_000
_LOOK_EVERY = 0.05
_HISTORY = 10_000


@dataclass(slots=True)
class Charge:
    """One row of the history, official API sheet §8."""

    query_id: str
    bot: str
    created_us: int
    cost: int
    prompt_cost: int


@dataclass(slots=True)
class Account:
    """The owner of one key."""

    label: str
    points: int = _POINTS
    recent: deque[float] = field(default_factory=deque)
    history: deque[Charge] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    active: int = 0
    most_active: int = 0
    requests: int = 0


@dataclass(slots=True)
class Switches:
    """What the control can change; ``README.md`` explains each."""

    strict: bool = False
    refused_as_value: bool = False
    legacy_ended: bool = False
    feature_echo: bool = False
    usage_variant: str | None = None
    rate_headers: bool = False
    rate_limit: int = 500
    rate_window: float = 60.0
    down: bool | str = False
    keys_rejected: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    cost: int | None = None
    cost_delay: float = 0.0
    ignore_instructions: bool = False
    done_marker: bool = True
    thought_signatures: bool = True
    media_local: bool = False
    hidden_models: list[str] = field(default_factory=list)
    max_body_mb: float = 50.0
    pace: float = 0.0


class HangUpWatch:
    """Waits that end early when the client hangs up.

    aiohttp does not wake a handler whose client has gone. Checking all waiting connections every
    now and then is cheaper than a short sleep in each of thousands of them.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[bool], web.BaseRequest] = {}
        self._next_look: asyncio.TimerHandle | None = None

    async def sleep(self, request: web.BaseRequest, seconds: float) -> None:
        """Wait so many seconds, or for ever if infinite. Raises `HungUp` when the client goes."""
        if is_gone(request):
            raise errors.HungUp
        if seconds <= _LOOK_EVERY:
            await asyncio.sleep(seconds)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting[future] = request
        if self._next_look is None:
            self._next_look = loop.call_later(_LOOK_EVERY, self._look)
        timer = None if math.isinf(seconds) else loop.call_later(seconds, _settle, future, True)
        try:
            if not await future:
                raise errors.HungUp
        finally:
            del self._waiting[future]
            if timer is not None:
                timer.cancel()

    def _look(self) -> None:
        for future, request in self._waiting.items():
            if is_gone(request):
                _settle(future, False)
        self._next_look = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._next_look = loop.call_later(_LOOK_EVERY, self._look)


def _settle(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)


def is_gone(request: web.BaseRequest) -> bool:
    """Return whether the connection of a request is closed."""
    return request.transport is None or request.transport.is_closing()


class ApiFace:
    """api.poe.com as far as the official API sheet describes it."""

    def __init__(
        self,
        *,
        journal: Journal,
        api_keys: Sequence[str],
        pace: float,
        seed: int,
    ) -> None:
        self.journal = journal
        self.models = catalogue.load()
        self.lines = Lines(self._name_of, have_tools=True)
        self.ids = Ids(seed)
        self.calls = CallMaker(self.ids.rng)
        self.watch = HangUpWatch()
        self.switches = Switches(pace=pace)
        self._first_pace = pace
        self._keys = tuple(api_keys)
        # Digests of the newest thousand prompt prefixes that were marked for caching.
        self.cached_prompts: deque[bytes] = deque(maxlen=1000)
        self._played: Counter[str] = Counter()
        self.accounts = self._fresh_accounts()

    def _fresh_accounts(self) -> dict[str, Account]:
        return {key: Account(f"key-{number}") for number, key in enumerate(self._keys, 1)}

    def account_of(self, key: str | None) -> Account:
        """Return the owner of *key*. Raises `Refused` for a wrong or rejected one."""
        account = self.accounts.get(key or "")
        if account is None or account.label in self.switches.keys_rejected:
            raise errors.bad_key()
        return account

    def _name_of(self, model: str) -> str | None:
        found = self.models.find(model)
        return None if found is None else found.name

    def label_of(self, key: str | None) -> str:
        """Return the name of a key for the journal."""
        if not key:
            return "missing"
        account = self.accounts.get(key)
        return account.label if account else "bad"

    def count_request(self, account: Account) -> None:
        """Count one request of the account (§10). Raises `Refused` beyond its rate limit."""
        limit, window = self.switches.rate_limit, self.switches.rate_window
        account.requests += 1
        if limit <= 0:
            return
        now = time.monotonic()
        recent = account.recent
        while recent and recent[0] <= now - window:
            recent.popleft()
        if len(recent) >= limit:
            raise errors.too_many_requests(max(1, math.ceil(recent[0] + window - now)))
        recent.append(now)

    def rate_state(self, account: Account) -> tuple[int, int, float]:
        """Return the limit, what is left of it, and the seconds until there is more."""
        limit, window = self.switches.rate_limit, self.switches.rate_window
        recent = account.recent
        reset = max(0.0, recent[0] + window - time.monotonic()) if recent else 0.0
        return limit, max(0, limit - len(recent)), reset

    def script_for(
        self, account: Account, prompt: str, model: catalogue.Model
    ) -> tuple[Script, str]:
        """Return how *model* answers *prompt*, and the prompt without its directives."""
        said, text = parse(prompt)
        words = {**model.words, **said}
        for key in ("*", account.label):
            if key in self.switches.faults:
                words.update(parse(self.switches.faults[key])[0])
        if "only" in words and account.label not in words["only"].split(","):
            words = _harmless(words)
        elif "times" in words:
            # So many requests with exactly this prompt are spoilt, and later ones go well.
            self._played[prompt] += 1
            if self._played[prompt] > int(number(words, "times", 1)):
                words = _harmless(words)
        return Script(words=words, pace=self.switches.pace), text

    def charge(self, account: Account, model: catalogue.Model, prompt: int, said: int) -> int:
        """Take the points for one call, and add its row to the history."""
        cost = self.switches.cost
        if cost is None:
            cost = model.cost(prompt, said)
        account.points = max(0, account.points - cost)
        row = Charge(
            query_id=self.ids.hex(18),
            bot=model.name,
            created_us=time.time_ns() // 1000,
            cost=cost,
            prompt_cost=min(cost, model.cost(prompt, 0)),
        )
        account.history.appendleft(row)
        return cost

    def media_host(self, request: web.BaseRequest) -> str:
        """Return the scheme and host of the media bots' links."""
        return f"http://{request.host}" if self.switches.media_local else MEDIA_HOST

    def control(self, changes: Mapping[str, Any]) -> Json:
        """Change switches, points or lines, or reset all of them, and return the state.

        Raises `ValueError` for an invalid change, and changes nothing then.
        """
        known = {one.name for one in fields(Switches)}
        for name, value in changes.items():
            if name not in known | {"points", "reset", "lines"}:
                raise ValueError(f"unknown control field: {name}")
            if name in known:
                _check(name, value)
        labels = {account.label for account in self.accounts.values()}
        points = changes.get("points") or {}
        if not isinstance(points, Mapping) or any(
            label not in labels or not isinstance(value, int) for label, value in points.items()
        ):
            raise ValueError("points maps labels of keys to whole numbers")
        lines = self.lines.read(changes.get("lines", {}))
        if changes.get("reset"):
            self.lines.clear()
            self.switches = Switches(pace=self._first_pace)
            self.accounts = self._fresh_accounts()
            self._played.clear()
        for name in known & changes.keys():
            setattr(self.switches, name, changes[name])
        self.lines.hand_out(lines)
        for account in self.accounts.values():
            account.points = points.get(account.label, account.points)
        return self.state()

    def state(self) -> Json:
        """Return all switches and lines, and for each key its points and its replies."""
        accounts = self.accounts.values()
        switches = {one.name: getattr(self.switches, one.name) for one in fields(Switches)}
        return {
            **switches,
            "points": {one.label: one.points for one in accounts},
            "requests": {one.label: one.requests for one in accounts},
            "active": {one.label: one.active for one in accounts},
            "most_active": {one.label: one.most_active for one in accounts},
            "lines": self.lines.state(),
        }


# The words that spoil an answer; `times` and `only` limit these.
FAULT_WORDS = frozenset(
    (
        "http",
        "retry-after",
        "html-502",
        "empty-200",
        "reset",
        "message",
        "first",
        "first-chunk",
        "error-after",
        "silent-end",
        "cut",
        "hang",
        "endless-line",
        "silence",
        "no-done",
        "no-finish",
        "broken-json",
        "bad-args",
    )
)


def _harmless(words: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in words.items() if name not in FAULT_WORDS}


_OPTIONAL = {"usage_variant": str, "cost": int}


def _check(name: str, value: object) -> None:
    """Raise `ValueError` for a value of another type than the switch has."""
    if name in _OPTIONAL:
        if value is not None and not isinstance(value, _OPTIONAL[name]):
            raise ValueError(f"{name} is null or a {_OPTIONAL[name].__name__}")
        return
    now = getattr(Switches(), name)
    if name == "down":
        if value not in (True, False, "html", "refuse", "hang"):
            raise ValueError("down is true, false, html, refuse or hang")
    elif isinstance(now, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} is true or false")
    elif isinstance(now, int | float):
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"{name} is a number")
    elif not isinstance(value, type(now)):
        raise ValueError(f"{name} is a {type(now).__name__}")
