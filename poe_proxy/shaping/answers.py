"""The answer that a client was given, as it will send it back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

from poe_proxy.chat import (
    Done,
    Message,
    Refusal,
    ReplyEvent,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from poe_proxy.shaping.whole_text import WholeText


def telling(
    events: Generator[ReplyEvent, None, None], tell: Callable[[Message], None]
) -> Generator[ReplyEvent, None, None]:
    """Yield *events*, and call *tell* with the whole answer before its `Done`.

    It is not called for an answer that is empty, was refused, or was cut at its length.
    """
    said = WholeText()
    calls: dict[int, ToolCall] = {}
    is_refused = False
    with closing(events):
        for event in events:
            said.add(event)
            match event:
                case Refusal():
                    is_refused = True
                case ToolCallPart():
                    calls[event.index] = _grown(calls.get(event.index), event)
                case Done("stop" | "tool_calls") if not is_refused and (calls or said.text):
                    tell(
                        Message(
                            role="assistant",
                            content=(TextPart(said.text),),
                            tool_calls=tuple(calls.values()),
                        )
                    )
            yield event


def _grown(call: ToolCall | None, part: ToolCallPart) -> ToolCall:
    known = call or ToolCall(part.id or "", part.name or "", "")
    return ToolCall(known.id, known.name, known.arguments + part.arguments)
