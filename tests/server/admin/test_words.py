"""What the status page says, in two languages."""

from __future__ import annotations

import re
from string import Formatter
from typing import Any

import pytest

from poe_proxy.server.admin import words as module
from poe_proxy.server.admin.words import Words, clock

NOW = "2026-11-30T12:00:00Z"


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_both_languages_say_the_same() -> None:
    """Neither has a figure that the other one lacks; English has no Chinese in it."""
    for name, (english, chinese) in module._WORDS.items():
        lacking = places(english) ^ places(chinese)
        assert not lacking - {"is_"}, name
        if name != "other_language":
            assert not re.search("[\u4e00-\u9fff]", english), name


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (0.0004, "1 ms"),
        (0.25, "250 ms"),
        (1.0, "1 s"),
        (2.34, "2.3 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86400, "1 d"),
        (2e6, "23 d"),
    ],
)
def test_a_time_is_said_in_units_that_fit(seconds: float | None, said: str) -> None:
    """No more of them than somebody wants to read."""
    assert said == Words("en").lasting(seconds)


@pytest.mark.parametrize("doing", ["", "looking", "same", "unusable", "failed", "later", "off"])
@pytest.mark.parametrize("language", module.LANGUAGES)
def test_what_is_done_about_a_change_has_words(doing: str, language: str) -> None:
    """Of its own; a time, where one belongs to it."""
    fact = {"fact": "upstream_changed", "doing": doing, "at": "2026-11-30T11:58:20Z"}
    plain = Words(language).fact({**fact, "doing": ""}, NOW)
    said = Words(language).fact(fact, NOW)

    assert said.startswith(plain[:-1])
    assert (said == plain) == (doing == "")
    assert ("11:58" in said) == (doing in ("same", "unusable", "failed", "later"))


def test_times_are_told_from_now() -> None:
    """What is not known is a dash."""
    english, chinese = Words("en"), Words("zh")

    assert "30 s ago" == english.ago("2026-11-30T11:59:30Z", NOW)
    assert "30 秒前" == chinese.ago("2026-11-30T11:59:30Z", NOW)
    assert "in 2 h" == english.ahead("2026-11-30T14:00:00Z", NOW)
    assert "just now" == english.ago(NOW, NOW)
    assert "–" == english.ago(None, NOW)
    assert ("14:05", "2026-12-01 09:00") == (
        clock("2026-11-30T14:05:09Z", NOW),
        clock("2026-12-01T09:00:00Z", NOW),
    )


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ({"fact": "none_usable", "of": 3}, "No account can be used."),
        (
            {"fact": "out_of_points", "number": 2, "of": 5},
            "2 of 5 accounts are out of points.",
        ),
        (
            {
                "fact": "out_of_points",
                "number": 1,
                "of": 2,
                "next_grant_at": "2026-12-01T09:00:00Z",
            },
            "1 of 2 accounts is out of points; the next grant is at 2026-12-01 09:00 UTC.",
        ),
        ({"fact": "suspended", "number": 1, "of": 5}, "1 of 5 accounts is suspended."),
        ({"fact": "long_line", "seconds": 90.0}, "A request has waited for 1 min."),
        (
            {"fact": "upstream_changed", "doing": "", "at": None},
            "Poe has changed its site: what is asked by cookie fails.",
        ),
        (
            {"fact": "upstream_changed", "doing": "looking", "at": None},
            "Poe has changed its site: what is asked by cookie fails. poe-proxy is looking for "
            "what is new.",
        ),
        (
            {"fact": "upstream_changed", "doing": "same", "at": "2026-11-30T11:58:20Z"},
            "Poe has changed its site: what is asked by cookie fails. poe-proxy has looked for "
            "what is new at 11:58 UTC, and found nothing.",
        ),
    ],
)
def test_one_sentence_says_how_things_are(fact: dict[str, Any], said: str) -> None:
    """The worst fact, or that all is well."""
    well = Words("en").sentence([], NOW)

    facts = [fact, {"fact": "not_reloaded"}]
    assert ("All well.", said) == (well, Words("en").sentence(facts, NOW))
    assert Words("zh").sentence([fact], NOW)
