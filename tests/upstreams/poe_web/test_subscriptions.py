"""What the websocket is to report: asked for by each channel, and anew when the site changes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from poe_proxy.errors import UpstreamTimeout
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.front import Front
from poe_proxy.upstreams.poe_web.session import Session
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.subscriptions import BEARS_SILENCE, Subscriptions

from ...fakes import Clock, until
from .fakes import FakeChannel

SITE = Site.load()
NEW = replace(SITE, subscriptions={"messageAdded": "f" * 64})


class Asked(Session):
    """Notes what is subscribed to, and may fail."""

    def __init__(self, site: CurrentSite) -> None:
        front = Front(
            Credentials.parse("p-b=a"), site, url="https://poe.com", proxy=None, label="cookie-1"
        )
        super().__init__(front, site)
        self.calls: list[tuple[str | None, dict[str, str]]] = []
        self.fails = False
        #: What becomes known while Poe is asked.
        self.meanwhile: Site | None = None

    def call(
        self,
        operation: str,
        variables: Mapping[str, Any],
        *,
        channel: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        assert "subscriptionsMutation" == operation
        given = {one["subscriptionName"]: one["queryHash"] for one in variables["subscriptions"]}
        assert {None} == {one["query"] for one in variables["subscriptions"]}
        self.calls.append((channel, given))
        if self.meanwhile is not None:
            self._site.replace(self.meanwhile)
        if self.fails:
            raise UpstreamTimeout("x")
        return {}


@pytest.fixture
def known() -> CurrentSite:
    return CurrentSite(SITE)


@pytest.fixture
def session(known: CurrentSite) -> Asked:
    return Asked(known)


@pytest.fixture
def subscriptions(known: CurrentSite) -> Subscriptions:
    return Subscriptions(known, label="cookie-1")


def test_all_of_them_are_asked_for(session: Asked, subscriptions: Subscriptions) -> None:
    """For the channel of that name."""
    subscriptions.begin(session, "c1")

    assert [("c1", SITE.subscriptions)] == session.calls


def test_before_the_first_channel_nothing_is_outdated(
    known: CurrentSite, session: Asked, subscriptions: Subscriptions
) -> None:
    """It will have the newest ones anyway."""
    known.replace(NEW)
    assert not subscriptions.are_outdated
    subscriptions.begin(session, "c1")

    assert [("c1", NEW.subscriptions)] == session.calls
    assert not subscriptions.are_outdated


def test_a_change_is_asked_for_once(
    known: CurrentSite, session: Asked, subscriptions: Subscriptions
) -> None:
    """For each change: one of anything else is none."""
    subscriptions.begin(session, "c1")
    known.replace(replace(SITE, subscriptions=dict(SITE.subscriptions), websocket="other"))
    assert not subscriptions.are_outdated

    known.replace(NEW)
    assert subscriptions.are_outdated
    subscriptions.renew(session, "c1")
    assert not subscriptions.are_outdated
    assert ("c1", NEW.subscriptions) == session.calls[-1]


def test_accounts_ask_each_for_themselves(known: CurrentSite, session: Asked) -> None:
    """They share what is known."""
    first, second = (Subscriptions(known, label=label) for label in ("cookie-1", "cookie-2"))
    for one in (first, second):
        one.begin(session, "c1")
    known.replace(NEW)
    first.renew(session, "c1")

    assert (False, True) == (first.are_outdated, second.are_outdated)


def test_a_renewal_that_fails_is_not_repeated_for_each_request(
    known: CurrentSite, session: Asked, subscriptions: Subscriptions
) -> None:
    """As it was subscribed before may do; answers go on."""
    subscriptions.begin(session, "c1")
    known.replace(NEW)
    session.fails = True
    subscriptions.renew(session, "c1")

    assert not subscriptions.are_outdated


@pytest.mark.parametrize("fails", [True, False])
def test_what_changes_while_poe_is_asked_is_asked_for_next(
    known: CurrentSite, session: Asked, subscriptions: Subscriptions, fails: bool
) -> None:
    """Whether Poe takes what was asked for or not."""
    subscriptions.begin(session, "c1")
    known.replace(NEW)
    session.fails = fails
    session.meanwhile = replace(SITE, subscriptions={"messageAdded": "e" * 64})
    subscriptions.renew(session, "c1")

    assert subscriptions.are_outdated


# ---- a channel that is silent


class Silent(FakeChannel):
    """A channel that nobody can mend."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[int] = []
        self.go_on = threading.Event()

    def replace(self, generation: int) -> bool:
        self.go_on.wait(60)
        self.replaced.append(generation)
        return True


def test_a_silent_channel_is_reported_and_replaced_at_most_once_in_a_while() -> None:
    """In the background: whoever notices it has a reply to read."""
    clock, channel, site = Clock(), Silent(), CurrentSite(Site.load())
    told: list[tuple[str, str]] = []

    def hear(sign: str, label: str) -> str:
        told.append((sign, label))
        return ""

    site.hear(hear)
    subscriptions = Subscriptions(site, label="cookie-1", clock=clock)
    subscriptions.are_silent(channel)
    clock.go(BEARS_SILENCE - 1)
    subscriptions.are_silent(channel)
    assert [] == channel.replaced
    channel.go_on.set()
    until(lambda: channel.replaced)
    channel.generation = 1
    clock.go(1)
    subscriptions.are_silent(channel)
    until(lambda: len(channel.replaced) == 2)

    assert [0, 1] == channel.replaced
    assert ["cookie-1"] * 3 == [label for _, label in told]
    assert {"Poe's websocket says nothing of a reply: most likely it has new subscriptions."} == {
        sign for sign, _ in told
    }
