"""The abusive clients of a run, in a process of their own, with less of the machine than others.

`python -m tests.abuse.crowd` is started by `run`; it says on stdout, as JSON, how each kind was
answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .catalogue import KINDS
from .kinds import Kind
from .wire import Client

#: Seconds between two deeds of a client, at most, and seconds for which it holds on, at most.
_PAUSE: Final = 2.0
_HOLD: Final = 20.0


@dataclass(slots=True)
class Tally:
    """How the kinds were answered, and the marks of prompts that were answered after all."""

    outcomes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    answered: list[str] = field(default_factory=list)
    #: The longest that each kind waited for an answer, in seconds.
    longest: dict[str, float] = field(default_factory=dict)


async def crowd(
    kinds: Sequence[Kind],
    *,
    port: int,
    key: str,
    clients: int,
    seconds: float,
    seed: int,
    size: float,
) -> Tally:
    """Let so many *clients*, of all *kinds* in turn, abuse the server for so long."""
    tally = Tally()
    end = time.monotonic() + seconds
    over = asyncio.Event()
    tasks = [
        asyncio.create_task(
            _one(
                kinds[place % len(kinds)],
                tally,
                port,
                key,
                random.Random(seed * 10_007 + place),
                size,
                end,
                over,
            )
        )
        for place in range(clients)
    ]
    await asyncio.sleep(seconds)
    over.set()
    await asyncio.wait(tasks, timeout=10)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return tally


async def _one(
    kind: Kind,
    tally: Tally,
    port: int,
    key: str,
    rng: random.Random,
    size: float,
    end: float,
    over: asyncio.Event,
) -> None:
    await asyncio.sleep(rng.random() * _PAUSE)
    while time.monotonic() < end:
        released = asyncio.Event()
        leaving = asyncio.get_running_loop().call_later(
            min(rng.random() * _HOLD, end - time.monotonic()), released.set
        )
        client = Client(port, key, kind.name, rng, size, released, rng.randrange(10**9))
        began = time.monotonic()
        try:
            outcome = await attempt(kind, client)
        except asyncio.CancelledError:
            tally.outcomes[kind.name]["still waiting at the end"] += 1
            raise
        leaving.cancel()
        tally.outcomes[kind.name][outcome] += 1
        tally.answered += client.answered
        if not kind.holds:
            took = time.monotonic() - began
            tally.longest[kind.name] = max(took, tally.longest.get(kind.name, 0.0))
        await asyncio.sleep(rng.random() * _PAUSE)
    await over.wait()


async def attempt(kind: Kind, client: Client) -> str:
    """Return the outcome of one deed: that of the kind, or why there is none."""
    try:
        return await kind.attack(client)
    except TimeoutError:
        return "no answer in time"
    except OSError as failure:
        return f"no connection ({type(failure).__name__})"


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.abuse.crowd")
    for name, type_ in (("port", int), ("clients", int), ("seed", int), ("seconds", float),
                        ("size", float), ("key", str), ("kinds", str)):  # fmt: skip
        options.add_argument(f"--{name}", type=type_, required=True)
    given: Any = options.parse_args()
    os.nice(10)
    names = [name for name in given.kinds.split(",") if name]
    tally = asyncio.run(
        crowd(
            [KINDS[name] for name in names],
            port=given.port, key=given.key, clients=given.clients, seconds=given.seconds,
            seed=given.seed, size=given.size,
        )
    )  # fmt: skip
    said = {"outcomes": tally.outcomes, "answered": tally.answered, "longest": tally.longest}
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
