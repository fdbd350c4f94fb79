"""An OpenAI client chats with a Poe account: the whole path, over real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import requests
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from .servers import KEY, Proxy, Sim, ask


def chunks_of(answer: requests.Response) -> list[str]:
    """The data lines of a streamed answer."""
    return [
        line.removeprefix("data: ")
        for line in answer.iter_lines(chunk_size=1, decode_unicode=True)
        if line.startswith("data: ")
    ]


# ---- the answers


def test_a_whole_answer_is_what_the_openai_package_expects(proxy: Proxy) -> None:
    """A whole answer passes the strict validation of the openai package."""
    answer = proxy.post(ask("!echo Grüße, 世界 🌍"))

    completion = ChatCompletion.model_validate_json(answer.content, strict=True)
    assert "Grüße, 世界 🌍" == completion.choices[0].message.content
    assert "stop" == completion.choices[0].finish_reason
    assert "gpt-4" == completion.model
    assert completion.usage is not None
    assert 0 < completion.usage.prompt_tokens
    assert 0 < completion.usage.completion_tokens
    assert answer.headers["x-request-id"]


def test_a_streamed_answer_is_role_then_text_then_the_end(proxy: Proxy) -> None:
    """A stream is a role chunk, text chunks, a finish chunk and [DONE], all of one id."""
    # What came at one time is one piece, unless something else came in between.
    prompt = "!title=middle !echo one two three four five"
    answer = proxy.post(ask(prompt, stream=True), stream=True)
    lines = chunks_of(answer)

    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    assert "[DONE]" == lines.pop()
    chunks = [ChatCompletionChunk.model_validate_json(line, strict=True) for line in lines]
    assert "assistant" == chunks[0].choices[0].delta.role
    assert "one two three four five" == "".join(c.choices[0].delta.content or "" for c in chunks)
    assert "stop" == chunks[-1].choices[0].finish_reason
    assert 1 == len({(c.id, c.created, c.model) for c in chunks})
    assert 1 < sum(1 for c in chunks if c.choices[0].delta.content)


def test_text_is_passed_on_as_it_arrives(sim: Sim, proxy: Proxy) -> None:
    """Text is neither collected nor delayed: what was said is here while the bot has yet to end."""
    said = ""
    with proxy.openai().chat.completions.create(
        **ask("!hang !echo some words and then no more of them", stream=True)
    ) as stream:
        for chunk in stream:
            said += chunk.choices[0].delta.content or ""
            if said.startswith("some words"):
                break
        running = [account["running"] for account in sim.control()["accounts"]]

    assert said.startswith("some words")
    assert 1 == sum(map(bool, running))


def test_usage_comes_in_a_chunk_of_its_own_when_asked_for(proxy: Proxy) -> None:
    """stream_options.include_usage adds one last chunk without choices."""
    stream = proxy.openai().chat.completions.create(
        **ask("!echo hello", stream=True, stream_options={"include_usage": True})
    )
    *_, last = stream

    assert [] == last.choices
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


def test_the_async_client_is_served_too(proxy: Proxy) -> None:
    """The async openai client gets whole and streamed answers."""

    async def both() -> tuple[str, str]:
        client = AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key=KEY, max_retries=0)
        whole = await client.chat.completions.create(**ask("!echo whole"))
        stream = await client.chat.completions.create(**ask("!echo in pieces", stream=True))
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        await client.close()
        return whole.choices[0].message.content or "", "".join(pieces)

    assert ("whole", "in pieces") == asyncio.run(both())


def test_rewritten_text_is_whole_in_a_whole_answer(proxy: Proxy) -> None:
    """A bot that rewrites itself is quoted in its last version."""
    answer = proxy.post(ask("!rewrite !echo the last version of it")).json()

    assert "the last version of it" == answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("name", ["GPT-4", "claude-SONNET-4.5"], ids=["in the table", "handle"])
def test_model_names_lead_to_their_bots(proxy: Proxy, name: str) -> None:
    """The old names and any handle are served, in any case, under the name that was asked."""
    assert name == proxy.post(ask("!echo hi", model=name)).json()["model"]


# ---- failures


def test_an_unknown_bot_is_a_404_that_names_it(proxy: Proxy) -> None:
    """We never answer with a bot that was not asked for."""
    with pytest.raises(openai.NotFoundError) as failure:
        proxy.openai().chat.completions.create(**ask("hi", model="No-Such-Bot-At-All"))

    assert "model_not_found" == failure.value.code
    assert "No-Such-Bot-At-All" in failure.value.message


def test_a_failure_within_a_stream_is_an_error_object(proxy: Proxy) -> None:
    """A failure in mid-reply is a last SSE error object, and no word of the answer."""
    answer = proxy.post(
        ask("!state=error_of_some_kind !echo some words before the end", stream=True), stream=True
    )
    lines = [json.loads(line) for line in chunks_of(answer)]

    assert 200 == answer.status_code
    assert "bot_failed" == lines[-1]["error"]["code"]
    assert all("error" not in json.dumps(line.get("choices", "")) for line in lines)


def test_a_challenge_says_so_and_points_to_api_keys() -> None:
    """A challenge page is told as such, with the way out."""
    with Sim(tokens=("only",)) as sim, Proxy(sim) as proxy:
        sim.control(challenge=True)
        answer = proxy.post(ask("hi"))

    assert "upstream_blocked" == answer.json()["error"]["code"]
    assert "POE_API_KEYS" in answer.json()["error"]["message"]


# ---- the pool


def test_a_rejected_token_is_passed_over() -> None:
    """One bad token never stops the start, and the request goes to the next one."""
    with Sim(tokens=("good",)) as sim, Proxy(sim, TOKENS="bad-one,good,bad-two") as proxy:
        answers = [proxy.post(ask("!echo fine")) for _ in range(6)]

    assert ["fine"] * 6 == [a.json()["choices"][0]["message"]["content"] for a in answers]


def test_a_tired_pool_says_when_to_come_back() -> None:
    """Nobody free within QUEUE_TIMEOUT is a 429 with Retry-After in whole seconds."""
    with (
        Sim(tokens=("one",)) as sim,
        Proxy(sim, COOL_DOWN="30", QUEUE_TIMEOUT="1", TOKEN_CONCURRENCY="1") as proxy,
    ):
        first = proxy.post(ask("!echo hi"))
        second = proxy.post(ask("!echo hi"))

    assert 200 == first.status_code
    assert 429 == second.status_code
    assert "rate_limit_exceeded" == second.json()["error"]["code"]
    assert 20 < int(second.headers["retry-after"]) <= 30


def test_a_request_waits_in_line_for_a_tired_token() -> None:
    """A request that comes too early is served as soon as the token has rested."""
    with Sim(tokens=("one",)) as sim, Proxy(sim, COOL_DOWN="1.5") as proxy:
        began = time.monotonic()
        texts = [
            proxy.post(ask(f"!echo {n}")).json()["choices"][0]["message"]["content"]
            for n in range(2)
        ]

    assert ["0", "1"] == texts
    assert 1.5 <= time.monotonic() - began


def test_a_hundred_streams_at_once_each_get_their_own_text() -> None:
    """100 parallel streams over 5 tokens: every one receives exactly its own text."""
    tokens = [f"account-{n}" for n in range(5)]
    with (
        Sim(tokens, (), "--max-concurrent", "20", pace=0.02) as sim,
        Proxy(sim, TOKEN_CONCURRENCY="20") as proxy,
        ThreadPoolExecutor(100) as pool,
    ):
        client = proxy.openai()

        def stream(number: int) -> str:
            words = " ".join(f"{number}-{place}" for place in range(30))
            chunks = client.chat.completions.create(**ask(f"!echo {words}", stream=True))
            return "".join(c.choices[0].delta.content or "" for c in chunks)

        texts = list(pool.map(stream, range(100)))
        sends = sim.journal(queryName="sendMessageMutation")

    assert [" ".join(f"{n}-{place}" for place in range(30)) for n in range(100)] == texts
    assert 100 == len(sends)


# ---- breaks


def test_poe_dies_in_mid_reply_and_comes_back() -> None:
    """Replies in flight end with an error; once Poe is back, the next request works."""
    with Sim(tokens=("one",)) as sim, Proxy(sim) as proxy:
        stream = proxy.post(ask("!delay=0.1 !long=5000", stream=True), stream=True)
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        next(line for line in lines if '"content":"' in line)
        sim.stop(signal.SIGKILL)
        rest = [line for line in lines if line]
        down = proxy.post(ask("!echo hi"))
        with Sim(tokens=("one",), port=sim.port):
            back = proxy.post(ask("!echo back again"))

    assert '"error"' in rest[-1]
    assert 502 == down.status_code
    assert "back again" == back.json()["choices"][0]["message"]["content"]
