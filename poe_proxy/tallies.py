"""What is counted where nobody knows who will ask: by a few labels, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

#: The most combinations of labels that are told apart; further ones are not counted.
MOST: Final = 1_000


class Tally:
    """A count for each combination of labels. For what happens rarely: it has a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], int] = {}
        self._told: Callable[[tuple[str, ...], int], object] = lambda labels, number: None

    def add(self, *labels: str) -> None:
        """Count one more of *labels*."""
        with self._lock:
            if labels in self._counts or len(self._counts) < MOST:
                self._counts[labels] = self._counts.get(labels, 0) + 1
                self._told(labels, 1)

    def tell(self, told: Callable[[tuple[str, ...], int], object]) -> None:
        """Let *told* know what is counted from now on, and first what was counted before; it must
        not wait."""
        with self._lock:
            for labels, number in self._counts.items():
                told(labels, number)
            self._told = told

    def counts(self) -> Mapping[tuple[str, ...], int]:
        """Return each combination with its count."""
        with self._lock:
            return dict(self._counts)


#: Logins by cookie: by account and outcome, which is `ok` or the code of the failure.
LOGINS: Final = Tally()
#: Websockets that were opened again: by account and why the one before was given up.
RECONNECTS: Final = Tally()
#: Readings of the settings while the server ran: by outcome, `ok`, `wrong_settings` or `failed`.
RELOADS: Final = Tally()
#: Looks for what Poe has changed: by outcome, as `discovery.service` names them.
DISCOVERIES: Final = Tally()
