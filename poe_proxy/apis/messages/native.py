"""An answer of Poe's own Messages API as its client wants it: passed on as it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from poe_proxy import sse
from poe_proxy.chat import Idle, Said, Verbatim
from poe_proxy.errors import UpstreamProtocolError

PING: Final = sse.event(b"ping", b'{"type":"ping"}')


def body(said: Mapping[str, Any], model: str) -> bytes:
    """Return the message that Poe has *said*, with the name of the *model* as the client wrote it.

    Raises `UpstreamProtocolError` for one that cannot be passed on.
    """
    return _written({**said, "model": model})


def frame(event: Said, model: str, *, has_started: bool) -> bytes:
    """Return the event of a stream; nothing for its beginning, if the stream *has started*.

    Raises `UpstreamProtocolError` for one that cannot be passed on.
    """
    match event:
        case Verbatim({"type": "message_start", "message": dict(message)} as said):
            return b"" if has_started else _frame({**said, "message": {**message, "model": model}})
        case Verbatim(said):
            return _frame(said)
        case Idle():
            return PING
    return b""


def _frame(said: Mapping[str, Any]) -> bytes:
    kind = said.get("type")
    # What has none is no event of this API; what it is, its client has to see.
    name = kind if isinstance(kind, str) and kind.isidentifier() else "message"
    return sse.event(name.encode(), _written(said))


def _written(said: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(said)
    except TypeError:  # what is read may be deeper than what can be written
        raise UpstreamProtocolError("Poe sent an answer that is nested too deeply.") from None
