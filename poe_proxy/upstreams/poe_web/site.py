"""The part of poe.com's protocol that Poe changes: `site.toml`, and a file that lies on top of it.

An entry of a file is a value, or a table that says where it comes from as well:
`name = { value = "...", seen = "2026-11-30", source = "page" }`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, cast

TagForm: TypeAlias = Literal["plain", "swapped"]
TagPart: TypeAlias = Literal["body", "formkey", "salt"]
TagOrder: TypeAlias = tuple[TagPart, TagPart, TagPart]

TAG_FORMS: Final[tuple[TagForm, ...]] = ("plain", "swapped")
TAG_ORDERS: Final = tuple(
    cast("TagOrder", one) for one in permutations(("body", "formkey", "salt"))
)

#: A day, or a month of which the day is not known.
_DAY: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?")

_TABLES: Final = ("headers", "tag", "pages", "websocket", "limits", "operations", "subscriptions")

#: The operations without which there is no answer.
NEEDED: Final = ("subscriptionsMutation", "sendMessageMutation")


@dataclass(frozen=True, slots=True)
class Tag:
    """How `poe-tag-id` is made (§6)."""

    salt: str
    form: TagForm
    #: How what is digested is put together.
    order: TagOrder = ("body", "formkey", "salt")


@dataclass(frozen=True, slots=True)
class Patterns:
    """Where things are in Poe's pages; the first group is what is looked for."""

    app_script: re.Pattern[str]
    secret_after: str
    secret: re.Pattern[str]
    secret_anywhere: re.Pattern[str]
    getter: re.Pattern[str]
    getter_named: re.Pattern[str]
    tag_function: re.Pattern[str]
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
class Evidence:
    """Why an entry is believed."""

    #: When it was last seen at work: a day or a month; empty if nobody says so.
    seen: str
    #: "client", "browser" or "page", as `site.toml` explains them; "" if nobody says so.
    source: str
    #: Whether it is of the file on top.
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """One version of poe.com."""

    headers: Mapping[str, str]
    tag: Tag
    patterns: Patterns
    limits: Limits
    websocket: str
    #: A revision in place of the one that pages show; None for none.
    revision: str | None
    #: Persisted queries: name -> hash.
    operations: Mapping[str, str]
    subscriptions: Mapping[str, str]
    #: A name of the form key's function, and a revision, that discovery has found where a login
    #: does not look; empty for none.
    getter_name: str = ""
    revision_seen: str = ""
    #: By "table.key", of all entries that are used.
    evidence: Mapping[str, Evidence] = field(default_factory=dict, repr=False)
    #: The file on top; None if there is none.
    file: Path | None = None

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Return what `site.toml` says, with the file at *path* on top of it.

        An entry of that file without a date is its owner's word, and always counts. One with a date
        counts unless that in `site.toml` has been seen later. Unknown entries are ignored: an older
        file still has [handles], which are in `models.toml` now.

        Raises ValueError with a sentence that names the entry that is missing or wrong.
        """
        beneath = _entries(_parsed(_built_in()), is_own=False)
        if path is None:
            return cls._of(beneath)
        try:
            text = path.read_text("utf-8-sig")
        except FileNotFoundError:
            raise ValueError("There is no such file.") from None
        except (OSError, UnicodeDecodeError):
            raise ValueError("The file cannot be read as UTF-8 text.") from None
        return cls._of(_laid(beneath, _entries(_parsed(text), is_own=True)), path)

    @property
    def newest(self) -> str:
        """When anything of it was last seen at work: a day or a month; empty if nobody says so."""
        return max((one.seen for one in self.evidence.values()), default="")

    @property
    def own(self) -> int:
        """How many entries are those of the file on top."""
        return sum(one.is_own for one in self.evidence.values())

    @classmethod
    def _of(cls, entries: _Entries, path: Path | None = None) -> Self:
        data: dict[str, dict[str, Any]] = {}
        for (table, key), entry in entries.items():
            data.setdefault(table, {})[key] = entry.value
        headers = _strings(data, "headers", needed=("User-Agent",))
        for name, value in headers.items():
            # A value is sent as it stands, and must not be able to begin another header.
            if not (name + value).isascii() or not (name + value).isprintable():
                raise ValueError(f"headers.{name}: must be printable ASCII.")
        return cls(
            headers=headers,
            tag=_tag(data),
            patterns=Patterns(
                app_script=_pattern(data, "app_script", groups=0),
                secret_after=_get(data, "pages", "secret_after", str),
                secret=_pattern(data, "secret"),
                secret_anywhere=_pattern(data, "secret_anywhere"),
                getter=_pattern(data, "getter"),
                getter_named=_pattern(data, "getter_named"),
                tag_function=_pattern(data, "tag_function"),
                revision=tuple(
                    compiled(f"pages.revision[{place}]", one)
                    for place, one in enumerate(_get(data, "pages", "revision", list))
                ),
            ),
            limits=Limits(**{name: _seconds(data, name) for name in Limits.__annotations__}),
            websocket=_websocket(_get(data, "websocket", "url", str)),
            revision=_word(data, "revision_fixed") or None,
            operations=_hashes(data, "operations", NEEDED),
            subscriptions=_hashes(data, "subscriptions", ("messageAdded",)),
            getter_name=_word(data, "getter_name"),
            revision_seen=_word(data, "revision_seen"),
            evidence={f"{table}.{key}": one.evidence for (table, key), one in entries.items()},
            file=path,
        )


# ---- files


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    evidence: Evidence


_Entries: TypeAlias = Mapping[tuple[str, str], _Entry]


def _built_in() -> str:
    return resources.files(__package__).joinpath("site.toml").read_text("utf-8")


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as bad:
        raise ValueError(f"The file is not TOML: {bad}.") from None


def _entries(data: Mapping[str, Any], *, is_own: bool) -> _Entries:
    """Return the entries of a file. What its table [evidence] says of all entries of a table counts
    for the built-in one alone: whoever copies it, and corrects an entry, means what he writes."""
    of_tables: Mapping[str, Any] = {} if is_own else data.get("evidence", {})
    found = {}
    for table in _TABLES:
        entries, whole = data.get(table, {}), of_tables.get(table, {})
        if not isinstance(entries, dict):
            raise ValueError(f"{table}: must be a table.")
        for key, given in entries.items():
            name = f"{table}.{key}"
            if isinstance(given, dict):
                if "value" not in given:
                    raise ValueError(f"{name}: has no value.")
                found[table, key] = _Entry(given["value"], _evidence(name, given, is_own))
            else:
                found[table, key] = _Entry(given, _evidence(name, whole, is_own))
    return found


def _evidence(name: str, given: Mapping[str, Any], is_own: bool) -> Evidence:
    seen, source = given.get("seen", ""), given.get("source", "")
    if isinstance(seen, date):
        seen = seen.isoformat()[:10]
    if not isinstance(seen, str) or not (seen == "" or _DAY.fullmatch(seen)):
        raise ValueError(f'{name}: seen must be a day such as "2026-11-30", or a month.')
    if not isinstance(source, str):
        raise ValueError(f"{name}: source must be a text.")
    return Evidence(seen, source[:100], is_own)


def _laid(beneath: _Entries, top: _Entries) -> _Entries:
    """Return the entries *beneath*, with those *on top* of them that count."""

    def counts(where: tuple[str, str]) -> bool:
        seen = top[where].evidence.seen
        return not seen or where not in beneath or seen >= beneath[where].evidence.seen

    return {**beneath, **{where: entry for where, entry in top.items() if counts(where)}}


# ---- values


def _get(data: Mapping[str, Any], table: str, key: str, kind: Any) -> Any:
    value = data.get(table, {}).get(key)
    if not isinstance(value, kind):
        raise ValueError(f"{table}.{key}: is missing or of the wrong type.")
    return value


def is_word(text: str) -> bool:
    """Whether *text* may be a name, or a revision, in a site file."""
    return re.fullmatch(r"[\w$-]*", text, re.ASCII) is not None


def _word(data: Mapping[str, Any], key: str) -> str:
    word: str = _get(data, "pages", key, str)
    if not is_word(word):
        raise ValueError(f"pages.{key}: must be a name of letters and digits, or empty.")
    return word


def _strings(data: Mapping[str, Any], table: str, needed: Sequence[str] = ()) -> Mapping[str, str]:
    values: Mapping[str, str] = data.get(table, {})
    if not all(isinstance(one, str) for one in values.values()):
        raise ValueError(f"{table}: must be a table of strings.")
    for name in needed:
        if not values.get(name):
            raise ValueError(f"{table}.{name}: is missing.")
    return values


def _hashes(data: Mapping[str, Any], table: str, needed: Sequence[str]) -> Mapping[str, str]:
    """Return the hashes of *table*; an empty one takes an entry out."""
    return {name: hash for name, hash in _strings(data, table, needed).items() if hash}


def _tag(data: Mapping[str, Any]) -> Tag:
    form = _get(data, "tag", "form", str)
    if form not in TAG_FORMS:
        raise ValueError('tag.form: must be "plain" or "swapped".')
    order = tuple(_get(data, "tag", "order", list))
    if order not in TAG_ORDERS:
        raise ValueError('tag.order: must have "body", "formkey" and "salt", each once.')
    return Tag(_get(data, "tag", "salt", str), form, order)


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
    return compiled(f"pages.{key}", _get(data, "pages", key, str), groups)


def compiled(name: str, text: Any, groups: int = 1) -> re.Pattern[str]:
    """Return the pattern of the entry of that *name*. Raises ValueError naming it."""
    try:
        pattern = re.compile(text)
    except (re.error, TypeError):
        raise ValueError(f"{name}: is not a regular expression.") from None
    if pattern.groups < groups:
        raise ValueError(f"{name}: needs a group around what is looked for.")
    return pattern
