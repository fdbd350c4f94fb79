"""The ledger in Redis: what several workers, on several hosts, know of the tokens together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Any

from poe_proxy.pool.ledger import (
    Ledger,
    Outlook,
    Served,
    Standing,
    TokenState,
    Want,
    handle,
)
from poe_proxy.pool.limits import Limit, Rest, Within
from poe_proxy.shared.calling import Caller


class RedisLedger(Ledger):
    """Asks the script for each verb. Unlike in `MemoryLedger`, a pause that varies does so by the
    use before it and not by its time, so that it is the same for all workers."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    # ---- which tokens there are

    def enlist(
        self,
        name: str,
        *,
        rank: int = 0,
        concurrency: int = 1,
        limits: Sequence[Limit] = (),
        kind: str = "key",
        has_home: bool = False,
        is_pinned: bool = False,
    ) -> None:
        """As every ledger does it. A token that *has_home* is lent by one worker at a time;
        one that *is_pinned* leaves its host only when no worker is left there.
        """
        self._caller.call(
            "enlist",
            {
                "name": name,
                "kind": kind,
                "has_home": has_home,
                "pinned": is_pinned,
                "rank": rank,
                "concurrency": concurrency,
                "limits": [as_list(limit) for limit in limits],
            },
        )

    def withdraw(self, name: str) -> None:
        self._about(name, "withdraw")

    # ---- leases

    def serve(self, line: Iterable[Want]) -> Served:
        lists: dict[object, int] = {}
        names: list[list[str]] = []
        wants = []
        for want in line:
            alike = want.names if isinstance(want.names, frozenset) else id(want.names)
            if alike not in lists:
                names.append(list(want.names))
                lists[alike] = len(names)
            wants.append(
                {
                    "lease": want.lease,
                    "names": lists[alike],
                    "bot": handle(want.bot),
                    "within": _seconds(want.within),
                    "probes": want.probes,
                }
            )
        answer = self._caller.call("serve", {"names": names, "wants": wants})
        return Served(dict(answer["lent"]), _number(answer["due"]))

    def use(self, lease: str) -> float:
        # Without a number of its own: one that is told twice counts twice, which is safe.
        answer = self._caller.call("use", {"lease": lease})
        if "lost" in answer:
            raise KeyError(lease)
        return _number(answer["wait"])

    def arrived(self, lease: str) -> None:
        self._caller.call("arrived", {"lease": lease})

    def give_back(self, lease: str) -> None:
        self._caller.call("leave", {"lease": lease})

    # ---- how the tokens are

    def rest(
        self, name: str, seconds: float, reason: str = "", code: str = "", *, bot: str = ""
    ) -> None:
        self._about(
            name, "rest", seconds=_seconds(seconds), reason=reason, code=code, bot=handle(bot)
        )

    def strike(self, name: str, reason: str = "", *, bot: str = "", costly: bool = False) -> None:
        self._about(name, "strike", reason=reason, bot=handle(bot), costly=costly)

    def clear(self, name: str, *, bot: str = "") -> bool:
        return bool(self._about(name, "clear", bot=handle(bot)))

    def exhaust(self, name: str, reason: str = "") -> None:
        self._about(name, "exhaust", reason=reason)

    def suspend(self, name: str, reason: str, code: str = "") -> None:
        self._about(name, "suspend", reason=reason, code=code)

    def reconsider(self, name: str) -> None:
        self._about(name, "reconsider")

    def revive(self, name: str) -> None:
        self._about(name, "revive")

    def pause(self, name: str, seconds: float) -> None:
        self._about(name, "pause", seconds=_seconds(seconds))

    def bring_back(self, name: str) -> None:
        self._about(name, "bring_back")

    def retire(self, name: str, reason: str) -> None:
        self._about(name, "retire", reason=reason)

    def state(self, names: Collection[str], *, bot: str = "") -> dict[str, TokenState]:
        told = self._of_each("state", names, bot=handle(bot))
        return {name: state_of(told[name]) for name in names}

    def outlook(self, names: Collection[str]) -> dict[str, Outlook]:
        told = self._of_each("outlook", names)
        return {name: _outlook_of(told[name]) for name in names}

    def _about(self, name: str, verb: str, **about: Any) -> Any:
        said = {
            key: _as_text(value) if isinstance(value, str) else value
            for key, value in about.items()
        }
        return self._tell(verb, {"name": name, **said})

    def _tell(self, verb: str, about: Mapping[str, Any]) -> Any:
        """Let the script do what befalls one token, and return what it answers."""
        return self._known(self._caller.call(verb, about))

    def _of_each(self, verb: str, names: Collection[str], **about: Any) -> Mapping[str, Any]:
        told: Mapping[str, Any] = self._known(
            self._caller.call(verb, {"names": list(names), **about})
        )
        return told

    @staticmethod
    def _known(answer: Any) -> Any:
        if isinstance(answer, dict) and isinstance(name := answer.get("unknown"), str):
            raise KeyError(name)
        return answer


def as_list(limit: Limit) -> list[str | float]:
    """Return *limit* as the script reads it."""
    match limit:
        case Within(calls, window):
            return ["within", calls, window]
        case Rest(seconds, jitter):
            return ["rest", seconds, jitter]
    raise TypeError(f"the script knows no such limit: {limit!r}")


def state_of(told: Mapping[str, Any]) -> TokenState:
    """Return the state that the script has told."""
    return TokenState(
        is_free=told["is_free"],
        in_use=int(told["in_use"]),
        rest=_number(told["rest"]),
        standing=Standing(told["standing"]),
        reason=told["reason"],
        code=told["code"],
        next_look=_number(told["next_look"]),
        is_struck=told["is_struck"],
    )


def _outlook_of(told: Mapping[str, Any]) -> Outlook:
    return Outlook(
        uses=[float(age) for age in told["uses"]],
        rest=_number(told["rest"]),
        in_use=int(told["in_use"]),
        # An empty table of Lua's may come as a list.
        bots={bot: float(rest) for bot, rest in dict(told["bots"]).items()},
        settles=float(told["settles"]),
    )


def _as_text(words: str) -> str:
    """Return *words* as they can be told: what Poe says may have half an emoji in it."""
    return words.encode("utf-8", "replace").decode("utf-8")


def _number(seconds: float | None) -> float:
    """Return seconds as the script tells them: JSON has no infinity."""
    return inf if seconds is None else float(seconds)


def _seconds(number: float) -> float | None:
    """Return seconds as the script is told them."""
    return None if number == inf else number
