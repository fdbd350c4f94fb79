"""The counts of a run, as a small table."""

from __future__ import annotations

from collections import Counter

from .case import Case
from .record import COOKIES, KEYS


def table(case: Case) -> str:
    """Return what happened in a run, in counts."""
    attempts = case.record.attempts
    outcomes = Counter(one.outcome for one in attempts)
    codes = Counter(f"{one.code} {one.status}" for one in attempts if one.code)
    happened = Counter(one.kind for one in case.causes)
    ends = Counter(one.end for one in case.evidence.replies)
    sends = {name: case.evidence.by_account.get(name, ()) for name in (*COOKIES, *KEYS)}
    events = ("kill", "terminate", "reload", "bad reload", "outage")
    rows = {
        "requests": [f"{len(attempts)}"],
        "ended": [f"{name} {count}" for name, count in outcomes.most_common()],
        "returns": [
            f"{name} {count}"
            for name, count in Counter(one.outcome for one in attempts if one.returns).most_common()
        ],
        "apis": [
            f"{api} {name} {count}"
            for (api, name), count in sorted(
                Counter((one.api, one.outcome) for one in attempts).items()
            )
        ],
        "errors": [f"{name} {count}" for name, count in codes.most_common()],
        "sends": [f"{name} {len(found)}" for name, found in sends.items()],
        "accepted": [
            f"{name} {sum(one.accepted for one in found)}" for name, found in sends.items()
        ],
        "bots": [f"{name} {count}" for name, count in ends.most_common()],
        "websockets": [f"{len(case.evidence.wires)}"],
        "events": [f"{name} {happened[name]}" for name in events],
        "faults": [
            f"{name} {count}" for name, count in sorted(happened.items()) if name not in events
        ],
    }
    return "\n".join(f"{name:<12} {', '.join(values) or '-'}" for name, values in rows.items())
