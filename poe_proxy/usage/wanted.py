"""What somebody wants to know about what was used: from when to when, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from poe_proxy.errors import InvalidRequest
from poe_proxy.slips import meant
from poe_proxy.usage.rows import DAY, MICROSECONDS

#: What requests can be put together by.
GROUPS: Final = ("client", "model", "bot", "account", "kind", "day")
_FIELDS: Final = ("from", "to", "group_by")
#: Days before now with which a report begins that does not say.
_DAYS: Final = 30
#: The most characters of a field.
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Days:
    """Days that begin so many seconds after midnight in UTC of their date, as those of budgets do:
    fewer than none where that is on the day before."""

    begins: float = 0.0

    @property
    def shift(self) -> int:
        """What is added to a time, so that its whole days since 1970 are those of its day."""
        return -round(self.begins * MICROSECONDS)

    @property
    def sql(self) -> str:
        """In SQL, the number since 1970 of the day that a row with the column `at` is of."""
        return f"(at + {self.shift}) / {DAY}"

    def start(self, day: date) -> int:
        """Return when *day* begins, in microseconds since 1970."""
        return (day - date(1970, 1, 1)).days * DAY - self.shift

    @staticmethod
    def name(number: int) -> str:
        """Return the day with this number since 1970 as `YYYY-MM-DD`."""
        return date.fromordinal(date(1970, 1, 1).toordinal() + number).isoformat()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report is to be about."""

    #: From when, and until before when: microseconds since 1970.
    begin: int
    end: int
    #: What is put together, of `GROUPS`; empty: all of it.
    by: tuple[str, ...] = ()
    #: The client that it is about; None: all of them.
    client: str | None = None
    days: Days = Days()


def read(
    fields: Mapping[str, str], *, now: float, days: Days = Days(), client: str | None = None
) -> Wanted:
    """Return what the *fields* of a request's query ask for, by default the last 30 days until
    *now*, of all clients or of *client*.

    Raises `InvalidRequest` with the field that is wrong.
    """
    for name in fields:
        if name not in _FIELDS:
            near = meant(name, _FIELDS)
            hint = f"; did you mean {near}?" if near else f". There are {', '.join(_FIELDS)}."
            raise InvalidRequest(f"{name[:_MOST]!r} is not known here{hint}", param=name[:_MOST])
    end = round(now * MICROSECONDS)
    if given := fields.get("to", ""):
        end = _time("to", given, days, is_end=True)
    begin = end - _DAYS * DAY
    if given := fields.get("from", ""):
        begin = _time("from", given, days)
    if begin > end:
        raise InvalidRequest("from: comes after the end.", param="from")
    return Wanted(begin, end, _groups(fields.get("group_by", "")), client, days)


def _groups(given: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(one.strip() for one in given[:_MOST].split(",") if one.strip()))
    if len(given) > _MOST or not set(found) <= {*GROUPS}:
        raise InvalidRequest(
            f"group_by: Must be one of {', '.join(GROUPS)}, or several with commas.",
            param="group_by",
        )
    return found


def _time(field: str, given: str, days: Days, *, is_end: bool = False) -> int:
    """Return a day or a time as microseconds since 1970; the end of a day, if *is_end*."""
    try:
        if len(given) > _MOST:
            raise ValueError
        # The plus of a distance is a blank in a query that was not escaped.
        given = given.strip().replace(" ", "+") if "T" in given.upper() else given.strip()
        if len(given) == len("YYYY-MM-DD"):
            return days.start(date.fromisoformat(given)) + (DAY if is_end else 0)
        found = datetime.fromisoformat(given)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return round(found.timestamp() * MICROSECONDS)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{field}: Must be a day such as 2026-11-30, or a time such as 2026-11-30T09:00:00Z.",
            param=field,
        ) from None
