"""What the workers that share a pool tell each other."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from poe_proxy.server.fellows import Fellows
from poe_proxy.server.guesses import MOST_GUESSES, Guesses, TooManyGuesses

from ..fakes import log_lines, until


class Worker:
    """One whose messages reach all others at once."""

    def __init__(self, all_of_them: list[Worker]) -> None:
        self._all = all_of_them
        self.reloaded: list[threading.Thread] = []
        self.guesses = Guesses()
        self.fellows = Fellows(
            self._announce,
            reload=lambda: self.reloaded.append(threading.current_thread()),
            guesses=self.guesses,
        )
        all_of_them.append(self)

    def _announce(self, message: Mapping[str, Any]) -> None:
        for one in self._all:
            if one is not self:
                one.fellows.hear(message)


@pytest.fixture
def workers() -> list[Worker]:
    found: list[Worker] = []
    for _ in range(3):
        Worker(found)
    return found


def test_all_others_read_their_settings(workers: list[Worker]) -> None:
    """The one that asks has done so already; the others do so off the way of messages."""
    workers[0].fellows.reload()
    until(lambda: workers[1].reloaded and workers[2].reloaded)

    assert [] == workers[0].reloaded
    assert threading.current_thread() not in workers[1].reloaded


def test_wrong_keys_count_at_all_of_them(workers: list[Worker]) -> None:
    """Whichever they come to."""
    for number in range(MOST_GUESSES):
        workers[number % 3].guesses.wrong("10.0.0.1")

    for one in workers:
        with pytest.raises(TooManyGuesses):
            one.guesses.check("10.0.0.1")


def test_what_is_not_for_it_is_left_to_others(workers: list[Worker]) -> None:
    """The pool's own messages, and those of a newer version."""
    one = workers[0]
    with log_lines() as lines:
        one.fellows.hear({"lent": {"a": "b"}})
        for _ in range(MOST_GUESSES):
            one.fellows.hear({"guess": 5})

    assert "" == lines.getvalue()
    one.guesses.check(5)
