"""Whether a Redis server is fit for a pool, for whoever sets it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final, Literal, TypeAlias

from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.link import BadAddress, Link
from poe_proxy.values import value

#: The oldest version that has all that the script uses.
OLDEST: Final = (6, 2)

Mark: TypeAlias = Literal["ok", "note", "wrong"]


@value()
class Remark:
    """What was found, and what to do about it; never with a secret."""

    mark: Mark
    text: str
    remedy: str = ""


def look(
    url: str, pool: str, *, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Remark]:
    """Yield what there is to say of the server at *url*, and of the pool that is to be there."""
    try:
        link = Link(url, pool)
    except BadAddress as bad:
        yield Remark("wrong", str(bad), "Set REDIS_URL to another one.")
        return
    with closing(link):
        try:
            link.probe()  # connects
            began = clock()
            # The script alone: it says whether this user may run it.
            link.run(b"", b"", [])
            took = clock() - began
            facts = link.facts()
        except StoreAway as away:
            yield Remark(
                "wrong",
                f"Redis at {link.where}: {away}",
                "Look whether it runs, and whether REDIS_URL leads there with the right user and "
                "password; `docs/scale.md` says what that user has to be allowed.",
            )
            return
    version = facts.get("redis_version", "")
    named = f"Redis {version}" if version else "Redis"
    yield Remark("ok", f"{named} answers at {link.where} in {1000 * took:.1f} ms, pool {pool}")
    if not facts:
        yield Remark("note", "It does not tell this user how it is set up (INFO).")
        return
    yield from _of_setup(facts)


def _of_setup(facts: dict[str, str]) -> Iterator[Remark]:
    if () < _number(facts.get("redis_version", "")) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Remark("wrong", f"It is older than {oldest}.", "Use a newer Redis.")
    if facts.get("aof_enabled") == "1":
        yield Remark("ok", "what it knows outlives its restart (appendonly yes)")
    else:
        yield Remark(
            "note",
            "What it knows ends with it (appendonly no): after its restart nothing is lent for a "
            "while, and the counts of the day begin anew.",
            "Set appendonly yes.",
        )
    policy = facts.get("maxmemory_policy", "")
    if policy == "noeviction":
        yield Remark("ok", "it forgets nothing when its memory is full (noeviction)")
    elif policy:
        yield Remark(
            "note",
            f"When its memory is full it forgets what was used (maxmemory-policy {policy}), and "
            "limits are exceeded.",
            "Set maxmemory-policy noeviction.",
        )


def _number(version: str) -> tuple[int, ...]:
    """Return the numbers of *version*, as far as they are some."""
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return (*numbers,)
