from __future__ import annotations

from collections.abc import Iterator

import pytest

from poe_proxy.server.admin import sessions

from .owner import Owner


@pytest.fixture(autouse=True)
def no_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has tried a key yet."""
    monkeypatch.setattr(sessions, "guesses", sessions.Guesses())


@pytest.fixture
def owner() -> Iterator[Owner]:
    made = Owner()
    yield made
    made.close()
