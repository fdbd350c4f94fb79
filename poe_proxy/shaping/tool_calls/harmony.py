"""gpt-oss' form, harmony: channels, of which one may be meant for a tool.

    <|channel|>analysis<|message|>I need the weather.<|end|>
    <|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>
    {"city": "Paris"}<|call|>

The recipient may stand in the role as well (`assistant to=functions.get_weather`). What is in the
channel `analysis` is thought, not said; `final`, and `commentary` without a recipient, are for the
user, without their marks.

Source: OpenAI's cookbook on the harmony response format; github.com/openai/harmony.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from poe_proxy.shaping.tool_calls.base import Dialect, Place, RawCall, Reader, stands_as_token
from poe_proxy.shaping.tool_calls.forms import (
    GAP,
    MORE,
    NAME,
    OBJECT,
    SPACE,
    Form,
    Found,
    Maybe,
    OneOf,
    Run,
)
from poe_proxy.shaping.tool_calls.json_body import JsonBody

_WORD: Final = re.compile(r"\w{0,20}+")

_CHANNEL: Final = ("<|channel|>", Run(_WORD, "channel", least=1))
_TYPE: Final = (GAP, Maybe("<|constrain|>", GAP), Run(_WORD), GAP, "<|message|>")
_TO: Final = ("to=", NAME)
_CALL: Final = Form(
    OneOf(
        ("<|start|>assistant", SPACE, *_TO, *_CHANNEL),
        (Maybe("<|start|>assistant"), *_CHANNEL, GAP, *_TO),
    ),
    *_TYPE,
    *OBJECT,
)
_MESSAGE: Final = Form(Maybe("<|start|>assistant"), *_CHANNEL, *_TYPE)
_OVER: Final = Form(OneOf("<|end|>", "<|return|>", "<|call|>"))
_BEGIN: Final = Form(OneOf("<|start|>", "<|channel|>"))


class Marks:
    """Marks that are no content, and nothing to be read behind them."""

    is_over = True
    is_certain = True

    def read(self, text: str, at: int) -> int:
        """See `Reader`."""
        return at

    def calls(self, opening: str, body: str) -> Sequence[RawCall]:
        """See `Reader`."""
        return []

    def unfinished(self, opening: str, body: str, rest: str) -> Sequence[RawCall]:
        """See `Reader`."""
        return []

    def another(self) -> None:
        """See `Reader`."""


class Thought(Marks):
    """Reads a message that is not said, up to its end."""

    def __init__(self) -> None:
        self.is_over = False

    def read(self, text: str, at: int) -> int:
        """See `Reader`."""
        while (at := text.find("<", at)) >= 0:
            end, begin = _OVER.match(text, at), _BEGIN.match(text, at)
            if isinstance(end, Found) or isinstance(begin, Found):
                self.is_over = True
                return end.end if isinstance(end, Found) else at
            if MORE in (end, begin):
                return at
            at += 1
        return len(text)


def _call(groups: Mapping[str, str], place: Place) -> Reader | None:
    name = groups["name"]
    return JsonBody(name) if place.allows(name, token=True) else None


def _message(groups: Mapping[str, str], place: Place) -> Reader | None:
    return Thought() if groups["channel"] == "analysis" else Marks()


def _end(groups: Mapping[str, str], place: Place) -> Reader | None:
    return Marks()


CALL: Final = Dialect(_CALL, _call, stands_as_token)
MESSAGE: Final = Dialect(_MESSAGE, _message, stands_as_token)
#: Only within channels.
END: Final = Dialect(_OVER, _end, lambda place: place.is_in_channels and not place.is_quoted)
