from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import Proxy, Sim


@pytest.fixture(scope="session")
def sim() -> Iterator[Sim]:
    """A stand-in with two accounts, shared by all tests that leave it as it was."""
    with Sim(tokens=("cookie-a", "cookie-b")) as running:
        yield running


@pytest.fixture(scope="session")
def proxy(sim: Sim) -> Iterator[Proxy]:
    """The proxy on the shared stand-in."""
    with Proxy(sim) as running:
        yield running
