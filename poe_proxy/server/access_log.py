"""The line of the log for each request."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from poe_proxy import logs
from poe_proxy.record import Record

log = logging.getLogger(__name__)

#: The most characters of what a client has chosen, so that what comes behind it is in the line too.
_MOST: Final = 100
_MOST_PEER: Final = 50
_MOST_METHOD: Final = 20


def tell(record: Record) -> None:
    """Log the line of a request whose answer is closed."""
    log.info(_Line(record))


class _Line(logs.Event):
    """For people: how it ended, which model by which bot and account, how long each part took, and
    last who asked for what. Where no model was asked, what was asked comes first."""

    __slots__ = ("_of",)

    def __init__(self, record: Record) -> None:
        self._of = record

    @property
    def status(self) -> int:
        return self._of.status

    def __str__(self) -> str:
        of = self._of
        ids = f"{of.peer[:_MOST_PEER]} {of.id}"
        if of.their_id:
            ids = f"{ids} {of.their_id}"
        if of.client:
            ids = f"{of.client} {ids}"
        code = f" ({of.code})" if of.code else ""
        if not of.model:
            asked = f"{of.method[:_MOST_METHOD]} {_word(of.path)}"
            return f"{asked} {of.status}{code} {1000 * of.total:.0f} ms  {ids}"
        said = f"{of.status}{code} {_word(of.model)}"
        if of.account:
            bot = "" if of.bot == of.model else f" → {_word(of.bot)}"
            said = f"{said}{bot} {of.account}"
            if of.moves:
                said = f"{said} after {', '.join(of.moves)}"
            said = f"{said}: waited {of.queued:.2f} s"
        elif of.queued:
            said = f"{said}: waited {of.queued:.2f} s"
        else:
            said = f"{said}:"
        if (first := of.first_text_after) is not None:
            said = f"{said}, first word {first:.2f} s"
        comma = "" if said[-1] == ":" else ","
        said = f"{said}{comma} total {of.total:.2f} s"
        if of.streams and of.first_text:
            said = f"{said}, {of.pieces} pieces"
        return f"{said}  {of.method[:_MOST_METHOD]} {_word(of.path)} {ids}"

    def summary(self) -> str:
        of = self._of
        return f"{of.method[:_MOST_METHOD]} {_word(of.path)} {of.status}"

    def fields(self) -> Mapping[str, object]:
        of = self._of
        first = of.first_text_after
        found: dict[str, object] = {
            "request_id": of.id,
            "client_request_id": of.their_id or None,
            "trace_id": of.trace_id or None,
            "client": of.client or None,
            "route": of.route or None,
            "status": of.status,
            "code": of.code or None,
            "ms": _ms(of.total),
        }
        if not of.model:
            return found
        found |= {
            "queue_ms": _ms(of.queued) if of.joined else None,
            "first_text_ms": None if first is None else _ms(first),
            "model": logs.clean(of.model, _MOST),
            "bot": logs.clean(of.bot, _MOST) or None,
            "account": of.account or None,
            "kind": of.kind or None,
            "moves": list(of.moves),
            "tokens_in": of.tokens_in if of.has_answer else None,
            "tokens_out": of.tokens_out if of.has_answer else None,
        }
        return found


def _word(text: str) -> str:
    """Return what a client wrote so that it is one word of the line."""
    return text[:_MOST].replace(" ", "_")


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)
