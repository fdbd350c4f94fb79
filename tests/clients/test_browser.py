"""A page of another origin in a real browser, which hides what CORS does not show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ..with_sim.servers import Proxy, Sim
from .conftest import ECHO, Upstream


@pytest.fixture(scope="session")
def page(upstream: Upstream, poe: Sim) -> Iterator[Any]:
    """By scene, all that a page could read of the answer, its body in pieces.

    The page tires all accounts, so it has a server of its own, which soon gives up waiting.
    """
    with Proxy(poe, **{**upstream.settings, "QUEUE_TIMEOUT": "1"}) as proxy:
        yield upstream.run("browser", proxy)


def test_a_page_reads_a_whole_answer(page: Any) -> None:
    """A preflight that asks for the openai package's headers passes; the answer is readable."""
    answer = page["whole"]

    assert 200 == answer["status"]
    assert answer["id"]
    assert ECHO == json.loads("".join(answer["pieces"]))["choices"][0]["message"]["content"]


def test_a_page_reads_a_stream_as_it_comes(page: Any) -> None:
    """A stream is read by fetch in several pieces, and ends with [DONE]."""
    answer = page["streamed"]

    assert (200, "text/event-stream; charset=utf-8") == (answer["status"], answer["type"])
    assert 2 < len(answer["pieces"])
    *chunks, done, rest = "".join(answer["pieces"]).split("\n\n")
    assert ("data: [DONE]", "") == (done, rest)
    deltas = [json.loads(one.removeprefix("data: "))["choices"][0]["delta"] for one in chunks]
    assert ECHO == "".join(delta.get("content") or "" for delta in deltas)


def test_a_page_lists_the_models(page: Any) -> None:
    """The list of models is readable from another origin."""
    answer = page["models"]

    assert 200 == answer["status"]
    names = [model["id"].lower() for model in json.loads("".join(answer["pieces"]))["data"]]
    assert "assistant" in names


@pytest.mark.parametrize(
    ("scene", "status"),
    [("unknown_model", 404), ("wrong_key", 401), ("too_many", 429), ("no_such_route", 404)],
)
def test_a_page_reads_why_it_was_refused(page: Any, scene: str, status: int) -> None:
    """The status, the id and the error of a refusal are readable from another origin."""
    answer = page[scene]

    assert status == answer["status"]
    assert answer["id"]
    error = json.loads("".join(answer["pieces"]))["error"]
    assert {"message", "type", "param", "code"} == error.keys()


def test_a_page_reads_when_to_come_back(page: Any) -> None:
    """Retry-After of a 429 is readable from another origin, in whole seconds."""
    assert 0 < int(page["too_many"]["retry"])
