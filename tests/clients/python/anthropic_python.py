"""The `anthropic` package."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic, beta_tool
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


def connect(key: str) -> Anthropic:
    return Anthropic(base_url=URL.removesuffix("/v1"), api_key=key, max_retries=0)


client = connect(KEY)
described = WEATHER["function"]
weather: Any = {
    "name": described["name"],
    "description": described["description"],
    "input_schema": described["parameters"],
}


class City(BaseModel):
    name: str
    people: int


def asked(content: Any, model: str = TALKER) -> Any:
    return {
        "model": model,
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": content}],
    }


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def whole() -> Any:
    return text_of(client.messages.create(**asked(f"!echo {ECHO}")))


def streamed() -> Any:
    with client.messages.stream(**asked(f"!echo {ECHO}")) as running:
        return list(running.text_stream)


def finish(**wanted: Any) -> Any:
    """The message that the helper puts together of a stream."""
    with client.messages.stream(**wanted) as running:
        return running.get_final_message()


def tools_whole() -> Any:
    wanted = {**asked("How is the weather in Paris?", CALLER), "tools": [weather]}
    first = client.messages.create(**wanted, system="Be short.")
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT} for call in calls]
    wanted["messages"] += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    second = client.messages.create(**wanted, system="Be short.")
    return {"calls": [[call.name, call.input] for call in calls], "text": text_of(second)}


def tools_streamed() -> Any:
    """The package runs the tool by itself, until the bot has answered."""
    calls: list[Any] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        calls.append(["get_weather", {"city": city}])
        return RESULT

    runner = client.beta.messages.tool_runner(
        **asked("How is the weather in Paris?", CALLER), tools=[get_weather], stream=True
    )
    *_, last = [running.get_final_message() for running in runner]
    return {"calls": calls, "text": text_of(last)}


def image() -> Any:
    kind, _, data = PIXEL.removeprefix("data:").partition(";base64,")
    source = {"type": "base64", "media_type": kind, "data": data}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    return text_of(client.messages.create(**asked(parts)))


def usage() -> Any:
    counted = finish(**asked(f"!echo {ECHO}")).usage
    return [counted.input_tokens, counted.output_tokens]


def structured() -> Any:
    answer = client.messages.parse(**asked("Which city?", WRITER), output_format=City)
    return answer.parsed_output.model_dump()


def reasoning() -> Any:
    message = finish(**asked(f"!reason !quoted-thinking !echo {ECHO}"))
    thoughts = [block.thinking for block in message.content if block.type == "thinking"]
    return {"reasoning": "".join(thoughts), "text": text_of(message)}


def wrong_key() -> Any:
    with connect("sk-wrong") as stranger:
        return stranger.messages.create(**asked("Hello"))


def count() -> Any:
    wanted = asked(ECHO)
    return client.messages.count_tokens(
        model=wanted["model"], messages=wanted["messages"]
    ).input_tokens


play(
    {
        "whole": whole,
        "streamed": streamed,
        "tools_whole": tools_whole,
        "tools_streamed": tools_streamed,
        "image": image,
        "usage": usage,
        "structured": structured,
        "reasoning": reasoning,
        "models": lambda: [model.id for model in client.models.list(limit=1000)],
        "model": lambda: client.models.retrieve(TALKER).display_name,
        "count": count,
        "unknown_model": lambda: complaint(lambda: finish(**asked("Hello", NOBODY))),
        "wrong_key": lambda: complaint(wrong_key),
        "broken": lambda: complaint(lambda: finish(**asked(BROKEN))),
    }
)
