"""What a bot refuses, and what one key does about it, over a wire that follows a script."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from poe_proxy.chat import Done, Idle, Text, Tool, ToolCallPart, Usage
from poe_proxy.errors import (
    NoTokenFree,
    ParameterRefused,
    ToolsRefused,
    UpstreamError,
)
from poe_proxy.net.transfer import End, Received
from poe_proxy.upstreams.base import Abilities
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import PoeApi
from poe_proxy.upstreams.refusals import Refusals
from tests.fakes import Clock, ask

from .scripted import (
    ANSWER,
    CUT,
    DONE,
    KEY,
    REFUSED,
    RESET,
    Make,
    Turns,
    chunk,
    error,
    head,
    reply,
    unknown,
)

# ---- fields that a bot does not take


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


def test_a_refused_value_of_a_common_field_is_not_remembered(make: Make) -> None:
    """It goes from this request; the next one may have a value that the bot takes."""
    known = Catalogue(lambda: b'{"data": [{"id": "bot"}]}')
    known.look()
    refusals = Refusals()
    refusal = error(400, "Must be at most 1.", param="temperature")
    options: dict[str, Any] = {"refusals": refusals, "catalogue": known}
    api, wire = make(refusal, ANSWER, **options)

    assert Done("stop") == list(reply(api, ask(temperature=2.0), "Bot"))[-1]
    assert [True, False] == ["temperature" in body for *_, body in wire.sent]
    assert frozenset() == refusals.of("bot")

    # Where nothing is known of the bot, the client sees the refusal.
    api, wire = make(refusal, ANSWER, refusals=refusals)
    with pytest.raises(ParameterRefused, match="at most 1"):
        list(reply(api, ask(temperature=2.0), "Bot"))
    assert 1 == len(wire.sent)


def test_a_list_that_is_on_its_way_decides_once_it_is_there(make: Make) -> None:
    """Just after the start a refusal waits for the list, with signs of life."""
    known = Catalogue(lambda: b'{"data": [{"id": "bot"}]}')
    api, wire = make(
        error(400, "Must be one of: model, messages.", param="top_k"), ANSWER, catalogue=known
    )
    events = reply(api, ask(extra={"top_k": 40}), "Bot")

    assert Idle() == next(events)
    known.look()
    assert Done("stop") == list(events)[-1]
    assert [True, False] == ["top_k" in body for *_, body in wire.sent]


def test_names_of_tools_are_those_that_all_makers_take(make: Make) -> None:
    """Poe has them so, and the client has its own back."""
    call = {"index": 0, "id": "c", "function": {"name": "a_b", "arguments": "{}"}}
    api, wire = make([head(), chunk({"tool_calls": [call]}, "tool_calls"), DONE, End()])

    events = list(reply(api, ask(tools=(Tool(name="a.b"),)), "Bot"))

    assert "a_b" == wire.sent[0][3]["tools"][0]["function"]["name"]
    assert ToolCallPart(0, "c", "a.b", "{}") in events


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

    class Never(Turns):
        def __call__(self) -> Generator[Idle, None, None]:
            yield Idle()
            raise NoTokenFree("All of them are resting.")

    with pytest.raises(NoTokenFree):
        list(api.reply(ask(), "Bot", Never()))
    assert [] == wire.sent


@pytest.mark.parametrize(
    ("scripts", "arrivals"),
    [
        ([ANSWER], 1),
        ([error(503)], 1),
        ([unknown("temperature"), ANSWER], 2),
        ([[RESET]], 0),
        ([[REFUSED]], 0),
        ([[3.0, head(), CUT]], 1),
    ],
)
def test_what_was_sent_has_arrived_once_its_answer_begins(
    make: Make, scripts: list[list[Received | float]], arrivals: int
) -> None:
    """Each request once, with the head of its answer, whatever the answer is."""
    api, _ = make(*scripts)
    turns = Turns()
    with suppress(UpstreamError):
        list(api.reply(ask(temperature=1.0), "Bot", turns))

    assert arrivals == turns.arrivals


def test_an_arrival_is_noted_before_the_first_word(make: Make) -> None:
    """With the first byte, not with the end: until then a use counts as one on its way."""
    api, _ = make([head(), 3.0, *ANSWER[1:]])
    turns = Turns()
    first = next(api.reply(ask(), "Bot", turns))

    assert (Idle(), 1) == (first, turns.arrivals)
