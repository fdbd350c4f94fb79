"""What Poe offers: the list of `GET /v1/models`, kept for hours and looked up in any case.

Official API sheet §6.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from poe_proxy.errors import UpstreamError

log = logging.getLogger(__name__)

#: Seconds between two looks, and after one that failed.
REFRESH: Final = 6 * 3600.0
TRY_AGAIN: Final = 60.0
#: Seconds that the first request for the list waits for the first copy.
FIRST_COPY: Final = 10.0

#: Times above this are in milliseconds: as seconds they would be in the year 5138.
_MILLISECONDS: Final = 100_000_000_000


class Catalogue:
    """The newest good copy of Poe's list, fetched beside the requests."""

    def __init__(self, fetch: Callable[[], bytes], *, refresh: float = REFRESH) -> None:
        """*fetch* gets the list's JSON from Poe, or raises `UpstreamError`."""
        self._fetch = fetch
        self._refresh = refresh
        self._entries: tuple[Mapping[str, Any], ...] = ()
        self._by_name: Mapping[str, Mapping[str, Any]] = {}
        self._tried = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Keep it fresh, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="catalogue", daemon=True).start()

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._stopped.set()

    def entries(self) -> tuple[Mapping[str, Any], ...]:
        """Return the entries in OpenAI's form, Poe's extras beneath.

        Waits for the first copy, at most `FIRST_COPY` seconds, and for nothing later.
        """
        if not self._entries:
            self._tried.wait(FIRST_COPY)
        return self._entries

    def find(self, bot: str) -> Mapping[str, Any]:
        """Return what is known of *bot*, in any case; nothing if it is not in the list."""
        return self._by_name.get(bot.lower(), {})

    def look(self) -> bool:
        """Fetch the list now; return whether there is a new copy."""
        try:
            entries = read(self._fetch())
        except (UpstreamError, ValueError) as failure:
            log.warning("Poe's list of models is not to be had: %s", failure)
            return False
        finally:
            self._tried.set()
        self._by_name = {entry["id"].lower(): entry for entry in entries}
        self._entries = entries
        log.info("Poe offers %d models", len(entries))
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._stopped.wait(self._refresh if self.look() else TRY_AGAIN)


def read(content: bytes) -> tuple[Mapping[str, Any], ...]:
    """Return the entries of a list as Poe sends it.

    Raises ValueError if it is none.
    """
    data = orjson.loads(content)
    listed = data.get("data") if isinstance(data, dict) else None
    if not isinstance(listed, list) or not listed:
        raise ValueError("it is no list of models")
    return tuple(
        _entry(one) for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)
    )


def _entry(given: Mapping[str, Any]) -> Mapping[str, Any]:
    created = given.get("created")
    if not isinstance(created, int):
        created = 0
    elif created > _MILLISECONDS:
        created //= 1000
    shown = (given.get("metadata") or {}).get("display_name")
    return {
        **given,
        # The spelling of the site; Poe matches in any case.
        "id": shown
        if isinstance(shown, str) and shown.lower() == given["id"].lower()
        else given["id"],
        "object": "model",
        "created": created,
        "owned_by": str(given.get("owned_by") or "poe"),
    }
