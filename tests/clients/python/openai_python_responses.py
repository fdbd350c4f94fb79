"""The `openai` package, by its Responses API."""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI
from pydantic import BaseModel
from scenes import (
    BROKEN,
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
weather: dict[str, Any] = {"type": "function", **WEATHER["function"]}


class City(BaseModel):
    name: str
    people: int


def streamed() -> Any:
    with client.responses.create(model=TALKER, input=f"!echo {ECHO}", stream=True) as events:
        return [event.delta for event in events if event.type == "response.output_text.delta"]


def finish(**asked: Any) -> Any:
    """The response that the helper puts together of a stream."""
    with client.responses.stream(**asked) as running:
        return running.get_final_response()


def tools(*, stream: bool) -> Any:
    ask = finish if stream else client.responses.create
    given: list[Any] = [{"role": "user", "content": "How is the weather in Paris?"}]
    first = ask(model=CALLER, input=given, tools=[weather], instructions="Be short.")
    calls = [item for item in first.output if item.type == "function_call"]
    given += [
        *first.output,
        *(
            {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
            for call in calls
        ),
    ]
    second = ask(model=CALLER, input=given, tools=[weather], instructions="Be short.")
    return {
        "calls": [[call.name, json.loads(call.arguments)] for call in calls],
        "text": second.output_text,
    }


def image() -> Any:
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
    ]
    given: list[Any] = [{"role": "user", "content": parts}]
    return client.responses.create(model=TALKER, input=given).output_text


def usage() -> Any:
    counted = finish(model=TALKER, input=f"!echo {ECHO}").usage
    return [counted.input_tokens, counted.output_tokens]


def structured() -> Any:
    answer = client.responses.parse(model=WRITER, input="Which city?", text_format=City)
    return answer.output_parsed.model_dump()


def reasoning() -> Any:
    answer = client.responses.create(
        model=TALKER, input=f"!reason !quoted-thinking !echo {ECHO}", reasoning={"summary": "auto"}
    )
    summaries = [item.summary for item in answer.output if item.type == "reasoning"]
    return {
        "reasoning": "".join(part.text for parts in summaries for part in parts),
        "text": answer.output_text,
    }


def wrong_key() -> Any:
    with OpenAI(base_url=URL, api_key="sk-wrong", max_retries=0) as stranger:
        return stranger.responses.create(model=TALKER, input="Hello")


play(
    {
        "whole": lambda: client.responses.create(model=TALKER, input=f"!echo {ECHO}").output_text,
        "streamed": streamed,
        "tools_whole": lambda: tools(stream=False),
        "tools_streamed": lambda: tools(stream=True),
        "image": image,
        "usage": usage,
        "structured": structured,
        "reasoning": reasoning,
        "count": lambda: client.responses.input_tokens.count(model=TALKER, input=ECHO).input_tokens,
        "unknown_model": lambda: complaint(
            lambda: client.responses.create(model=NOBODY, input="Hello")
        ),
        "wrong_key": lambda: complaint(wrong_key),
        "broken": lambda: complaint(lambda: finish(model=TALKER, input=BROKEN)),
    }
)
