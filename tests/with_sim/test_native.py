"""`NATIVE_MESSAGES`: requests for Claude pass to Poe's own Messages API and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
import requests
from anthropic.types import Message

from .official import ApiSim
from .servers import KEY, Proxy

CLAUDE = "claude-sonnet-4-6"
#: What is long enough to be cached, and marked for it.
RULES = {"type": "text", "text": "Be kind. " * 800, "cache_control": {"type": "ephemeral"}}


@pytest.fixture(scope="module")
def sim() -> Iterator[ApiSim]:
    with ApiSim(("cookie-a",), ("key-a",), pace=0) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(sim: ApiSim) -> Iterator[Proxy]:
    with Proxy(sim, NATIVE_MESSAGES="1") as running:
        yield running


@pytest.fixture
def client(sim: ApiSim, proxy: Proxy) -> Iterator[anthropic.Anthropic]:
    sim.control_api(reset=True)
    requests.delete(f"{sim.url}/__journal", timeout=60)
    with anthropic.Anthropic(base_url=proxy.url, api_key=KEY, max_retries=0) as one:
        yield one


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    streamed: bool = request.param
    return streamed


def hear(client: anthropic.Anthropic, *, stream: bool, **fields: Any) -> Message:
    """The message that answers; its blocks are put together by the package if it is streamed."""
    asked: dict[str, Any] = {
        "model": CLAUDE,
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": "Hello"}],
        **fields,
    }
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def paths(sim: ApiSim) -> list[str]:
    """Where Poe was asked for answers."""
    asked = (one["path"] for one in sim.journal() if one.get("face") == "api" and "path" in one)
    return [path for path in asked if path.rpartition("/")[2] in ("messages", "completions")]


def test_prompts_are_cached_and_thoughts_are_signed(
    sim: ApiSim, client: anthropic.Anthropic, stream: bool
) -> None:
    """What only Poe's own route can do; and the model is named as the client has named it."""
    rules = {**RULES, "text": f"{RULES['text']} {stream}"}
    thinking = {"type": "enabled", "budget_tokens": 2000}

    first, second = (hear(client, stream=stream, system=[rules], thinking=thinking) for _ in "12")

    assert (CLAUDE, "end_turn") == (first.model, first.stop_reason)
    assert ["thinking", "text"] == [block.type for block in first.content]
    assert isinstance(first.content[0], anthropic.types.ThinkingBlock)
    assert first.content[0].signature
    assert first.usage.cache_creation_input_tokens
    assert first.usage.cache_creation_input_tokens == second.usage.cache_read_input_tokens
    assert ["/v1/messages"] * 2 == paths(sim)


def test_what_poe_refuses_does_not_get_there(client: anthropic.Anthropic, stream: bool) -> None:
    """Claude Code sends fields of betas with each request."""
    fields = {"context_management": {"edits": []}, "diagnostics": {}}

    assert hear(client, stream=stream, extra_body=fields).content


def test_other_bots_are_asked_as_ever(
    sim: ApiSim, client: anthropic.Anthropic, stream: bool
) -> None:
    """Poe's route leads to Claude; the answer has the same form."""
    said = hear(client, stream=stream, model="GPT-5.1", stop_sequences=["never"])

    assert ("GPT-5.1", "end_turn") == (said.model, said.stop_reason)
    assert "text" == said.content[0].type
    assert ["/v1/chat/completions"] == paths(sim)


def test_another_account_answers_before_the_first_word(sim: ApiSim) -> None:
    """A key that is limited is passed over, and rests; by cookie the request is translated."""
    sim.control_api(reset=True, faults={"*": "!http=429"})
    with (
        Proxy(sim, NATIVE_MESSAGES="1") as proxy,
        anthropic.Anthropic(base_url=proxy.url, api_key=KEY, max_retries=0) as client,
    ):
        for stream in (True, False):
            said = hear(client, stream=stream)
            assert (CLAUDE, "text") == (said.model, said.content[0].type)


def test_an_error_in_mid_stream_is_one(client: anthropic.Anthropic) -> None:
    """It ends the stream in the form of this API, in Poe's own words."""
    with (
        pytest.raises(anthropic.APIStatusError),
        client.messages.stream(
            model=CLAUDE,
            max_tokens=4000,
            messages=[{"role": "user", "content": "!error-after=3 one two three four five six"}],
        ) as events,
    ):
        events.until_done()
