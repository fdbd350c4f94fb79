"""A call, or its arguments, as one JSON object: the body of most forms."""

from __future__ import annotations

from collections.abc import Sequence

from poe_proxy.shaping.loose_json import Nesting, write
from poe_proxy.shaping.tool_calls.base import RawCall


class JsonBody:
    """Reads a JSON object to its end, whatever its strings contain.

    *name*: what stands before the object is the name of the tool, and the object its arguments.
    *closing*: the tag that belongs behind it. The call is known before the tag has come, and does
    not wait for it.
    """

    is_certain = True

    def __init__(self, name: str | None = None, *, closing: str = "") -> None:
        self.is_over = False
        self._name = name
        self._closing = closing
        self._nesting = Nesting()

    def read(self, text: str, at: int) -> int:
        """See `Reader`."""
        end = self._nesting.end(text, at)
        self.is_over = end is not None
        return len(text) if end is None else end

    def calls(self, opening: str, body: str) -> Sequence[RawCall]:
        """See `Reader`. Where a tag ended the object, its brackets are closed."""
        text = body if self._nesting.in_string else body + self._nesting.missing
        source = opening + body.rstrip() + self._closing
        return [RawCall(text if self._name is None else named(self._name, text), source)]

    def unfinished(self, opening: str, body: str, rest: str) -> Sequence[RawCall]:
        """See `Reader`. The last brace of a call may be missing; arguments that are open may have
        been truncated, whatever reason the bot gives."""
        source = body + rest
        is_complete = self._name is None and self._nesting.missing == "}"
        if is_complete and not self._nesting.in_string and source.rstrip().endswith("}"):
            source += "}"
        text = source if self._name is None else named(self._name, source)
        return [RawCall(text, opening + body + rest)]

    def another(self) -> JsonBody | None:
        """See `Reader`."""
        return JsonBody(closing=self._closing) if self._name is None else None


def named(name: str, arguments: str) -> str:
    """Return the JSON text of a call with this name and this JSON text as its arguments."""
    return f'{{"name": {write(name)}, "arguments": {arguments}}}'
