"""`langchain-openai`, by either of its APIs, and `langchain-anthropic`."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from pydantic import BaseModel
from scenes import (
    API,
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


class City(BaseModel):
    name: str
    people: int


def chat(model: str, key: str = KEY) -> BaseChatModel:
    options: dict[str, Any] = {"api_key": key, "max_retries": 0, "stream_usage": True}
    # Each of the two takes seconds to import, so only one is.
    if API == "messages":
        from langchain_anthropic import ChatAnthropic

        base = URL.removesuffix("/v1")
        return ChatAnthropic(model=model, base_url=base, max_tokens=4000, **options)
    from langchain_openai import ChatOpenAI

    by_responses = API == "responses"
    return ChatOpenAI(model=model, base_url=URL, use_responses_api=by_responses, **options)


def whole() -> Any:
    return chat(TALKER).invoke(f"!echo {ECHO}").text


def streamed() -> Any:
    return [chunk.text for chunk in chat(TALKER).stream(f"!echo {ECHO}") if chunk.text]


def ask_with_tools(messages: list[Any], *, stream: bool) -> Any:
    bound = chat(CALLER).bind_tools([WEATHER])
    if not stream:
        return bound.invoke(messages)
    first, *others = bound.stream(messages)
    answer: AIMessageChunk = first
    for chunk in others:
        answer += chunk
    return answer


def tools(*, stream: bool) -> Any:
    messages: list[Any] = [HumanMessage("How is the weather in Paris?")]
    message = ask_with_tools(messages, stream=stream)
    (call,) = message.tool_calls
    messages += [message, ToolMessage(RESULT, tool_call_id=call["id"])]
    answer = ask_with_tools(messages, stream=stream)
    return {"calls": [[call["name"], call["args"]]], "text": answer.text}


def image() -> Any:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    return chat(TALKER).invoke([HumanMessage(parts)]).text


def usage() -> Any:
    *_, last = (
        chunk.usage_metadata
        for chunk in chat(TALKER).stream(f"!echo {ECHO}")
        if chunk.usage_metadata
    )
    return [last["input_tokens"], last["output_tokens"]]


def structured() -> Any:
    return chat(WRITER).with_structured_output(City).invoke("Which city?").model_dump()


def reasoning() -> Any:
    message = chat(TALKER).invoke(f"!reason !quoted-thinking !echo {ECHO}")
    thoughts = [block for block in message.content_blocks if block["type"] == "reasoning"]
    return {
        "reasoning": "".join(block.get("reasoning", "") for block in thoughts),
        "text": message.text,
    }


play(
    {
        "whole": whole,
        "streamed": streamed,
        "tools_whole": lambda: tools(stream=False),
        "tools_streamed": lambda: tools(stream=True),
        "image": image,
        "usage": usage,
        "structured": structured,
        "reasoning": reasoning,
        "unknown_model": lambda: complaint(lambda: chat(NOBODY).invoke("Hello")),
        "wrong_key": lambda: complaint(lambda: chat(TALKER, "sk-wrong").invoke("Hello")),
    }
)
