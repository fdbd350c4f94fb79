"""The official API of poe_sim against independent clients, official API sheet §15.

Starts the stand-in, lets the packages openai, anthropic and httpx use it as they are, and prints
one line for each fact. The exit status is 1 if a fact does not hold. The stand-in runs under
``POE_SIM_PYTHON`` (``.venv/bin/python``), this file where requirements-api.txt is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import jsonschema
import openai

ROOT = Path(__file__).resolve().parents[3]
Fact = Callable[[], object]
_FACTS: list[tuple[str, Fact]] = []

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2},
        "where": {
            "type": "object",
            "properties": {"lat": {"type": "number", "maximum": 90}, "note": {"type": "string"}},
            "required": ["lat", "note"],
            "additionalProperties": False,
        },
    },
    "required": ["city", "unit", "days", "where"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "strict": True, "parameters": WEATHER},
}
QUESTION: dict[str, Any] = {"role": "user", "content": "What is the weather in Lisbon?"}
DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg"
    "YPhfDwAChAGAjM0HCgAAAABJRU5ErkJggg=="
)

url = ""
oai: openai.OpenAI
claude: anthropic.Anthropic
web: httpx.Client


def fact(text: str) -> Callable[[Fact], Fact]:
    """Register a function as the proof of *text*."""

    def note(function: Fact) -> Fact:
        _FACTS.append((text, function))
        return function

    return note


def same(expected: object, actual: object) -> None:
    """Fail unless both are equal, and show both."""
    if expected != actual:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")


def holds(condition: object, shown: object = "") -> None:
    """Fail unless the condition holds, and show *shown*."""
    if not condition:
        raise AssertionError(f"does not hold: {shown!r}")


def raises(kind: type[BaseException], action: Callable[[], object]) -> BaseException:
    """Return the exception of *action*; fail if it is not a *kind*."""
    try:
        action()
    except kind as exc:
        return exc
    raise AssertionError(f"{kind.__name__} was not raised")


def control(**changes: Any) -> Any:
    """Change switches of the stand-in; return its state."""
    answer = web.post("/__control_api", json=changes)
    same(200, answer.status_code)
    return answer.json()


def journal(path: str | None = None) -> list[dict[str, Any]]:
    """Return the requests in the stand-in's journal, on one path or all."""
    entries = web.get("/__journal").json()
    return [e for e in entries if "method" in e and (path is None or e["path"] == path)]


def say(text: str, model: str = "GPT-5.1", **more: Any) -> Any:
    """Ask through the openai client, which tries once."""
    return oai.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **more
    )


# -- openai


@fact("openai lists the models, with prices, milliseconds and cased names as extra fields")
def _() -> None:
    models = {model.id: model for model in oai.models.list()}
    holds(len(models) >= 40, len(models))
    holds(models["claude-sonnet-4.5"].created > 10**12)
    same(None, models["gpt-4o"].pricing)
    same(None, models["glm-5"].context_window)
    same([], models["kimi-k2.5"].supported_endpoints)
    same("Claude-Sonnet-4.5", models["claude-sonnet-4.5"].metadata["display_name"])


@fact("openai gets a whole answer, with the model's name as it was sent")
def _() -> None:
    answer = say("!echo Hello, wörld", model="gPt-5.1")
    same("Hello, wörld", answer.choices[0].message.content)
    same("gPt-5.1", answer.model)
    same("stop", answer.choices[0].finish_reason)
    same(answer.usage.prompt_tokens + answer.usage.completion_tokens, answer.usage.total_tokens)


@fact("openai reads both forms of usage")
def _() -> None:
    short, long = say("!usage=A hi").usage, say("!usage=B hi").usage
    same(None, short.completion_tokens_details)
    same(0, long.completion_tokens_details.reasoning_tokens)


@fact("openai streams an answer, and its usage in a chunk without choices")
def _() -> None:
    chunks = list(
        say("!echo One two three 🌍", stream=True, stream_options={"include_usage": True})
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    same("One two three 🌍", text)
    same([], chunks[-1].choices)
    holds(chunks[-1].usage.total_tokens > 0)
    same(None, chunks[0].usage)
    same(1, len({chunk.id for chunk in chunks}))


@fact("openai gets no usage in a stream unless it asks for it")
def _() -> None:
    holds(all(chunk.choices and chunk.usage is None for chunk in say("hi", stream=True)))


@fact("openai reads characters that were split on the wire, with pings between")
def _() -> None:
    chunks = say("!echo !split-utf8 !pings ärger 世界 🌍", stream=True)
    same("ärger 世界 🌍", "".join(chunk.choices[0].delta.content or "" for chunk in chunks))


@fact("openai reads the reasoning as an extra field")
def _() -> None:
    message = say("hi", extra_body={"reasoning_effort": "high"}).choices[0].message
    holds(message.reasoning_content)
    same(message.reasoning_content, message.reasoning)


@fact("openai's extra_body arrives at the top level")
def _() -> None:
    answer = say("!say-params", extra_body={"web_search": True, "a": 1})
    same(
        {"model": "GPT-5.1", "web_search": True, "a": 1},
        json.loads(answer.choices[0].message.content),
    )


def _round_trip(model: str, *, stream: bool) -> None:
    if stream:
        with oai.chat.completions.stream(model=model, messages=[QUESTION], tools=[TOOL]) as events:
            for _event in events:
                pass
            choice = events.get_final_completion().choices[0]
    else:
        choice = oai.chat.completions.create(
            model=model, messages=[QUESTION], tools=[TOOL]
        ).choices[0]
    same("tool_calls", choice.finish_reason)
    call = choice.message.tool_calls[0]
    same("get_weather", call.function.name)
    arguments = json.loads(call.function.arguments)
    jsonschema.validate(arguments, WEATHER)
    same("Lisbon", arguments["city"])
    message = choice.message.model_dump(exclude_none=True)
    for each in message["tool_calls"]:
        # The stream helper adds these for Python only.
        each["function"].pop("parsed_arguments", None)
        each.pop("index", None)
    message.pop("parsed", None)
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    answer = oai.chat.completions.create(
        model=model, messages=[QUESTION, message, result], tools=[TOOL]
    )
    same("stop", answer.choices[0].finish_reason)
    holds("21 degrees" in answer.choices[0].message.content, answer)


for each_model in ("GPT-5.1", "Claude-Sonnet-4.5", "Gemini-3-Flash", "Kimi-K2.5"):
    for streamed in (False, True):
        fact(
            f"openai makes a round trip of a tool with {each_model}, "
            f"{'streamed' if streamed else 'whole'}"
        )(lambda model=each_model, stream=streamed: _round_trip(model, stream=stream))


@fact("a Gemini model refuses a call without its thought signature")
def _() -> None:
    call = {"id": "x", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        QUESTION,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "x", "content": "1"},
    ]
    raises(
        openai.BadRequestError,
        lambda: oai.chat.completions.create(
            model="Gemini-3-Flash", messages=messages, tools=[TOOL]
        ),
    )


@fact("an image bot's text ends with the link")
def _() -> None:
    content = say("a fox [in] snow", model="GPT-Image-1.5").choices[0].message.content
    link = content.split()[-1]
    holds(link.startswith("https://pfst.cf2.poecdn.net/base/image/"), link)
    holds(content.startswith("![a fox [in] snow.png](" + link + ")\n\n"), content)


@fact("openai sends a picture and a file, and the bot sees both")
def _() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": DOT}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        },
    ]
    answer = oai.chat.completions.create(
        model="GPT-5.1", messages=[{"role": "user", "content": parts}]
    )
    text = answer.choices[0].message.content
    holds("1 image:\n- image/png, 70 bytes" in text, text)
    holds("a.pdf, application/pdf, 4 bytes" in text, text)


STATUSES: dict[int, tuple[type[Exception], bool]] = {
    400: (openai.BadRequestError, False),
    401: (openai.AuthenticationError, False),
    402: (openai.APIStatusError, False),
    403: (openai.PermissionDeniedError, False),
    404: (openai.NotFoundError, False),
    408: (openai.APIStatusError, True),
    413: (openai.APIStatusError, False),
    429: (openai.RateLimitError, True),
    500: (openai.InternalServerError, True),
    502: (openai.InternalServerError, True),
    503: (openai.InternalServerError, True),
    529: (openai.InternalServerError, True),
}


def _status(status: int, kind: type[Exception], tried_again: bool) -> None:
    before = len(journal("/v1/chat/completions"))
    eager = oai.with_options(max_retries=1)
    prompt = [{"role": "user", "content": f"!http={status} !retry-after=0"}]
    exc = raises(kind, lambda: eager.chat.completions.create(model="o3", messages=prompt))
    same(status, exc.status_code)
    holds(exc.body["message"], exc.body)
    same(2 if tried_again else 1, len(journal("/v1/chat/completions")) - before)


for each_status, (each_kind, again) in STATUSES.items():
    fact(
        f"openai raises {each_kind.__name__} for {each_status}"
        f"{', after a second try' if again else ' at once'}"
    )(lambda s=each_status, k=each_kind, a=again: _status(s, k, a))


@fact("openai waits as long as Retry-After says")
def _() -> None:
    started = time.monotonic()
    patient = oai.with_options(max_retries=1)
    prompt = [{"role": "user", "content": "!http=429 !retry-after=1 !times=1 hello"}]
    holds(patient.chat.completions.create(model="o3", messages=prompt).choices)
    holds(1 <= time.monotonic() - started < 4, time.monotonic() - started)


@fact("openai raises AuthenticationError for a wrong key")
def _() -> None:
    stranger = oai.with_options(api_key="wrong")
    exc = raises(
        openai.AuthenticationError,
        lambda: stranger.chat.completions.create(model="o3", messages=[QUESTION]),
    )
    same("invalid_api_key", exc.code)


@fact("openai raises NotFoundError for an unknown model")
def _() -> None:
    raises(openai.NotFoundError, lambda: say("hi", model="no-such-model"))


@fact("openai raises APIError for an error in the middle of a stream")
def _() -> None:
    texts: list[str] = []

    def read() -> None:
        for chunk in say("!echo one two three !error-after=2", stream=True):
            texts.append(chunk.choices[0].delta.content or "")

    exc = raises(openai.APIError, read)
    holds(not isinstance(exc, openai.APIStatusError), exc)
    same("one two", "".join(texts))


@fact("openai raises an error when the connection is cut")
def _() -> None:
    raises(Exception, lambda: list(say("!echo one two three !cut=1", stream=True)))


@fact("openai raises InternalServerError for a 502 with a page of HTML")
def _() -> None:
    raises(openai.InternalServerError, lambda: say("!html-502"))


@fact("n, the role developer, and tools for a model without them are 400 and name what is wrong")
def _() -> None:
    same("n", raises(openai.BadRequestError, lambda: say("hi", n=2)).param)
    developer = [{"role": "developer", "content": "hi"}]
    exc = raises(
        openai.BadRequestError,
        lambda: oai.chat.completions.create(model="o3", messages=developer),
    )
    same("role", exc.param)
    exc = raises(openai.BadRequestError, lambda: say("hi", model="DeepSeek-R1", tools=[TOOL]))
    same("unsupported_feature_for_model", exc.code)


@fact("an undeclared field is dropped, or refused in strict mode")
def _() -> None:
    holds(say("hi", extra_body={"nobody_knows": 1}).choices)
    strict = {"poe-feature": "chat-completions-strict"}
    exc = raises(
        openai.BadRequestError,
        lambda: say("hi", extra_body={"nobody_knows": 1}, extra_headers=strict),
    )
    same("nobody_knows", exc.param)


@fact("openai gets a whole response and its computed output_text")
def _() -> None:
    answer = oai.responses.create(model="GPT-5.1", input="!echo Hello there")
    same("Hello there", answer.output_text)
    same("gpt-5.1-2025-11-13", answer.model)
    same("completed", answer.status)


@fact("openai streams a response with reasoning, and ends with its completion")
def _() -> None:
    reasoning = {"effort": "high", "summary": "auto"}
    with oai.responses.stream(model="GPT-5.1", input="count to 5", reasoning=reasoning) as events:
        kinds = [event.type for event in events]
        final = events.get_final_response()
    same("1, 2, 3, 4, 5.", final.output_text)
    same(["reasoning", "message"], [item.type for item in final.output])
    same("response.created", kinds[0])
    same("response.completed", kinds[-1])


@fact("openai makes a round trip of a function through responses, streamed")
def _() -> None:
    tool = {"type": "function", "name": "get_weather", "parameters": WEATHER}
    with oai.responses.stream(model="GPT-5.1", input=[QUESTION], tools=[tool]) as events:
        for _event in events:
            pass
        call = events.get_final_response().output[-1]
    same("function_call", call.type)
    jsonschema.validate(json.loads(call.arguments), WEATHER)
    back = [
        QUESTION,
        call.model_dump(include={"type", "call_id", "name", "arguments"}),
        {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"},
    ]
    holds("21 degrees" in oai.responses.create(model="GPT-5.1", input=back).output_text)


@fact("a response obeys a JSON schema")
def _() -> None:
    answer = oai.responses.create(
        model="GPT-5.1",
        input="hello",
        text={"format": {"type": "json_schema", "name": "w", "schema": WEATHER}},
    )
    jsonschema.validate(json.loads(answer.output_text), WEATHER)


@fact("a model without the responses endpoint answers 400")
def _() -> None:
    exc = raises(openai.BadRequestError, lambda: oai.responses.create(model="Grok-4", input="hi"))
    same("Model does not support responses method.", exc.body["message"])


@fact("openai passes on an error event in the middle of a streamed response, and no completion")
def _() -> None:
    prompt = "!echo one two three !error-after=2"
    events = list(oai.responses.create(model="GPT-5.1", input=prompt, stream=True))
    same("error", events[-1].type)
    holds(events[-1].message)
    same("one two", "".join(e.delta for e in events if e.type == "response.output_text.delta"))


# -- anthropic


def ask_claude(text: str, **more: Any) -> Any:
    """Ask through the anthropic client."""
    given: dict[str, Any] = {"model": "claude-sonnet-4.5", "max_tokens": 500, **more}
    return claude.messages.create(messages=[{"role": "user", "content": text}], **given)


@fact("anthropic gets a whole message with Poe's form of id")
def _() -> None:
    message = ask_claude("!echo Hello there", system="Be kind.")
    same("Hello there", message.content[0].text)
    same("end_turn", message.stop_reason)
    holds(message.id.startswith("req_poe_") and len(message.id) == 40, message.id)
    same(0, message.usage.cache_creation.ephemeral_5m_input_tokens)


@fact("anthropic finds Claude by Anthropic's dated name")
def _() -> None:
    name = "claude-sonnet-4-5-20250929"
    same(name, ask_claude("hi", model=name).model)


@fact("anthropic streams thinking and text")
def _() -> None:
    with claude.messages.stream(
        model="claude-sonnet-4.5",
        max_tokens=3000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[{"role": "user", "content": "count to 5 !split-utf8 !pings"}],
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    same("1, 2, 3, 4, 5.", text)
    same(["thinking", "text"], [block.type for block in message.content])
    holds(message.content[0].signature)
    holds(message.usage.output_tokens > 1)


def _claude_round_trip(*, stream: bool) -> None:
    tool = {"name": "get_weather", "input_schema": WEATHER}
    given: dict[str, Any] = {"model": "claude-sonnet-4.5", "max_tokens": 500, "tools": [tool]}
    if stream:
        with claude.messages.stream(messages=[QUESTION], **given) as events:
            message = events.get_final_message()
    else:
        message = claude.messages.create(messages=[QUESTION], **given)
    same("tool_use", message.stop_reason)
    call = message.content[-1]
    jsonschema.validate(call.input, WEATHER)
    same("Lisbon", call.input["city"])
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
    content = [block.model_dump(include={"type", "id", "name", "input"}) for block in [call]]
    answer = claude.messages.create(
        messages=[
            QUESTION,
            {"role": "assistant", "content": content},
            {"role": "user", "content": [result]},
        ],
        **given,
    )
    holds("21 degrees" in answer.content[0].text, answer)


fact("anthropic makes a round trip of a tool, whole")(lambda: _claude_round_trip(stream=False))
fact("anthropic makes a round trip of a tool, streamed")(lambda: _claude_round_trip(stream=True))


CLAUDE_STATUSES: dict[int, type[Exception]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    402: anthropic.APIStatusError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    408: anthropic.APIStatusError,
    413: anthropic.APIStatusError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    502: anthropic.InternalServerError,
    503: anthropic.APIStatusError,
    529: anthropic.APIStatusError,
}


def _claude_status(status: int, kind: type[Exception]) -> None:
    exc = raises(kind, lambda: ask_claude(f"!http={status}"))
    same(status, exc.status_code)
    same("error", exc.body["type"])
    holds(exc.body["request_id"].startswith(("req_poe_", "req_011")), exc.body)


for each_status, each_kind in CLAUDE_STATUSES.items():
    fact(f"anthropic raises {each_kind.__name__} for {each_status}")(
        lambda s=each_status, k=each_kind: _claude_status(s, k)
    )


@fact("anthropic raises AuthenticationError for a wrong key, NotFoundError for other models")
def _() -> None:
    stranger = claude.with_options(api_key="wrong")
    exc = raises(
        anthropic.AuthenticationError,
        lambda: stranger.messages.create(
            model="claude-sonnet-4.5", max_tokens=5, messages=[QUESTION]
        ),
    )
    same("Invalid API key", exc.body["error"]["message"])
    exc = raises(anthropic.NotFoundError, lambda: ask_claude("hi", model="gpt-4o"))
    same("model: gpt-4o", exc.body["error"]["message"])


@fact("anthropic raises APIStatusError for an error in the middle of a stream")
def _() -> None:
    def read() -> None:
        with claude.messages.stream(
            model="claude-sonnet-4.5",
            max_tokens=500,
            messages=[{"role": "user", "content": "!echo one two three !error-after=2"}],
        ) as stream:
            list(stream.text_stream)

    raises(anthropic.APIError, read)


@fact("a message has the rest of the rate limit in its headers")
def _() -> None:
    raw = claude.messages.with_raw_response.create(
        model="claude-sonnet-4.5", max_tokens=5, messages=[QUESTION]
    )
    holds("anthropic-ratelimit-requests-remaining" in raw.headers, raw.headers)
    holds(raw.headers["anthropic-ratelimit-requests-reset"].endswith("Z"))


# -- httpx


@fact("the balance falls by what the history says, newest first")
def _() -> None:
    mine = {"Authorization": "Bearer k2"}
    before = web.get("/usage/current_balance", headers=mine).json()["current_point_balance"]
    asked = {"model": "GPT-5.1", "messages": [{"role": "user", "content": "hi"}]}
    for model in ("GPT-5.1", "o3"):
        answer = web.post("/v1/chat/completions", headers=mine, json={**asked, "model": model})
        same(200, answer.status_code)
    after = web.get("/usage/current_balance", headers=mine).json()["current_point_balance"]
    rows = web.get("/usage/points_history", headers=mine).json()["data"]
    same(["o3", "GPT-5.1"], [row["bot_name"] for row in rows])
    same(before - after, sum(row["cost_points"] for row in rows))


@fact("the history is paged with limit and starting_after")
def _() -> None:
    mine = {"Authorization": "Bearer k2"}
    page = web.get("/usage/points_history?limit=1", headers=mine).json()
    same((True, 1), (page["has_more"], page["length"]))
    cursor = page["data"][0]["query_id"]
    same(18, len(cursor))
    page = web.get(f"/usage/points_history?limit=1&starting_after={cursor}", headers=mine).json()
    same((False, 1), (page["has_more"], page["length"]))
    same("GPT-5.1", page["data"][0]["bot_name"])


@fact("without points an answer is a 402 with Poe's words")
def _() -> None:
    control(points={"key-2": 0})
    poor = oai.with_options(api_key="k2")
    exc = raises(
        openai.APIStatusError,
        lambda: poor.chat.completions.create(model="o3", messages=[QUESTION]),
    )
    same((402, "insufficient_quota"), (exc.status_code, exc.code))
    holds("used up your points" in exc.body["message"])


@fact("a request beyond the limit is a 429 that says when to come back")
def _() -> None:
    control(rate_limit=1)
    exc = raises(openai.RateLimitError, lambda: say("hi"))
    holds(1 <= int(exc.response.headers["retry-after"]) <= 60)
    control(rate_limit=500)


@fact("paths that were never seen at Poe are JSON 404")
def _() -> None:
    for path in ("/v1/models/gpt-4o", "/v1/embeddings", "/usage/nothing"):
        answer = web.get(path)
        same((404, "application/json"), (answer.status_code, answer.headers["content-type"]))


@contextlib.contextmanager
def stand_in() -> Iterator[str]:
    """Run poe_sim in a process of its own and yield its URL."""
    python = os.environ.get("POE_SIM_PYTHON", str(ROOT / ".venv/bin/python"))
    command = [python, "-m", "poe_sim", "--port", "0", "--tokens", "t1", "--api-keys", "k1,k2"]
    process = subprocess.Popen(
        [*command, "--pace", "0", "--quiet"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http" not in line:
            raise SystemExit(f"poe_sim did not start: {line!r}")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(10)


def main() -> int:
    """Try every fact; return the exit status."""
    global url, oai, claude, web
    failed = 0
    # Models that their vendors will retire warn; that does not matter to a stand-in.
    warnings.simplefilter("ignore", DeprecationWarning)
    with stand_in() as url, httpx.Client(base_url=url, timeout=30) as web:
        oai = openai.OpenAI(api_key="k1", base_url=f"{url}/v1", max_retries=0)
        claude = anthropic.Anthropic(api_key="k1", base_url=url, max_retries=0)
        for text, function in _FACTS:
            try:
                function()
            except Exception:
                failed += 1
                print(f"FAIL  {text}")
                traceback.print_exc(limit=-3)
            else:
                print(f"ok    {text}")
    print(f"{len(_FACTS) - failed} of {len(_FACTS)} facts hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
