"""One key as an upstream, over a wire that follows a script."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from requests.structures import CaseInsensitiveDict

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    Message,
    Reasoning,
    ReplyEvent,
    Text,
    TextPart,
    Tool,
    Usage,
)
from poe_proxy.errors import (
    BotFailed,
    NoTokenFree,
    ParameterRefused,
    TokenExhausted,
    TokenRejected,
    ToolsRefused,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.sse import Decoder
from poe_proxy.upstreams.base import TICK, Abilities
from poe_proxy.upstreams.poe_api import Catalogue, PoeApi, client
from poe_proxy.upstreams.poe_api.wire import End, Head, Received
from poe_proxy.upstreams.refusals import Refusals
from tests.fakes import Clock, ask

KEY = "sk-poe-secret"


class Script:
    """A transfer of which all is known beforehand; a number is so many seconds of silence."""

    def __init__(self, clock: Clock, steps: Iterable[Received | float]) -> None:
        self._clock = clock
        self._steps = list(steps)
        self._silence = 0.0
        self.closed: list[float] = []

    def wait(self, seconds: float) -> list[Received]:
        assert seconds <= TICK or seconds <= client.ASIDE
        while self._steps:
            step = self._steps[0]
            if not isinstance(step, float):
                received = [self._steps.pop(0)]
                # What comes together is read together.
                while self._steps and isinstance(self._steps[0], bytes):
                    received.append(self._steps.pop(0))
                return received  # type: ignore[return-value]
            if self._silence + seconds < step:
                self._silence += seconds
                break
            self._clock.go(step - self._silence)
            seconds -= step - self._silence
            self._silence = 0.0
            del self._steps[0]
        self._clock.go(max(0.0, seconds))
        return []

    def close(self, *, patience: float = 0.0) -> None:
        self.closed.append(patience)


class FakeWire:
    """Plays its scripts, one a transfer and the last one for ever."""

    def __init__(self, clock: Clock, *scripts: Iterable[Received | float]) -> None:
        self.clock = clock
        self.scripts = list(scripts)
        self.sent: list[tuple[str, str, Mapping[str, str], Any]] = []
        self.transfers: list[Script] = []

    def __call__(self, url: str, **options: Any) -> FakeWire:
        self.url, self.options = url, options
        return self

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Script:
        self.sent.append((method, path, headers, body and orjson.loads(body)))
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.transfers.append(Script(self.clock, script))
        return self.transfers[-1]

    def close(self) -> None:
        self.url = "closed"


Make = Callable[..., tuple[PoeApi, FakeWire]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes an upstream on a wire with these scripts."""

    def make(*scripts: Iterable[Received | float], **options: Any) -> tuple[PoeApi, FakeWire]:
        clock = Clock()
        wire = FakeWire(clock, *scripts)
        monkeypatch.setattr(client, "Wire", wire)
        return PoeApi(KEY, clock=clock, **options), wire

    return make


def head(status: int = 200, kind: str = "text/event-stream", **headers: str) -> Head:
    return Head(status, CaseInsensitiveDict({"content-type": kind, **headers}))


def chunk(delta: Any = None, reason: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"delta": delta, "finish_reason": reason}]
    return b"data: " + orjson.dumps({"choices": choices, **more}) + b"\n\n"


def error(status: int, message: str = "No.", **more: Any) -> list[Received | float]:
    return [
        head(status, "application/json"),
        orjson.dumps({"error": {"message": message, **more}}),
        End(),
    ]


DONE = b"data: [DONE]\n\n"
ANSWER: list[Received | float] = [
    head(),
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hello"}),
    chunk({}, "stop"),
    chunk(usage={"prompt_tokens": 1, "completion_tokens": 2}),
    DONE,
    End(),
]
WHOLE = orjson.dumps(
    {"choices": [{"message": {"content": "https://x/y"}, "finish_reason": "stop"}]}
)


class Turns:
    """Permits to send, given at once or after so many signs of life; it counts them."""

    def __init__(self, idle: int = 0) -> None:
        self.idle = idle
        self.taken = 0

    def __call__(self) -> Generator[Idle, None, None]:
        yield from [Idle()] * self.idle
        self.taken += 1


def reply(api: PoeApi, chat: ChatRequest, bot: str) -> Generator[ReplyEvent, None, None]:
    """The reply, where each request may go out at once."""
    return api.reply(chat, bot, Turns())


def spoken(events: Iterable[ReplyEvent]) -> list[ReplyEvent]:
    return [event for event in events if not isinstance(event, Idle)]


# ---- the way of a request


def test_a_reply(make: Make) -> None:
    """One POST with the key; text, usage and the end come out; the connection is kept."""
    api, wire = make(ANSWER, api_url="http://poe", concurrency=7)

    events = [Text("Hello"), Usage(1, 2), Done("stop")]
    assert events == list(reply(api, ask("Hi"), "GPT-5"))
    assert [
        (
            "POST",
            "/v1/chat/completions",
            {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
            {
                "model": "GPT-5",
                "messages": [{"role": "user", "content": "Hi"}],
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        )
    ] == wire.sent
    assert ("http://poe", 7) == (wire.url, wire.options["connections"])
    # A moment for the end of the body, so that the connection can be used again.
    assert 0 < wire.transfers[0].closed[0] < 1


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_the_pieces_of_the_body_do_not_matter(make: Make, size: int) -> None:
    """An event may come in many reads, and many events in one."""
    body = (
        chunk({"reasoning": "思"})
        + chunk({"content": "你好 🖐"})
        + b": ping\r\n\r\n"
        + chunk({"content": "!"}, "stop")
        + DONE
    )
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    api, _ = make([head(), *pieces, End()])

    assert [Reasoning("思"), Text("你好 🖐"), Text("!"), Done("stop")] == spoken(
        reply(api, ask(), "x")
    )


def test_nothing_is_asked_before_the_first_event_is_wanted(make: Make) -> None:
    """A reply that is not read costs nothing."""
    api, wire = make(ANSWER)
    reply(api, ask(), "x").close()

    assert [] == wire.sent


def test_hanging_up_gives_the_transfer_up_at_once(make: Make) -> None:
    """Without any patience: the bot is to stop."""
    api, wire = make([head(), chunk({"content": "a"}), 100.0])
    events = reply(api, ask(), "x")
    assert Text("a") == next(spoken_one for spoken_one in events if spoken_one == Text("a"))
    events.close()

    assert [0.0] == wire.transfers[0].closed


def test_media_bots_are_asked_for_a_whole_answer(make: Make) -> None:
    """By what the list says they make; signs of life come all the same."""
    entry = {"id": "veo-3.1", "architecture": {"output_modalities": ["video"]},
             "parameters": [{"name": "seed"}]}  # fmt: skip
    known = Catalogue(lambda: orjson.dumps({"data": [entry]}))
    known.look()
    api, wire = make([3.0, head(kind="application/json"), WHOLE, End()], catalogue=known)
    events = list(reply(api, ask(extra={"seed": 7, "user": "me"}), "Veo-3.1"))

    assert [Text("https://x/y"), Done("stop")] == spoken(events)
    assert 6 <= events.count(Idle()) <= 7
    assert {"model", "messages", "seed"} == wire.sent[0][3].keys()


def test_an_answer_that_was_to_be_streamed_may_come_whole(make: Make) -> None:
    """What the head says counts, not what was asked for."""
    api, _ = make([head(kind="application/json; charset=utf-8"), WHOLE[:9], WHOLE[9:], End()])

    assert [Text("https://x/y"), Done("stop")] == spoken(reply(api, ask(), "x"))


# ---- signs of life, and patience


def test_a_sign_of_life_at_least_twice_a_second(make: Make) -> None:
    """While Poe does not answer, and between its words."""
    api, wire = make(
        [2.0, head(), 2.0, chunk({"content": "a"}), 2.0, chunk({}, "stop"), DONE, End()]
    )
    moments = [wire.clock.now]
    for _ in reply(api, ask(), "x"):
        moments.append(wire.clock.now)

    assert max(b - a for a, b in pairwise(moments)) <= TICK + 1e-6
    assert 6.0 == pytest.approx(moments[-1] - moments[0])


def test_comments_do_not_replace_signs_of_life(make: Make) -> None:
    """They say that Poe is there; whether the client is there has to be looked after."""
    pings: list[Received | float] = [step for _ in range(50) for step in (0.1, b": ping\n\n")]
    api, _ = make([head(), *pings, *ANSWER[1:]], timeout=1.0, first_byte=1.0)
    events = list(reply(api, ask(), "x"))

    assert Done("stop") == events[-1]
    assert 8 <= events.count(Idle()) <= 12


def test_the_first_word_may_take_long(make: Make) -> None:
    """A head and a role are no word: bots that think send them and are silent for minutes."""
    slow: list[Received | float] = [head(), chunk({"role": "assistant", "content": ""}), 599.0]
    api, _ = make([*slow, *ANSWER[2:]], timeout=60.0)

    assert [Text("Hello"), Usage(1, 2), Done("stop")] == spoken(reply(api, ask(), "x"))


@pytest.mark.parametrize(
    ("script", "limit"),
    [
        ([1000.0], 600.0),
        ([head(), 1000.0], 600.0),
        ([head(), chunk({"content": "a"}), 1000.0], 60.0),
        ([head(), chunk({"reasoning": "a"}), 59.0, chunk({"reasoning": "b"}), 1000.0], 119.0),
    ],
)
def test_silence_has_a_limit(make: Make, script: list[Received | float], limit: float) -> None:
    """A long one before the first word, a shorter one after it; each word counts anew."""
    api, wire = make(script)
    began = wire.clock.now
    with pytest.raises(UpstreamTimeout):
        list(reply(api, ask(), "x"))

    assert limit <= wire.clock.now - began <= limit + 2 * TICK
    assert [0.0] == wire.transfers[0].closed


def test_signs_of_life_alone_are_not_waited_for_for_ever(make: Make) -> None:
    """A bot that films may take long; one that says no word for an hour has none."""
    pings: list[Received | float] = [step for _ in range(500) for step in (15.0, b": ping\n\n")]
    api, wire = make([head(), *pings])
    began = wire.clock.now
    with pytest.raises(UpstreamTimeout):
        list(reply(api, ask(), "x"))

    assert 3600.0 <= wire.clock.now - began <= 3600.0 + 15.0 + TICK
    assert [0.0] == wire.transfers[0].closed


# ---- ends and failures


@pytest.mark.parametrize(
    ("script", "said", "failure"),
    [
        ([head(), chunk({"content": "a"}), End()], [Text("a")], UpstreamInterrupted),
        ([head(), End()], [], UpstreamInterrupted),
        (
            [head(), chunk({"content": "a"}), b'data: {"cho', End()],
            [Text("a")],
            UpstreamInterrupted,
        ),
        (
            [head(), chunk({"content": "a"}), UpstreamInterrupted("cut")],
            [Text("a")],
            UpstreamInterrupted,
        ),
        (
            [head(), chunk({"content": "a"}) + b'data: {"error":{"message":"x"}}\n\n'],
            [Text("a")],
            BotFailed,
        ),
        ([head(), b"data: {\n\n"], [], UpstreamProtocolError),
        ([head(kind="text/html"), b"<html>", End()], [], UpstreamProtocolError),
        ([head(kind="application/json"), End()], [], UpstreamProtocolError),
        (
            [head(kind="application/json"), WHOLE[:9], UpstreamInterrupted("cut")],
            [],
            UpstreamInterrupted,
        ),
        (error(401), [], TokenRejected),
        (error(402), [], TokenExhausted),
        ([head(502, "text/html"), b"<html>", End()], [], UpstreamOverloaded),
        ([head(503), b'{"error":', UpstreamInterrupted("cut")], [], UpstreamOverloaded),
        ([UpstreamUnreachable("x")], [], UpstreamUnreachable),
        ([UpstreamUncertain("x")], [], UpstreamUncertain),
    ],
)
def test_failures_come_after_what_was_said(
    make: Make, script: list[Received | float], said: list[ReplyEvent], failure: type[UpstreamError]
) -> None:
    """Each as its own class; the transfer is given up, and nothing is asked twice."""
    api, wire = make(script)
    events: list[ReplyEvent] = []
    with pytest.raises(failure):
        # Unlike a list that is made at once, this one keeps what came before the failure.
        events.extend(reply(api, ask(), "x"))

    assert said == spoken(events)
    assert [0.0] == wire.transfers[0].closed
    assert 1 == len(wire.sent)


def test_a_last_event_without_its_empty_line_still_counts(make: Make) -> None:
    """[DONE] and a line end too few."""
    api, _ = make([head(), chunk({"content": "a"}), b"data: [DONE]", End()])

    assert [Text("a"), Done("stop")] == spoken(reply(api, ask(), "x"))


def test_a_flood_is_not_collected(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as a whole answer, nor as the explanation of an error, nor as one event."""
    monkeypatch.setattr(client, "_ANSWER_AT_MOST", 1000)
    monkeypatch.setattr(client, "_ERROR_AT_MOST", 1000)
    monkeypatch.setattr(client, "sse", SimpleNamespace(Decoder=partial(Decoder, at_most=1000)))
    for first in (head(), head(kind="application/json"), head(500)):
        api, _ = make([first, *[b"data: " + b"x" * 300] * 10])
        with pytest.raises(UpstreamProtocolError, match="too large"):
            list(reply(api, ask(), "x"))


# ---- fields that a bot does not take


def unknown(field: str) -> list[Received | float]:
    return error(400, f"Unknown parameter: '{field}' is not declared.", param=field)


def test_a_refused_field_is_dropped_and_remembered(make: Make) -> None:
    """The request is repeated without it; the next one does not have it to begin with."""
    refusals = Refusals()
    chat = ask(temperature=0.5, extra={"size": "big", "shape": "round"})
    api, wire = make(unknown("size"), unknown("temperature"), ANSWER, refusals=refusals)

    assert Done("stop") == list(reply(api, chat, "Bot"))[-1]
    assert {"temperature", "size"} == refusals.of("bot")
    assert [
        (True, True, True),
        (True, False, True),
        (False, False, True),
    ] == [tuple(name in body for name in ("temperature", "size", "shape"))
          for *_, body in wire.sent]  # fmt: skip
    assert [[0.0], [0.0]] == [transfer.closed for transfer in wire.transfers[:2]]

    other, wire = make(ANSWER, refusals=refusals)
    assert Done("stop") == list(reply(other, chat, "BOT"))[-1]
    assert 1 == len(wire.sent)


def test_a_request_is_repeated_three_times_at_most(make: Make) -> None:
    """Each repetition is a request to Poe, and uses the limit that all share."""
    extra = {f"field-{number}": 1 for number in range(10)}
    api, wire = make(*(unknown(name) for name in extra))
    with pytest.raises(ParameterRefused):
        list(reply(api, ask(extra=extra), "Bot"))

    assert 4 == len(wire.sent)


def test_max_tokens_is_tried_under_its_newer_name(make: Make) -> None:
    """And if that is not taken either, the client hears of it: its limit would not hold."""
    api, wire = make(unknown("max_tokens"), ANSWER)
    assert Done("stop") == list(reply(api, ask(max_tokens=5), "Bot"))[-1]
    assert 5 == wire.sent[1][3]["max_completion_tokens"]

    api, wire = make(unknown("max_tokens"), unknown("max_completion_tokens"))
    with pytest.raises(ParameterRefused):
        list(reply(api, ask(max_tokens=5), "Bot"))
    assert 2 == len(wire.sent)


@pytest.mark.parametrize(
    ("script", "param"),
    [
        (
            error(400, "Unsupported value: 'x'. Supported: 'y'.", param="reasoning_effort"),
            "reasoning_effort",
        ),
        (error(400, "The model does not support tool calling.", param="model"), "tools"),
        (error(404, "The model does not support tool calling."), "tools"),
        (error(400, "What?"), None),
    ],
)
def test_other_refusals_are_passed_on(
    make: Make, script: list[Received | float], param: str | None
) -> None:
    """A value, tools, and what makes no sense."""
    tools = (Tool(name="f"),)
    api, wire = make(script)
    with pytest.raises(ParameterRefused) as refused:
        list(reply(api, ask(reasoning_effort="x", tools=tools, stop=("a",)), "Bot"))

    assert param == refused.value.param
    assert 1 == len(wire.sent)


def test_a_field_that_is_refused_for_ever_does_not_go_round_for_ever(make: Make) -> None:
    """It is not sent a second time, so it cannot be named a second time."""
    api, wire = make(unknown("temperature"))
    with pytest.raises(ParameterRefused):
        list(reply(api, ask(temperature=1.0), "Bot"))

    assert 2 == len(wire.sent)


def test_nothing_is_repeated_once_something_was_said(make: Make) -> None:
    """A refusal in the middle would repeat the beginning."""
    late = b'data: {"error":{"code":400,"param":"temperature","message":"x"}}\n\n'
    api, wire = make([head(), chunk({"content": "a"}), late])
    with pytest.raises(ParameterRefused):
        list(reply(api, ask(temperature=1.0), "Bot"))
    assert 1 == len(wire.sent)

    api, wire = make([head(), late], ANSWER)
    assert Done("stop") == list(reply(api, ask(temperature=1.0), "Bot"))[-1]


# ---- tools


NO_TOOLS = error(400, "The model does not support tool calling.", param="model")
NOT_THIS_CHOICE = error(400, "x", param="tool_choice")


@pytest.mark.parametrize(
    ("script", "param", "noted"),
    [(NO_TOOLS, "tools", True), (NOT_THIS_CHOICE, "tool_choice", False)],
)
def test_tools_that_are_refused(
    make: Make, script: list[Received | float], param: str, noted: bool
) -> None:
    """A bot without any is remembered, for all keys; one that does not heed a choice has them."""
    refusals = Refusals()
    api, _ = make(script, refusals=refusals)
    other, _ = make(ANSWER, refusals=refusals)
    assert Abilities(tools=True, length=True) == api.abilities("Bot")
    with pytest.raises(ToolsRefused) as refused:
        list(reply(api, ask(tools=(Tool(name="f"),)), "Bot"))

    assert param == refused.value.param
    for one in (api, other):
        assert Abilities(tools=not noted, length=True) == one.abilities("BOT")
        assert Abilities(tools=True, length=True) == one.abilities("Another-Bot")


def test_a_bot_may_have_learned_to_call() -> None:
    """What it refused is forgotten after some hours."""
    clock = Clock()
    api = PoeApi(KEY, clock=clock, refusals=Refusals(clock=clock))
    api._refusals.add("Bot", {"tools"})
    assert not api.abilities("Bot").tools
    clock.go(6 * 3600.0)

    assert api.abilities("Bot").tools


def test_tools_are_not_left_out_in_silence(make: Make) -> None:
    """A request that has them, for a bot that has refused them meanwhile, is refused again."""
    refusals = Refusals()
    refusals.add("Bot", {"tools", "top_p"})
    api, wire = make(NO_TOOLS, refusals=refusals)
    with pytest.raises(ToolsRefused):
        list(reply(api, ask(tools=(Tool(name="f"),), top_p=0.5), "Bot"))

    assert "tools" in wire.sent[0][3]
    assert "top_p" not in wire.sent[0][3]


# ---- the turn


def test_each_request_waits_for_its_turn(make: Make) -> None:
    """A repeated one, too; signs of life come meanwhile, and nothing is sent before."""
    api, wire = make(unknown("temperature"), ANSWER)
    turns = Turns(idle=2)
    events = api.reply(ask(temperature=1.0), "Bot", turns)
    seen = []
    for event in events:
        seen.append((type(event), turns.taken, len(wire.sent)))

    assert [
        (Idle, 0, 0), (Idle, 0, 0), (Idle, 1, 1), (Idle, 1, 1), (Text, 2, 2),
        (Usage, 2, 2), (Done, 2, 2),
    ] == seen  # fmt: skip


def test_a_turn_that_does_not_come(make: Make) -> None:
    """Nothing is sent; why it did not come passes through."""
    api, wire = make(ANSWER)

    def never() -> Generator[Idle, None, None]:
        yield Idle()
        raise NoTokenFree("All of them are resting.")

    with pytest.raises(NoTokenFree):
        list(api.reply(ask(), "Bot", never))
    assert [] == wire.sent


# ---- secrets


def test_the_key_is_in_no_failure_and_no_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Poe has no reason to repeat it; if it does, it stops here."""
    caplog.set_level(logging.DEBUG)
    scripts = [
        error(401, f"Bad key {KEY}!"),
        error(400, f"{KEY} What?", param="x"),
        [head(), b'data: {"error":{"message":"Bad key ' + KEY.encode() + b'!"}}\n\n'],
    ]
    for script in scripts:
        api, _ = make(script, label="key-3")
        with pytest.raises(UpstreamError) as failed:
            list(reply(api, ask(extra={"x": 1}, temperature=1.0), "Bot"))
        assert KEY not in failed.value.message + str(failed.value) + repr(failed.value)
        assert "***" in failed.value.message
        assert KEY not in repr(api)
        assert "key-3" in repr(api)
    assert KEY not in caplog.text


def test_a_conversation_is_in_no_failure_and_no_log(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """What a client says stays between it and Poe."""
    caplog.set_level(logging.DEBUG)
    api, _ = make(unknown("temperature"), [head(), b"data: {secret\n\n"])
    with pytest.raises(UpstreamProtocolError) as failed:
        list(reply(api, ask("secret", temperature=1.0), "Bot"))

    assert "secret" not in str(failed.value) + caplog.text
    assert "temperature" in caplog.text


# ---- the small questions


def test_the_balance(make: Make) -> None:
    """Asked with the key; one number of many."""
    answer = b'{"current_point_balance": 1234, "plan_points_balance": 5}'
    api, wire = make([head(kind="application/json"), answer, End()])

    assert 1234 == api.balance()
    assert ("GET", "/usage/current_balance", None) == (*wire.sent[0][:2], wire.sent[0][3])
    assert f"Bearer {KEY}" == wire.sent[0][2]["Authorization"]


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ([head(), b"", End()], UpstreamProtocolError),
        ([head(), b"<html>", End()], UpstreamProtocolError),
        ([head(), b"[]", End()], UpstreamProtocolError),
        ([head(), b'{"current_point_balance": null}', End()], UpstreamProtocolError),
        (error(401, f"Bad key {KEY}"), TokenRejected),
        ([UpstreamUnreachable("x")], UpstreamUnreachable),
        ([head(), b"{", UpstreamInterrupted("x")], UpstreamInterrupted),
        ([100.0], UpstreamTimeout),
        ([step for _ in range(100) for step in (1.0, b" ")], UpstreamTimeout),
    ],
)
def test_a_balance_that_is_not_to_be_had(
    make: Make, script: list[Received | float], failure: type[UpstreamError]
) -> None:
    """Every failure is an upstream error, and comes in time, even if Poe dribbles."""
    api, wire = make(script)
    began = wire.clock.now
    with pytest.raises(failure) as failed:
        api.balance()

    assert KEY not in str(failed.value)
    assert wire.clock.now - began <= client.ASIDE + 1
    assert 1 == len(wire.transfers[0].closed)


def test_the_list_of_models_is_asked_for_without_a_key(make: Make) -> None:
    """It is for everybody; a rejected key would only be in the way."""
    api, wire = make([head(kind="application/json"), b'{"data"', b":[]}", End()])

    assert b'{"data":[]}' == api.fetch_models()
    assert ("GET", "/v1/models", {}, None) == wire.sent[0]


def test_closing(make: Make) -> None:
    """Gives the connections back."""
    api, wire = make(ANSWER)
    api.close()

    assert "closed" == wire.url


def test_one_message_of_text_is_what_the_tests_here_ask() -> None:
    """The helper makes what these tests rely on."""
    assert (Message(role="user", content=(TextPart("Hi"),)),) == ask("Hi").messages
    assert ChatRequest is type(ask())
