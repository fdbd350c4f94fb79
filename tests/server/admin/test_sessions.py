"""Who may look at the status page, and press its buttons."""

from __future__ import annotations

import pytest

from poe_proxy.server.admin.sessions import (
    LASTS,
    issued,
    session_of,
    token_of,
)

KEY = "sk-the-owner-of-it"


def test_a_cookie_is_good_for_twelve_hours() -> None:
    """And names a session of its own."""
    one, other = issued(KEY, 1000.0), issued(KEY, 1000.0)

    assert 12 * 3600 == LASTS
    assert session_of(one, KEY, 1000.0)
    assert session_of(one, KEY, 1000.0) != session_of(other, KEY, 1000.0)
    assert session_of(one, KEY, 999.0 + LASTS)
    assert session_of(one, KEY, 1000.0 + LASTS) is None


def test_a_cookie_ends_with_the_key_and_outlives_a_restart() -> None:
    """It is signed with what the key alone leads to, and has nothing of it."""
    cookie = issued(KEY, 1000.0)

    assert session_of(cookie, KEY, 1000.0)
    assert session_of(cookie, "sk-another-owner", 1000.0) is None
    assert KEY not in cookie


@pytest.mark.parametrize("cookie", ["", ".", "a.b.c", "9999999999.x.", "9999999999.x.ü", "\udcff"])
def test_what_is_made_up_is_no_cookie(cookie: str) -> None:
    """Whatever it says."""
    assert session_of(cookie, KEY, 1000.0) is None


def test_a_cookie_cannot_be_made_to_last_longer() -> None:
    """The signature is over the time, too."""
    until, rest = issued(KEY, 1000.0).split(".", 1)

    assert session_of(f"{int(until) + 1}.{rest}", KEY, 1000.0) is None


def test_the_token_of_a_page_is_that_of_its_session() -> None:
    """Another page has another one."""
    assert token_of("a", KEY) != token_of("b", KEY)
    assert token_of("a", KEY) != token_of("a", "sk-another-owner")
