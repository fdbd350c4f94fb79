"""`langchain-openai`."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
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


class City(BaseModel):
    name: str
    people: int


def chat(model: str, key: str = KEY) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=URL, api_key=key, max_retries=0, stream_usage=True)


def whole() -> Any:
    return chat(TALKER).invoke(f"!echo {ECHO}").content


def streamed() -> Any:
    return [chunk.content for chunk in chat(TALKER).stream(f"!echo {ECHO}") if chunk.content]


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
    return {"calls": [[call["name"], call["args"]]], "text": answer.content}


def image() -> Any:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    return chat(TALKER).invoke([HumanMessage(parts)]).content


def usage() -> Any:
    *_, last = (
        chunk.usage_metadata
        for chunk in chat(TALKER).stream(f"!echo {ECHO}")
        if chunk.usage_metadata
    )
    return [last["input_tokens"], last["output_tokens"]]


def structured() -> Any:
    return chat(WRITER).with_structured_output(City).invoke("Which city?").model_dump()


play(
    {
        "whole": whole,
        "streamed": streamed,
        "tools_whole": lambda: tools(stream=False),
        "tools_streamed": lambda: tools(stream=True),
        "image": image,
        "usage": usage,
        "structured": structured,
        "unknown_model": lambda: complaint(lambda: chat(NOBODY).invoke("Hello")),
        "wrong_key": lambda: complaint(lambda: chat(TALKER, "sk-wrong").invoke("Hello")),
    }
)
