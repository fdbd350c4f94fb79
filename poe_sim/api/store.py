"""The files that clients uploaded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_FILES_AT_MOST = 1000
_BYTES_AT_MOST = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One uploaded file: its bytes, or where they are."""

    name: str
    mime: str
    data: bytes = b""
    download_url: str | None = None
    stored_at: float = 0.0


class Uploads:
    """The newest files, by the name in their URL."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, Stored] = OrderedDict()
        self._size = 0

    def add(self, name: str, stored: Stored) -> None:
        """Keep a file, and let go of the oldest ones when there are too many."""
        self._files[name] = stored
        self._size += len(stored.data)
        while len(self._files) > _FILES_AT_MOST or self._size > _BYTES_AT_MOST:
            _, gone = self._files.popitem(last=False)
            self._size -= len(gone.data)

    def find(self, url: str) -> Stored | None:
        """Return the file behind a URL that was given out for it."""
        return self._files.get(url.rpartition("/")[2])
