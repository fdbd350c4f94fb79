"""What the server answers in each API is read for what it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from poe_proxy.apis.base import Api, Call
from poe_proxy.apis.chat_completions import ChatCompletions
from poe_proxy.apis.completions import Completions
from poe_proxy.apis.messages import Messages
from poe_proxy.apis.responses import Responses
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, Said, Text
from poe_proxy.errors import UpstreamInterrupted, UpstreamUncertain

from ..apis.streams import frames
from .dialects import DIALECTS, UNREADABLE, Told

APIS: dict[str, Api] = {
    "chat": ChatCompletions(),
    "completions": Completions(),
    "responses": Responses(),
    "messages": Messages(),
}
SAID = (Text("Hello"), Text(" there"), Done())


@pytest.fixture(params=DIALECTS)
def api(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def asked(api: str, *, stream: bool) -> Call:
    body = {"model": "bot", "stream": stream, **DIALECTS[api].body("Hello")}
    return APIS[api].call(json.dumps(body).encode(), Budget())


def events(sent: Iterable[bytes]) -> list[str]:
    """The data of each event."""
    lines = b"".join(sent).decode().split("\n")
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def read(api: str, data: Iterable[str]) -> Told:
    told = Told()
    reader = DIALECTS[api].stream(told)
    for one in data:
        reader(one)
        if told.ending:
            break
    return told


def streamed(api: str, said: Sequence[Said] = SAID) -> list[str]:
    return events(frames(asked(api, stream=True), said))


def test_an_answer_is_read(api: str) -> None:
    """Whole and streamed: its text, and that the bot has said all."""
    whole = Told()
    DIALECTS[api].whole(json.loads(asked(api, stream=False).body(iter(SAID))), whole)

    for told in (whole, read(api, streamed(api))):
        assert ("answered", "Hello there") == (told.ending, told.text)
        assert DIALECTS[api].complete == told.reason


def test_an_answer_that_was_cut_at_a_length_is_not_complete(api: str) -> None:
    """The reason says so."""
    told = read(api, streamed(api, [Text("Hello"), Done("length")]))

    assert "answered" == told.ending
    assert DIALECTS[api].complete != told.reason


def test_a_failure_is_read_with_its_code(api: str) -> None:
    """Before an answer and within it; Anthropic's API has no code to tell."""
    failure = UpstreamInterrupted("It broke off.")
    code = "" if api == "messages" else "upstream_interrupted"
    refused = Told()
    DIALECTS[api].refusal(json.loads(APIS[api].failure(failure)), refused)
    call = asked(api, stream=True)
    spoken = list(frames(call, [Text("Hello")]))
    told = next(place for place, frame in enumerate(spoken, 1) if b"Hello" in frame)
    broken = read(api, events([*spoken[:told], call.failed(failure)]))

    assert ("error", code, "It broke off.") == (refused.ending, refused.code, refused.message)
    assert ("broke off", code, "It broke off.") == (broken.ending, broken.code, broken.message)
    assert "Hello" == broken.text


def test_a_stream_that_was_opened_for_a_failure_is_an_error() -> None:
    """Nothing broke off: in any other API the answer had been a status."""
    call = asked("responses", stream=True)
    told = read("responses", events([call.failed(UpstreamUncertain("Lost."))]))

    assert ("error", "upstream_uncertain", "") == (told.ending, told.code, told.text)


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("api", ["responses", "messages"])
def test_an_event_that_is_missing_is_seen(api: str, place: int) -> None:
    """Whichever it is: the rest is malformed, has no end, or another text or reason."""
    sound = streamed(api)
    del sound[place % len(sound)]
    try:
        told = read(api, sound)
    except UNREADABLE:
        return

    assert ("answered", "Hello there", DIALECTS[api].complete) != (
        told.ending,
        told.text,
        told.reason,
    )
