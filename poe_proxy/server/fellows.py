"""What the workers that share a pool tell each other: what one of them was asked to do, and is for
all of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from poe_proxy import logs
from poe_proxy.server.guesses import Guesses

audit = logging.getLogger(logs.AUDIT)

#: What is told: that settings are to be read anew; where a key has come from in place of that of
#: whoever runs the server, and whether it was the right one.
RELOAD: Final = "reload"
GUESS: Final = "guess"
IS_RIGHT: Final = "is_right"


class Fellows:
    """The other workers, on all hosts."""

    def __init__(
        self,
        announce: Callable[[Mapping[str, Any]], object],
        *,
        reload: Callable[[], object],
        guesses: Guesses,
    ) -> None:
        """*announce* lets all others hear a message, and does not wait; *reload* reads the settings
        of this worker anew."""
        self._announce = announce
        self._reload = reload
        self._guesses = guesses
        guesses.tell = self._tell_guess

    def reload(self) -> None:
        """Let all others read their settings anew."""
        self._announce({RELOAD: True})

    def hear(self, message: Mapping[str, Any]) -> None:
        """Do what another one tells, and nothing if it is for others here. Does not wait."""
        place = message.get(GUESS)
        if isinstance(place, str):
            self._guesses.heard(place, is_right=bool(message.get(IS_RIGHT)))
        elif RELOAD in message:
            audit.info("reload, asked for by another worker")
            threading.Thread(target=self._reload, name="reload", daemon=True).start()

    def _tell_guess(self, place: str, is_right: bool) -> None:
        self._announce({GUESS: place, IS_RIGHT: is_right})
