"""The accounts at Poe as the settings have them: from `TOKENS`, `POE_API_KEYS`, `TOKENS_CONFIG`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

from environs import ValidationError

from poe_proxy import lookalikes, tables
from poe_proxy.checks import is_url
from poe_proxy.settings import PROXY_SCHEMES, BadSettings, Settings
from poe_proxy.upstreams.poe_web import Credentials

Kind: TypeAlias = Literal["cookie", "key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One credential at Poe, and how much it may be used."""

    kind: Kind
    #: An item of `TOKENS`, or an API key.
    credential: str = field(repr=False)
    #: The `p-b` of it, decoded, or the key: what names the account.
    secret: str = field(repr=False)
    #: Its name in logs and on pages; unique.
    label: str
    #: The setting that it comes from. It is the same account wherever it stands.
    source: str = field(default="", compare=False)
    proxy: str | None = field(default=None, repr=False)
    #: Uses within any *rate_window* seconds; 0 means no limit, here and in the next four.
    rate_limit: int = 0
    rate_window: float = 60.0
    cool_down: float = 0.0
    per_hour: int = 0
    per_day: int = 0
    #: Seconds, up to which are added to each *cool_down*, another number for each use.
    jitter: float = 0.0
    concurrency: int = 1
    #: Handles of the bots that it may serve; empty: all.
    bots: Sequence[str] = ()
    #: Lower ranks are used first.
    rank: int = 0

    @property
    def id(self) -> str:
        """Return its name in the ledger: the same on all hosts, and no way back to the secret."""
        return hashlib.sha256(f"{self.kind}\0{self.secret}".encode()).hexdigest()[:16]


def read(settings: Settings, *, labels: Mapping[str, str] = MappingProxyType({})) -> list[Account]:
    """Return the accounts of *settings*, each once; what the file says of one of them wins.

    An account without a label of its own has that in *labels*, which has them by account id, or
    else the first of `cookie-1`, `cookie-2`, ... or `key-1`, `key-2`, ... that is free.

    Raises `BadSettings` naming every fault of the file, or if there is no account.
    """
    listed = [
        *(_Listed("cookie", text, _secret("cookie", text)) for text in settings.tokens),
        *(_Listed("key", key, key) for key in settings.api_keys),
    ]
    if settings.tokens_config is not None:
        try:
            listed += _listed_in(settings.tokens_config)
        except ValueError as bad:
            raise BadSettings({"TOKENS_CONFIG": [str(bad)]}) from None
    by_account: dict[tuple[Kind, str], _Listed] = {}
    for one in listed:
        known = by_account.get((one.kind, one.secret))
        # Of several in the same place the first counts.
        if known is None or (known.place == 0 < one.place):
            by_account[one.kind, one.secret] = one
    enabled = [one for one in by_account.values() if one.is_enabled]
    if not enabled:
        raise BadSettings(
            {"TOKENS_CONFIG": ["No account in it is enabled, and there is no other."]}
        )
    return _labelled([_account(one, settings) for one in enabled], labels)


def labels(settings: Settings) -> frozenset[str]:
    """Return what the accounts of *settings* are called, also those that are not enabled; raises
    `BadSettings` as `read` does."""
    found = {one.label for one in read(settings)}
    if settings.tokens_config is not None:
        found |= {one.fields.get("label", "") for one in _listed_in(settings.tokens_config)}
    return frozenset(found - {""})


def secrets(settings: Settings) -> Mapping[str, str]:
    """Return the credentials of the accounts, as they may be written, with the labels of these."""
    return {text: one.label for one in read(settings) for text in (one.secret, one.credential)}


def check(path: Path) -> None:
    """Raise ValueError, with a line for each fault, if *path* is not a file of accounts."""
    _listed_in(path)


def check_cookie(text: str) -> None:
    """Raise ValueError, which does not repeat it, if *text* is no item of `TOKENS`."""
    _checked("cookie", text)


def faults(settings: Settings) -> Mapping[str, list[str]]:
    """Return what is wrong with the accounts and the keys of clients together, by setting."""
    try:
        found = read(settings)
    except BadSettings as bad:
        # If there is nothing of any kind, that is said already.
        return bad.problems if settings.tokens_config else {}
    given = {text: one for one in found for text in (one.secret, one.credential)}
    same = [
        f"item {place}: It is the credential of {one.label} ({one.source}) at Poe, which whoever "
        "has the key would have too. Choose another one."
        for place, key in enumerate(settings.auth_keys, 1)
        if (one := given.get(key) or given.get(unquote(key)))
    ]
    return {"AuthKey": same} if same else {}


def files(path: Path) -> list[Path]:
    """Return the files of credentials: that of accounts at *path*, and those that it names."""
    try:
        listed = _tables(path)
    except ValueError:
        listed = []  # what is wrong with it is said elsewhere
    names = (table.get(name) for table in listed for name in ("cookie_file", "key_file"))
    return [path, *(path.parent / name for name in names if isinstance(name, str))]


#: Where accounts are listed that are not in the file.
_SOURCES: Final[Mapping[Kind, str]] = {"cookie": "TOKENS", "key": "POE_API_KEYS"}


def _account(listed: _Listed, settings: Settings) -> Account:
    """Return the account of *listed*; what is not given has the value that its kind has."""
    given: dict[str, Any] = {"label": "", "proxy": settings.proxy}
    if listed.kind == "cookie":
        given |= {
            "rate_limit": settings.rate_limit,
            "cool_down": settings.cool_down,
            "concurrency": settings.token_concurrency,
            "rank": 1,
        }
    else:
        given |= {
            "rate_limit": settings.api_rate_limit,
            "concurrency": settings.api_concurrency,
        }
    given |= listed.fields
    given["source"] = "TOKENS_CONFIG" if listed.place else _SOURCES[listed.kind]
    # An empty address: no proxy, whatever the others have.
    given["proxy"] = given["proxy"] or None
    return Account(kind=listed.kind, credential=listed.credential, secret=listed.secret, **given)


def _labelled(accounts: Sequence[Account], labels: Mapping[str, str]) -> list[Account]:
    named = {account.label for account in accounts if account.label}
    # A label stays with its account, so nothing else gets it meanwhile.
    kept = {id: label for id, label in labels.items() if label not in named}
    taken = named | set(kept.values())
    numbers: Mapping[str, Iterator[int]] = {"cookie": count(1), "key": count(1)}

    def label_for(account: Account) -> str:
        free = (f"{account.kind}-{number}" for number in numbers[account.kind])
        return kept.get(account.id) or next(label for label in free if label not in taken)

    return [one if one.label else replace(one, label=label_for(one)) for one in accounts]


# ---- the file


@dataclass(frozen=True, slots=True)
class _Listed:
    """One account as the settings or the file list it."""

    kind: Kind
    credential: str = field(repr=False)
    secret: str = field(repr=False)
    #: What the file says of it, by the names of `Account`.
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_enabled: bool = True
    #: Where in the file it stands, from 1; 0 if it is in the settings themselves.
    place: int = 0


def _listed_in(path: Path) -> list[_Listed]:
    """Return the accounts of the file; raises ValueError with a line for each fault."""
    listed: list[_Listed] = []
    faults: list[str] = []
    labels: set[str] = set()
    for place, table in enumerate(_tables(path), 1):
        found = tables.Faults()
        if one := _read_table(table, path.parent, place, found):
            listed.append(one)
        label = table.get("label")
        name = label if isinstance(label, str) and tables.LABEL.fullmatch(label) else ""
        if name in labels:
            found.append("label: Another account is called that.")
        labels |= {name} - {""}
        faults += [
            f"account {place}{f' ({tables.shown((name,))})' if name else ''}, {fault}"
            for fault in found
        ]
    if faults:
        raise ValueError("\n    ".join(faults))
    return listed


def _tables(path: Path) -> list[Mapping[str, Any]]:
    data = tables.load(path)
    if unknown := data.keys() - {"account"}:
        raise ValueError(
            f"{tables.shown(unknown)}: Only tables [[account]] are known here, one for each "
            "account."
        )
    listed = data.get("account", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ValueError("account: Must be written [[account]], once for each account.")
    return listed


def _read_table(
    table: Mapping[str, Any], folder: Path, place: int, faults: tables.Faults
) -> _Listed | None:
    """Return the account of one table; None if there are *faults*, which are added."""
    if unknown := table.keys() - FIELDS:
        faults.append(f"{tables.shown(unknown)}: No account has such a field.")
    fields: dict[str, Any] = {}
    for name, reader in _READERS.items():
        if name in table:
            with faults.of(name):
                fields[name] = reader(table[name])
    given = [name for name in _CREDENTIALS if name in table]
    if len(given) != 1:
        faults.append(
            f"{', '.join(given or _CREDENTIALS)}: One of {', '.join(_CREDENTIALS)} is needed, and "
            "no second one."
        )
    for name in given:
        kind: Kind = "cookie" if name.startswith("cookie") else "key"
        with faults.of(name):
            credential = tables.text(table[name])
            if name.endswith("_file"):
                credential = _text_of(credential, folder).strip()
            secret = _checked(kind, credential)
    if faults:
        return None
    is_enabled = fields.pop("enabled", True)
    return _Listed(kind, credential, secret, fields, is_enabled, place)


def _text_of(given: str, folder: Path) -> str:
    # What should be a path may be the credential itself.
    named = lookalikes.shown_path(given, is_of_secret=True) or "The file"
    try:
        return (folder / given).read_text("utf-8-sig")
    except OSError as bad:
        raise ValueError(f"{named} cannot be read ({bad.strerror}).") from None
    except UnicodeDecodeError:
        raise ValueError(f"{named} is not UTF-8 text.") from None


def _checked(kind: Kind, credential: str) -> str:
    """Return what `_secret` does; raises ValueError also if *credential* looks like something
    else."""
    if why := (lookalikes.no_cookie if kind == "cookie" else lookalikes.no_key)(credential):
        raise ValueError(why)
    return _secret(kind, credential)


def _secret(kind: Kind, credential: str) -> str:
    """Return what names the account; raises ValueError without repeating the credential."""
    if kind == "cookie":
        return Credentials.parse(credential).secret
    if not re.fullmatch("[!-~]+", credential):
        raise ValueError("Must be one key of printable ASCII.")
    return credential


# ---- the fields of an account: each reader returns the value, or raises ValueError


def _proxy(given: object) -> str:
    if given == "":
        return ""
    address = tables.text(given)
    try:
        is_url(*PROXY_SCHEMES)(address)
    except ValidationError as bad:
        raise ValueError(str(bad)) from None
    return address


def _number_of_uses(given: object) -> int:
    if (number := tables.whole_number(given)) < 0:
        raise ValueError("Must be a whole number, 0 or more; 0 means no limit.")
    return number


def _seconds(given: object) -> float:
    match given:
        case bool():
            pass
        case int() | float() if isfinite(given) and given >= 0:
            return float(given)
    raise ValueError("Must be a number of seconds, 0 or more.")


def _window(given: object) -> float:
    if not (seconds := _seconds(given)):
        raise ValueError("Must be more than 0 seconds.")
    return seconds


def _bots(given: object) -> tuple[str, ...]:
    bots = tuple(given) if isinstance(given, list) else ()
    if not bots or not all(isinstance(bot, str) and bot.strip() == bot != "" for bot in bots):
        raise ValueError(
            "Must be a list of handles such as ['Claude-Sonnet-4.5']; leave it out for all bots."
        )
    return bots


_CREDENTIALS: Final = ("cookie", "cookie_file", "key", "key_file")

_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "label": tables.label,
    "enabled": tables.switch,
    "proxy": _proxy,
    "rate_limit": _number_of_uses,
    "rate_window": _window,
    "cool_down": _seconds,
    "per_hour": _number_of_uses,
    "per_day": _number_of_uses,
    "jitter": _seconds,
    "concurrency": tables.at_least_one,
    "bots": _bots,
    "rank": tables.whole_number,
}

#: All that a table of the file may have.
FIELDS: Final = frozenset({*_READERS, *_CREDENTIALS})
