"""What the audit log has of clients: keys that were refused."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from poe_proxy import logs
from poe_proxy.server.access import keys_in
from poe_proxy.server.asked import Asked

log = logging.getLogger(logs.AUDIT)

#: Lines about refused keys in a minute: whoever tries keys shall not fill the log.
MOST_REFUSED: Final = 20
_MINUTE: Final = 60.0


class RefusedKeys:
    """Logs keys that were refused, each by the beginning of its digest, and no more than
    `MOST_REFUSED` in a minute; how many were left out is said with the next one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._lines = self._left_out = 0

    def tell(self, request: Asked) -> None:
        """Log the refusal of *request*, unless it brought no key at all."""
        key = next(keys_in(request), None)
        if key is None:
            return
        with self._lock:
            now = self._clock()
            if now - self._since >= _MINUTE:
                self._since, self._lines = now, 0
            if self._lines >= MOST_REFUSED:
                self._left_out += 1
                return
            self._lines += 1
            left_out, self._left_out = self._left_out, 0
        log.warning(
            "key refused: %s... from %.50s%s",
            hashlib.sha256(key).hexdigest()[:6],
            request.record.peer,
            f" ({left_out} more were not logged)" if left_out else "",
        )


#: Those of this process.
refused_keys: Final = RefusedKeys()
