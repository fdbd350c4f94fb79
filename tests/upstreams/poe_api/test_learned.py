"""What bots do not take."""

from __future__ import annotations

import threading

import pytest

from poe_proxy.errors import ParameterRefused
from poe_proxy.upstreams.poe_api.learned import Learned, droppable

SENT = (
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "stop",
    "tools", "tool_choice", "response_format", "reasoning_effort", "size", "extra_thing",
)  # fmt: skip


def test_what_one_key_learns_all_keys_know() -> None:
    """Per bot, in any case of its name."""
    learned = Learned()
    learned.add("Grok-4", {"top_p"})
    learned.add("grok-4", {"size"})

    assert {"top_p", "size"} == learned.of("GROK-4")
    assert frozenset() == learned.of("Grok-3")


def test_many_threads_may_learn_at_once() -> None:
    """Nothing is lost."""
    learned = Learned()
    threads = [
        threading.Thread(target=learned.add, args=("bot", {f"field-{n}"})) for n in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 50 == len(learned.of("bot"))


def test_invented_bots_do_not_fill_the_memory() -> None:
    """Somebody who invents names makes us forget, at worst."""
    learned = Learned()
    for number in range(2500):
        learned.add(f"bot-{number}", {"x"})

    assert 1000 >= sum(bool(learned.of(f"bot-{number}")) for number in range(2500))
    assert {"x"} == learned.of("bot-2499")


def test_invented_fields_do_not_fill_the_memory() -> None:
    """What no client sends is not remembered."""
    learned = Learned()
    learned.add("bot", {"x"})
    learned.add("bot", {f"field-{number}" for number in range(500)})

    assert {"x"} == learned.of("bot")


@pytest.mark.parametrize(
    ("message", "param", "field"),
    [
        ("Unknown parameter: 'size' is not declared by the model 'x'.", "size", "size"),
        ("No.", "temperature", "temperature"),
        ("No.", "response_format.json_schema", "response_format"),
        ("No.", "stream_options[0]", "stream_options"),
        ("Unsupported parameter: 'top_p' is not supported with this model.", None, "top_p"),
        ("Unrecognized request argument supplied: reasoning_effort", None, "reasoning_effort"),
        ("max_tokens is not supported, use max_completion_tokens", None, "max_tokens"),
        ("Extra inputs are not permitted: `extra_thing`", "body", "extra_thing"),
        ("Unknown field 'top_p' (the size of the request is fine)", None, "top_p"),
        # The house looks for stop words itself.
        ("Unknown parameter: 'stop'.", "stop", "stop"),
        # What cannot be left out.
        ("Unknown parameter: 'tools'.", "tools", None),
        ("The model does not support tool calling.", "tools", None),
        ("No.", "messages[0].content", None),
        # Of nothing that was sent.
        ("Unknown parameter: 'seed'.", "seed", None),
    ],
)
def test_which_field_may_be_dropped(message: str, param: str | None, field: str | None) -> None:
    """The one that was refused."""
    refusal = ParameterRefused(message, param=param)

    assert ({field} if field else set()) == droppable(SENT, refusal)


def test_a_value_is_not_dropped() -> None:
    """Whoever sent it should hear of it."""
    refusal = ParameterRefused("Must be less than 1.", param="temperature", code="invalid_value")

    assert set() == droppable(SENT, refusal)


def test_what_the_catalogue_declares_is_not_dropped() -> None:
    """It cannot be the field, so it is the value."""
    refusal = ParameterRefused("No.", param="size")

    assert set() == droppable(SENT, refusal, extra=("size",), declared={"size": {}})


def test_a_strict_bot_gets_nothing_any_more_that_it_does_not_declare() -> None:
    """One refusal tells of all: to be told of each would cost a request each."""
    refusal = ParameterRefused("Unknown parameter: 'extra_thing'.", param="extra_thing")
    extra = {"size": "big", "extra_thing": 1}

    assert {"extra_thing"} == droppable(SENT, refusal, extra=extra, declared={"size": {}})
    assert {"extra_thing", "size"} == droppable(SENT, refusal, extra=extra, declared={})
    # Of a bot that is not in the list nothing is known.
    assert {"extra_thing"} == droppable(SENT, refusal, extra=extra)
