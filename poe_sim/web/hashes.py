"""The persisted-query hashes of web protocol sheet §11; the values are in ``hashes.json``."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def _load() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("hashes.json").read_text("utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


_TABLES = _load()

# Operation or subscription -> the newest hash known (the 2026-03 column).
OPERATIONS: dict[str, str] = {
    name: entry["current"] for name, entry in _TABLES["operations"].items()
}
SUBSCRIPTIONS: dict[str, str] = {
    name: entry["current"]
    for name, entry in _TABLES["subscriptions"].items()
    if entry["current"] is not None
}
# Another name of an operation -> the name in OPERATIONS.
ALIASES: dict[str, str] = _TABLES["aliases"]
# Every hash that a client is known to have used, old ones included.
KNOWN: frozenset[str] = frozenset(
    value
    for table in (_TABLES["operations"], _TABLES["subscriptions"])
    for entry in table.values()
    for value in (entry["current"], *entry["older"])
    if value is not None
)
# All names of subscriptions, old ones included, for the lenient mode.
SUBSCRIPTION_NAMES: frozenset[str] = frozenset(_TABLES["subscriptions"])
