"""The file of clients, `CLIENTS`: how it is read, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from environs import ValidationError

from poe_proxy import slips, tables
from poe_proxy.checks import is_key
from poe_proxy.clients.client import Client, Limits, Permission
from poe_proxy.clients.known import OF_AUTH_KEY_NAME, Known, digest, of_auth_keys
from poe_proxy.settings import BadSettings, Settings

_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")


def read(settings: Settings) -> Known:
    """Return the clients of *settings*: those of `AuthKey`, and those of the file.

    Raises `BadSettings` naming every fault of the file.
    """
    clients = of_auth_keys(settings.auth_keys)
    if settings.clients is not None:
        try:
            listed = _listed_in(settings.clients)
        except ValueError as bad:
            raise BadSettings({"CLIENTS": [str(bad)]}) from None
        clients |= {one.digest: one.client for one in listed if one.digest not in clients}
    return Known(clients)


def check(path: Path) -> None:
    """Raise ValueError, with a line for each fault, if *path* is not a file of clients."""
    _listed_in(path)


def faults(
    settings: Settings, *, labels: Collection[str] | None, secrets: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return what is wrong with the clients beside the other settings, by setting.

    *labels* are what the accounts at Poe are called, None: that is not known; *secrets* are their
    credentials, each with the label of its account.
    """
    found: dict[str, list[str]] = {}
    named = {
        digest(key.encode()): f"item {n} of AuthKey" for n, key in enumerate(settings.auth_keys, 1)
    }
    at_poe = {digest(text.encode()): label for text, label in secrets.items()}
    listed: list[_Listed] = []
    if settings.clients is not None:
        try:
            listed = _listed_in(settings.clients)
        except ValueError:
            return found  # said already
        found["CLIENTS"] = [
            fault
            for one in listed
            for fault in _faults_of(one, labels=labels, taken=named, at_poe=at_poe)
        ]
    if settings.admin_key:
        named |= {one.digest: f"the key of {one.client.name} in CLIENTS" for one in listed}
        key = digest(settings.admin_key.encode())
        if same := named.get(key):
            found["ADMIN_KEY"] = [
                f"It is {same}: whoever has that could do all that the owner can. Choose another "
                "one."
            ]
        elif label := at_poe.get(key):
            found["ADMIN_KEY"] = [f"It is the credential of {label} at Poe. Choose another one."]
    return {name: ["\n    ".join(why)] for name, why in found.items() if why}


def holds_keys(path: Path) -> bool:
    """Return whether there are keys in clear in the file."""
    try:
        return any("key" in table for table in _tables(path).values())
    except ValueError:
        return True


# ---- the file


@dataclass(frozen=True, slots=True)
class _Listed:
    """One client as the file lists it."""

    client: Client
    digest: bytes


def _listed_in(path: Path) -> list[_Listed]:
    """Return the clients of the file; raises ValueError with a line for each fault."""
    listed: list[_Listed] = []
    wrong: list[str] = []
    known: dict[bytes, str] = {}
    for name, table in _tables(path).items():
        found = tables.Faults()
        if one := _read_table(name, table, found):
            listed.append(one)
            if same := known.get(one.digest):
                found.append(f"key: It is that of {tables.shown((same,))}, too.")
            known[one.digest] = name
        # What is no name may be a key that stands in the wrong place.
        wrong += [f"clients.{tables.shown((name,))}, {fault}" for fault in found]
    if wrong:
        raise ValueError("\n    ".join(wrong))
    return listed


def _tables(path: Path) -> Mapping[str, Mapping[str, Any]]:
    data = tables.load(path)
    if unknown := data.keys() - {"clients"}:
        raise ValueError(
            f"{tables.shown(unknown)}: Only tables such as [clients.alice] are known here, "
            "one for each client."
        )
    found = data.get("clients", {})
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise ValueError("clients: Must be written [clients.alice], once for each client.")
    return found


def _read_table(name: str, table: Mapping[str, Any], faults: tables.Faults) -> _Listed | None:
    """Return the client of one table; None if there are *faults*, which are added."""
    with faults.of("name"):
        tables.label(name)
    if OF_AUTH_KEY_NAME.fullmatch(name):
        faults.append("name: The keys in AuthKey are called so. Choose another one.")
    faults += _unknown(table)
    fields: dict[str, Any] = {}
    for field, reader in _READERS.items():
        if field in table:
            with faults.of(field):
                fields[field] = reader(table[field])
    key = b""
    given = [field for field in _KEYS if field in table]
    if len(given) != 1:
        faults.append(f"{', '.join(given or _KEYS)}: One of {' and '.join(_KEYS)} is needed.")
    else:
        with faults.of(given[0]):
            key = _KEYS[given[0]](table[given[0]])
    if faults:
        return None
    limits = Limits(**{field: fields.pop(field) for field in _LIMITS if field in fields})
    permission = Permission(fields.pop("models", ()), fields.pop("not_models", ()))
    return _Listed(Client(name=name, limits=limits, permission=permission, **fields), key)


def _unknown(table: Mapping[str, Any]) -> Iterator[str]:
    for field in sorted(table.keys() - FIELDS):
        meant = slips.meant(field, sorted(FIELDS))
        shown = tables.shown((field,))
        yield f"{shown}: No client has such a field{f'; is {meant} meant?' if meant else '.'}"


def _faults_of(
    one: _Listed,
    *,
    labels: Collection[str] | None,
    taken: Mapping[bytes, str],
    at_poe: Mapping[bytes, str],
) -> Iterator[str]:
    name = f"clients.{one.client.name}"
    if same := taken.get(one.digest):
        yield f"{name}, key: It is {same}, too."
    if label := at_poe.get(one.digest):
        yield f"{name}, key: It is the credential of {label} at Poe. Choose another one."
    if labels is not None:
        for account in sorted(one.client.accounts - set(labels)):
            meant = slips.meant(account, sorted(labels))
            yield (
                f"{name}, accounts: No account is called {account}"
                f"{f'; is {meant} meant?' if meant else '.'}"
            )


# ---- the fields of a client: each reader returns the value, or raises ValueError


def _key(given: object) -> bytes:
    key = tables.text(given)
    try:
        is_key(key)
    except ValidationError as bad:
        raise ValueError(str(bad)) from None
    return digest(key.encode())


def _key_sha256(given: object) -> bytes:
    if not isinstance(given, str) or not _SHA256.fullmatch(given):
        raise ValueError("Must be the SHA-256 of the key: 64 hexadecimal digits.")
    return bytes.fromhex(given)


def _names(given: object) -> tuple[str, ...]:
    names = tuple(given) if isinstance(given, list) else ()
    if not names or not all(isinstance(one, str) and one.strip() == one != "" for one in names):
        raise ValueError("Must be a list of names or patterns, such as ['gpt-5*'].")
    return tuple(name.lower() for name in names)


def _accounts(given: object) -> frozenset[str]:
    labels = tuple(given) if isinstance(given, list) else ()
    if not labels:
        raise ValueError("Must be a list of labels of accounts; leave it out for all accounts.")
    return frozenset(tables.label(one) for one in labels)


def _priority(given: object) -> int:
    if not 0 <= (number := tables.whole_number(given)) <= 9:
        raise ValueError("Must be a whole number from 0 to 9; 5 is usual.")
    return number


def _until(given: object) -> float:
    """A date is the last day (UTC); a moment with its distance from UTC is the end itself."""
    match given:
        case datetime() if given.tzinfo is not None:
            return given.timestamp()
        case datetime():
            pass
        case date():
            return datetime.combine(given + timedelta(days=1), time(), UTC).timestamp()
    raise ValueError(
        "Must be a date without quotes, such as 2027-01-31, or a moment such as "
        "2027-01-31T18:00:00+08:00."
    )


_KEYS: Final[Mapping[str, Callable[[object], bytes]]] = {"key": _key, "key_sha256": _key_sha256}

_LIMITS: Final = Limits.__dataclass_fields__.keys()

_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "models": _names,
    "not_models": _names,
    **dict.fromkeys(_LIMITS, tables.at_least_one),
    "priority": _priority,
    "until": _until,
    "accounts": _accounts,
    "enabled": tables.switch,
}

#: All that a table of the file may have.
FIELDS: Final = frozenset({*_READERS, *_KEYS})
