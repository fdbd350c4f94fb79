"""What the websocket of an account reports, §9: subscribed for each channel, and anew when the site
has changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from poe_proxy.errors import UpstreamError
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.session import Session

log = logging.getLogger(__name__)


class Subscriptions:
    """Those of one account."""

    def __init__(self, site: CurrentSite, *, label: str) -> None:
        self._site = site
        self._label = label
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
        try:
            self.begin(session, channel)
        except UpstreamError as failure:
            # As it was subscribed before may do.
            self._now = self._site.now.subscriptions
            log.info("%s: not subscribed anew: %s", self._label, failure)
