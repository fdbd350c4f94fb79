"""The answer that a client was given, as it will send it back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from poe_proxy.chat import (
    Done,
    Message,
    Refusal,
    ReplyEvent,
    Text,
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
    calls: dict[int, list[ToolCallPart]] = {}
    is_refused = False
    with closing(events):
        for event in events:
            said.add(event)
            if type(event) is Text:
                yield event
                continue
            match event:
                case Refusal():
                    is_refused = True
                case ToolCallPart():
                    calls.setdefault(event.index, []).append(event)
                case Done("stop" | "tool_calls") if not is_refused and (calls or said.text):
                    tell(
                        Message(
                            role="assistant",
                            content=(TextPart(said.text),),
                            tool_calls=tuple(map(_whole, calls.values())),
                        )
                    )
            yield event


def _whole(parts: Sequence[ToolCallPart]) -> ToolCall:
    first = parts[0]
    return ToolCall(first.id or "", first.name or "", "".join(part.arguments for part in parts))
