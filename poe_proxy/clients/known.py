"""The keys of all clients, by their digests."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from poe_proxy.clients.client import Client

#: What the clients of `AuthKey` are called, with their numbers behind that.
OF_AUTH_KEY: Final = "key-"
OF_AUTH_KEY_NAME: Final = re.compile(r"key-\d+", re.ASCII)
#: The settings with clients, by whether these have only numbers.
_SETTINGS: Final = {True: "AuthKey", False: "CLIENTS"}


def digest(key: bytes) -> bytes:
    """Return what a key is known by."""
    return hashlib.sha256(key).digest()


class Known:
    """The clients that there are, in their order.

    A key is looked up by its SHA-256 digest, so that a thousand clients take no longer than one.
    How long that takes says nothing of use about other keys: whoever tries a key cannot choose its
    digest, and Python scatters digests by a secret of the process. What is found is compared once
    more, in constant time.
    """

    def __init__(self, clients: Mapping[bytes, Client]) -> None:
        """*clients* are given by the digests of their keys."""
        self._clients = {key: (key, client) for key, client in clients.items()}
        self._by_name = {client.name: client for client in clients.values()}

    @classmethod
    def of(cls, keys: Iterable[str]) -> Known:
        """Return clients without limits, `key-1` and so on, for *keys* as `AuthKey` has them."""
        return cls(of_auth_keys(keys))

    @property
    def settings(self) -> str:
        """The settings that have them, for sentences."""
        is_numbered = {OF_AUTH_KEY_NAME.fullmatch(name) is not None for name in self._by_name}
        return " or ".join(
            setting for numbered, setting in _SETTINGS.items() if numbered in is_numbered
        )

    def find(self, key: bytes) -> Client | None:
        """Return the client whose *key* this is; None if it is nobody's."""
        given = digest(key)
        known, client = self._clients.get(given, (b"", None))
        return client if hmac.compare_digest(known, given) else None

    def changes(self, before: Known) -> str:
        """Return who is new, another one than *before*, switched off, or gone, by name; empty if
        nobody is."""
        old, new = before._listed(), self._listed()
        other = [name for name, one in new.items() if old.get(name, one) != one]
        disabled = [name for name in other if old[name][1].enabled and not new[name][1].enabled]
        changes = {
            "new": [name for name in new if name not in old],
            "changed": [name for name in other if name not in disabled],
            "disabled": disabled,
            "gone": [name for name in old if name not in new],
        }
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in changes.items() if names)

    def _listed(self) -> dict[str, tuple[bytes, Client]]:
        return {client.name: (key, client) for key, client in self._clients.values()}

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def of_auth_keys(keys: Iterable[str]) -> dict[bytes, Client]:
    """Return the clients of `AuthKey`, by the digests of their *keys*."""
    return {
        digest(key.encode()): Client(name=f"{OF_AUTH_KEY}{number}")
        for number, key in enumerate(keys, 1)
    }
