"""Requests that one key passes on as they are, over a wire that follows a script."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from poe_proxy.chat import Done, Idle, Verbatim
from poe_proxy.errors import BotNotFound, ParameterRefused
from poe_proxy.net.transfer import End
from poe_proxy.upstreams.catalogue import Catalogue
from tests.fakes import ask

from .scripted import KEY, Make, error, head, reply


def messages_event(kind: str, **fields: Any) -> bytes:
    data = orjson.dumps({"type": kind, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


PASSED_ON = [
    head(),
    messages_event("message_start", message={"usage": {"input_tokens": 5}}),
    messages_event("ping"),
    messages_event("message_stop"),
    End(),
]


def claude() -> Catalogue:
    """A list with one bot of Anthropic's."""
    known = Catalogue(lambda: b'{"data": [{"id": "claude", "owned_by": "Anthropic"}]}')
    known.look()
    return known


def test_a_request_is_passed_on_to_the_route_that_it_was_made_for(make: Make) -> None:
    """With the version of its API, to a bot that is there; no other is able to take it."""
    api, wire = make(PASSED_ON, catalogue=claude())
    chat = ask(as_messages={"max_tokens": 9, "stream": True, "messages": []})

    events = list(reply(api, chat, "Claude"))

    assert [Verbatim, Verbatim, Done] == [type(one) for one in events if not isinstance(one, Idle)]
    (method, path, headers, body) = wire.sent[0]
    assert ("POST", "/v1/messages", "2023-06-01") == (method, path, headers["anthropic-version"])
    assert f"Bearer {KEY}" == headers["Authorization"]
    assert {"model": "Claude", "max_tokens": 9, "stream": True, "messages": []} == body
    assert api.abilities("Claude").messages
    assert not api.abilities("Another-Bot").messages


def test_a_field_that_poe_s_route_does_not_know_is_left_out(make: Make) -> None:
    """It is asked once more without the field, as is done for chats, however long it took."""
    refused = [30.0, *error(400, "service_tier: Extra inputs are not permitted")]
    api, wire = make(refused, PASSED_ON, catalogue=claude())
    chat = ask(as_messages={"max_tokens": 9, "service_tier": "auto", "messages": []})

    assert Done("stop") == list(reply(api, chat, "Claude"))[-1]
    assert [True, False] == ["service_tier" in body for *_, body in wire.sent]


def test_any_other_refusal_by_poe_s_route_is_one(make: Make) -> None:
    """What cannot be left out, and what was refused for its value."""
    api, wire = make(error(400, "max_tokens: must be greater than 5"), catalogue=claude())

    with pytest.raises(ParameterRefused, match="greater than 5"):
        list(reply(api, ask(as_messages={"max_tokens": 9}), "Claude"))
    assert 1 == len(wire.sent)


def test_a_bot_that_poe_s_route_does_not_lead_to_is_remembered(make: Make) -> None:
    """The next request for it is not passed on any more."""
    api, _ = make(error(404, "No such model."), catalogue=claude())

    with pytest.raises(BotNotFound):
        list(reply(api, ask(as_messages={}), "Claude"))
    assert not api.abilities("Claude").messages


@pytest.mark.parametrize("kind", ["invalid_request_error", "not_found_error"])
def test_a_refusal_within_an_answer_is_its_end(make: Make, kind: str) -> None:
    """Words have been said, and are paid for: nobody is asked again, and nothing is remembered."""
    told = {"type": kind, "message": "thinking: Extra inputs are not permitted"}
    begun = [*PASSED_ON[:2], messages_event("error", error=told), End()]
    api, wire = make(begun, PASSED_ON, catalogue=claude())
    fields = {"max_tokens": 9, "stream": True, "thinking": {"type": "adaptive"}}

    with pytest.raises((ParameterRefused, BotNotFound)):
        list(reply(api, ask(as_messages=fields), "Claude"))

    assert 1 == len(wire.sent)
    assert api.abilities("Claude").messages
