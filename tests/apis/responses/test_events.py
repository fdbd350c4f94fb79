"""Events on the wire."""

from __future__ import annotations

from poe_proxy.apis.responses.events import Events


def test_events_are_named_and_numbered() -> None:
    """Whatever they are made of, in the order in which they are made."""
    events = Events()
    added = events.deltas("response.output_text.delta", item_id="msg_1", output_index=2)

    assert (
        b'event: a.b\ndata: {"type":"a.b","sequence_number":0,"x":[1]}\n\n'
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",'
        b'"sequence_number":1,"item_id":"msg_1","output_index":2,"delta":"\\n\xc3\xa4\\""}\n\n'
        b'event: c\ndata: {"type":"c","sequence_number":2,"y":null}\n\n'
    ) == events.event("a.b", x=[1]) + added('\nä"') + events.written("c", b'"y":null')
