"""What Poe offers: the list of `GET /v1/models`, kept for hours; handles are case-insensitive.

Official API sheet §6.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from poe_proxy.errors import UpstreamError
from poe_proxy.net.pacing import breathe
from poe_proxy.upstreams.bulk import loads

log = logging.getLogger(__name__)

#: Seconds between two fetches of the list, and after one that failed.
REFRESH: Final = 6 * 3600.0
TRY_AGAIN: Final = 60.0
#: Seconds that the first request for the list waits for the first copy.
FIRST_COPY: Final = 10.0

#: Times above this are in milliseconds: as seconds they would be in the year 5138. What is beyond
#: that year in milliseconds, too, is no time.
_MILLISECONDS: Final = 100_000_000_000
_NO_TIME: Final = 100_000_000_000_000

#: The most models of a list, and characters of a model's name; Poe has some hundred.
MAX_MODELS: Final = 5000
_MAX_NAME: Final = 200

#: Anything but text comes whole or not at all (§3.5).
_MEDIA: Final = frozenset({"image", "audio", "video"})
_MEDIA_ENDPOINTS: Final = frozenset({"/v1/images", "/v1/audio", "/v1/videos"})


@dataclass(frozen=True, slots=True)
class Model:
    """One bot of the list."""

    #: The handle as Poe shows it, `Claude-Sonnet-4.5`.
    id: str
    #: The whole entry in OpenAI's form, with Poe's further fields as they came. Read-only.
    entry: Mapping[str, Any] = field(repr=False)
    #: The bot's own parameters, such as `thinking_budget`, and the JSON schema of each.
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    #: Whether it makes pictures, sound or films.
    is_media: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Model:
        """Return the model that an entry of Poe's list describes; its `id` is a string."""
        shown = _object(given.get("metadata")).get("display_name")
        # The list has lower case only, but users know the spelling that Poe shows. Poe takes both.
        id: str = given["id"]
        if isinstance(shown, str) and shown.lower() == id.lower():
            id = shown
        outputs = _names(_object(given.get("architecture")).get("output_modalities"))
        endpoints = _names(given.get("supported_endpoints"))
        entry = {
            **given,
            "id": id,
            "object": "model",
            "created": _seconds(given.get("created")),
            "owned_by": str(given.get("owned_by") or "poe"),
        }
        return cls(
            id=id,
            entry=MappingProxyType(entry),
            parameters=MappingProxyType(
                {
                    one["name"]: _object(one.get("schema"))
                    for one in map(_object, _list(given.get("parameters")))
                    if isinstance(one.get("name"), str)
                }
            ),
            is_media=bool(outputs & _MEDIA or (not outputs and endpoints & _MEDIA_ENDPOINTS)),
        )


#: A bot of which nothing is known: one that is not in the list may still answer.
UNKNOWN: Final = Model("", MappingProxyType({}))


class Catalogue:
    """The newest good copy of Poe's list. Fetched in the background, never by a request."""

    def __init__(
        self,
        fetch: Callable[[], bytes],
        *,
        refresh: float = REFRESH,
        patience: float = FIRST_COPY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*fetch* gets the list's JSON from Poe, or raises `UpstreamError`.

        The list is fetched again after *refresh* seconds; *patience* is how many seconds
        `entries` waits for the very first copy.
        """
        self._fetch = fetch
        self._refresh = refresh
        self._patience = patience
        self._clock = clock
        # Replaced as a whole, so that a reader sees one list or the other.
        self._models: Mapping[str, Model] = {}
        self._next_look = clock()
        self._has_looked = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Keep the copy fresh, in a thread of its own, until `stop`."""
        threading.Thread(target=self._run, name="catalogue", daemon=True).start()

    def stop(self) -> None:
        """End the thread: at once, or after the fetch that is under way.

        A copy that is there stays, and nothing waits for the first one any more.
        """
        self._stopped.set()
        self._has_looked.set()

    def entries(self) -> tuple[Mapping[str, Any], ...]:
        """Return the list's entries in OpenAI's form, with Poe's further fields.

        Waits for the very first fetch, *patience* seconds at most, and for none after it.
        """
        if not self._models:
            self._has_looked.wait(self._patience)
        return tuple(model.entry for model in self._models.values())

    def find(self, bot: str) -> Model:
        """Return what is known of *bot*, in upper or lower case; `UNKNOWN` if it is not listed."""
        return self._models.get(bot.lower(), UNKNOWN)

    def due(self) -> float:
        """Return the seconds until the next fetch."""
        return max(0.0, self._next_look - self._clock())

    def look(self) -> bool:
        """Fetch the list now; return whether there is a new copy. The old one stays if not."""
        try:
            models = read(self._fetch())
        except (UpstreamError, ValueError) as failure:
            log.log(
                # A fetch that the end of the process breaks off is no trouble.
                logging.INFO if self._stopped.is_set() else logging.WARNING,
                "Poe's list of models cannot be fetched: %s",
                failure,
            )
            self._next_look = self._clock() + min(TRY_AGAIN, self._refresh)
            return False
        finally:
            self._has_looked.set()
        self._models = models
        self._next_look = self._clock() + self._refresh
        log.info("Poe offers %d models", len(models))
        return True

    def _run(self) -> None:
        while not self._stopped.wait(self.due()):
            self.look()


def read(content: bytes) -> Mapping[str, Model]:
    """Return the models of a list as Poe sends it, by their ids in lower case.

    Raises ValueError if it is not a list, or one that is empty or endless: that is a fault, not an
    update.
    """
    given = _list(_object(loads(content)).get("data"))
    if len(given) > MAX_MODELS:
        raise ValueError(f"it has more than {MAX_MODELS} models")
    models: dict[str, Model] = {}
    for one in given:
        if isinstance(one, dict) and isinstance(id := one.get("id"), str):
            if 0 < len(id) <= _MAX_NAME:
                models[id.lower()] = Model.read(one)
            breathe()
    if not models:
        raise ValueError("it is not a list of models")
    return models


def _seconds(created: Any) -> int:
    """Return a time in seconds, 0 if there is none: Poe's are in milliseconds, unlike OpenAI's."""
    if not isinstance(created, int | float) or isinstance(created, bool):
        return 0
    if not 0 <= created < _NO_TIME:
        return 0
    return int(created / 1000 if created > _MILLISECONDS else created)


def _object(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, dict) else {}


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _names(given: Any) -> frozenset[str]:
    return frozenset(one for one in _list(given) if isinstance(one, str))
