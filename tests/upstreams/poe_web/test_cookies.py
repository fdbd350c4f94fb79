"""The cookies of an account, given and renewed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from poe_proxy.errors import TokenRejected
from poe_proxy.upstreams.poe_web.cookies import Cookies

GIVEN = {"p-b": "given", "cf_clearance": "c"}


def test_the_given_cookies_go_out_as_they_are() -> None:
    """In their order, in one header."""
    assert "p-b=given; cf_clearance=c" == Cookies(GIVEN).header()


def test_what_poe_issues_takes_the_place_of_what_was_given() -> None:
    """The cookies of the login are kept, with each change; the guard's is only used."""
    kept: list[Mapping[str, str]] = []
    cookies = Cookies(GIVEN, keep_renewed=kept.append)
    cookies.take({"p-b": "new", "other": "x"})
    cookies.take({"p-b": "new", "__cf_bm": "bm"})
    cookies.take({"p-lat": "lat"})

    assert "p-b=new; cf_clearance=c; __cf_bm=bm; p-lat=lat" == cookies.header()
    assert [{"p-b": "new"}, {"p-b": "new", "p-lat": "lat"}] == kept


def test_what_was_renewed_earlier_is_used_first() -> None:
    """Of what was kept, the cookies of the login; nothing is kept anew for that."""
    kept: list[Mapping[str, str]] = []
    cookies = Cookies(GIVEN, renewed={"p-b": "new", "other": "x"}, keep_renewed=kept.append)

    assert "p-b=new; cf_clearance=c" == cookies.header()
    assert ({"p-b": "new"}, []) == (cookies.renewed, kept)


def test_the_given_cookies_may_be_used_again() -> None:
    """Then the renewed ones are forgotten."""
    kept: list[Mapping[str, str]] = []
    cookies = Cookies(GIVEN, renewed={"p-b": "new"}, keep_renewed=kept.append)
    with cookies.as_given():
        assert "p-b=given; cf_clearance=c" == cookies.header()

    assert ({}, [{}]) == (cookies.renewed, kept)
    assert "p-b=given; cf_clearance=c" == cookies.header()


def test_renewed_cookies_outlive_a_day_on_which_poe_takes_none() -> None:
    """If the given ones do no better, the renewed ones are the better guess for later."""
    kept: list[Mapping[str, str]] = []
    cookies = Cookies(GIVEN, renewed={"p-b": "new"}, keep_renewed=kept.append)
    with pytest.raises(TokenRejected), cookies.as_given():
        raise TokenRejected("neither")

    assert ({"p-b": "new"}, []) == (cookies.renewed, kept)


def test_a_cookie_has_a_length() -> None:
    """A longer one would go out with every request, and into the state."""
    cookies = Cookies({"p-b": "given"})
    cookies.take({"p-b": "x" * 4097, "__cf_bm": "x" * 4096})

    assert {"p-b": "given", "__cf_bm": "x" * 4096} == cookies.values
