"""How much to think, in the words of each bot."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.upstreams.poe_api.effort import of_budget, of_others, parameters

WORDS = {"type": "string", "enum": ["low", "medium", "high"]}
ALL_WORDS = {"type": "string", "enum": ["none", "low", "medium", "high", "xhigh", "max"]}
BUDGET = {"type": "integer", "minimum": 0, "maximum": 32_000}


@pytest.mark.parametrize(
    ("effort", "declared", "said"),
    [
        ("high", {"reasoning_effort": WORDS}, {"reasoning_effort": "high"}),
        ("high", {"reasoning_effort": WORDS, "x": {}}, {"reasoning_effort": "high"}),
        ("high", {}, {"reasoning_effort": "high"}),
        ("high", {"web_search": {}}, {"reasoning_effort": "high"}),
        ("high", {"output_effort": ALL_WORDS}, {"output_effort": "high"}),
        ("medium", {"output_effort": ALL_WORDS, "thinking_budget": BUDGET},
         {"output_effort": "medium"}),
        ("low", {"thinking_level": WORDS}, {"thinking_level": "low"}),
        ("none", {"thinking_budget": BUDGET}, {"thinking_budget": 0}),
        ("low", {"thinking_budget": BUDGET}, {"thinking_budget": 6400}),
        ("medium", {"thinking_budget": BUDGET}, {"thinking_budget": 16_000}),
        ("high", {"thinking_budget": BUDGET}, {"thinking_budget": 25_600}),
        ("none", {"thinking_budget": {**BUDGET, "minimum": 128}}, {"thinking_budget": 128}),
        ("low", {"enable_thinking": {"type": "boolean"}}, {"enable_thinking": True}),
        ("none", {"enable_thinking": {"type": "boolean"}}, {"enable_thinking": False}),
    ],
)  # fmt: skip
def test_each_bot_hears_it_in_its_own_words(
    effort: str, declared: dict[str, dict[str, Any]], said: dict[str, Any]
) -> None:
    """The catalogue says how; where it says nothing, it is said as OpenAI does."""
    assert said == parameters(effort, declared, {})


@pytest.mark.parametrize(
    ("effort", "nearest"), [("minimal", "low"), ("none", "low"), ("xhigh", "high"), ("max", "high")]
)
def test_in_translating_the_nearest_word_is_taken(effort: str, nearest: str) -> None:
    """A bot with three words takes OpenAI's six."""
    assert {"thinking_level": nearest} == parameters(effort, {"thinking_level": WORDS}, {})


def test_a_word_that_openai_does_not_have_is_translated_for_its_bots_too() -> None:
    """Claude Code's `max`; a bot that takes it hears it."""
    taking = {"reasoning_effort": {"enum": [*WORDS["enum"], "max"]}}

    assert {"reasoning_effort": "high"} == parameters("max", {"reasoning_effort": WORDS}, {})
    assert {"reasoning_effort": "max"} == parameters("max", taking, {})
    assert {"reasoning_effort": "max"} == parameters("max", {"reasoning_effort": {}}, {})


@pytest.mark.parametrize(
    ("tokens", "declared", "said"),
    [
        (31_999, {"thinking_budget": BUDGET}, {"thinking_budget": 31_999}),
        (99_999, {"thinking_budget": BUDGET}, {"thinking_budget": 32_000}),
        (0, {"thinking_budget": BUDGET, "output_effort": WORDS}, {"thinking_budget": 0}),
        (3_999, {"reasoning_effort": WORDS}, {"reasoning_effort": "low"}),
        (4_000, {"thinking_level": WORDS}, {"thinking_level": "medium"}),
        (15_999, {"reasoning_effort": WORDS}, {"reasoning_effort": "medium"}),
        (16_000, {"output_effort": ALL_WORDS}, {"output_effort": "high"}),
        (0, {"reasoning_effort": WORDS}, {"reasoning_effort": "none"}),
        (0, {"output_effort": ALL_WORDS}, {"output_effort": "none"}),
        (0, {"enable_thinking": {}}, {"enable_thinking": False}),
        # Nothing can be said to these.
        (31_999, {}, {}),
        (0, {"web_search": {}}, {}),
    ],
)
def test_a_budget_is_said_in_the_bot_s_words(
    tokens: int, declared: dict[str, dict[str, Any]], said: dict[str, Any]
) -> None:
    """As it is, or as an effort; agents give one with every request, so nothing is tried out."""
    assert said == of_budget(tokens, declared, {})


def test_a_budget_does_not_outdo_the_bot_s_own_word() -> None:
    """As for an effort."""
    assert {} == of_budget(7, {"thinking_budget": BUDGET}, {"thinking_budget": 8})


@pytest.mark.parametrize(
    ("effort", "declared"),
    [
        ("minimal", {"reasoning_effort": WORDS}),
        ("enormous", {"thinking_budget": BUDGET}),
        ("high", {"thinking_budget": {"type": "integer"}}),
        ("high", {"thinking_level": {"enum": ["deep"]}}),
    ],
)
def test_what_cannot_be_translated_is_left_to_poe(
    effort: str, declared: dict[str, dict[str, Any]]
) -> None:
    """A value that nobody knows, or a schema that tells too little, is not guessed at."""
    assert {"reasoning_effort": effort} == parameters(effort, declared, {})


def test_the_client_s_own_word_holds() -> None:
    """Who names the bot's own parameter means it."""
    declared = {"thinking_budget": BUDGET}

    assert {} == parameters("high", declared, {"thinking_budget": 7})


EFFORT = {"reasoning_effort": WORDS}


@pytest.mark.parametrize(
    ("given", "declared", "said"),
    [
        ({"reasoning": {"effort": "high"}}, EFFORT, {"reasoning_effort": "high"}),
        ({"reasoning": {"enabled": True}}, EFFORT, {"reasoning_effort": "medium"}),
        ({"reasoning": {"enabled": False}}, {"enable_thinking": {}}, {"enable_thinking": False}),
        ({"reasoning": {"max_tokens": 9000}}, EFFORT, {"reasoning_effort": "low"}),
        ({"reasoning": {"max_tokens": 9000}}, {"thinking_budget": BUDGET},
         {"thinking_budget": 9000}),
        ({"reasoning": {"exclude": True}}, EFFORT, {}),
        ({"reasoning": "high"}, EFFORT, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 99_999}}, {"thinking_budget": BUDGET},
         {"thinking_budget": 32_000}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1}},
         {"thinking_budget": {"minimum": 128}}, {"thinking_budget": 128}),
        ({"thinking": {"type": "enabled", "budget_tokens": 30_000}},
         {"output_effort": ALL_WORDS, "thinking_budget": BUDGET}, {"output_effort": "xhigh"}),
        ({"thinking": {"type": "adaptive"}}, {"thinking_level": WORDS},
         {"thinking_level": "medium"}),
        ({"thinking": {"type": "disabled"}}, {"thinking_budget": BUDGET}, {"thinking_budget": 0}),
        # The bot's own words, or the very form, or no way to say it.
        ({"reasoning": {"effort": "high"}, "thinking_budget": 5}, {"thinking_budget": BUDGET}, {}),
        ({"thinking": {"type": "enabled"}}, {"thinking": {}, **EFFORT}, {}),
        ({"reasoning": {"effort": "high"}}, {}, {}),
        ({"reasoning": {"effort": "high"}}, {"web_search": {}}, {}),
    ],
)  # fmt: skip
def test_other_forms_are_told_in_the_bot_s_words(
    given: dict[str, Any], declared: dict[str, dict[str, Any]], said: dict[str, Any]
) -> None:
    """OpenRouter's and Anthropic's, where the catalogue says how; else nothing is said."""
    assert said == of_others(given, declared)
