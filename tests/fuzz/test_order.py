"""A stream is looked at as its clients read it: what they would not understand is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from poe_proxy.budget import Budget
from poe_proxy.chat import Done, Reasoning, Text, ToolCallPart

from .dressing import APIS, FORMS, body
from .order import LOOKS, Disorder

SAID = (
    Reasoning("Hm."),
    Text("Let me "),
    Text("look."),
    ToolCallPart(0, "call_1", "get_weather", '{"city":'),
    ToolCallPart(0, arguments='"Rome"}'),
    Done("tool_calls"),
)


def stream(api: str) -> list[dict[str, Any]]:
    """The events that say all of it."""
    tools = next(one for one in FORMS[api] if "tools" in one)
    call = APIS[api].call(body(tools, api=api, stream=True), Budget())
    frames = b"".join(call.frame(one) for one in SAID).decode().split("\n\n")[:-1]
    return [json.loads(frame.partition("\ndata: ")[2]) for frame in frames]


def look(api: str, events: list[dict[str, Any]]) -> None:
    seen = LOOKS[api]()
    for number, event in enumerate(events):
        if "sequence_number" in event:
            event = {**event, "sequence_number": number}
        seen.at(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    seen.at_end(failed=False)


@pytest.mark.parametrize("api", LOOKS)
def test_what_is_in_order_is_not_complained_about(api: str) -> None:
    """Thoughts, a text and a call."""
    look(api, stream(api))


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("responses", "response.created"),
        ("responses", "response.output_item.added"),
        ("responses", "response.output_text.delta"),
        ("responses", "response.function_call_arguments.delta"),
        ("responses", "response.output_item.done"),
        ("responses", "response.completed"),
        ("messages", "message_start"),
        ("messages", "content_block_start"),
        ("messages", "content_block_stop"),
        ("messages", "message_delta"),
        ("messages", "message_stop"),
    ],
)
def test_an_event_that_is_missing_twice_or_late_is_found(api: str, kind: str) -> None:
    """The first one of its kind, although all others are numbered as if nothing were wrong."""
    events = stream(api)
    place = next(place for place, event in enumerate(events) if event["type"] == kind)
    one = events[place]
    missing = events[:place] + events[place + 1 :]

    for wrong in (missing, [*events[:place], one, *events[place:]], [*missing, one]):
        if wrong != events:
            with pytest.raises(Disorder):
                look(api, wrong)


@pytest.mark.parametrize("api", LOOKS)
def test_a_stream_that_stops_before_its_end_is_found(api: str) -> None:
    """Wherever it does."""
    events = stream(api)
    for place in range(1, len(events)):
        with pytest.raises(Disorder):
            look(api, events[:place])
