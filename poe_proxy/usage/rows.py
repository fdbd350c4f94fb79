"""What is kept of one request."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from poe_proxy.record import Record

Row: TypeAlias = tuple[Any, ...]

#: Times are in millionths of a second since 1970.
MICROSECONDS: Final = 1_000_000
DAY: Final = 86_400 * MICROSECONDS

#: The most characters of a name that is kept: clients choose those of models.
MOST_CHARACTERS: Final = 100

#: What `row` returns, in its order, with SQLite's types.
COLUMNS: Final = {
    "at": "INTEGER NOT NULL",
    "request": "TEXT NOT NULL",
    "client": "TEXT NOT NULL",
    "route": "TEXT NOT NULL",
    "model": "TEXT NOT NULL",
    "bot": "TEXT NOT NULL",
    "account": "TEXT NOT NULL",
    "kind": "TEXT NOT NULL",
    "streams": "INTEGER NOT NULL",
    "status": "INTEGER NOT NULL",
    "code": "TEXT NOT NULL",
    "tokens_in": "INTEGER NOT NULL",
    "tokens_out": "INTEGER NOT NULL",
    # Whether the tokens are Poe's own count.
    "counted": "INTEGER NOT NULL",
    # By Poe's list; NULL where it has no price.
    "estimate": "INTEGER",
    # What Poe has taken; NULL as long as that is not known.
    "points": "INTEGER",
    "queued": "REAL NOT NULL",
    "first_text": "REAL",
    "seconds": "REAL NOT NULL",
    # When its account was asked, NULL if never, how often, and when the answer had ended.
    "sent": "INTEGER",
    "sends": "INTEGER NOT NULL",
    "ended": "INTEGER NOT NULL",
}


def is_kept(record: Record) -> bool:
    """Whether *record* is of a request to a bot: one that wanted an account."""
    return bool(record.joined)


def row(record: Record) -> Row:
    """Return what is kept of a request that is over."""
    at = round(record.at * MICROSECONDS)
    return (
        at,
        _text(record.id),
        _text(record.client),
        _text(record.route),
        _text(record.model),
        _text(record.bot),
        _text(record.account),
        record.kind,
        record.streams,
        record.status,
        _text(record.code),
        record.tokens_in,
        record.tokens_out,
        record.is_counted,
        record.estimated_points,
        record.points,
        round(record.queued, 6),
        None if (first := record.first_text_after) is None else round(first, 6),
        round(record.total, 6),
        at + _since(record, record.sent) if record.sent else None,
        record.sends,
        at + _since(record, record.ended),
    )


def _since(record: Record, then: float) -> int:
    return round((then - record.began) * MICROSECONDS)


def _text(given: str) -> str:
    """Return a name as SQLite takes it, which knows no halves of characters."""
    text = given[:MOST_CHARACTERS]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
