"""The real server on the stand-in, with accounts of both kinds and limits that nobody meets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..with_sim.official import ApiSim
from ..with_sim.servers import KEY, Proxy
from .contents import CLAUDE, TAUGHT

#: The key of the honest clients; the abusive ones have `KEY`.
HONEST_KEY: Final = "sk-honest-client"
_COOKIES: Final = tuple(f"abuse-cookie-{n}" for n in range(8))
_KEYS: Final = tuple(f"sk-abuse-key-{n}" for n in range(4))
#: By key two bots with room for long prompts, one of which takes no tools.
_NAMES: Final = f"""
[names]
"by-key" = {{ bot = "GPT-4.1", tokens = "keys" }}
"by-cookie" = {{ bot = "GPT-4o", tokens = "cookies" }}
"{TAUGHT}" = {{ bot = "GPT-OSS-120B", tokens = "keys" }}
"{CLAUDE}" = {{ bot = "Claude-Sonnet-4.5", tokens = "keys" }}
"""


def stand_in() -> ApiSim:
    """Start the stand-in, with room for every reply at once. A reply has up to a thousand pieces a
    second, ten times as many as any bot writes."""
    room = ("--max-concurrent", "100000", "--points", "1000000000")
    poe = ApiSim(_COOKIES, _KEYS, "--quiet", *room, pace=0.001)
    poe.control_api(rate_limit=0)
    return poe


class Abused(Proxy):
    """The server under abuse."""

    def __init__(self, poe: ApiSim, folder: Path, **settings: str) -> None:
        (folder / "models.toml").write_text(_NAMES)
        super().__init__(
            poe,
            **{
                "AuthKey": f"{KEY},{HONEST_KEY}",
                "MODELS": str(folder / "models.toml"),
                "TOKEN_CONCURRENCY": "500",
                "API_CONCURRENCY": "1000",
                "LOG_LEVEL": "INFO",
                "NATIVE_MESSAGES": "1",
                **settings,
            },
        )

    def pids(self) -> list[int]:
        """The ids of all its processes."""
        found = [self.process.pid]
        for pid in found:
            with suppress(OSError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                found += [int(child) for child in children]
        return found

    def memory(self) -> float:
        """The MB of all its processes together; what they share counts once."""
        kilobytes = 0
        for pid in self.pids():
            with suppress(OSError):  # it has ended meanwhile
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        kilobytes += int(line.split()[1])
        return kilobytes / 1024


# ---- what must be true of it afterwards

_START: Final = "Booting worker with pid"
_TRACEBACK: Final = "Traceback (most recent call last)"
_LINE_END: Final = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f\x9b]")


def starts(log: str) -> int:
    """Return how often a worker was started."""
    return log.count(_START)


def tracebacks(log: str) -> int:
    """Return how many tracebacks the log has."""
    return log.count(_TRACEBACK)


def forged_lines(log: str) -> list[str]:
    """Return what stands in the log as no program of ours would write it: lines that somebody else
    began, and codes for a terminal."""
    return [
        line for line in _LINE_END.split(log) if line.startswith("FORGED") or _CONTROL.search(line)
    ]


def asked_against_the_rules(
    journal: Sequence[Mapping[str, Any]], answered: Iterable[str]
) -> list[str]:
    """Return the marks of prompts that were asked at Poe and that nobody should have asked;
    *answered* are those whose client got the answer all the same."""
    told = {word.removeprefix("!mark=") for word in answered}
    marks = {str(entry["mark"]) for entry in journal if "mark" in entry}
    return sorted(mark for mark in marks - told if mark.startswith("never-"))
