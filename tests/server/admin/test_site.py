"""Poe's site, as the page tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.server.admin import site
from poe_proxy.server.admin.words import LANGUAGES, Words

from ...fakes import site_told

NOW, AT, LATER = "2026-11-30T12:00:00Z", "2026-11-30T11:57:00Z", "2026-11-30T12:57:00Z"
ENGLISH = Words("en")
DIFFERS = [
    {"name": "operations.sendMessageMutation", "before": "0123456789abcdef" * 4, "after": "f" * 64},
    {"name": "pages.getter_name", "before": "", "after": "x" * 80},
]


def shown(told: dict[str, Any]) -> dict[str, str]:
    return site.cells(told, NOW, ENGLISH)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({}, "its names and hashes as they came with poe-proxy"),
        (
            {"file": "/data/site.toml", "own_entries": 3},
            "/data/site.toml on top of what came with poe-proxy; entries of it in use: 3",
        ),
        (
            {"own_entries": 2},
            "new entries, in memory only: 2; a restart forgets them",
        ),
    ],
    ids=["built in", "a file", "in memory"],
)
def test_it_is_said_which_file_lies_on_top(of: dict[str, Any], said: str) -> None:
    """And how much of it counts."""
    assert said == shown({**site_told(), **of})["site"]


@pytest.mark.parametrize(
    ("at", "days", "said"),
    [
        ("2026-03-12", 263, "newest evidence 2026-03-12, 263 days old"),
        ("2026-11-29", 1, "newest evidence of yesterday, 2026-11-29"),
        ("2026-11-30", 0, "newest evidence of today, 2026-11-30"),
        ("2026-12-01", -1, "newest evidence of today, 2026-12-01"),
        ("", None, ""),
        (None, None, ""),
    ],
)
def test_it_is_said_how_old_the_newest_evidence_is(
    at: str | None, days: int | None, said: str
) -> None:
    """Nothing where there is none."""
    assert said == shown({**site_told(), "newest_evidence": at, "age_days": days})["site age"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "Nobody has looked for what is new since the start."),
        (
            {"automatic": False},
            "Nobody has looked for what is new since the start. It looks only when told to "
            "(DISCOVER=0).",
        ),
        ({"running": True, "outcome": "same", "at": AT}, "Looking for what is new."),
        (
            {"outcome": "mended", "at": AT, "written": "/data/site.toml"},
            "Looked for what is new 3 min ago: it was found, and is in use. Written "
            "to /data/site.toml.",
        ),
        (
            {"outcome": "same", "at": AT, "not_before": LATER},
            "Looked for what is new 3 min ago: nothing differs. By itself it looks again at 12:57 "
            "UTC at the earliest.",
        ),
        (
            {"outcome": "unusable", "at": AT, "not_before": AT},
            "Looked for what is new 3 min ago: Poe refuses requests as its page has them now, too.",
        ),
        (
            {"outcome": "failed", "at": AT},
            "Looked for what is new 3 min ago: the page or its scripts could not be read.",
        ),
    ],
)
def test_it_is_said_what_came_of_the_last_search(found: dict[str, Any], said: str) -> None:
    """When that was, and when there is another."""
    assert said == shown(site_told(**found))["site look"]


def test_what_it_says_is_one_line_each() -> None:
    """With what is not there, and what else is to be said. What is invisible is spelled out."""
    told = site_told(
        outcome="same",
        at=AT,
        said="Nothing\nnew.",
        missing=["One", "Two\u202e"],
        notes=["A.", "B."],
    )

    assert [
        "its names and hashes as they came with poe-proxy · newest evidence 2026-03-12, 263 days "
        "old",
        "Looked for what is new 3 min ago: nothing differs.",
        "Nothing\\nnew.",
        "Not in the page, nor in its scripts: One, Two\\u202e.",
        "A.",
        "B.",
    ] == list(site.lines(told, NOW, ENGLISH))
    assert 2 == len(list(site.lines(site_told(), NOW, ENGLISH)))


def test_hashes_are_told_by_their_beginning() -> None:
    """Other values as far as there is room; that there is none is a dash."""
    assert [
        ["operations.sendMessageMutation", "0123456789…", "ffffffffff…"],
        ["pages.getter_name", "–", "x" * 60 + "…"],
    ] == site.rows(site_told(differs=DIFFERS))
    assert "swapped" == site.short("swapped")


@pytest.mark.parametrize("outcome", ["mended", "same", "unusable", "failed"])
def test_what_came_of_it_is_said_in_the_language_of_the_page(outcome: str) -> None:
    """With its own words, which are English."""
    told = site_told(outcome=outcome, at=AT, said="So it ended.")["discovery"]
    english, chinese = (site.said(told, Words(language)) for language in LANGUAGES)

    assert "So it ended." == english
    assert chinese.endswith(" So it ended.")
    assert chinese != site.said({**told, "said": ""}, ENGLISH)
    assert ENGLISH(f"look_{outcome}") == site.said({**told, "said": ""}, ENGLISH)
