"""What is being done about a change of Poe's site."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy import mending
from poe_proxy.moments import stamp

from .fakes import site_told

NOW = 1_800_000_000.0
BEFORE, LATER = stamp(NOW - 60.0), stamp(NOW + 60.0)


@pytest.mark.parametrize(
    ("found", "doing", "at"),
    [
        ({}, "", None),
        ({"running": True, "outcome": "same", "at": BEFORE}, "looking", None),
        ({"outcome": "same", "at": BEFORE, "not_before": LATER}, "same", BEFORE),
        ({"outcome": "unusable", "at": BEFORE, "automatic": False}, "unusable", BEFORE),
        ({"outcome": "failed", "at": BEFORE}, "failed", BEFORE),
        ({"outcome": "failed", "at": stamp(NOW - mending.LATELY)}, "", None),
        ({"outcome": "mended", "at": BEFORE, "not_before": LATER}, "later", LATER),
        ({"not_before": LATER}, "later", LATER),
        ({"not_before": BEFORE}, "", None),
        ({"automatic": False, "not_before": LATER}, "off", None),
    ],
)
def test_one_word_says_what_is_done(found: dict[str, Any], doing: str, at: str | None) -> None:
    """With the time that belongs to it."""
    assert {"doing": doing, "at": at} == mending.doing(site_told(**found), NOW)


def test_nothing_is_done_where_nothing_is_asked_by_cookie() -> None:
    """Nor is anything mended."""
    assert "" == mending.doing(None, NOW)["doing"]
    assert mending.mended_at(None) is None
    assert not mending.is_mended(None, NOW)


@pytest.mark.parametrize("outcome", [None, "same", "unusable", "failed"])
def test_only_what_is_found_and_in_use_mends_it(outcome: str | None) -> None:
    """Whatever else a search ends with, the change is there."""
    site = site_told(outcome=outcome, at=outcome and LATER)

    assert mending.mended_at(site) is None
    assert not mending.is_mended(site, NOW)


def test_what_failed_after_it_was_mended_is_a_change_again() -> None:
    """Not what failed in the same second."""
    site = site_told(outcome="mended", at=stamp(NOW))

    assert NOW == mending.mended_at(site)
    assert mending.is_mended(site, NOW - 5.0)
    assert mending.is_mended(site, NOW + 0.9)
    assert not mending.is_mended(site, NOW + 1.0)


def test_what_another_worker_has_found_mends_it_here_too() -> None:
    """Its values are in use here: they came with the file that both have."""
    there = {**site_told(outcome="same", at=BEFORE), "in_use_since": stamp(NOW)}

    assert mending.is_mended(there, NOW - 1.0)
    assert not mending.is_mended(there, NOW + 2.0)
    assert mending.mended_at(there) is None
