"""What Poe offers: the list of `GET /v1/models`, the same for keys and cookies, kept for hours.

Official API sheet §6.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from poe_proxy.errors import UpstreamError
from poe_proxy.net.pacing import breathe
from poe_proxy.prices import Price
from poe_proxy.upstreams.bulk import loads

log = logging.getLogger(__name__)

#: Seconds between two fetches of the list; after one that failed, and at most after many.
REFRESH: Final = 6 * 3600.0
TRY_AGAIN: Final = 60.0
TRY_AGAIN_AT_MOST: Final = 3600.0
#: Seconds that the first request for the list waits for the first copy: less than the time that
#: clients give us, for there is another list.
FIRST_COPY: Final = 3.0
#: Seconds until a failure that goes on is a warning again.
_WARN_AGAIN: Final = 6 * 3600.0

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

_MESSAGES: Final = "/v1/messages"

#: What the site takes as a handle: one part of an address, without blanks (§6.1).
_HANDLE: Final = re.compile(r"(?!\.+\Z)[^\s/?#%\x00-\x1f\x7f]{1,100}")


@dataclass(frozen=True, slots=True)
class Model:
    """One bot of the list."""

    #: Poe's id, in the spelling that Poe shows: `Claude-Sonnet-4.5`. The official API takes it.
    id: str
    #: The whole entry in OpenAI's form, with Poe's further fields as they came. Read-only.
    entry: Mapping[str, Any] = field(repr=False)
    #: The bot's own parameters, such as `thinking_budget`, and the JSON schema of each.
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    #: Whether it makes pictures, sound or films.
    is_media: bool = False
    #: Whether one can talk with it: some that draw are for that alone, and take no tools.
    talks: bool = True
    #: Whether Poe's own Messages API leads to it: officially to Claude alone (§5).
    takes_messages: bool = False
    #: How many tokens it reads, and how many an answer of its has, at most; None where that is not
    #: told.
    reads_at_most: int | None = None
    most_tokens: int | None = None
    #: What it costs; None where that is not told.
    price: Price | None = None
    #: The last part of its address at poe.com, where that is not the id: the site takes it.
    handle: str = ""
    #: The name that Poe shows, where that is not the id.
    shown: str = ""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Model:
        """Return the model that an entry of Poe's list describes; its `id` is a string."""
        about = _object(given.get("metadata"))
        shown = _text(about.get("display_name"))
        address = _text(about.get("url")).partition("://poe.com/")[2]
        # The list has lower case only, but users know the spelling that Poe shows. Poe takes both.
        id: str = given["id"]
        spellings = [one for one in (shown, address) if one.lower() == id.lower()]
        id = spellings[0] if spellings else id
        others = [one for one in (address, shown) if _HANDLE.fullmatch(one)]
        is_handle = bool(spellings or (not address and _HANDLE.fullmatch(id)))
        outputs = _names(_object(given.get("architecture")).get("output_modalities"))
        endpoints = _names(given.get("supported_endpoints"))
        is_media = bool(outputs & _MEDIA or (not outputs and endpoints & _MEDIA_ENDPOINTS))
        window = _object(given.get("context_window"))
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
            is_media=is_media,
            talks=not is_media or "tools" in _names(given.get("supported_features")),
            takes_messages=entry["owned_by"].lower() == "anthropic"
            and (not endpoints or _MESSAGES in endpoints),
            reads_at_most=_figure(window.get("context_length")),
            most_tokens=_figure(window.get("max_output_tokens")),
            price=Price.read(given.get("pricing")),
            handle=others[0] if others and not is_handle else "",
            shown=shown if shown.lower() != id.lower() else "",
        )


#: A bot of which nothing is known: one that is not in the list may still answer.
UNKNOWN: Final = Model("", MappingProxyType({}))

Models = Mapping[str, Model]


class Catalogue:
    """The newest good copy of Poe's list, fetched in the background, never by a request; until
    there is one, a list that came with the program."""

    def __init__(
        self,
        fetch: Callable[[], bytes] | None = None,
        *,
        built_in: Models | None = None,
        refresh: float = REFRESH,
        patience: float = FIRST_COPY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*fetch* gets the list's JSON from Poe, or raises `UpstreamError`; None: nothing is
        fetched.

        The list is fetched again after *refresh* seconds; *patience* is how many seconds
        `models` waits for the very first copy. *built_in* is, by default, `built_in()`.
        """
        self._fetch = fetch
        self._refresh = refresh
        self._patience = patience
        self._clock = clock
        # Replaced as a whole, so that a reader sees one list or the other.
        self._fetched: Models = {}
        self._built_in = _built_in() if built_in is None else built_in
        self._next_look = clock()
        self._failures = 0
        self._warn_at = clock()
        self._has_looked = threading.Event()
        self._stopped = threading.Event()
        if fetch is None:
            self._has_looked.set()

    def start(self) -> None:
        """Keep the copy fresh, in a thread of its own, until `stop`."""
        if self._fetch is not None:
            threading.Thread(target=self._run, name="catalogue", daemon=True).start()

    def stop(self) -> None:
        """End the thread: at once, or after the fetch that is under way.

        A copy that is there stays, and nothing waits for the first one any more.
        """
        self._stopped.set()
        self._has_looked.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end of the very first fetch; return whether it is over.

        So many *seconds* at most, by default *patience*. Without `start` there is no fetch.
        """
        if self._fetched:
            return True
        return self._has_looked.wait(self._patience if seconds is None else seconds)

    @property
    def models(self) -> Models:
        """The list as it is now, by ids in lower case: the same object until there is a new copy.

        Without a copy it is the built-in one.
        """
        return self._fetched or self._built_in

    def find(self, bot: str) -> Model:
        """Return what Poe's list says of *bot*, in upper or lower case; `UNKNOWN` if it says
        nothing, or has not come: the built-in list does not know what a bot can be asked for."""
        return self._fetched.get(bot.lower(), UNKNOWN)

    def due(self) -> float:
        """Return the seconds until the next fetch."""
        return max(0.0, self._next_look - self._clock())

    def look(self) -> bool:
        """Fetch the list now; return whether there is a new copy. The old one stays if not."""
        assert self._fetch is not None
        try:
            models = read(self._fetch())
        except (UpstreamError, ValueError) as failure:
            self._note(failure)
            return False
        finally:
            self._has_looked.set()
        self._fetched = models
        self._failures = 0
        self._warn_at = self._clock()
        self._next_look = self._clock() + self._refresh
        log.info("Poe offers %d models", len(models))
        return True

    def _note(self, failure: Exception) -> None:
        now = self._clock()
        rest = min(TRY_AGAIN * 2.0 ** min(self._failures, 10), TRY_AGAIN_AT_MOST, self._refresh)
        self._failures += 1
        self._next_look = now + rest
        # A fetch that the end of the process breaks off is no trouble.
        is_warning = now >= self._warn_at and not self._stopped.is_set()
        if is_warning:
            self._warn_at = now + _WARN_AGAIN
        log.log(
            logging.WARNING if is_warning else logging.DEBUG,
            "Poe's list of models cannot be fetched: %s Listing what is known: %d models",
            failure,
            len(self.models),
        )

    def _run(self) -> None:
        while not self._stopped.wait(self.due()):
            self.look()


def read(content: bytes) -> Models:
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


@lru_cache(maxsize=1)
def _built_in() -> Models:
    """Return the models that came with the program: `catalogue.toml` says from when they are."""
    text = resources.files("poe_proxy").joinpath("catalogue.toml").read_text("utf-8")
    models = (Model.read(_entry(name, row)) for name, row in tomllib.loads(text)["bots"].items())
    return MappingProxyType({model.id.lower(): model for model in models})


def _entry(name: str, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row of the built-in list as an entry of Poe's."""
    inputs, outputs = row.get("in", ["text"]), row.get("out", ["text"])
    length, most = row.get("context"), row.get("output")
    created = row.get("created")
    return {
        "id": name,
        "created": 0 if created is None else _days(created) * 86400,
        "owned_by": row["owner"],
        "root": name.lower(),
        "architecture": {
            "input_modalities": inputs,
            "output_modalities": outputs,
            "modality": f"{','.join(inputs)}->{','.join(outputs)}",
        },
        "supported_features": ["tools"] if row.get("tools", False) else [],
        "context_length": length,
        "context_window": length and {"context_length": length, "max_output_tokens": most},
        "metadata": {"display_name": name, "url": f"https://poe.com/{name}"},
    }


def _days(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _text(given: Any) -> str:
    return given if isinstance(given, str) and len(given) <= _MAX_NAME else ""


def _figure(given: Any) -> int | None:
    is_one = isinstance(given, int) and not isinstance(given, bool) and given > 0
    return given if is_one else None


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
