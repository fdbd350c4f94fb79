"""What the websocket of an account reports, §9: subscribed for each channel, and anew when the site
has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from poe_proxy.errors import UpstreamError
from poe_proxy.net import background
from poe_proxy.upstreams.poe_web.channel import Channel
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.session import Session

log = logging.getLogger(__name__)

#: Seconds for which a channel stays although it is silent, once another one took the place of one
#: that was: if it is the subscriptions, a new one is as silent.
BEARS_SILENCE: Final = 600.0
#: What is told of a channel that is silent about replies which are in the history.
_SILENT: Final = "Poe's websocket says nothing of a reply: most likely it has new subscriptions."


class Subscriptions:
    """Those of one account."""

    def __init__(
        self, site: CurrentSite, *, label: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._site = site
        self._label = label
        self._clock = clock
        #: When a channel was last replaced since it was silent.
        self._replaced_at = -inf
        self._lock = threading.Lock()
        #: Those that the newest channel has; None before the first one.
        self._now: Mapping[str, str] | None = None

    @property
    def are_outdated(self) -> bool:
        """Whether the site has other ones by now."""
        wanted = self._site.now.subscriptions
        if self._now is not wanted and self._now == wanted:
            self._now = wanted
        return self._now is not None and self._now is not wanted

    def begin(self, session: Session, channel: str) -> None:
        """Subscribe to all for the channel of that name. Raises `UpstreamError`."""
        wanted = self._site.now.subscriptions
        session.call(
            "subscriptionsMutation",
            {
                "subscriptions": [
                    {"subscriptionName": name, "query": None, "queryHash": hash}
                    for name, hash in wanted.items()
                ]
            },
            channel=channel,
        )
        self._now = wanted

    def renew(self, session: Session, channel: str) -> None:
        """Subscribe anew for a channel that is open, which goes on either way."""
        wanted = self._site.now.subscriptions
        try:
            self.begin(session, channel)
        except UpstreamError as failure:
            # As it was subscribed before may do.
            self._now = wanted
            log.info("%s: not subscribed anew: %s", self._label, failure)

    def are_silent(self, channel: Channel) -> None:
        """Note that the *channel* says nothing of a reply that is in the history.

        It may be the channel itself that Poe has forgotten: now and then another one takes its
        place, in the background.
        """
        self._site.report(_SILENT, self._label)
        with self._lock:
            now = self._clock()
            if now < self._replaced_at + BEARS_SILENCE:
                return
            self._replaced_at = now
        generation = channel.generation
        log.info("%s: the channel says nothing of a reply; trying another one", self._label)
        background.start(lambda: channel.replace(generation), f"{self._label} new channel")
