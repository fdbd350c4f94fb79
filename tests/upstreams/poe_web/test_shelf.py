"""The bots that the site shows an account."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from poe_proxy.errors import TokenLimited, UpstreamChanged
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.shelf import OPERATION, PAGES, Shelf
from poe_proxy.upstreams.poe_web.site import Site

from ...fakes import log_lines
from .fakes import FakeSession


def page(*handles: Any, after: str | None = None, **more: Any) -> Any:
    edges = [{"node": {"handle": one, "deletionState": "not_deleted"}} for one in handles]
    where = {"endCursor": after, "hasNextPage": after is not None}
    connection = {"edges": edges, "pageInfo": where, **more}
    return {"viewer": {"availableBotsConnection": connection}}


class Pages(FakeSession):
    """A session whose site has these pages, one after the other."""

    def __init__(self, *pages: Any) -> None:
        super().__init__()
        self.pages = list(pages)
        self.cursors: list[Any] = []

    def call(self, operation: str, variables: Mapping[str, Any], **options: Any) -> Any:
        assert operation == OPERATION
        self.cursors.append(variables["cursor"])
        given = self.pages.pop(0)
        if isinstance(given, Exception):
            raise given
        return given


def shelf(session: Any, site: Site | None = None) -> Shelf:
    return Shelf(session, CurrentSite(site or Site.load()), label="cookie-1")


def looked(*pages: Any) -> tuple[tuple[str, ...], Pages]:
    session = Pages(*pages)
    one = shelf(session)
    one.begin()
    return one.handles(60), session


def test_pages_are_turned_until_the_last_one() -> None:
    """Each bot is there once, in the order of the site."""
    handles, session = looked(page("My-Bot", "GPT-5", after="c1"), page("gpt-5", "Old"))

    assert ("My-Bot", "GPT-5", "Old") == handles
    assert [None, "c1"] == session.cursors


def test_few_pages_are_asked_for() -> None:
    """However many there are; and none that adds nothing is followed by another."""
    many, session = looked(*(page(f"Bot-{place}", after=f"c{place}") for place in range(9)))
    stuck, other = looked(page("A", after="c"), page("A", after="c"), page("A", after="c"))

    assert (PAGES, PAGES) == (len(many), len(session.cursors))
    assert (("A",), 2) == (stuck, len(other.cursors))


def test_one_page_has_an_end() -> None:
    """What is more than was asked for is not taken."""
    handles, _ = looked(page(*(f"Bot-{place}" for place in range(5000))))

    assert 10 == len(handles)


@pytest.mark.parametrize(
    "given",
    [{}, {"viewer": None}, {"viewer": {"availableBotsConnection": 5}}, page(edges=5),
     page(edges=[None, {"node": 5}, {}]), page(None, "", "x" * 101), page(pageInfo=None),
     page(edges=[{"node": {"handle": "Gone", "deletionState": "deleted"}}]),
     TokenLimited("too many")],
)  # fmt: skip
def test_what_is_no_list_is_none(given: Any) -> None:
    """Nothing is known then; and it is not asked for again."""
    session = Pages(given)
    one = shelf(session)
    for _ in range(3):
        one.begin()
        assert () == one.handles(60)
    assert 1 == len(session.cursors)


def test_a_site_that_has_changed_is_asked_again_and_nothing_is_said() -> None:
    """Whoever found that out has said so, and looks for what is new."""
    session = Pages(UpstreamChanged("a new hash"), page("A"))
    one = shelf(session)
    with log_lines() as lines:
        for handles in ((), ("A",), ("A",)):
            one.begin()
            assert handles == one.handles(60)

    assert 2 == len(session.cursors)
    assert "" == lines.getvalue()


def test_a_failure_leaves_the_pages_before_it() -> None:
    """They are as good as before."""
    assert ("A",) == looked(page("A", after="c"), TokenLimited("too many"))[0]


def test_nobody_waits_for_a_slow_site() -> None:
    """Longer than he wants to."""
    go_on = threading.Event()

    class Slow(FakeSession):
        def call(self, operation: str, variables: Any, **options: Any) -> Any:
            go_on.wait(60)
            return page("A")

    one = shelf(Slow())
    assert () == one.handles(60)
    one.begin()
    assert () == one.handles(0.0)
    go_on.set()

    assert ("A",) == one.handles(60)


def test_a_site_file_without_the_operation_is_as_good() -> None:
    """One that was written for an older version has all that is needed to ask."""
    site = Site.load()
    session = Pages()
    one = shelf(session, replace(site, operations={"sendMessageMutation": "x"}))
    one.begin()

    assert () == one.handles(60)
    assert [] == session.cursors
