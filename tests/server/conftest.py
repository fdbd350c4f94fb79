from __future__ import annotations

import pytest

from poe_proxy.server import guesses

from .site import Site


@pytest.fixture(autouse=True)
def no_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has tried a key in place of the owner's yet."""
    monkeypatch.setattr(guesses, "guesses", guesses.Guesses())


@pytest.fixture
def site() -> Site:
    """An app whose one token answers a greeting."""
    return Site()
