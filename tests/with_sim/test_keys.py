"""API keys through the whole server: gunicorn, real settings, the openai package, `poe_sim`.

Every request is put twice, to the stand-in and to the proxy in front of it. The answers are the
same, and where they are not, the table says in what way ours is better.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
import requests
from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel

from poe_proxy.models import Models

from .official import CLOCK, LETTERS, PIXEL, WEATHER, ApiSim
from .servers import Proxy, ask, until

KEYS = ("sk-poe-the-first-secret", "sk-poe-the-second-secret")
BOT = "GPT-5.1"
CHAT = "/v1/chat/completions"
BALANCE = "/usage/current_balance"
TOOLS = [WEATHER, CLOCK]
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def running() -> Iterator[ApiSim]:
    with ApiSim((), KEYS, pace=0) as sim:
        yield sim


@pytest.fixture(scope="module")
def served(running: ApiSim) -> Iterator[Proxy]:
    with serve(running) as proxy:
        yield proxy
    assert_no_secret(proxy.output())


@pytest.fixture
def sim(running: ApiSim) -> ApiSim:
    """The stand-in as at first."""
    running.control_api(reset=True)
    requests.delete(f"{running.url}/__journal", timeout=60)
    return running


@pytest.fixture
def proxy(sim: ApiSim, served: Proxy) -> Proxy:
    """The proxy, with both of its keys rested."""
    until(lambda: served.post(ask("!echo x", BOT)).ok and 2 == len(keys_that_served(sim)))
    requests.delete(f"{sim.url}/__journal", timeout=60)
    return served


@pytest.fixture(scope="module")
def straight(running: ApiSim) -> Iterator[OpenAI]:
    """The openai client, pointed at the stand-in."""
    with OpenAI(base_url=f"{running.url}/v1", api_key=KEYS[0], max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def ours(served: Proxy) -> Iterator[OpenAI]:
    """The openai client, pointed at the proxy."""
    with served.openai() as client:
        yield client


def serve(sim: ApiSim, **settings: str) -> Proxy:
    """A proxy that knows soon when points are back, and waits but shortly for a key."""
    proxy = Proxy(sim, **{"POINTS_CHECK": "0.3", "QUEUE_TIMEOUT": "2", **settings})
    # A connection kept alive would keep the server from ending for five seconds.
    proxy.headers["Connection"] = "close"
    return proxy


def assert_no_secret(text: str) -> None:
    assert [] == [key for key in KEYS if key in text]


def sent(sim: ApiSim, **wanted: Any) -> list[dict[str, Any]]:
    """The chat requests that reached Poe."""
    return sim.journal(face="api", path=CHAT, **wanted)


def keys_that_served(sim: ApiSim) -> set[str]:
    return {entry["key"] for entry in sent(sim, status=200)}


# ---- the same answers


@dataclass(frozen=True)
class Call:
    name: str = ""
    arguments: str = ""
    extra: Any = None


@dataclass(frozen=True)
class Heard:
    """What a client has in its hands at the end."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    #: The status, and the message, of the failure that ended it. Within a stream there is none.
    status: int | None = None
    failure: str = ""


def hear(client: OpenAI, body: dict[str, Any], *, stream: bool) -> Heard:
    """What the openai package makes of the answer, whole or streamed."""
    try:
        return (_streamed if stream else _whole)(client, body)
    except openai.APIStatusError as refusal:
        return Heard(status=refusal.status_code, failure=refusal.message)


def _whole(client: OpenAI, body: dict[str, Any]) -> Heard:
    answer = client.chat.completions.create(**body)
    message = answer.choices[0].message
    return Heard(
        message.content or "",
        _reasoning(message),
        tuple(
            Call(call.function.name, call.function.arguments, _extra(call))
            for call in message.tool_calls or ()
            if call.type == "function"
        ),
        answer.choices[0].finish_reason,
        _counts(answer.usage),
    )


def _streamed(client: OpenAI, body: dict[str, Any]) -> Heard:
    heard = Heard()
    calls: dict[Any, Call] = {}
    latest: Any = None
    try:
        for chunk in client.chat.completions.create(
            **body, stream=True, stream_options={"include_usage": True}
        ):
            if chunk.usage:
                heard = replace(heard, usage=_counts(chunk.usage))
            for choice in chunk.choices:
                delta = choice.delta
                for call in delta.tool_calls or ():
                    # Where Poe leaves the index out, the id says which call it is.
                    latest = call.index if call.index is not None else call.id or latest
                    known = calls.get(latest, Call())
                    function = call.function
                    calls[latest] = Call(
                        known.name + ((function and function.name) or ""),
                        known.arguments + ((function and function.arguments) or ""),
                        known.extra or _extra(call),
                    )
                heard = replace(
                    heard,
                    text=heard.text + (delta.content or ""),
                    reasoning=heard.reasoning + _reasoning(delta),
                    calls=tuple(calls.values()),
                    finish=choice.finish_reason or heard.finish,
                )
    except openai.APIStatusError:
        raise
    except (openai.APIError, json.JSONDecodeError) as failure:
        heard = replace(heard, failure=str(failure))
    return heard


def _reasoning(said: Any) -> str:
    """Poe says it twice, and we once (see `reasoning` below)."""
    return getattr(said, "reasoning_content", None) or ""


def _counts(usage: Any) -> dict[str, Any]:
    """What was counted. Poe's nulls say nothing, so they and what holds nothing else are left."""
    counts = usage.model_dump(exclude_none=True) if usage else {}
    return {name: count for name, count in counts.items() if count != {}}


def _extra(call: Any) -> Any:
    return getattr(call, "extra_content", None)


SAID = [
    "Hello", "write a poem", "count to 12", "你好", "!echo", f"!echo {LETTERS}", "!long=2000",
    "!empty", "!reason why?", "!reason !size=1 !echo a b", "!finish=length !echo x",
    "!finish=content_filter !echo x", "!snapshot !echo x", "!extras !echo x",
]  # fmt: skip
MANNERS = [
    "!first=0.3", "!first-chunk=0.3", "!delay=0.02", "!silence=0.3", "!chunks=7", "!size=1",
    "!split-utf8", "!pings", "!crlf", "!no-space", "!no-role", "!usage=A",
    "!usage=B", "!usage=B-null", "!usage-empty-choices", "!no-done",
]  # fmt: skip
CALLS = [
    "weather in Paris", "!call", "!call=get_time", "!calls=3", '!args={"city":"Rome"} !call',
    "!bad-args !call", "!text-too weather", "!whole-args weather", "!null-content weather",
    "!calls=2 !whole-args !text-too", "no tool at all",
]  # fmt: skip

SAME: list[tuple[str, dict[str, Any]]] = [
    *((how, ask(how, BOT)) for how in SAID),
    *((how, ask(f"{how} !echo {LETTERS}", BOT)) for how in MANNERS),
    *((f"{how} tools", ask(how, BOT, tools=TOOLS)) for how in CALLS),
    *((f"{bot} calls", ask("!calls=2", bot, tools=TOOLS)) for bot in ("Claude-Sonnet-4.5",)),
    *(
        (f"tool_choice {name}", ask("hello", BOT, tools=TOOLS, tool_choice=choice))
        for name, choice in {
            "none": "none",
            "required": "required",
            "named": {"type": "function", "function": {"name": "get_time"}},
        }.items()
    ),
    (
        "one call at a time",
        ask("!calls=3", BOT, tools=TOOLS, parallel_tool_calls=False),
    ),
    ("usage of Anthropic", ask("!echo x", "Claude-Sonnet-4.5")),
    ("effort", ask("why?", BOT, reasoning_effort="high")),
    ("budget", ask("why?", "Claude-Sonnet-4.5", extra_body={"thinking_budget": 2000})),
    ("always thinking", ask("why?", "o3")),
    ("stop", ask("!echo one two STOP three", BOT, stop=["STOP"])),
    ("max_tokens", ask("!long=4000", BOT, max_tokens=5)),
    ("max_completion_tokens", ask("!long=4000", BOT, max_completion_tokens=5)),
    ("any case", ask("!echo hi", "gpt-5.1")),
    ("in no list", ask("!echo hi", "Sim-Community")),
    ("picture by data", ask("", BOT) | {"messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL}},
        ]}]}),
    ("picture by URL", ask("", BOT) | {"messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        ]}]}),
    ("file", ask("", BOT) | {"messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "file", "file": {
                "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        ]}]}),
    ("system and history", ask("", BOT) | {"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "!say-messages !chunks=1"},
    ]}),
    ("a picture", ask("a [cat]", "Imagen-4")),
    ("a sound", ask("a song", "ElevenLabs-v3")),
    ("a film", ask("a film", "Veo-3.1")),
]  # fmt: skip


@EITHER
@pytest.mark.parametrize("body", [body for _, body in SAME], ids=[name for name, _ in SAME])
def test_the_same_answer_as_straight_from_poe(
    straight: OpenAI, ours: OpenAI, body: dict[str, Any], stream: bool
) -> None:
    """Text, reasoning, calls, finish reason and usage are those that Poe gives."""
    expected = hear(straight, body, stream=stream)

    assert expected.failure == ""
    assert expected == hear(ours, body, stream=stream)


# ---- better answers


def no_mark_of_thinking(poe: Heard) -> Heard:
    """Thoughts in the content are reasoning, without their heading and their `>`."""
    lines = poe.text.splitlines(keepends=True)
    quoted = [line[1:].strip() for line in lines[1:] if line.startswith(">")]
    rest = "".join(line for line in lines[1:] if not line.startswith(">")).lstrip("\n")
    return replace(poe, text=rest, reasoning="\n".join(quoted).strip())


BETTER: list[tuple[str, dict[str, Any], Callable[[Heard], Heard]]] = [
    ("thinking", ask("!thinking count to 5", BOT), no_mark_of_thinking),
    ("thinking in stars", ask("!thinking=star count to 5", BOT), no_mark_of_thinking),
    ("thinking in pieces", ask("!thinking !size=1 count to 5", BOT), no_mark_of_thinking),
    ("quoted thinking", ask("!quoted-thinking count to 5", BOT), no_mark_of_thinking),
    ("DeepSeek", ask("count to 5", "DeepSeek-R1"), no_mark_of_thinking),
    # Poe refuses these.
    ("developer", ask("", BOT) | {"messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "!echo hi"},
    ]}, lambda poe: Heard("hi", finish="stop")),
]  # fmt: skip


@EITHER
@pytest.mark.parametrize(
    ("body", "better"), [case[1:] for case in BETTER], ids=[case[0] for case in BETTER]
)
def test_a_better_answer_than_straight_from_poe(
    straight: OpenAI,
    ours: OpenAI,
    body: dict[str, Any],
    better: Callable[[Heard], Heard],
    stream: bool,
) -> None:
    """One shape whatever the bot, and what Poe refuses is mended on the way."""
    poe, heard = (hear(client, body, stream=stream) for client in (straight, ours))

    assert poe != heard
    assert replace(better(poe), usage=heard.usage) == heard
    assert (poe.usage or heard.usage) == heard.usage
    assert 0 < heard.usage["prompt_tokens"]


@EITHER
def test_usage_is_counted_where_poe_counts_none(
    straight: OpenAI, ours: OpenAI, stream: bool
) -> None:
    """Our own count takes the place of none at all."""
    body = ask("!echo !no-usage one two three", BOT)
    poe, heard = (hear(client, body, stream=stream) for client in (straight, ours))
    usage = heard.usage

    assert {} == poe.usage
    assert replace(poe, usage=usage) == heard
    assert 3 <= usage["completion_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@EITHER
def test_gemini_s_signature_comes_with_its_calls(
    straight: OpenAI, ours: OpenAI, stream: bool
) -> None:
    """`extra_content` stands where Poe puts it."""
    body = ask("!calls=2 weather in Paris", "Gemini-3.1-Pro", tools=TOOLS)
    poe, heard = (hear(client, body, stream=stream) for client in (straight, ours))

    def unsigned(one: Heard) -> Heard:
        """Each answer has signatures of its own."""
        return replace(one, calls=tuple(replace(call, extra=None) for call in one.calls))

    assert unsigned(poe) == unsigned(heard)
    assert [call.extra["google"].keys() for call in poe.calls] == [
        call.extra["google"].keys() for call in heard.calls
    ]
    assert heard.calls[0].extra["google"]["thought_signature"]


def test_the_index_of_a_call_is_filled_in(straight: OpenAI, ours: OpenAI) -> None:
    """Each chunk has one part of one call, with the number of the call."""
    body = ask("!calls=3 !no-index weather", BOT, tools=TOOLS, stream=True)

    def indexes(client: OpenAI) -> list[list[int | None]]:
        chunks = [chunk for chunk in client.chat.completions.create(**body) if chunk.choices]
        calls = [chunk.choices[0].delta.tool_calls for chunk in chunks]
        return [[part.index for part in parts] for parts in calls if parts]

    assert {None} == {index for parts in indexes(straight) for index in parts}
    filled = indexes(ours)
    assert {1} == {len(parts) for parts in filled}
    assert [0, 1, 2] == list(dict.fromkeys(index for (index,) in filled))


def test_reasoning_is_in_one_field(straight: OpenAI, ours: OpenAI) -> None:
    """Poe says it in two at once, and a client that reads both would show it twice."""
    body = ask("!reason why?", BOT)
    poe, heard = (
        client.chat.completions.create(**body).choices[0].message.model_dump()
        for client in (straight, ours)
    )

    assert poe["reasoning"] == poe["reasoning_content"] == heard["reasoning_content"]
    assert "reasoning" not in heard


# ---- tools and back


class Leg(BaseModel):
    """One part of a journey."""

    start: str
    mode: Literal["train", "boat"]


class BookTrip(BaseModel):
    """Book a journey."""

    city: str
    nights: int
    legs: list[Leg]
    note: str | None


@EITHER
@pytest.mark.parametrize("bot", [BOT, "Gemini-3.1-Pro", "Claude-Sonnet-4.5"])
def test_a_strict_tool_and_back(ours: OpenAI, bot: str, stream: bool) -> None:
    """The package parses the arguments by the strict schema, and the bot reads the result."""
    tools = [pydantic_function_tool(BookTrip)]
    messages: list[Any] = [{"role": "user", "content": "!call=BookTrip a journey in Paris"}]

    def turn() -> Any:
        if not stream:
            return ours.chat.completions.parse(model=bot, messages=messages, tools=tools)
        with ours.chat.completions.stream(model=bot, messages=messages, tools=tools) as events:
            return events.get_final_completion()

    first = turn()
    (call,) = first.choices[0].message.tool_calls
    trip = call.function.parsed_arguments
    kept = call.model_dump(exclude_none=True)
    del kept["function"]["parsed_arguments"]
    kept.pop("index", None)
    messages.append({"role": "assistant", "content": None, "tool_calls": [kept]})
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "Booked."})
    second = turn()

    assert "tool_calls" == first.choices[0].finish_reason
    assert isinstance(trip, BookTrip)
    assert "Paris" == trip.city
    assert "stop" == second.choices[0].finish_reason
    assert "BookTrip says: Booked." in second.choices[0].message.content


# ---- pictures


@EITHER
def test_pictures_out_come_whole(sim: ApiSim, ours: OpenAI, stream: bool) -> None:
    """A media bot is asked unstreamed, whatever the client wants."""
    heard = hear(ours, ask("a [cat]", "Imagen-4"), stream=stream)

    assert heard.text.rsplit(maxsplit=1)[-1].startswith("https://")
    assert "/base/image/" in heard.text
    assert [False] == [entry["stream"] for entry in sent(sim)]


# ---- failures


def refused(proxy: Proxy, body: dict[str, Any], *, stream: bool) -> tuple[Any, dict[str, Any]]:
    """The answer that is no answer, and its error object; no secret is in it."""
    answer = proxy.post({**body, "stream": stream})
    assert_no_secret(answer.text + str(answer.headers))
    return answer, answer.json()["error"]


# One example of each kind. Every refusal and its class is in tests/upstreams/poe_api/, every class
# and its status in tests/test_errors.py, and which failures move on in tests/test_gateway.py.


@EITHER
def test_refusals_are_openai_s_in_poe_s_words(sim: ApiSim, proxy: Proxy, stream: bool) -> None:
    """Status, type and code are OpenAI's, the message is Poe's own."""
    body = ask("!http=413", BOT)
    poe = requests.post(
        sim.url + CHAT,
        json={**body, "stream": stream},
        headers={"Authorization": f"Bearer {KEYS[0]}"},
        timeout=60,
    )
    answer, error = refused(proxy, body, stream=stream)

    assert (400, "invalid_request_error", "context_length_exceeded") == (
        answer.status_code,
        error["type"],
        error["code"],
    )
    assert poe.json()["error"]["message"] == error["message"]


@EITHER
def test_nonsense_is_told_as_an_error(proxy: Proxy, stream: bool) -> None:
    """A page of HTML is an error object here."""
    answer, error = refused(proxy, ask("!html-502 hello", BOT), stream=stream)

    assert (503, "upstream_overloaded") == (answer.status_code, error["code"])
    assert "<" not in error["message"]


HALF = "!echo !size=4 !cut=2 one two three"


def test_half_a_whole_answer_is_none(sim: ApiSim, proxy: Proxy) -> None:
    """It is a 502, and Poe is not asked again."""
    answer, error = refused(proxy, ask(HALF, BOT), stream=False)

    assert (502, "upstream_interrupted") == (answer.status_code, error["code"])
    assert 1 == len(sent(sim))


def test_half_a_stream_ends_with_an_error(sim: ApiSim, proxy: Proxy, ours: OpenAI) -> None:
    """What was said is said, and the openai package raises what is wrong."""
    body = ask(HALF, BOT)
    *said, last = proxy.post({**body, "stream": True}).text.split("\n\n")[:-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    chunks = [json.loads(one.removeprefix("data: ")) for one in said]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)

    assert "upstream_interrupted" == error["code"]
    assert text.startswith("one two ")
    assert 1 == len(sent(sim))
    assert Heard(text, failure=error["message"]) == hear(ours, body, stream=True)


@pytest.mark.parametrize("words", ["!silent-end=2", "!no-finish !no-done"])
def test_a_silent_end_is_an_error_only_here(straight: OpenAI, ours: OpenAI, words: str) -> None:
    """Straight from Poe half an answer looks like a whole one."""
    body = ask(f"!echo !size=4 {words} one two three", BOT)
    poe, heard = (hear(client, body, stream=True) for client in (straight, ours))

    assert poe.text == heard.text
    assert ("", "Poe's reply stopped without an end; it may be incomplete.") == (
        poe.failure,
        heard.failure,
    )


def test_silence_is_a_504(sim: ApiSim) -> None:
    """TIMEOUT ends a reply that stands still, and the bot is stopped."""
    with serve(sim, TIMEOUT="0.7") as proxy:
        whole, error = refused(proxy, ask("!hang one two three", BOT), stream=False)
        with proxy.openai() as client:
            stream = hear(client, ask("!hang one two three", BOT), stream=True)
        until(lambda: 0 == sim.active())

    assert (504, "upstream_timeout") == (whole.status_code, error["code"])
    assert error["message"] == stream.failure


def test_a_file_by_url_is_refused_by_its_path(proxy: Proxy) -> None:
    """Poe takes files as data URIs, and images in either form."""
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x.test/a.pdf"}}
    content = [{"type": "text", "text": "What is this?"}, file]
    answer = proxy.post(ask("", BOT, messages=[{"role": "user", "content": content}]))

    error = answer.json()["error"]
    assert (400, "messages[0].content[1]") == (answer.status_code, error["param"])
    assert "data URIs only" in error["message"]


# ---- second tries


@EITHER
def test_a_second_try_goes_to_another_key(
    sim: ApiSim, proxy: Proxy, ours: OpenAI, stream: bool
) -> None:
    """Before the first byte, where nothing was begun, and the client sees nothing of it."""
    # Of all answers to this prompt only the first is spoilt.
    heard = hear(ours, ask(f"!http=503 !times=1 !echo here {stream}", BOT), stream=stream)

    assert f"here {stream}" == heard.text
    assert {"key-1", "key-2"} == {entry["key"] for entry in sent(sim)}
    assert 2 == len(sent(sim))


@EITHER
def test_what_will_not_help_is_tried_once(sim: ApiSim, proxy: Proxy, stream: bool) -> None:
    """What Poe finds wrong with a request is wrong with every key."""
    answer = proxy.post(ask(f"!http=400 !times=1 one two {stream}", BOT, stream=stream))

    assert '"error"' in answer.text
    assert 1 == len(sent(sim))


@EITHER
def test_a_500_before_the_first_byte_is_tried_twice_at_most(
    sim: ApiSim, proxy: Proxy, stream: bool
) -> None:
    """Poe calls that safe (official API sheet §9.1); whichever key has the second try."""
    good = proxy.post(ask(f"!http=500 !times=1 !echo here {stream}", BOT, stream=stream))
    mended = [entry["status"] for entry in sent(sim)]
    # Of another bot: it is remembered for a while that this one failed.
    never = ask(f"!http=500 one two {stream}", "Claude-Sonnet-4.5")
    broken, error = refused(proxy, never, stream=stream)

    assert good.ok
    assert "here" in good.text
    assert [500, 200] == mended
    assert (502, "bot_failed") == (broken.status_code, error["code"])
    assert [500, 500] == [entry["status"] for entry in sent(sim)][2:]


def test_what_was_begun_is_tried_once(sim: ApiSim, proxy: Proxy) -> None:
    """A prompt sent twice is paid for twice."""
    answer = proxy.post(ask("!error-after=1 !times=1 !echo one two three", BOT, stream=True))

    assert '"error"' in answer.text
    assert 1 == len(sent(sim))


# ---- keys


@EITHER
def test_no_points_anywhere(sim: ApiSim, proxy: Proxy, stream: bool) -> None:
    """A 429 that tells the openai packages not to try again."""
    sim.control_api(points={"key-1": 0, "key-2": 0})
    answer, error = refused(proxy, ask("hello", BOT), stream=stream)

    assert (429, "insufficient_quota") == (answer.status_code, error["code"])
    assert "insufficient_quota" == error["type"]
    assert "false" == answer.headers["x-should-retry"]


def test_a_dry_key_is_passed_over_and_comes_back(sim: ApiSim, proxy: Proxy) -> None:
    """Its balance is asked for beside the requests, and as long as it is dry no other is."""
    for _ in range(4):
        assert proxy.post(ask("!echo x", BOT)).ok
    assert [] == sim.journal(path=BALANCE)
    sim.control_api(points={"key-1": 0})
    requests.delete(f"{sim.url}/__journal", timeout=60)
    answers = [proxy.post(ask("!echo x", BOT)) for _ in range(6)]

    assert [200] * 6 == [answer.status_code for answer in answers]
    assert [402] == [entry["status"] for entry in sent(sim, key="key-1")]
    assert [200] * 6 == [entry["status"] for entry in sent(sim, key="key-2")]
    looks = until(lambda: len(found := sim.journal(path=BALANCE)) >= 4 and found)
    assert {"key-1"} == {entry["key"] for entry in looks}
    (refusal,) = sent(sim, key="key-1")
    # However late each of them comes: the first is not made before the refusal has been seen.
    earliest = [refusal["t"] + 0.3 * number for number in range(len(looks))]
    assert [] == [(a, b) for a, b in zip(earliest, looks, strict=True) if b["t"] < a]

    sim.control_api(points={"key-1": 1_000_000})
    until(lambda: proxy.post(ask("!echo x", BOT)).ok and sent(sim, key="key-1", status=200))
    asked = len(sim.journal(path=BALANCE))
    for _ in range(4):
        assert proxy.post(ask("!echo x", BOT)).ok
    assert asked == len(sim.journal(path=BALANCE))


@pytest.mark.parametrize("rest", [1, 2])
def test_a_tired_key_rests_as_long_as_poe_says(sim: ApiSim, proxy: Proxy, rest: int) -> None:
    """`Retry-After` is kept by the key, while the other one serves."""
    words = f"!http=429 !retry-after={rest} !times=1 !only=key-1 !echo x {rest}"
    until(lambda: proxy.post(ask(words, BOT)).ok and sent(sim, key="key-1", status=429))
    until(lambda: proxy.post(ask("!echo x", BOT)).ok and sent(sim, key="key-1", status=200))
    (tired,) = sent(sim, key="key-1", status=429)
    later = [entry["t"] for entry in sent(sim, key="key-1", status=200) if entry["n"] > tired["n"]]

    assert rest - 0.05 <= later[0] - tired["t"]
    assert sent(sim, key="key-2", status=200)


def test_rejected_keys_are_set_aside(sim: ApiSim) -> None:
    """One is passed over for good; without any the client reads upstream_auth, and no key."""
    with serve(sim) as proxy:
        sim.control_api(keys_rejected=["key-1"])
        answers = [proxy.post(ask("!echo x", BOT)) for _ in range(4)]
        tried = [entry["status"] for entry in sent(sim, key="key-1")]
        sim.control_api(keys_rejected=["key-1", "key-2"])
        refusals = [
            refused(proxy, ask("hello", BOT), stream=stream) for stream in (False, True, False)
        ]
        asked = len(sent(sim))

    assert [200] * 4 == [answer.status_code for answer in answers]
    assert [401] == tried
    assert [(502, "upstream_auth")] * 3 == [
        (answer.status_code, error["code"]) for answer, error in refusals
    ]
    assert 6 == asked
    assert_no_secret(proxy.output())


def test_a_dry_key_that_is_rejected_is_set_aside(sim: ApiSim) -> None:
    """Nobody waits for points that will never come, and the client reads what is wrong."""
    sim.control_api(points={"key-1": 0, "key-2": 0})
    with serve(sim) as proxy:
        dry, why = refused(proxy, ask("hello", BOT), stream=False)
        sim.control_api(keys_rejected=["key-1", "key-2"])
        until(lambda: 2 == len(sim.journal(path=BALANCE, status=401)))
        until(lambda: 502 == proxy.post(ask("hello", BOT)).status_code)
        rejected, error = refused(proxy, ask("hello", BOT), stream=False)
        balance = requests.get(
            f"{proxy.url}/dashboard/billing/subscription", headers=proxy.headers, timeout=60
        )
        asked = sim.journal(path=BALANCE, status=401)

    assert (429, "insufficient_quota") == (dry.status_code, why["code"])
    assert (502, "upstream_auth") == (rejected.status_code, error["code"])
    assert (502, "upstream_auth") == (balance.status_code, balance.json()["error"]["code"])
    assert 2 == len(asked)


def test_no_key_is_in_an_answer_or_in_the_log(sim: ApiSim) -> None:
    """Not even at the most talkative level, whatever goes wrong."""
    words = ["!echo", *(f"!http={n}" for n in (400, 403, 404, 408, 413, 500, 502, 503)), "!reset",
             "!html-502", "!empty-200", "!cut", "!error-after", "!broken-json", "!http=402",
             "!http=429", "!http=401"]  # fmt: skip
    with serve(sim, QUEUE_TIMEOUT="0") as proxy:
        for word in words:
            for stream in (False, True):
                answer = proxy.post(ask(f"{word} platypus", BOT, stream=stream))
                assert_no_secret(answer.text + str(answer.headers))

    assert "key-1" in proxy.output()
    assert "key-2" in proxy.output()
    assert_no_secret(proxy.output())
    assert "platypus" not in proxy.output()


# ---- fields


def test_an_undeclared_field_is_dropped_and_remembered(sim: ApiSim, proxy: Proxy) -> None:
    """The first request for a bot is repeated without it, the next one goes without at once."""
    sim.control_api(strict=True)
    fields = {"colour": "red", "temperature": 0.5}
    answers = [proxy.post(ask("!say-params !chunks=1", "GPT-4o", **fields)) for _ in range(2)]
    statuses = [entry["status"] for entry in sent(sim)]
    other = proxy.post(ask("!echo x", BOT, colour="red"))

    said = [json.loads(answer.json()["choices"][0]["message"]["content"]) for answer in answers]
    assert [0.5, 0.5] == [body["temperature"] for body in said]
    assert "colour" not in said[0]
    assert [400, 200, 200] == statuses
    assert other.ok
    assert [400, 200] == [entry["status"] for entry in sent(sim, model=BOT)]


# ---- the list of models


def listing(proxy: Proxy) -> dict[str, dict[str, Any]]:
    answer = requests.get(f"{proxy.url}/v1/models", headers=proxy.headers, timeout=60)
    assert 200 == answer.status_code
    return {entry["id"]: entry for entry in answer.json()["data"]}


def test_the_list_is_poe_s_and_outlives_it(sim: ApiSim, tmp_path: Path) -> None:
    """Merged with MODELS, and still there when Poe is down."""
    own = tmp_path / "models.toml"
    own.write_text(
        'hide = ["veo-*", "o3"]\n[names]\n"gpt-4o" = "GPT-5.1"\n"quick" = "GPT-5-mini"\n'
        '"by-cookie" = { bot = "GPT-5", tokens = "cookies" }\n'
    )
    poe = requests.get(f"{sim.url}/v1/models", timeout=60).json()["data"]
    with serve(sim, MODELS=str(own)) as proxy:
        entries = listing(proxy)
        sim.control_api(down=True)
        after = listing(proxy)
        sim.control_api(reset=True)
        renamed = proxy.post(ask("!echo hi", "QUICK"))
        hidden = proxy.post(ask("hi", "O3"))
        alias = proxy.post(ask("!echo hi", "gpt-4O"))
        by_cookie = proxy.post(ask("hi", "by-cookie"))
        one = requests.get(f"{proxy.url}/v1/models/gpt-5.1", headers=proxy.headers, timeout=60)
        asked = [entry["model"] for entry in sent(sim)]
    poes = {entry["metadata"]["display_name"]: entry for entry in poe}

    assert entries == after
    for name in ("Claude-Sonnet-4.5", "GPT-5.1", "Imagen-4"):
        kept = poes[name].keys() - {"id", "created"}
        assert {key: poes[name][key] for key in kept} == {key: entries[name][key] for key in kept}
        assert ("model", poes[name]["created"] // 1000) == (
            entries[name]["object"],
            entries[name]["created"],
        )
        assert {"pricing", "context_window", "architecture"} <= entries[name].keys()
    assert not [name for name in entries if name.lower().startswith("veo-") or name == "o3"]
    assert {"quick", "gpt-4o", "by-cookie"} <= entries.keys()
    assert "GPT-4o" not in entries
    assert poes["GPT-5-mini"]["context_window"] == entries["quick"]["context_window"]
    # Of the names of the Go program only `assistant` leads to a bot that there is: that bot.
    assert set() == entries.keys() & Models.load().names.keys()
    assert "Assistant" in entries
    assert ["gpt-4o", "quick", "by-cookie"] == list(entries)[:3]
    assert ("hi", "hi") == tuple(
        answer.json()["choices"][0]["message"]["content"] for answer in (renamed, alias)
    )
    assert ["GPT-5-mini", "GPT-5.1"] == asked
    assert (404, "model_not_found") == (hidden.status_code, hidden.json()["error"]["code"])
    assert (404, "model_not_found") == (by_cookie.status_code, by_cookie.json()["error"]["code"])
    assert "GPT-5.1" == one.json()["id"]
