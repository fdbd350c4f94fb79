"""Answers of Poe's own Messages API, passed on as they came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from poe_proxy.apis.messages import Messages
from poe_proxy.apis.messages.rendering import Answer
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, Idle, Said, Text, Usage, Verbatim
from poe_proxy.errors import UpstreamInterrupted, UpstreamProtocolError

from ..streams import frames

ASKED = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Hi"}],
}
START = Verbatim({"type": "message_start", "message": {"id": "req_poe_1", "model": "at-poe"}})
DELTA = Verbatim({"type": "content_block_delta", "index": 0, "delta": {"signature": "s"}})
STOP = Verbatim({"type": "message_stop"})


def call(*, native: bool = True, **fields: Any) -> Answer:
    """A request, which may be passed on."""
    body = orjson.dumps({**ASKED, **fields})
    return Messages(native=native).call(body, Budget())


def heard(events: Iterable[Said]) -> list[dict[str, Any]]:
    """The data of the stream that these events make."""
    found = []
    for frame in frames(call(stream=True), events):
        name, data = frame.decode().strip().split("\n")
        found.append(orjson.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def test_a_request_goes_along_as_it_came_if_that_is_wanted() -> None:
    """With all its fields; whether it is streamed is certain then."""
    assert {**ASKED, "top_k": 5, "stream": False} == call(top_k=5).chat.as_messages
    assert call(native=False).chat.as_messages is None


def test_a_stream_is_passed_on_with_the_name_that_the_client_wrote() -> None:
    """Event by event, with our keep-alive between them and no end of our own."""
    said = heard([START, Idle(), DELTA, Usage(1, 2), STOP, Done()])

    start = {"type": "message_start", "message": {"id": "req_poe_1", "model": ASKED["model"]}}
    assert [start, {"type": "ping"}, DELTA.said, STOP.said] == said


def test_a_stream_that_silence_has_opened_has_one_beginning() -> None:
    """It was sent when the keep-alive was; Poe's own comes too late."""
    said = heard([Idle(), START, DELTA, STOP, Done()])

    assert ["message_start", "content_block_delta", "message_stop"] == [one["type"] for one in said]
    assert ASKED["model"] == said[0]["message"]["model"]


def test_a_whole_answer_is_passed_on_with_the_name_that_the_client_wrote() -> None:
    """All else is Poe's."""
    answer = {"type": "message", "model": "at-poe", "content": [], "usage": {"service_tier": "x"}}

    body = call().body([Usage(1, 2), Verbatim(answer), Done()])

    assert {**answer, "model": ASKED["model"]} == orjson.loads(body)


def test_an_account_that_cannot_pass_it_on_answers_in_our_own_form() -> None:
    """As by cookie."""
    said = heard([Text("Hi"), Done()])

    assert "message_start" == said[0]["type"]
    assert "end_turn" == said[-2]["delta"]["stop_reason"]


def test_what_is_too_deep_to_be_written_is_a_failure_of_poe_s() -> None:
    """Whole and streamed: more can be read than written."""
    deep = Verbatim(orjson.loads(b'{"type":"x","a":' + b"[" * 900 + b"]" * 900 + b"}"))

    with pytest.raises(UpstreamProtocolError):
        call().body(iter([deep, Done()]))
    with pytest.raises(UpstreamProtocolError):
        heard([START, deep, Done()])


@pytest.mark.parametrize("first", [START, Idle()], ids=["at once", "after silence"])
def test_a_failure_within_it_closes_no_block(first: Said) -> None:
    """A call that is open would be complete, and be carried out; with ERRORS_AS_TEXT, too."""
    body = orjson.dumps({**ASKED, "stream": True})
    one = Messages(native=True, errors_as_text=True).call(body, Budget())
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    opened = Verbatim({"type": "content_block_start", "index": 0, "content_block": block})

    assert 2 == len([*frames(one, [first, opened])])

    assert one.failed(UpstreamInterrupted("Lost.")).startswith(b"event: error\n")
