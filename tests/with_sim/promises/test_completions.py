"""OpenAI's older completions, over both ways, read with OpenAI's own types."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from openai.types import Completion

from .asking import BOT, WORDS, Way, error_of


def ask(way: Way, **fields: Any) -> requests.Response:
    body = {"model": BOT, **fields}
    return requests.post(
        f"{way.proxy.url}/v1/completions", json=body, headers=way.proxy.headers, timeout=60
    )


def chunks(answer: requests.Response) -> list[dict[str, Any]]:
    """The chunks of a stream. OpenAI's type fits once they have a reason, which only the last one
    has on the wire."""
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    *frames, done, end = answer.content.decode().split("\n\n")
    assert ("data: [DONE]", "") == (done, end)
    found: list[dict[str, Any]] = [json.loads(one.removeprefix("data: ")) for one in frames]
    for one in found:
        choices = [{**choice, "finish_reason": "stop"} for choice in one["choices"]]
        Completion.model_validate({**one, "choices": choices}, strict=True)
    return found


def test_a_whole_answer_is_a_text_completion(way: Way) -> None:
    """The bot's words, a reason, and the usage."""
    body = ask(way, prompt=f"!echo {WORDS}").json()
    answer = Completion.model_validate(body, strict=True)

    (choice,) = answer.choices
    assert (WORDS, "stop", "text_completion", BOT) == (
        choice.text,
        choice.finish_reason,
        answer.object,
        answer.model,
    )
    assert answer.usage
    assert answer.usage.total_tokens > 1


def test_a_stream_is_words_reason_and_end(way: Way) -> None:
    """The prompt first where that is wanted; figures only if asked for."""
    prompt = f"!echo {WORDS}"
    plain = chunks(ask(way, prompt=prompt, stream=True))
    echoed = chunks(
        ask(way, prompt=prompt, stream=True, echo=True, stream_options={"include_usage": True})
    )

    assert WORDS == "".join(one["choices"][0]["text"] for one in plain)
    assert "stop" == plain[-1]["choices"][0]["finish_reason"]
    assert all("usage" not in one for one in plain)
    *said, last = echoed
    assert prompt + WORDS == "".join(one["choices"][0]["text"] for one in said)
    assert last["usage"]["total_tokens"] > 1


def test_the_openai_package_completes(way: Way) -> None:
    """Whole and streamed, with an answer that ends before its stop word."""
    with way.proxy.openai() as client:
        whole = client.completions.create(
            model=BOT, prompt="!echo one STOP two", stop="STOP", max_tokens=50
        )
        stream = client.completions.create(model=BOT, prompt="!echo one two", stream=True)
        said = "".join(one.choices[0].text for one in stream)

    assert ("one ", "one two") == (whole.choices[0].text, said)


def test_a_suffix_reaches_the_bot(way: Way) -> None:
    """What is asked for stands between both."""
    answer = ask(way, prompt="!echo def f():", suffix="return x")
    text = answer.json()["choices"][0]["text"]

    assert "def f():" in text
    assert "return x" in text


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"prompt": [1, 2]}, "prompt"), ({"prompt": "x", "n": 2}, "n"), ({}, "prompt")],
    ids=str,
)
def test_what_cannot_be_done_is_refused_by_name(
    way: Way, fields: dict[str, Any], param: str
) -> None:
    """With the error object of all routes."""
    answer = ask(way, **fields)

    assert (400, param) == (answer.status_code, error_of(answer)["param"])


def test_a_client_that_hangs_up_stops_the_bot(way: Way) -> None:
    """In the middle of a stream."""
    asked = {"model": BOT, "prompt": "!long=20000 !delay=0.05", "stream": True}
    way.hang_up("/v1/completions", asked, among_words=True)
