"""The cookies of one account: the given ones, and those that Poe has issued since.

Web protocol sheet §4.1.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

#: The cookies of the login, which Poe may renew. These outlive the process.
_LOGIN: Final = frozenset({"p-b", "p-lat"})
#: The cookies that are taken from answers; the others that Poe sets are of no use to us.
_TAKEN: Final = _LOGIN | {"__cf_bm"}
#: The most characters of one that is taken: it goes out with every request.
_MAX_VALUE: Final = 4096


class Cookies:
    """What goes out with each request to Poe. May be used by several threads at once."""

    def __init__(
        self,
        given: Mapping[str, str],
        *,
        renewed: Mapping[str, str] | None = None,
        keep_renewed: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """*renewed* are cookies of the login that Poe issued earlier in place of the *given* ones.

        *keep_renewed* is called with all such cookies when they change; with none of them when
        Poe no longer takes them, and the given ones are used again.
        """
        self._given = dict(given)
        known = {name: value for name, value in (renewed or {}).items() if name in _LOGIN}
        #: By name, the values as they are sent.
        self.values: Mapping[str, str] = {**self._given, **known}
        self._keep_renewed = keep_renewed or (lambda _: None)
        self._lock = threading.Lock()

    def header(self) -> str:
        """Return the value of the header `Cookie`."""
        return "; ".join(f"{name}={value}" for name, value in self.values.items())

    @property
    def renewed(self) -> Mapping[str, str]:
        """The cookies of the login that are not the given ones."""
        return {
            name: value
            for name, value in self.values.items()
            if name in _LOGIN and value != self._given.get(name)
        }

    def take(self, issued: Mapping[str, str]) -> None:
        """Take the cookies that a good answer sets."""
        if not issued:
            return
        with self._lock:
            before = self.renewed
            taken = {
                name: value
                for name, value in issued.items()
                if name in _TAKEN and len(value) <= _MAX_VALUE
            }
            self.values = {**self.values, **taken}
            if self.renewed != before:
                self._keep_renewed(self.renewed)

    @contextmanager
    def as_given(self) -> Iterator[None]:
        """Use the given cookies, from this block on; as before, if it raises."""
        with self._lock:
            before, self.values = self.values, self._given
        try:
            yield
        except BaseException:
            # Poe takes neither now. The renewed ones are more likely to be good later.
            with self._lock:
                self.values = before
            raise
        with self._lock:
            self._keep_renewed(self.renewed)
