"""The part of poe.com's protocol that Poe changes: `site.toml`, or the user's own file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

TagForm: TypeAlias = Literal["plain", "swapped"]


@dataclass(slots=True)
class Tag:
    """How `poe-tag-id` is made. The form that Poe last accepted is kept for the whole process."""

    salt: str
    form: TagForm

    @property
    def other_form(self) -> TagForm:
        return "swapped" if self.form == "plain" else "plain"


@dataclass(frozen=True, slots=True)
class Patterns:
    """Where things are in Poe's pages; the first group is what is looked for."""

    app_script: re.Pattern[str]
    secret_after: str
    secret: re.Pattern[str]
    secret_anywhere: re.Pattern[str]
    getter: re.Pattern[str]
    revision: tuple[re.Pattern[str], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that things may take."""

    http: float
    socket_open: float
    ping: float
    dead: float
    script: float
    upload: float
    retry: float
    shows: float


@dataclass(frozen=True, slots=True)
class Site:
    """One version of poe.com."""

    headers: Mapping[str, str]
    tag: Tag
    patterns: Patterns
    limits: Limits
    websocket: str
    revision: str | None
    #: Persisted queries: name -> hash.
    operations: Mapping[str, str]
    subscriptions: Mapping[str, str]

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Return what `site.toml` says, or the file at *path* in its place.

        Unknown entries are ignored: an older file still has [handles], which are in `models.toml`
        now.

        Raises ValueError with a sentence that names the entry that is missing or wrong.
        """
        if path is None:
            text = resources.files(__package__).joinpath("site.toml").read_text("utf-8")
        else:
            try:
                text = path.read_text("utf-8-sig")
            except (OSError, UnicodeDecodeError):
                raise ValueError("The file cannot be read as UTF-8 text.") from None
        try:
            return cls._of(tomllib.loads(text))
        except tomllib.TOMLDecodeError as bad:
            raise ValueError(f"The file is not TOML: {bad}.") from None

    @classmethod
    def _of(cls, data: Mapping[str, Any]) -> Self:
        form = _get(data, "tag", "form", str)
        if form not in ("plain", "swapped"):
            raise ValueError('tag.form: must be "plain" or "swapped".')
        revision = _get(data, "pages", "revision_fixed", str)
        headers = _strings(data, "headers", needed=("User-Agent",))
        for name, value in headers.items():
            # A value is sent as it stands, and must not be able to begin another header.
            if not (name + value).isascii() or not (name + value).isprintable():
                raise ValueError(f"headers.{name}: must be printable ASCII.")
        return cls(
            headers=headers,
            tag=Tag(_get(data, "tag", "salt", str), form),
            patterns=Patterns(
                app_script=_pattern(data, "app_script", groups=0),
                secret_after=_get(data, "pages", "secret_after", str),
                secret=_pattern(data, "secret"),
                secret_anywhere=_pattern(data, "secret_anywhere"),
                getter=_pattern(data, "getter"),
                revision=tuple(
                    _compiled(f"pages.revision[{place}]", one)
                    for place, one in enumerate(_get(data, "pages", "revision", list))
                ),
            ),
            limits=Limits(**{name: _seconds(data, name) for name in Limits.__annotations__}),
            websocket=_websocket(_get(data, "websocket", "url", str)),
            revision=revision or None,
            operations=_strings(data, "operations", needed=_NEEDED_OPERATIONS),
            subscriptions=_strings(data, "subscriptions", needed=("messageAdded",)),
        )


#: The operations that we cannot do without.
_NEEDED_OPERATIONS = (
    "subscriptionsMutation",
    "sendMessageMutation",
    "HandleBotLandingPageQuery",
    "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation",
    "useDeleteChat_deleteChat_Mutation",
    "ChatListPaginationQuery",
    "ChatHistoryListPaginationQuery",
    "settingsPageQuery",
)


def _get(data: Mapping[str, Any], table: str, key: str, kind: Any) -> Any:
    value = data.get(table, {}).get(key) if isinstance(data.get(table, {}), dict) else None
    if not isinstance(value, kind):
        raise ValueError(f"{table}.{key}: is missing or of the wrong type.")
    return value


def _strings(data: Mapping[str, Any], table: str, needed: tuple[str, ...] = ()) -> dict[str, str]:
    values = data.get(table)
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise ValueError(f"{table}: must be a table of strings.")
    for name in needed:
        if name not in values:
            raise ValueError(f"{table}.{name}: is missing.")
    return values


def _seconds(data: Mapping[str, Any], key: str) -> float:
    value = _get(data, "limits", key, (int, float))
    if isinstance(value, bool) or not 0 < value < 86_400:
        raise ValueError(f"limits.{key}: must be a number of seconds above 0.")
    return float(value)


def _websocket(template: str) -> str:
    try:
        template.format(n=1, base_host="", box="", min_seq=0, channel="", hash="")
    except (KeyError, IndexError, ValueError):
        raise ValueError(
            "websocket.url: may hold {n}, {base_host}, {box}, {min_seq}, {channel} and {hash} only."
        ) from None
    return template


def _pattern(data: Mapping[str, Any], key: str, groups: int = 1) -> re.Pattern[str]:
    return _compiled(f"pages.{key}", _get(data, "pages", key, str), groups)


def _compiled(name: str, text: Any, groups: int = 1) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, TypeError):
        raise ValueError(f"{name}: is not a regular expression.") from None
    if pattern.groups < groups:
        raise ValueError(f"{name}: needs a group around what is looked for.")
    return pattern
