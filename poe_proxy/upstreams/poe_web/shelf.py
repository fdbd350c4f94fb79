"""The bots that the site shows an account to choose from: its own, and those that it used.

Web protocol sheet §10.7. Looked up once, in the background, and never for a request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

from poe_proxy.errors import UpstreamChanged, UpstreamError
from poe_proxy.net.background import Background
from poe_proxy.upstreams.poe_web.current import CurrentSite
from poe_proxy.upstreams.poe_web.graphql import text_of
from poe_proxy.upstreams.poe_web.session import Session

log = logging.getLogger(__name__)

#: The operation; a site file of one's own may not have it.
OPERATION: Final = "availableBotsSelectorModalPaginationQuery"
#: The most pages that are asked for, and the bots of one: as many as the browser asks for.
PAGES: Final = 3
_PER_PAGE: Final = 10
#: The most characters of a handle.
_MAX_NAME: Final = 100


class Shelf:
    """What one account was shown. May be used by several threads at once."""

    def __init__(self, session: Session, site: CurrentSite, *, label: str) -> None:
        self._session = session
        self._site = site
        self._label = label
        self._lock = threading.Lock()
        self._is_unknown = False
        self._look: Background[tuple[str, ...]] | None = None

    def begin(self) -> None:
        """Begin the look, if it was not begun yet, or if Poe could not be asked; to be called while
        the account is logged in."""
        with self._lock:
            is_due = self._look is None or self._is_unknown
            if is_due and OPERATION in self._site.now.operations:
                self._is_unknown = False
                self._look = Background(self._read, name=f"{self._label} bots")

    def handles(self, wait: float) -> tuple[str, ...]:
        """Return the handles; none before the look is over, which is waited for *wait* seconds."""
        look = self._look
        return look.result() if look is not None and look.wait(wait) else ()

    def _read(self) -> tuple[str, ...]:
        handles: dict[str, str] = {}
        try:
            self._turn_pages(handles)
        except UpstreamChanged:
            # Whoever found that out has said so; it is begun again.
            self._is_unknown = True
        except UpstreamError as failure:
            # Whatever it is, the account's next request meets it too, and says what it means.
            log.info("%s: the bots of the account are not known: %s", self._label, failure)
        return tuple(handles.values())

    def _turn_pages(self, handles: dict[str, str]) -> None:
        cursor: str | None = None
        for _ in range(PAGES):
            data = self._session.call(
                OPERATION,
                {
                    "botSelectorFilter": "all",
                    "cursor": cursor,
                    "filterCanvasOnlyBots": False,
                    "includeHomePageBotSelectorFragment": False,
                    "limit": _PER_PAGE,
                },
            )
            known = len(handles)
            page = _object(_object(data.get("viewer")).get("availableBotsConnection"))
            edges = page.get("edges")
            for edge in edges[:_PER_PAGE] if isinstance(edges, list) else ():
                node = _object(_object(edge).get("node"))
                handle = text_of(node.get("handle"))
                if 0 < len(handle) <= _MAX_NAME and node.get("deletionState") == "not_deleted":
                    handles.setdefault(handle.lower(), handle)
            where = _object(page.get("pageInfo"))
            cursor = text_of(where.get("endCursor"))
            if len(handles) == known or not cursor or where.get("hasNextPage") is not True:
                return


def _object(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, dict) else {}
