"""OpenAI's older completions: what is understood, what is refused, and how answers are dressed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types import Completion

from poe_proxy.apis.completions import Completions, TextCompletion
from poe_proxy.budget import Budget
from poe_proxy.chat import Done, Idle, Reasoning, Refusal, Replaced, Said, Text, Usage
from poe_proxy.errors import InvalidRequest, UpstreamTimeout

from .streams import frames

ONCE = "Once upon a time"


def call(**fields: Any) -> TextCompletion:
    """A request that is complete but for *fields*."""
    body = {"model": "gpt-4", "prompt": ONCE, **fields}
    return Completions().call(orjson.dumps(body), Budget(60))


def said(**fields: Any) -> str:
    """The one message that the bot is sent."""
    (message,) = call(**fields).chat.messages
    assert "user" == message.role
    return message.text


def whole(*events: Said, **fields: Any) -> Completion:
    """The completion that *events* make, accepted by OpenAI's own type."""
    return Completion.model_validate_json(call(**fields).body(events), strict=True)


def stream(*events: Said, **fields: Any) -> list[Any]:
    """The data of the frames that *events* make, but for the `[DONE]` at their end."""
    *sent, done = frames(call(stream=True, **fields), events)
    assert b"data: [DONE]\n\n" == done
    return [orjson.loads(frame.removeprefix(b"data: ")) for frame in sent]


# ---- what is understood


@pytest.mark.parametrize("prompt", [ONCE, [ONCE]], ids=["text", "list of one"])
def test_the_prompt_is_one_message(prompt: Any) -> None:
    """As it stands."""
    assert ONCE == said(prompt=prompt)


def test_a_suffix_is_told() -> None:
    """The bot is asked for what stands in between; an empty suffix is none."""
    asked = said(suffix="They lived happily.")

    assert asked.index("between") < asked.index(ONCE) < asked.index("They lived happily.")
    assert ONCE == said(suffix="")


def test_fields_of_a_chat_mean_the_same() -> None:
    """Lengths, stop words, and what may be the bot's own."""
    chat = call(max_tokens=5, stop="\n", temperature=0.5, top_p=1, seed=7, aspect="1:1").chat

    assert (5, ("\n",), 0.5, 1) == (chat.max_tokens, chat.stop, chat.temperature, chat.top_p)
    assert {"seed": 7, "aspect": "1:1"} == chat.extra
    assert call().chat.max_tokens is None


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": []}, "prompt", "invalid_value"),
        ({"prompt": {}}, "prompt", "invalid_value"),
        ({"prompt": ["a", "b"]}, "prompt", "invalid_value"),
        ({"prompt": [1, 2]}, "prompt", "invalid_value"),
        ({"prompt": [[1, 2], [3]]}, "prompt", "invalid_value"),
        ({"model": None}, "model", "missing_required_parameter"),
        ({"n": 2}, "n", "invalid_value"),
        ({"best_of": 2}, "best_of", "invalid_value"),
        ({"logprobs": 5}, "logprobs", "invalid_value"),
        ({"echo": "loud"}, "echo", "invalid_value"),
        ({"suffix": 7}, "suffix", "invalid_value"),
        ({"max_tokens": -2}, "max_tokens", "invalid_value"),
        ({"stop": [1]}, "stop", "invalid_value"),
        ({"stream_options": {"include_usage": "loud"}}, "stream_options.include_usage",
         "invalid_value"),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_is_named_by_its_field(fields: dict[str, Any], param: str, code: str) -> None:
    """What cannot be done is not passed over."""
    with pytest.raises(InvalidRequest) as refusal:
        call(**fields)

    assert (param, code) == (refusal.value.param, refusal.value.code)


def test_what_asks_for_nothing_is_no_mistake() -> None:
    """Forms send their defaults."""
    assert call(n=1, best_of="1", logprobs=0, echo=False, suffix=None, user="u").chat.messages


# ---- what comes back


def test_a_whole_answer() -> None:
    """A text completion with the bot's words, not its thoughts, and always the usage."""
    answer = whole(Idle(), Reasoning("Hm."), Text(" there"), Text(" was"), Usage(3, 2), Done())

    (choice,) = answer.choices
    assert (" there was", 0, "stop", None) == (
        choice.text,
        choice.index,
        choice.finish_reason,
        choice.logprobs,
    )
    assert ("text_completion", "gpt-4", 5) == (
        answer.object,
        answer.model,
        answer.usage and answer.usage.total_tokens,
    )
    assert answer.id.startswith("cmpl-")


def test_an_echo_stands_in_front() -> None:
    """In a stream it is the first piece."""
    (choice,) = whole(Text(", a fox"), Done(), echo=True).choices
    first, *_ = stream(Text(", a fox"), Done(), echo=True)

    assert f"{ONCE}, a fox" == choice.text
    assert ONCE == first["choices"][0]["text"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "stop")],
)
def test_the_reason_is_one_that_this_api_has(reason: Any, told: str) -> None:
    """There are no tools here."""
    (choice,) = whole(Text("x"), Done(reason)).choices

    assert told == choice.finish_reason


def test_a_refusal_is_text() -> None:
    """There is no other place for it. It stands behind what the bot has said before."""
    said = Text("Well. "), Refusal("I will not."), Done("content_filter")
    (choice,) = whole(*said[1:]).choices

    assert ("I will not.", "content_filter") == (choice.text, choice.finish_reason)
    (choice,) = whole(*said).choices
    assert "Well. I will not." == choice.text
    assert choice.text == "".join(one["choices"][0]["text"] for one in stream(*said))


def test_a_stream() -> None:
    """Pieces without a reason, a keep-alive without text, the reason last."""
    chunks = stream(Idle(), Text("a"), Reasoning("Hm."), Replaced("ab"), Usage(1, 1), Done())

    assert ["", "a", "b", ""] == [one["choices"][0]["text"] for one in chunks]
    assert [None, None, None, "stop"] == [one["choices"][0]["finish_reason"] for one in chunks]
    assert 1 == len({(one["id"], one["created"], one["model"], one["object"]) for one in chunks})
    assert all("usage" not in one for one in chunks)


def test_usage_comes_last_if_it_is_wanted() -> None:
    """In a chunk of its own; the field is null in all others."""
    *chunks, last = stream(Text("a"), Usage(1, 2), Done(), stream_options={"include_usage": True})

    assert ([], 3) == (last["choices"], last["usage"]["total_tokens"])
    assert [None, None] == [one["usage"] for one in chunks]


def test_a_failure_is_the_end() -> None:
    """An error object; if that is wanted, also the last text."""
    plain = call(stream=True)
    shown = Completions(errors_as_text=True).call(
        orjson.dumps({"model": "m", "prompt": "x"}), Budget(60)
    )
    failure = UpstreamTimeout("Poe fell silent.")

    assert b'data: {"error":' in plain.failed(failure)
    assert 1 == plain.failed(failure).count(b"data: ")
    assert b'"text":"Error: Poe fell silent."' in shown.failed(failure)
    assert not plain.opens_for(failure)
