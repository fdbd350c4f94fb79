"""The official API over real sockets: `PoeApi` straight against the stand-in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
import pytest
import requests
import urllib3.util.connection as connecting

from poe_proxy.chat import (
    ChatRequest,
    Done,
    FilePart,
    Idle,
    ImagePart,
    Message,
    Reasoning,
    ReplyEvent,
    Sending,
    Text,
    TextPart,
    ToolCall,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import (
    BotFailed,
    BotNotAllowed,
    BotNotFound,
    ParameterRefused,
    PromptRefused,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.upstreams.base import TICK
from poe_proxy.upstreams.poe_api import Catalogue, Learned, PoeApi

from .servers import Sim, until

BOT = "GPT-5.1"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
#: A picture of one pixel.
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


class ApiSim(Sim):
    """The stand-in, with the control of its official face."""

    def control_api(self, **changes: Any) -> Any:
        answer = requests.post(f"{self.url}/__control_api", json=changes, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def active(self) -> int:
        """Replies that the first key's bots are saying."""
        active: int = requests.get(f"{self.url}/__control_api", timeout=10).json()["active"][
            "key-1"
        ]
        return active


@pytest.fixture(scope="module")
def running() -> Iterator[ApiSim]:
    with ApiSim((), ("k1", "k2"), pace=0.002) as sim:
        yield sim


@pytest.fixture
def sim(running: ApiSim) -> ApiSim:
    """The stand-in as at first."""
    running.control_api(reset=True)
    requests.delete(f"{running.url}/__journal", timeout=10)
    return running


@pytest.fixture
def catalogue(sim: ApiSim) -> Catalogue:
    found = Catalogue(PoeApi("k1", api_url=sim.url).fetch_models)
    assert found.look()
    return found


@pytest.fixture
def api(sim: ApiSim, catalogue: Catalogue) -> Iterator[PoeApi]:
    upstream = PoeApi("k1", api_url=sim.url, timeout=10.0, catalogue=catalogue)
    yield upstream
    upstream.close()
    until(lambda: not [t for t in threading.enumerate() if "(_run)" in t.name])


@dataclass
class Told:
    """What events leave behind."""

    events: list[ReplyEvent] = field(default_factory=list)
    #: How often something was sent for it.
    sendings: int = 0
    failure: UpstreamError | None = None

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Text))

    @property
    def thought(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Reasoning))

    @property
    def usage(self) -> Usage | None:
        return next((event for event in self.events if isinstance(event, Usage)), None)

    @property
    def idle(self) -> int:
        return self.events.count(Idle())

    @property
    def end(self) -> str | None:
        last = self.events[-1] if self.events else None
        return last.finish_reason if isinstance(last, Done) else None

    @property
    def calls(self) -> list[ToolCall]:
        """The calls, put together as a client does it."""
        parts: dict[int, list[ToolCallPart]] = {}
        for event in self.events:
            if isinstance(event, ToolCallPart):
                parts.setdefault(event.index, []).append(event)
        assert list(range(len(parts))) == list(parts)
        return [
            ToolCall(
                first[0].id or "",
                first[0].name or "",
                "".join(part.arguments for part in first),
                {key: value for part in first for key, value in part.extra.items()},
            )
            for first in parts.values()
        ]


def user(text: str, *parts: Any) -> Message:
    return Message(role="user", content=(TextPart(text), *parts))


def ask(api: PoeApi, said: str | list[Message], bot: str = BOT, **fields: Any) -> Told:
    """The reply to a prompt or a conversation, as far as it came."""
    messages = [user(said)] if isinstance(said, str) else said
    told = Told()
    try:
        for event in api.reply(ChatRequest(model=bot, messages=tuple(messages), **fields), bot):
            if isinstance(event, Sending):
                told.sendings += 1
            else:
                told.events.append(event)
    except UpstreamError as failure:
        told.failure = failure
    return told


# ---- what is said

LETTERS = 'Grüße, 你好, 🖐🏽👩‍👩‍👧, "quotes" \\ and\n> lines\n\nThinking... \t end'


@pytest.mark.parametrize(
    "how",
    ["", "!chunks=1", "!chunks=9999", "!size=3", "!split-utf8", "!split-utf8 !size=1", "!crlf",
     "!crlf !split-utf8", "!no-space", "!pings", "!no-role", "!null-content", "!snapshot",
     "!extras", "!no-done", "!no-finish", "!usage-empty-choices", "!no-usage"],
)  # fmt: skip
def test_the_text_arrives_to_the_letter(api: PoeApi, how: str) -> None:
    """However it is cut, framed and dressed."""
    told = ask(api, f"!echo {how} {LETTERS}")

    assert LETTERS.split() == told.text.split()
    assert ("stop", "", None) == (told.end, told.thought, told.failure)


def test_a_long_reply_is_whole(api: PoeApi) -> None:
    """Nothing is lost or doubled in 200,000 letters."""
    text = ask(api, "!long=200000 !delay=0").text

    assert 200_000 == len(text)
    numbers = [int(word) for word in text.split() if word.isdigit()]
    assert list(range(1, len(numbers) + 1)) == numbers


def test_an_empty_reply_is_a_reply(api: PoeApi) -> None:
    """A bot may have nothing to say."""
    told = ask(api, "!empty")

    assert ("", "stop", None) == (told.text, told.end, told.failure)


@pytest.mark.parametrize(
    ("how", "details"),
    [
        ("!usage=A", set()),
        ("!usage=B", {"prompt_tokens_details", "completion_tokens_details"}),
        ("!usage=B-null", {"prompt_tokens_details"}),
    ],
)
def test_usage_in_each_variant(api: PoeApi, how: str, details: set[str]) -> None:
    """As Poe counts it, nulls left out."""
    usage = ask(api, f"!echo {how} one two three").usage

    assert usage is not None
    assert usage.prompt_tokens > 0
    assert 3 == usage.completion_tokens
    assert usage.details.keys() <= details
    assert None not in [count for counts in usage.details.values() for count in counts.values()]


def test_no_usage_where_poe_counts_none(api: PoeApi) -> None:
    """Then it is for others to count."""
    told = ask(api, "!echo !no-usage hello")

    assert (None, "stop") == (told.usage, told.end)


@pytest.mark.parametrize("how", ["!thinking", "!thinking=star", "!quoted-thinking"])
@pytest.mark.parametrize("cut", ["", "!size=1", "!chunks=1"])
def test_thoughts_in_the_text_are_reasoning(api: PoeApi, how: str, cut: str) -> None:
    """Heading and marks are gone, the answer begins with its first letter."""
    plain = ask(api, "count to 5").text
    told = ask(api, f"{how} {cut} count to 5")

    assert "The question is read once more.\nThe answer is weighed." == told.thought
    assert plain == told.text


@pytest.mark.parametrize(
    ("bot", "fields"),
    [
        (BOT, {"reasoning_effort": "high"}),
        ("Claude-Sonnet-4.5", {"extra": {"thinking_budget": 2000}}),
        ("o3", {}),
        ("DeepSeek-R1", {}),
    ],
)
def test_reasoning_comes_once(api: PoeApi, bot: str, fields: dict[str, Any]) -> None:
    """In two fields of the same text, or in the content."""
    told = ask(api, "count to 5", bot, **fields)

    assert told.thought
    half = len(told.thought) // 2
    assert told.thought[:half] != told.thought[half:]
    assert told.text
    assert "Thinking..." not in told.text + told.thought


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop"])
def test_finish_reasons(api: PoeApi, reason: str) -> None:
    """As Poe gives them."""
    assert reason == ask(api, f"!echo !finish={reason} x").end


# ---- what is passed on


def test_parameters_arrive(api: PoeApi) -> None:
    """The ones that mean something; the others are not sent, and harm nobody."""
    told = ask(
        api,
        "!say-params !chunks=1",
        temperature=0.5,
        top_p=0.9,
        max_tokens=9000,
        reasoning_effort="low",
        response_format={"type": "json_object"},
        extra={"verbosity": "low", "seed": 1, "user": "me", "logit_bias": {}, "n": 1},
    )

    assert {
        "model": BOT,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9000,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
        "verbosity": "low",
    } == orjson.loads(told.text)


def test_stop_and_length(api: PoeApi) -> None:
    """Poe honours both."""
    assert "one two" == ask(api, "!echo one two STOP three", stop=("STOP",)).text.strip()
    told = ask(api, "!long=4000", max_tokens=5)
    assert "length" == told.end
    assert len(told.text) < 100


def test_developers_become_systems(api: PoeApi) -> None:
    """Poe would refuse them."""
    messages = [Message(role="developer", content=(TextPart("Be brief."),)), user("!say-messages")]

    assert ["system", "user"] == [
        message["role"] for message in orjson.loads(ask(api, messages).text)
    ]


def test_function_results_are_understood(api: PoeApi) -> None:
    """The old form, with its call and without."""
    call = ToolCall("call_1", "f", "{}")
    result = Message(role="function", name="f", content=(TextPart("It is 7."),))
    answered = ask(api, [user("go"), Message(role="assistant", tool_calls=(call,)), result])
    alone = ask(api, [user("go"), result])

    assert "f says: It is 7." == answered.text
    assert ("stop", None) == (alone.end, alone.failure)


def test_pictures_and_files_arrive(api: PoeApi) -> None:
    """As URL and as data, each in its place."""
    told = ask(
        api,
        [
            user(
                "What is this?",
                ImagePart(PIXEL, "low"),
                ImagePart("https://example.org/a.png"),
                FilePart("data:application/pdf;base64,JVBERi0=", "a.pdf"),
            )
        ],
    )

    assert "I see 2 images" in told.text
    assert "I see 1 file" in told.text
    assert "image/gif" in told.text
    assert "https://example.org/a.png" in told.text
    assert "a.pdf" in told.text


# ---- tools


@pytest.mark.parametrize(
    "how", ["", "!no-index", "!whole-args", "!no-index !whole-args", "!null-content", "!text-too"]
)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bot", [BOT, "Gemini-3.1-Pro", "Claude-Sonnet-4.5"])
def test_calls(api: PoeApi, how: str, count: int, bot: str) -> None:
    """So many as were made, each whole, in whatever pieces they come."""
    told = ask(api, f"!calls={count} {how} weather in Paris", bot, tools=(WEATHER, CLOCK))

    assert ["get_weather", "get_time", "get_weather"][:count] == [c.name for c in told.calls]
    assert count == len({call.id for call in told.calls})
    assert all(isinstance(orjson.loads(call.arguments), dict) for call in told.calls)
    assert "Paris" == orjson.loads(told.calls[0].arguments)["city"]
    assert "tool_calls" == told.end
    assert ("Let me look that up." if "text-too" in how else "") == told.text


@pytest.mark.parametrize("bot", [BOT, "Gemini-3.1-Pro", "Claude-Sonnet-4.5"])
def test_a_round_trip(api: PoeApi, bot: str) -> None:
    """Calls go back as they came, Gemini's signature with them, and results are answered."""
    conversation = [user("!calls=2 weather in Paris")]
    first = ask(api, conversation, bot, tools=(WEATHER, CLOCK))
    conversation.append(Message(role="assistant", tool_calls=tuple(first.calls)))
    conversation += [
        Message(role="tool", content=(TextPart(f"It is {n}."),), tool_call_id=call.id)
        for n, call in enumerate(first.calls)
    ]
    second = ask(api, conversation, bot, tools=(WEATHER, CLOCK))

    assert None is second.failure
    assert "get_weather says: It is 0." in second.text
    assert "get_time says: It is 1." in second.text
    assert ("Gemini" in bot) == any("extra_content" in call.extra for call in first.calls)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "get_time"}}, ["get_time"]),
    ],
)
def test_tool_choice(api: PoeApi, choice: Any, names: list[str]) -> None:
    """As the client wants it."""
    told = ask(api, "hello", tools=(WEATHER, CLOCK), tool_choice=choice)

    assert names == [call.name for call in told.calls]


def test_one_call_at_a_time(api: PoeApi) -> None:
    """`parallel_tool_calls` arrives."""
    told = ask(api, "!calls=3 weather", tools=(WEATHER, CLOCK), parallel_tool_calls=False)

    assert 1 == len(told.calls)


def test_arguments_that_are_no_json_pass(api: PoeApi) -> None:
    """They are what the bot said; judging them is for others."""
    arguments = ask(api, "!call=get_weather !bad-args", tools=(WEATHER,)).calls[0].arguments

    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(arguments)


@pytest.mark.parametrize(
    "bot", ["DeepSeek-R1", "GPT-OSS-120B", "GPT-4o-Search", "ChatGPT-4o-Latest",
            "GPT-3.5-Turbo-Instruct"]
)  # fmt: skip
def test_bots_without_tools(api: PoeApi, bot: str) -> None:
    """A 400 or a 404 of Poe's: either way it is about tools."""
    told = ask(api, "weather", bot, tools=(WEATHER,))

    assert ParameterRefused is type(told.failure)
    assert (400, "tools") == (told.failure.status, told.failure.param)


# ---- media


@pytest.mark.parametrize(
    ("bot", "kind"),
    [("Veo-3.1", "video"), ("Sora-2", "video"), ("ElevenLabs-v3", "audio"), ("Imagen-4", "image"),
     ("GPT-Image-1.5", "image"), ("Nano-Banana-Pro", "image")],
)  # fmt: skip
def test_media_bots_answer_whole(sim: ApiSim, api: PoeApi, bot: str, kind: str) -> None:
    """Unstreamed, with signs of life meanwhile."""
    told = ask(api, "a [cat] !first=1.3", bot)

    assert f"/base/{kind}/" in told.text
    assert "stop" == told.end
    assert 2 <= told.idle <= 4
    assert [False] == [entry["stream"] for entry in sim.journal(face="api", model=bot)][:1]


# ---- time


@pytest.mark.parametrize(
    "how", ["!first=1.7", "!first-chunk=1.7", "!silence=1.7", "!silence=1.7 !pings"]
)
def test_signs_of_life_while_nothing_comes(api: PoeApi, how: str) -> None:
    """At least twice a second, whatever Poe is waiting for."""
    moments = [time.monotonic()]
    request = ChatRequest(model=BOT, messages=(user(f"!echo {how} one two three"),))
    for _ in api.reply(request, BOT):
        moments.append(time.monotonic())
    gaps = [after - before for before, after in pairwise(moments)]

    assert max(gaps) < TICK + 0.15
    assert 1.5 < moments[-1] - moments[0] < 3.5


def test_text_is_not_held_up(sim: ApiSim, api: PoeApi) -> None:
    """Each piece is here before the next one is sent."""
    request = ChatRequest(model=BOT, messages=(user("!echo !delay=0.2 one two three four"),))
    moments = [time.monotonic() for event in api.reply(request, BOT) if isinstance(event, Text)]

    assert 4 == len(moments)
    assert all(b - a > 0.1 for a, b in pairwise(moments))


@pytest.mark.parametrize(
    ("how", "said"), [("!first=30", ""), ("!first-chunk=30", ""), ("!hang", "one two ")]
)
def test_silence_has_a_limit(sim: ApiSim, how: str, said: str) -> None:
    """And the bot is stopped."""
    api = PoeApi("k1", api_url=sim.url, timeout=0.7, first_byte=1.2)
    began = time.monotonic()
    told = ask(api, f"!echo {how} !size=4 one two three four")

    assert UpstreamTimeout is type(told.failure)
    assert said == told.text[: len(said)]
    assert 0.6 < time.monotonic() - began < 2.5
    until(lambda: 0 == sim.active(), 3)


@pytest.mark.parametrize(
    ("bot", "how"),
    [
        (BOT, "!first=60"),
        (BOT, "!first-chunk=60"),
        (BOT, "!hang"),
        (BOT, "!long=90000 !delay=0.1"),
        ("Veo-3.1", "!first=60"),
        ("Veo-3.1", "!hang"),
    ],
)
def test_hanging_up_stops_the_bot_at_once(sim: ApiSim, api: PoeApi, bot: str, how: str) -> None:
    """Streamed or whole, before the first byte or in the middle."""
    events = api.reply(ChatRequest(model=bot, messages=(user(f"{how} x y z"),)), bot)
    until(lambda: isinstance(next(events), Idle | Text))
    until(lambda: sim.journal(face="api", event="reply-start"))
    began = time.monotonic()
    events.close()

    assert time.monotonic() - began < 0.1
    until(lambda: sim.journal(face="api", event="reply-aborted"), 1.0)


# ---- failures

FAILURES: list[tuple[str, type[UpstreamError]]] = [
    ("!http=400", ParameterRefused),
    ("!http=401", TokenRejected),
    ("!http=402", TokenExhausted),
    ("!http=403", PromptRefused),
    ("!http=404", BotNotFound),
    ("!http=408", UpstreamTimeout),
    ("!http=413", PromptTooLong),
    ("!http=429", TokenLimited),
    ("!http=500", BotFailed),
    ("!http=500 !nested-error", BotFailed),
    ("!http=502", UpstreamOverloaded),
    ("!http=503", UpstreamOverloaded),
    ("!http=529", UpstreamOverloaded),
    ("!html-502", UpstreamOverloaded),
    ("!empty-200", UpstreamProtocolError),
    ("!reset", UpstreamUncertain),
]


@pytest.mark.parametrize(("how", "kind"), FAILURES)
@pytest.mark.parametrize("bot", [BOT, "Veo-3.1"])
def test_refusals(sim: ApiSim, api: PoeApi, how: str, kind: type[UpstreamError], bot: str) -> None:
    """Each as its own class, in Poe's words, asked once, and never with a key in it."""
    told = ask(api, f"{how} hello", bot)

    assert kind is type(told.failure)
    assert [] == told.events
    assert told.failure.message
    assert "{" not in told.failure.message
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("!error-after=2", BotFailed),
        ("!silent-end=2", UpstreamInterrupted),
        ("!cut=2", UpstreamInterrupted),
        ("!broken-json=2", UpstreamProtocolError),
        ("!no-finish !no-done", UpstreamInterrupted),
    ],
)
def test_failures_in_the_middle(api: PoeApi, how: str, kind: type[UpstreamError]) -> None:
    """What was said is said; it is no answer."""
    told = ask(api, f"!echo {how} !size=4 one two three four")

    assert kind is type(told.failure)
    assert told.text.startswith("one two ")
    assert None is told.end


@pytest.mark.parametrize(
    ("how", "kind"), [("!error-after", BotFailed), ("!cut", UpstreamInterrupted)]
)
def test_whole_answers_that_fail(api: PoeApi, how: str, kind: type[UpstreamError]) -> None:
    """Half of one is none."""
    told = ask(api, f"{how} a cat", "Veo-3.1")

    assert kind is type(told.failure)
    assert "" == told.text


@pytest.mark.parametrize(
    ("how", "seconds"),
    [("", 1.0), ("!retry-after=7", 7.0), ("!retry-after=soon", None)],
)
def test_how_long_to_wait(api: PoeApi, how: str, seconds: float | None) -> None:
    """As Poe says."""
    failure = ask(api, f"!http=429 {how} x").failure

    assert TokenLimited is type(failure)
    assert seconds == failure.retry_after


@pytest.mark.parametrize(
    ("bot", "kind"),
    [
        ("Sim-Private", BotNotAllowed),
        ("App-Creator", BotNotAllowed),
        ("Script-Bot-Creator", BotNotAllowed),
        ("Sim-Unpriced", UpstreamRefused),
        ("No-Such-Bot", BotNotFound),
        ("Sim-Http-429", TokenLimited),
    ],
)
def test_bots_that_do_not_serve(api: PoeApi, bot: str, kind: type[UpstreamError]) -> None:
    """And why."""
    assert kind is type(ask(api, "hello", bot).failure)


def test_a_bot_that_is_in_no_list_answers(api: PoeApi, catalogue: Catalogue) -> None:
    """The list says what is offered, not what there is."""
    assert "" == catalogue.find("Sim-Community").id
    assert "hello" == ask(api, "!echo hello", "Sim-Community").text


def test_a_prompt_that_is_too_long(api: PoeApi) -> None:
    """Said in the way that makes a client shorten it."""
    failure = ask(api, "word " * 3000, "Sim-Short-Memory").failure

    assert PromptTooLong is type(failure)
    assert "too long" in failure.message


@pytest.mark.parametrize(
    ("down", "kind"),
    [(True, UpstreamOverloaded), ("html", UpstreamOverloaded), ("refuse", UpstreamUncertain),
     ("hang", UpstreamTimeout)],
)  # fmt: skip
def test_poe_is_down(
    sim: ApiSim, catalogue: Catalogue, down: Any, kind: type[UpstreamError]
) -> None:
    """The list of models stays, and everything is well again afterwards."""
    api = PoeApi("k1", api_url=sim.url, timeout=0.5, first_byte=0.8, catalogue=catalogue)
    sim.control_api(down=down)
    try:
        assert kind is type(ask(api, "hello").failure)
        if down != "hang":
            assert not catalogue.look()
            assert BOT == catalogue.find(BOT).id
            assert len(catalogue.entries()) > 40
    finally:
        sim.control_api(reset=True)
    assert "stop" == ask(api, "hello").end


def test_nobody_listens() -> None:
    """Nothing was sent."""
    with ApiSim((), ("k1",)) as gone:
        url = gone.url

    assert UpstreamUnreachable is type(ask(PoeApi("k1", api_url=url), "hello").failure)


# ---- keys, points, limits


def test_a_key_that_poe_does_not_take(sim: ApiSim) -> None:
    """For replies and for the balance; the list is for everybody."""
    bad = PoeApi("sk-poe-wrong", api_url=sim.url)
    failure = ask(bad, "hello").failure

    assert TokenRejected is type(failure)
    assert "sk-poe-wrong" not in str(failure)
    with pytest.raises(TokenRejected):
        bad.balance()
    assert bad.fetch_models()


def test_points(sim: ApiSim, api: PoeApi) -> None:
    """They fall, they run out, they come back."""
    before = api.balance()
    ask(api, "hello")
    assert api.balance() < before
    sim.control_api(points={"key-1": 0})
    assert 0 == api.balance()
    assert TokenExhausted is type(ask(api, "hello").failure)
    sim.control_api(points={"key-1": 5000})
    assert 5000 == api.balance()
    assert "stop" == ask(api, "hello").end


def test_too_many_requests(sim: ApiSim, api: PoeApi) -> None:
    """The limit of the key, with the time to wait."""
    sim.control_api(rate_limit=2, rate_window=30)
    told = [ask(api, "!echo hello") for _ in range(3)]

    assert [None, None, TokenLimited] == [t.failure and type(t.failure) for t in told]
    assert told[2].failure is not None
    assert 0 < (told[2].failure.retry_after or 0) <= 30


# ---- fields that are refused


def test_undeclared_fields_are_dropped_once_and_for_all_keys(
    sim: ApiSim, catalogue: Catalogue
) -> None:
    """In strict mode the bot's refusals cost a repeated request each, once for each bot: one tells
    of all fields that only the client knows."""
    sim.control_api(strict=True)
    learned = Learned()
    first, second = (
        PoeApi(key, api_url=sim.url, catalogue=catalogue, learned=learned) for key in ("k1", "k2")
    )
    fields: dict[str, Any] = {"reasoning_effort": "low", "extra": {"shape": 1, "colour": "red"}}
    told = ask(first, "!say-params !chunks=1", "GPT-4o", temperature=0.5, **fields)

    body = orjson.loads(told.text)
    assert 0.5 == body["temperature"]
    assert not {"reasoning_effort", "shape", "colour"} & body.keys()
    # Each of them is told, so that it counts as a use of the key.
    assert 3 == told.sendings
    assert 3 == len(sim.journal(face="api", key="key-1", path="/v1/chat/completions"))
    assert "stop" == ask(second, "hello", "gpt-4O", **fields).end
    assert 1 == len(sim.journal(face="api", key="key-2", path="/v1/chat/completions"))
    # What one bot does not take another one may.
    assert (
        "low"
        == orjson.loads(ask(second, "!say-params !chunks=1", BOT, reasoning_effort="low").text)[
            "reasoning_effort"
        ]
    )


@pytest.mark.parametrize("strict", [True, False])
def test_a_value_that_is_refused_is_told(sim: ApiSim, api: PoeApi, strict: bool) -> None:
    """Dropping it would give another answer than was asked for."""
    sim.control_api(strict=strict)
    failure = ask(api, "hello", reasoning_effort="enormous").failure

    assert ParameterRefused is type(failure)
    assert "reasoning_effort" == failure.param
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


@pytest.mark.parametrize("strict", [True, False])
def test_what_openai_has_and_poe_ignores_does_no_harm(
    sim: ApiSim, api: PoeApi, strict: bool
) -> None:
    """In either mode, at the first try."""
    sim.control_api(strict=strict)
    extra = {
        "seed": 1, "user": "u", "store": True, "metadata": {"a": "b"}, "presence_penalty": 0.1,
        "frequency_penalty": 0.1, "logit_bias": {"1": 1}, "service_tier": "auto",
        "prediction": None, "modalities": ["text"], "audio": None, "safety_identifier": "x",
        "prompt_cache_key": "x",
    }  # fmt: skip
    assert "stop" == ask(api, "hello", extra=extra).end
    assert 1 == len(sim.journal(face="api", path="/v1/chat/completions"))


# ---- the list


def test_the_list(sim: ApiSim, catalogue: Catalogue) -> None:
    """Everything that Poe says of a bot, in OpenAI's form."""
    given = requests.get(f"{sim.url}/v1/models", timeout=10).json()["data"]
    entries = catalogue.entries()

    assert [one["id"] for one in given] == [entry["id"].lower() for entry in entries]
    for one, entry in zip(given, entries, strict=True):
        assert one["metadata"]["display_name"] == entry["id"]
        assert one["created"] // 1000 == entry["created"]
        untouched = one.keys() - {"id", "created"}
        assert {key: one[key] for key in untouched} == {key: entry[key] for key in untouched}


# ---- connections


def test_many_at_once_and_nothing_stays_behind(sim: ApiSim, api: PoeApi) -> None:
    """Sixty replies side by side, each its own, some given up; then the key is at rest."""
    told: dict[int, Told] = {}

    def run(number: int) -> None:
        if number % 3 == 2:
            chat = ChatRequest(model=BOT, messages=(user(f"!hang {number}"),))
            events = api.reply(chat, BOT)
            next(events)
            events.close()
        else:
            told[number] = ask(api, f"!echo !delay=0.01 number {number} of many")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert {n: f"number {n} of many" for n in range(60) if n % 3 != 2} == {
        number: one.text for number, one in told.items()
    }
    until(lambda: 0 == sim.active(), 3)


def test_a_restarted_poe_is_found_again(sim: ApiSim) -> None:
    """Connections that died meanwhile are not used."""
    with ApiSim((), ("k1",)) as first:
        api = PoeApi("k1", api_url=first.url)
        assert "stop" == ask(api, "hello").end
        port = first.port
    time.sleep(0.1)
    with ApiSim((), ("k1",), port=port):
        assert "stop" == ask(api, "hello").end


def test_one_connection_serves_one_reply_after_the_other(
    api: PoeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamed, whole and refused ones: each is read to its end."""
    opened: list[Any] = []
    create: Callable[..., Any] = connecting.create_connection

    def counted(*args: Any, **options: Any) -> Any:
        opened.append(args)
        return create(*args, **options)

    monkeypatch.setattr(connecting, "create_connection", counted)
    for _ in range(5):
        assert "stop" == ask(api, "!echo hello").end
        assert "stop" == ask(api, "a cat", "Veo-3.1").end
        assert BotFailed is type(ask(api, "!http=500 x").failure)
        assert api.balance()

    assert 1 == len(opened)
