"""A channel that is silent about replies: reported each time, and replaced now and then."""

from __future__ import annotations

import threading

from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.subscriptions import BEARS_SILENCE, Subscriptions

from ...fakes import Clock, until
from .fakes import FakeChannel


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
