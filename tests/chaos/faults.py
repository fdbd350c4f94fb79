"""The schedule of a run: which fault, event or trouble comes when. One seed, one schedule."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..shared.redis_server import RedisServer
from ..with_sim.official import ApiSim
from .case import REDIS_AWAY
from .proxy import MOST_STALL, SEND, Proxy, Snag, Where
from .record import COMING, FRAIL, SOUND, Happening, Record
from .servers import Product
from .shared import Twins

# The codes of errors that clients may see, by what is behind them.
_BROKEN_NET: Final = frozenset(
    {
        "upstream_unreachable",
        "upstream_login",
        "upstream_uncertain",
        "upstream_interrupted",
        "upstream_timeout",
    }
)
_BAD_ANSWER: Final = frozenset({"upstream_uncertain", "upstream_overloaded", "bot_failed"})
#: When no other account is free in time, the failure of the one that was tried is raised.
_NO_OTHER_FREE: Final = frozenset({"upstream_overloaded"})
#: Workers are not told any more when somebody in line has an account, until they ask to be.
_DEAF: Final = "subscriptions lost"
_POOL_AWAY: Final = frozenset({"pool_unavailable"})
_BROKEN_REPLY: Final = frozenset({"upstream_interrupted", "bot_failed"})
_ENDING_SERVER: Final = frozenset({"upstream_interrupted"})
#: The other is for those in line, to which a server that is killed says nothing.
_STOPPING_SERVER: Final = _ENDING_SERVER | {"server_busy"}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Words in a prompt that make trouble, and the codes of errors that they explain."""

    words: str
    explains: frozenset[str] = frozenset()
    #: The answer ends early, and well.
    shortens: bool = False


#: Trouble in a client's own prompt: each is about one send, or about accounts that are frail.
TROUBLES: Final[Mapping[str, Sequence[Trouble]]] = {
    "by-cookie": (
        Trouble("!http=503 !times=1", _BAD_ANSWER),
        Trouble("!http=502 !times=1", _BAD_ANSWER),
        Trouble("!reset !times=1", _BAD_ANSWER),
        Trouble("!reset-after-accept !times=1", _BAD_ANSWER),
        Trouble("!http-after-accept=502 !times=1", _BAD_ANSWER),
        Trouble("!empty-after-accept !times=1", _BAD_ANSWER),
        Trouble("!slow-answer=2"),
        Trouble("!early=0.5"),
        Trouble("!state=error_bot", _BROKEN_REPLY),
        Trouble("!cancelled", shortens=True),
        Trouble("!silence=2"),
        Trouble("!status=reached_limit !only=cookie-2,cookie-3"),
        Trouble("!status=rate_limit_exceeded !only=cookie-2"),
        Trouble("!formkey-rotated"),
        Trouble("!close-socket"),
        Trouble("!refetch"),
        Trouble("!missed"),
        Trouble("!null-data !foreign-frames !broken-json-frame"),
        Trouble("!late-frames !items=3 !filler"),
        Trouble("!no-messages-frame !server-ping"),
    ),
    "by-key": (
        Trouble("!http=503 !times=1", _NO_OTHER_FREE),
        Trouble("!http=500 !times=1", frozenset({"bot_failed"})),
        Trouble("!http=429 !retry-after=3 !only=key-2"),
        Trouble("!http=402 !only=key-2"),
        Trouble("!http=429 !retry-after=2 !only=key-2"),
        Trouble("!html-502 !times=1", _BAD_ANSWER),
        Trouble("!reset !times=1", _BAD_ANSWER),
        Trouble("!cut", _BROKEN_REPLY | {"upstream_uncertain"}),
        Trouble("!silent-end", _BROKEN_REPLY | {"upstream_uncertain"}),
        # Poe's own Messages API calls it overloaded, in the middle of an answer too.
        Trouble("!error-after", _BROKEN_REPLY | {"upstream_overloaded"}),
        Trouble("!silence=2"),
        Trouble("!first=2"),
        Trouble("!first-chunk=1"),
        Trouble("!split-utf8 !pings"),
        Trouble("!crlf"),
    ),
}


@dataclass(frozen=True, slots=True)
class Action:
    """One step of the schedule: what is done so many seconds after the beginning."""

    at: float
    kind: str
    account: str = ""
    size: float = 0.0


# ---- the schedule

_KEY_FAULTS: Final = ("key 503", "key 500", "key 429", "key 401", "key without points")
_SNAGS: Final[Sequence[Where]] = (
    "stall request",
    "stall body",
    "stall answer",
    "cut request",
    "cut unanswered",
    "cut answer",
)
#: Seconds for which a fault takes an account out of use: until then no other such fault is its.
_LASTING: Final[Mapping[str, float]] = {
    "send 401": 120.0,
    "send challenge": 120.0,
    "logged out": 120.0,
    "key 401": 120.0,
    "send 429": 80.0,
}


def schedule(seed: int, seconds: float, *, shared: bool = False) -> Sequence[Action]:
    """Return all that happens in a run of so many seconds, in order."""
    rng = random.Random(f"{seed}/schedule")
    actions = [*_events(rng, seconds), *_faults(rng, seconds), *_net(rng, seconds)]
    if shared:
        actions += _redis(random.Random(f"{seed}/redis"), seconds)
    return sorted(actions, key=lambda action: action.at)


def _events(rng: random.Random, seconds: float) -> Iterator[Action]:
    """Yield what happens to the server: four events in each half minute or so."""
    rounds = max(1, round(seconds / 45))
    length = seconds / rounds
    for number in range(rounds):
        start = number * length
        kinds = ["kill", "reload", "terminate", "reload"]
        if number:
            rng.shuffle(kinds)
        for place, kind in enumerate(kinds):
            at = start + length * (place + 0.55 + rng.uniform(-0.2, 0.2)) / len(kinds)
            yield Action(at, kind, size=rng.choice((2, 2, 14)) if number else 2)
            if kind == "reload" and rng.random() < 0.3:
                yield Action(at + 0.5, "bad reload")


def _faults(rng: random.Random, seconds: float) -> Iterator[Action]:
    """Yield what happens at Poe."""
    at = 1.0
    out_until = dict.fromkeys(FRAIL, 0.0)
    while at < seconds:
        account = rng.choice(FRAIL)
        faults = [*_REFUSED_SENDS, *_AT_POE] if account.startswith("cookie") else _KEY_FAULTS
        kind = rng.choice(faults)
        if kind not in _LASTING or out_until[account] <= at:
            out_until[account] = max(out_until[account], at + _LASTING.get(kind, 0.0))
            yield Action(at, kind, account, round(rng.uniform(1, 4), 1))
        at += rng.uniform(0.4, 1.8)


def _net(rng: random.Random, seconds: float) -> Iterator[Action]:
    """Yield what happens between the server and Poe."""
    at = 1.5
    while at < seconds:
        chance = rng.random()
        if chance < 0.08:
            yield Action(at, "outage", size=round(rng.uniform(0.1, 1.0), 1))
        elif chance < 0.2:
            yield Action(at, "websockets cut")
        else:
            kind = rng.choice(_SNAGS)
            sends = " of a send" if rng.random() < 0.75 else ""
            size = rng.uniform(0, 3_000) if kind == "cut answer" else rng.uniform(0.3, MOST_STALL)
            yield Action(at, kind + sends, rng.choice(FRAIL + COMING), round(size, 1))
        at += rng.uniform(0.3, 1.6)


def _redis(rng: random.Random, seconds: float) -> Iterator[Action]:
    """Yield what happens to the Redis of a shared pool, whose memory survives it."""
    kinds = [*REDIS_AWAY, _DEAF]
    at = rng.uniform(1.5, 3.0)
    while at < seconds:
        rng.shuffle(kinds)
        for kind in kinds:
            yield Action(at, kind, size=round(rng.uniform(0.3, 3.0), 1))
            at += rng.uniform(3.0, 8.0)


# ---- performing it

#: How often a send is refused, and with which words of the stand-in's control.
_REFUSED_SENDS: Final[Mapping[str, tuple[int, Mapping[str, Any]]]] = {
    "send 500": (1, {"http": 500}),
    "send 503": (1, {"http": 503}),
    "send 429": (1, {"http": 429}),
    # The repeated request is refused as well, or it would be a form key's refusal.
    "send 401": (2, {"http": 401}),
    "send challenge": (1, {"challenge": ""}),
}
#: What the stand-in's control is asked to do to an account, and to undo.
_AT_POE: Final[Mapping[str, Callable[[str], Mapping[str, Any]]]] = {
    "page 502": lambda account: {
        "fail": {"path": "/", "account": account, "times": 2, "with": {"http": 502}}
    },
    "page loops": lambda account: {
        "fail": {"path": "/", "account": account, "with": {"script-loops": ""}}
    },
    "new form key": lambda account: {"rotate_formkey": account},
    "new build": lambda _: {"rotate_build": True},
    "socket closed": lambda account: {"drop_sockets": account},
    "socket silent": lambda account: {"silence_sockets": account},
    "frames missed": lambda _: {"lose_channels": "missed"},
    "channels lost": lambda _: {"lose_channels": "refetch"},
    "channels forgotten": lambda account: {"forget_channels": account},
    "logged out": lambda account: {"log_out": account},
    "no points": lambda account: {"points": {account: 0}},
}
#: What a client may see of it when no other account is free in time.
_EXPLAINS: Final[Mapping[str, frozenset[str]]] = {
    "send 500": _BAD_ANSWER,
    "send 503": _BAD_ANSWER,
    "page 502": frozenset({"upstream_login"}),
    "key 503": _NO_OTHER_FREE,
    "key 500": frozenset({"bot_failed"}),
    "page loops": frozenset({"upstream_login"}),
}
_UNDONE: Final[Mapping[str, Callable[[str], Mapping[str, Any]]]] = {
    "logged out": lambda account: {"log_in": account},
    "no points": lambda account: {"points": {account: 1_000_000}},
}


@dataclass(frozen=True, slots=True)
class _Undoing:
    """What undoes a fault that lasts, and when."""

    at: float
    undo: Callable[[], object]
    action: Action
    begun: float
    explains: frozenset[str]


@dataclass(slots=True)
class Stage:
    """Does what the schedule says, and notes when it was."""

    record: Record
    poe: ApiSim
    net: Proxy
    server: Product | Twins
    redis: RedisServer | None = None
    _undoing: list[_Undoing] = field(default_factory=list)

    def perform(self, actions: Sequence[Action]) -> None:
        """Do them all, each at its time; what is late is done at once."""
        begun = time.monotonic()
        for action in actions:
            self._wait_until(begun + action.at)
            self._perform(action)
        self._undo(float("inf"))

    def _wait_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self._undo(time.monotonic())

    def _undo(self, now: float) -> None:
        for one in [one for one in self._undoing if one.at <= now]:
            self._undoing.remove(one)
            one.undo()
            # Only now is it over: the stage may have been busy with the server.
            self._note(one.action, one.begun, one.explains, lasts=1.0)

    def _perform(self, action: Action) -> None:
        begun = time.monotonic()
        kind = action.kind
        if kind in ("reload", "bad reload", "kill", "terminate"):
            self._to_the_server(action)
        elif kind in REDIS_AWAY or kind == _DEAF:
            self._to_redis(action)
        elif kind == "outage":
            self.net.restart(action.size)
            self._note(action, begun, _BROKEN_NET)
        elif kind == "websockets cut":
            if self.net.cut_websockets():
                self._note(action, begun)
        elif kind.removesuffix(" of a send") in _SNAGS:
            where = next(one for one in _SNAGS if kind.startswith(one))
            # It is noted when it is met.
            self.net.arm(Snag(where, action.account, kind.endswith("send"), action.size))
        elif kind.startswith("key"):
            self._to_the_key(action)
        else:
            self._to_the_cookie(action)

    def _note(
        self,
        action: Action,
        begun: float,
        explains: frozenset[str] = frozenset(),
        *,
        lasts: float = 0.0,
        detail: str = "",
    ) -> None:
        self.record.note(
            Happening(
                kind=action.kind,
                begun=begun,
                ended=time.monotonic() + lasts,
                account=action.account,
                explains=explains,
                detail=detail,
            )
        )

    def _to_the_server(self, action: Action) -> None:
        begun = time.monotonic()
        server = self.server
        match action.kind:
            case "reload":
                come = [one for one in COMING if one not in server.accounts]
                server.configure([*SOUND, *FRAIL, *come])
                server.reload()
                self._note(action, begun, detail=" ".join(server.accounts))
            case "bad reload":
                server.configure(server.accounts, RATE_LIMIT="many")
                server.reload()
                # Long enough that it was read; and if it was not, the right one is read.
                time.sleep(1.0)
                server.configure(server.accounts)
                self._note(action, begun)
            case "kill":
                server.kill()
                server.start(int(action.size))
                self._note(action, begun, _ENDING_SERVER)
            case "terminate":
                server.terminate()
                server.start(int(action.size))
                self._note(action, begun, _STOPPING_SERVER)

    def _to_redis(self, action: Action) -> None:
        begun = time.monotonic()
        redis = self.redis
        assert redis is not None
        match action.kind:
            case "redis restarts":
                redis.kill()
                redis.start()
            case "redis stands still":
                redis.freeze()
                time.sleep(action.size)
                redis.thaw()
            case _:
                redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                return self._note(action, begun)
        # They find it again within two seconds.
        return self._note(action, begun, _POOL_AWAY, lasts=3.0)

    def _to_the_cookie(self, action: Action) -> None:
        begun = time.monotonic()
        kind, account = action.kind, action.account
        if any(one["account"] == account for one in self.poe.control()["faults"]):
            # One still waits for its send: an account that meets only faults is never used.
            return
        if kind in _REFUSED_SENDS:
            times, words = _REFUSED_SENDS[kind]
            if kind == "send 429":
                words = {**words, "retry-after": round(action.size) + 2}
            fault = {"query_name": SEND, "account": account, "times": times, "with": words}
            self.poe.control(fail=fault)
        else:
            self.poe.control(**_AT_POE[kind](account))
        if kind in _UNDONE:
            self._later(action, lambda: self.poe.control(**_UNDONE[kind](account)))
            return
        # A fault of sends or pages waits for the next one, which may come late.
        explains = _EXPLAINS.get(kind, frozenset())
        self._note(action, begun, explains, lasts=20.0 if explains else 0.0)

    def _to_the_key(self, action: Action) -> None:
        kind, account = action.kind, action.account
        if kind == "key 401":
            self.poe.control_api(keys_rejected=[account])
            self._later(action, lambda: self.poe.control_api(keys_rejected=[]))
        elif kind == "key without points":
            self.poe.control_api(points={account: 0})
            self._later(action, lambda: self.poe.control_api(points={account: 100_000_000}))
        else:
            words = f"!http={kind[-3:]}"
            if kind == "key 429":
                words += f" !retry-after={round(action.size) + 2}"
            self.poe.control_api(faults={account: words})
            self._later(action, lambda: self.poe.control_api(faults={}))

    def _later(self, action: Action, undo: Callable[[], object]) -> None:
        begun = time.monotonic()
        explains = _EXPLAINS.get(action.kind, frozenset())
        self._undoing.append(_Undoing(begun + action.size, undo, action, begun, explains))
