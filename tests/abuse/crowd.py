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

#: Seconds within which they come, one after the other. This process would make the bodies of all
#: before it sends the first, if all came at a time.
_COMING: Final = 5.0
#: Seconds between two deeds of a client, at most, and seconds for which it holds on, at most.
_PAUSE: Final = 2.0
_HOLD: Final = 20.0
#: Seconds that they wait for their last answers.
_GRACE: Final = 10.0


@dataclass(slots=True)
class Tally:
    """How the kinds were answered, and the marks of prompts that were answered after all."""

    outcomes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    answered: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abuse:
    """What the clients of a run have in common."""

    port: int
    key: str
    size: float
    #: When they stop.
    end: float
    tally: Tally = field(default_factory=Tally)

    async def by(self, kind: Kind, rng: random.Random) -> None:
        """Be one client of this *kind*, until the end."""
        await asyncio.sleep(rng.random() * _COMING)
        while (left := self.end - time.monotonic()) > 0:
            released = asyncio.Event()
            leaving = asyncio.get_running_loop().call_later(
                min(rng.random() * _HOLD, left), released.set
            )
            client = Client(
                self.port, self.key, kind.name, rng, self.size, released, rng.randrange(10**9)
            )
            outcome = "still waiting at the end"
            try:
                outcome = await attempt(kind, client)
            finally:
                leaving.cancel()
                self.tally.outcomes[kind.name][outcome] += 1
                self.tally.answered += client.answered
            await asyncio.sleep(rng.random() * _PAUSE)


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
    abuse = Abuse(port=port, key=key, size=size, end=time.monotonic() + seconds)
    tasks = [
        asyncio.create_task(
            abuse.by(kinds[place % len(kinds)], random.Random(seed * 10_007 + place))
        )
        for place in range(clients)
    ]
    _, waiting = await asyncio.wait(tasks, timeout=seconds + _GRACE)
    while waiting:
        # More than once: a time-out that runs out at the same moment swallows a cancellation.
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=1.0)
    return abuse.tally


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
    print(json.dumps({"outcomes": tally.outcomes, "answered": tally.answered}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
