"""Open WebUI's way of calling: the list first, then streamed chats with all of its tools.

For a new chat it asks for a title and tags, each in one message that is not streamed; whatever the
answer is, the JSON in it is looked for (`backend/open_webui/routers/tasks.py` of open-webui).
"""

from __future__ import annotations

import json
from typing import Any

import httpx
from many_tools import TOOLS
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


def headers(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


def body_or_error(response: httpx.Response) -> Any:
    """The body, which is JSON whatever the status; its `error` is what the user is shown."""
    body = response.json()
    if "error" in body:
        raise RuntimeError(f"{response.status_code}: {body['error']['message']}")
    return body


def models(key: str = KEY) -> Any:
    """The list; asked for with a key, it is the check of a connection, too."""
    return [
        one["id"] for one in body_or_error(httpx.get(f"{URL}/models", headers=headers(key)))["data"]
    ]


def stream(model: str, messages: list[Any], **fields: Any) -> list[dict[str, Any]]:
    """The deltas of a streamed answer."""
    body = {"model": model, "messages": messages, "stream": True, **fields}
    with httpx.stream(
        "POST", f"{URL}/chat/completions", json=body, headers=headers(), timeout=60
    ) as response:
        if "text/event-stream" not in response.headers["content-type"]:
            response.read()
            body_or_error(response)
        data = [
            line.removeprefix("data: ")
            for line in response.iter_lines()
            if line.startswith("data: ")
        ]
    assert data.pop() == "[DONE]"
    return [json.loads(one)["choices"][0]["delta"] for one in data]


def text(deltas: list[dict[str, Any]]) -> str:
    return "".join(delta.get("content") or "" for delta in deltas)


def whole() -> Any:
    body = {"model": TALKER, "messages": user(f"!echo {ECHO}"), "stream": False}
    answer = httpx.post(f"{URL}/chat/completions", json=body, headers=headers(), timeout=60)
    return body_or_error(answer)["choices"][0]["message"]["content"]


def streamed() -> Any:
    deltas = stream(TALKER, user(f"!echo {ECHO}"))
    return [delta["content"] for delta in deltas if delta.get("content")]


def task(what: str, example: Any) -> Any:
    """What the bot for such things answers, of a chat that has just begun."""
    prompt = (
        f"### Task:\nGive {what} for the chat.\n### Output:\nJSON format: {json.dumps(example)}\n"
        "### Chat History:\n<chat_history>\nUSER: How is the weather in Paris?\n</chat_history>"
    )
    body = {"model": WRITER, "messages": user(prompt), "stream": False}
    answer = httpx.post(
        f"{URL}/chat/completions",
        json={**body, "max_completion_tokens": 1000},
        headers=headers(),
        timeout=60,
    )
    text = body_or_error(answer)["choices"][0]["message"]["content"]
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def new_chat() -> Any:
    """Title, tags, and a chat with all tools that there are, one of which the user has added."""
    title = task("a title of 3 to 5 words", {"title": "your title here"})
    tags = task("1 to 3 tags", {"tags": ["tag1", "tag2"]})
    return {**title, **tags, **tools([*TOOLS, WEATHER])}


def tools(offered: list[Any]) -> Any:
    messages = user("How is the weather in Paris?")
    calls: dict[int, Any] = {}
    for delta in stream(CALLER, messages, tools=offered):
        for part in delta.get("tool_calls") or ():
            if part["index"] in calls:
                known = calls[part["index"]]["function"]
                known["arguments"] += part["function"]["arguments"]
            else:
                calls[part["index"]] = part
    messages.append({"role": "assistant", "content": "", "tool_calls": list(calls.values())})
    messages += [
        {"role": "tool", "tool_call_id": call["id"], "content": RESULT} for call in calls.values()
    ]
    made = [call["function"] for call in calls.values()]
    return {
        "calls": [[one["name"], json.loads(one["arguments"])] for one in made],
        "text": text(stream(CALLER, messages, tools=offered)),
    }


def image() -> Any:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    return text(stream(TALKER, user(parts)))


play(
    {
        "models": models,
        "whole": whole,
        "streamed": streamed,
        "tools_streamed": lambda: tools([WEATHER]),
        "new_chat": new_chat,
        "image": image,
        "unknown_model": lambda: complaint(lambda: stream(NOBODY, user("Hello"))),
        "wrong_key": lambda: complaint(lambda: models("sk-wrong")),
    }
)
