"""poe.com as one account sees it: the wire, with its cookies, and what is read there without form
key or tag.

Web protocol sheet §4, §5.1 and §7.1.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.errors import (
    TokenRejected,
    UpstreamChanged,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamUncertain,
)
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.poe_web import graphql, pages
from poe_proxy.upstreams.poe_web.addresses import is_allowed
from poe_proxy.upstreams.poe_web.cookies import Cookies
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.pages import ChannelData, Page
from poe_proxy.upstreams.poe_web.site import Site
from poe_proxy.upstreams.poe_web.transport import MAX_ANSWER, Response, Transport

log = logging.getLogger(__name__)

#: How often a page is asked for before we give up.
_TRIES: Final = 3
#: The most bytes of a page, and of its scripts together; the home page has some five million.
MAX_PAGE: Final = 16_000_000
#: The most scripts of one page that are searched for the secret.
MAX_APPS: Final = 3


@dataclass(frozen=True, slots=True)
class Home:
    """The home page, as it came."""

    page: Page
    #: What may still be computed on it.
    budget: Budget
    cookies: Mapping[str, str] = field(repr=False)


class Front:
    """One account's way to poe.com. May be used by several threads at once."""

    def __init__(
        self,
        credentials: Credentials,
        site: CurrentSite,
        *,
        url: str,
        proxy: str | None,
        label: str,
        renewed: Mapping[str, str] | None = None,
        keep_renewed: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """*renewed* and *keep_renewed* are as in `Cookies`."""
        self._site = site
        self.url = url.rstrip("/")
        self.label = label
        self.cookies = Cookies(credentials.cookies, renewed=renewed, keep_renewed=keep_renewed)
        self._transport = Transport(lambda: site.now.headers, proxy=proxy)

    # ---- pages

    def home(self, site: Site | None = None) -> Home:
        """Read the home page, as *site* knows it; by default the newest one.

        Raises `TokenRejected` if Poe does not accept the cookie, or another `UpstreamError`.
        """
        response = self._read_home()
        budget = Budget(pages.SECONDS)
        html = response.content.decode("utf-8", "replace")
        page = Page.read(html, f"{self.url}/", site or self._site.now, budget)
        return Home(page, budget, response.cookies)

    def _read_home(self) -> Response:
        try:
            return self._read_page("/")
        except TokenRejected:
            if not self.cookies.renewed:
                raise
        log.info("%s: the renewed cookie is not accepted; trying the given one", self.label)
        with self.cookies.as_given():
            return self._read_page("/")

    def channel_data(self) -> ChannelData:
        """Ask for a new channel, which is less work than the page."""
        # Visitors who are not logged in get an answer as well, so its cookie may be one of theirs.
        response = self._read_page("/api/settings")
        try:
            found = ChannelData.find(loads(response.content), Budget(pages.SECONDS))
        except (ValueError, OutOfBudget):
            found = None
        if found is None:
            raise UpstreamChanged(
                "Poe names no channel for its websocket, neither in its page nor in /api/settings. "
                f"{pages.BEYOND_US}"
            )
        return found

    def _read_page(self, path: str) -> Response:
        failure: UpstreamError
        for tries_left in reversed(range(_TRIES)):
            try:
                response = self.ask("GET", path, reading=True, at_most=MAX_PAGE)
                graphql.refuse_page(response.status, response.headers, response.text)
                if response.status == 200:
                    return response
                failure = UpstreamOverloaded(f"Poe answers {path} with {response.status}.")
                if response.status < 500:
                    raise UpstreamProtocolError(f"Poe refuses {path} with {response.status}.")
            except UpstreamUncertain as broken:
                # Asking for a page again costs nothing.
                failure = broken
            if tries_left:
                time.sleep(self._site.now.limits.retry)
        raise failure

    # ---- scripts

    def app_scripts(self, page: Page) -> tuple[str, ...]:
        """Return the texts of the scripts that may hold the form key's secret."""
        texts = []
        left = MAX_PAGE
        for address in page.app_scripts[:MAX_APPS]:
            if is_allowed(address, f"{self.url}/"):
                text, size = self.script(address, left)
                left -= size
                texts.append(text)
        return tuple(texts)

    def script(self, address: str, at_most: int, limit: float | None = None) -> tuple[str, int]:
        """Return the text of a script, and how many bytes it had; an empty one if it is not there.

        *at_most* is how many bytes it may have, *limit* how many seconds it may take. Raises
        `UpstreamError`.
        """
        # Without the cookie and Poe's own headers: scripts come from a shared host.
        script = self._transport.send(
            "GET",
            address,
            {},
            reading=True,
            limit=limit or self._site.now.limits.http,
            at_most=at_most,
        )
        text = script.content.decode("utf-8", "replace") if script.status == 200 else ""
        return text, len(script.content)

    # ---- the wire

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        payload: bytes | None = None,
        *,
        reading: bool,
        limit: float | None = None,
        at_most: int = MAX_ANSWER,
        when_answered: Callable[[], None] = lambda: None,
    ) -> Response:
        """Send a request to poe.com itself, with the account's cookies; see `Transport.send`."""
        return self._transport.send(
            method,
            self.url + path,
            {**(headers or {}), "Cookie": self.cookies.header()},
            payload,
            reading=reading,
            limit=limit or self._site.now.limits.http,
            at_most=at_most,
            when_answered=when_answered,
        )

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()
