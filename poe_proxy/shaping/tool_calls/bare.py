"""A JSON object without tags, or in tags that mean nothing certain.

    {"name": "get_weather", "arguments": {"city": "Paris"}}

    ```json
    {"tool": "get_weather", "input": {"city": "Paris"}}
    ```

    <tool_use>{"name": "get_weather", "input": {"city": "Paris"}}</tool_use>

Bots without training for tools write such objects; so do those that speak of JSON. It is a call
only if it stands alone on its lines, or fills a code block, names a tool of the request, and looks
like a call. What it begins with shows that soon, so other objects are not held back.

Source: the documents of Cherry Studio (`<tool_use>`), of IBM's Granite (`<|tool_call|>`) and of
Nous' older `<function_call>`; the JSON-based forms among llama.cpp's `common_chat` parsers, and
public reports about proxies of this kind.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from poe_proxy.budget import OutOfBudget
from poe_proxy.shaping.loose_json import Nesting, read, write
from poe_proxy.shaping.tool_calls.base import Dialect, Place, RawCall, Reader, stands
from poe_proxy.shaping.tool_calls.forms import (
    FENCE,
    GAP,
    NAME,
    OBJECT,
    OBJECT_OR_LIST,
    QUOTE,
    Before,
    Form,
    Maybe,
    OneOf,
    Run,
)
from poe_proxy.shaping.tool_calls.json_body import JsonBody
from poe_proxy.shaping.tool_calls.reading import (
    ARGUMENT_KEYS,
    CALL_TYPES,
    NAME_KEYS,
    looks_like_call,
    names_a_tool,
)

#: The most characters of an object that is looked at to know whether it is a call.
MAX_LENGTH: Final = 200_000

_KEY: Final = re.compile(r"[\w.:/-]{1,128}+")
_VALUE: Final = re.compile(r"[^\"'\\\n{}]{0,128}+")
_REST_OF_LINE: Final = re.compile(r"[^\S\n]*+")
_ANY_SPACE: Final = re.compile(r"\s*+")
_BETWEEN: Final = re.compile(r"[\s,\[\]]*+")

#: An object up to its first value, which must be a text or an object.
_START: Final = (
    Maybe("[", GAP), "{", GAP, QUOTE, Run(_KEY, "key", least=1), QUOTE, GAP, ":", GAP,
)  # fmt: skip
_TEXT: Final = (OneOf('"', "'"), Run(_VALUE, "value"), OneOf('"', "'"))
_OBJECT: Final = Form(Before((*_START, OneOf(_TEXT, Before("{", "[", '"')))))
_IN_TAG: Final = Form(
    OneOf(
        ("<", OneOf("function_calls", "function_call", "tool_use", "minimax:tool_call"), ">"),
        "<|tool_call|>",
    ),
    *FENCE,
    *OBJECT_OR_LIST,
)
_IN_ELEMENTS: Final = Form(
    OneOf("<tool_use>", "<tool_call>", "<minimax:tool_call>"), GAP,
    OneOf(
        ("<name>", GAP, NAME, GAP, "</name>"), ("<tool_name>", GAP, NAME, GAP, "</tool_name>")
    ), GAP, OneOf("<arguments>", "<parameters>"), *OBJECT,
)  # fmt: skip


class Candidate:
    """Reads an object or a list, and then looks whether it is a call.

    *is_alone*: nothing may follow on its last line; in a *is_fenced* one the fence must end.
    """

    def __init__(
        self, names: Collection[str], *, is_certain: bool, is_alone: bool, is_fenced: bool
    ) -> None:
        self.is_certain = is_certain
        self.is_over = False
        self._names = names
        self._nesting: Nesting | None = Nesting()
        self._fits = not is_alone
        self._is_fenced = is_fenced

    def read(self, text: str, at: int) -> int:
        """See `Reader`."""
        if self._nesting is not None:
            end = self._nesting.end(text, at)
            if end is None:
                return len(text)
            at = end
            self.is_certain = self.is_certain and not self._nesting.missing
            self._nesting = None
            if self._fits:
                self.is_over = True
                return at
        space = _ANY_SPACE.match(text, at) if self._is_fenced else _REST_OF_LINE.match(text, at)
        assert space is not None
        at = space.end()
        follows = text[at : at + 3]
        wanted = "```" if self._is_fenced else "\n"
        if follows and (len(follows) == 3 or not wanted.startswith(follows)):
            self.is_over = True
        # In a block there may be several, one below the other.
        if follows.startswith(wanted) or (self._is_fenced and follows[:1] == "{"):
            self.is_over = self._fits = True
        return at

    def calls(self, opening: str, body: str) -> Sequence[RawCall] | None:
        """See `Reader`."""
        return self._judged(opening, body) if self._fits else None

    def unfinished(self, opening: str, body: str, rest: str) -> Sequence[RawCall] | None:
        """See `Reader`. What a call lacks is asked for; what may be none is text."""
        if self._nesting is None:
            return self._judged(opening, body + rest)
        if not self.is_certain:
            return None
        reader = JsonBody()
        reader.read(body, 0)
        return reader.unfinished(opening, body, rest)

    def _judged(self, opening: str, body: str) -> Sequence[RawCall] | None:
        if len(body) > MAX_LENGTH:
            return None
        try:
            value = read(body, loosely=True)[0]
        except (ValueError, OutOfBudget):
            # Its beginning showed that it is a call, so the bot shall write it anew.
            return [RawCall(body, opening + body)] if self.is_certain else None
        if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
            value = value["tool_calls"]
            texts = [write(one) for one in value]
        else:
            texts = _objects(body) if isinstance(value, list) else [body]
        found: list[Any] = value if isinstance(value, list) else [value]
        if not found or not all(looks_like_call(one, self._names) for one in found):
            return None
        sources = [opening + body, *[""] * (len(texts) - 1)]
        return [RawCall(text, source) for text, source in zip(texts, sources, strict=True)]

    def another(self) -> None:
        """See `Reader`."""


def _objects(body: str) -> list[str]:
    """Return the objects in the text of a list."""
    found: list[str] = []
    at = 0
    while (between := _BETWEEN.match(body, at)) and between.end() < len(body):
        start = between.end()
        at = Nesting().end(body, start) or len(body)
        found.append(body[start:at])
    return found


def _reader(groups: Mapping[str, str], place: Place) -> Reader | None:
    key, value = groups["key"], groups.get("value")
    is_named = value is not None and names_a_tool(value, place.names)
    if key in NAME_KEYS:
        may_be = is_named or (value is None and key == "function")
    elif key == "type":
        may_be = value in CALL_TYPES
    elif key in ("id", "call_id"):
        may_be = value is not None and value.startswith(("call", "toolu", "functions."))
    else:
        may_be = key in ARGUMENT_KEYS or (
            value is None and (key == "tool_calls" or names_a_tool(key, place.names))
        )
    if not may_be:
        return None
    return Candidate(
        place.names, is_certain=is_named, is_alone=True, is_fenced=place.fence is not None
    )


def _in_tag(groups: Mapping[str, str], place: Place) -> Reader | None:
    return Candidate(place.names, is_certain=False, is_alone=False, is_fenced=False)


def _in_elements(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return JsonBody(name) if place.allows(name) else None


def _stands_alone(place: Place) -> bool:
    """Whether an object may begin its line, or its code block, here."""
    return place.allows() and place.begins_line


BARE: Final = Dialect(_OBJECT, _reader, _stands_alone)
IN_TAGS: Final = (
    Dialect(_IN_ELEMENTS, _in_elements, stands),
    Dialect(_IN_TAG, _in_tag, stands),
)
