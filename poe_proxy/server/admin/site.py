"""Poe's site as the page shows it: what is known of it, how old that is, and what came of the last
look for its new values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from poe_proxy import logs
from poe_proxy.server.admin.words import LANGUAGES, Words, clock

#: The most characters of a value, and those that tell one hash from another.
MOST_VALUE: Final = 60
_HASH: Final = re.compile(r"[0-9a-fA-F]{32,}")
_TELLING: Final = 10


def cells(site: Mapping[str, Any], now: str, words: Words) -> dict[str, str]:
    """Return the texts that tell of the *site*, by their places."""
    told = site["discovery"]
    missing = ", ".join(map(logs.escape, told["missing"]))
    return {
        "site": _on_top(site, words),
        "site age": _age(site, words),
        "site look": " ".join(_look(told, now, words)),
        "site said": logs.escape(told["said"]),
        "site missing": words("site_missing", names=missing) if missing else "",
        "site notes": "\n".join(map(logs.escape, told["notes"])),
    }


def lines(site: Mapping[str, Any], now: str, words: Words) -> Iterable[str]:
    """Return the same as lines, without those that say nothing."""
    shown = cells(site, now, words)
    first = " · ".join(filter(None, (shown.pop("site"), shown.pop("site age"))))
    return [first, *(line for text in shown.values() for line in text.split("\n") if line)]


def rows(site: Mapping[str, Any]) -> list[list[str]]:
    """Return the table of what differs."""
    return [
        [one["name"], short(one["before"]), short(one["after"])]
        for one in site["discovery"]["differs"]
    ]


def short(value: str) -> str:
    """Return the beginning of a *value*, of a hash as much as tells it from others; a dash for
    none."""
    most = _TELLING if _HASH.fullmatch(value) else MOST_VALUE
    return f"{value[:most]}…" if len(value) > most else value or "–"


def said(told: Mapping[str, Any], words: Words) -> str:
    """Return what came of a look, in one language at least: its own words are English."""
    own = str(told["said"])
    if own and words.language == LANGUAGES[0]:
        return own
    return f"{words('look_' + told['outcome'])} {own}".strip()


def _on_top(site: Mapping[str, Any], words: Words) -> str:
    file, number = site["file"], words.number(site["own_entries"])
    if file is not None:
        return words("site_file", file=logs.escape(file), n=number)
    return words("site_memory" if site["own_entries"] else "site_built_in", n=number)


def _age(site: Mapping[str, Any], words: Words) -> str:
    at, days = site["newest_evidence"], site["age_days"]
    if not at or days is None:
        return ""
    days = max(0, days)  # its day may have begun there already
    return words(f"site_age_{days}" if days < 2 else "site_age", at=at, days=days)


def _look(told: Mapping[str, Any], now: str, words: Words) -> Iterator[str]:
    if told["running"]:
        yield words("site_looking")
    elif told["outcome"] is None:
        yield words("site_not_looked")
    else:
        what = words(f"look_{told['outcome']}")
        yield words("site_looked", ago=words.ago(told["at"], now), what=what)
        if told["written"] is not None:
            yield words("site_written", file=logs.escape(told["written"]))
    if not told["automatic"]:
        yield words("site_by_hand")
    elif told["not_before"] is not None and told["not_before"] > now:
        yield words("site_later", at=clock(told["not_before"], now))
