"""The `openai` package, its plain and its async client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from scenes import (
    CALLER,
    ECHO,
    KEY,
    NOBODY,
    PIXEL,
    RESULT,
    TALKER,
    URL,
    WEATHER,
    WRITER,
    complaint,
    play,
)

client = OpenAI(base_url=URL, api_key=KEY, max_retries=0)


class City(BaseModel):
    name: str
    people: int


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


def whole() -> Any:
    answer = client.chat.completions.create(model=TALKER, messages=user(f"!echo {ECHO}"))
    return answer.choices[0].message.content


def streamed() -> Any:
    with client.chat.completions.create(
        model=TALKER, messages=user(f"!echo {ECHO}"), stream=True
    ) as chunks:
        return [text for chunk in chunks if (text := chunk.choices[0].delta.content)]


def whole_async() -> Any:
    async def main() -> Any:
        async with AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0) as one:
            answer = await one.chat.completions.create(model=TALKER, messages=user(f"!echo {ECHO}"))
            return answer.choices[0].message.content

    return asyncio.run(main())


def streamed_async() -> Any:
    async def main() -> Any:
        async with AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0) as one:
            chunks = await one.chat.completions.create(
                model=TALKER, messages=user(f"!echo {ECHO}"), stream=True
            )
            return [text async for chunk in chunks if (text := chunk.choices[0].delta.content)]

    return asyncio.run(main())


def ask_with_tools(messages: list[Any], *, stream: bool) -> Any:
    options: dict[str, Any] = {"model": CALLER, "messages": messages, "tools": [WEATHER]}
    if not stream:
        return client.chat.completions.create(**options).choices[0].message
    with client.chat.completions.stream(**options) as running:
        return running.get_final_completion().choices[0].message


def tools(*, stream: bool) -> Any:
    messages = user("How is the weather in Paris?")
    message = ask_with_tools(messages, stream=stream)
    (call,) = message.tool_calls
    messages += [
        message.model_dump(include={"role", "content", "tool_calls"}),
        {"role": "tool", "tool_call_id": call.id, "content": RESULT},
    ]
    answer = ask_with_tools(messages, stream=stream)
    calls = [[call.function.name, json.loads(call.function.arguments)]]
    return {"calls": calls, "text": answer.content}


def image() -> Any:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    return (
        client.chat.completions.create(model=TALKER, messages=user(parts))
        .choices[0]
        .message.content
    )


def usage() -> Any:
    with client.chat.completions.create(
        model=TALKER,
        messages=user(f"!echo {ECHO}"),
        stream=True,
        stream_options={"include_usage": True},
    ) as chunks:
        *_, last = chunks
    return [last.usage.prompt_tokens, last.usage.completion_tokens]


def structured() -> Any:
    answer = client.chat.completions.parse(
        model=WRITER, messages=user("Which city?"), response_format=City
    )
    return answer.choices[0].message.parsed.model_dump()


def reasoning() -> Any:
    message = (
        client.chat.completions.create(
            model=TALKER, messages=user(f"!reason !quoted-thinking !echo {ECHO}")
        )
        .choices[0]
        .message
    )
    return {"reasoning": message.reasoning_content, "text": message.content}


def unknown_model() -> Any:
    return client.chat.completions.create(model=NOBODY, messages=user("Hello"))


def wrong_key() -> Any:
    with OpenAI(base_url=URL, api_key="sk-wrong", max_retries=0) as stranger:
        return stranger.chat.completions.create(model=TALKER, messages=user("Hello"))


play(
    {
        "whole": whole,
        "streamed": streamed,
        "whole_async": whole_async,
        "streamed_async": streamed_async,
        "tools_whole": lambda: tools(stream=False),
        "tools_streamed": lambda: tools(stream=True),
        "image": image,
        "usage": usage,
        "structured": structured,
        "reasoning": reasoning,
        "unknown_model": lambda: complaint(unknown_model),
        "wrong_key": lambda: complaint(wrong_key),
        "models": lambda: [model.id for model in client.models.list()],
    }
)
