"""What is being done about a change of Poe's site, by what the look for its new values tells of
itself.

That is a mapping as `site` in `/status.json`; None where nothing is asked by cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

#: What is told of the site.
Told: TypeAlias = Mapping[str, Any] | None

#: How a look ends that has found something new which Poe takes.
MENDED: Final = "mended"
#: Seconds for which it counts what came of one that has not.
LATELY: Final = 3600.0


def mended_at(site: Told) -> float | None:
    """Return the second, since 1970, in which what had changed was found and put in use; None if
    the last look has not ended so."""
    if site is None or site["discovery"]["outcome"] != MENDED:
        return None
    return _moment(site["discovery"]["at"])


def is_mended(site: Told, changed_at: float) -> bool:
    """Whether it was mended after it last failed, at *changed_at*, by this worker or another one,
    whose values are in use here. Stamps have whole seconds."""
    in_use_since = None if site is None else site["in_use_since"]
    known = (mended_at(site), None if in_use_since is None else _moment(in_use_since))
    return any(at is not None and changed_at < at + 1.0 for at in known)


def doing(site: Told, now: float) -> dict[str, Any]:
    """Return what is done about a change that is not mended, as a word, `doing`, and the time that
    belongs to it, `at`:

    * "looking": for what is new
    * "same", "unusable", "failed": that came of it, a while ago
    * "later": it may be looked for at that time, and not before
    * "off": nobody looks for it unasked
    * "": nothing that is known; if somebody looks unasked, it begins in a moment
    """
    if site is None:
        return {"doing": "", "at": None}
    told = site["discovery"]
    at, not_before = told["at"], told["not_before"]
    if told["running"]:
        return {"doing": "looking", "at": None}
    if told["outcome"] not in (None, MENDED) and at is not None and now < _moment(at) + LATELY:
        return {"doing": told["outcome"], "at": at}
    if not told["automatic"]:
        return {"doing": "off", "at": None}
    if not_before is not None and now < _moment(not_before):
        return {"doing": "later", "at": not_before}
    return {"doing": "", "at": None}


def _moment(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
