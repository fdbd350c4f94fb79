from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..servers import Proxy, Sim
from .asking import ONLY, Way


@pytest.fixture(scope="session")
def poe() -> Iterator[Sim]:
    """A stand-in with both faces, shared by all tests that leave it as it was."""
    accounts = ("cookie-a", "cookie-b"), ("key-a", "key-b")
    with Sim(*accounts, "--max-concurrent", "50", pace=0.001) as running:
        yield running


@pytest.fixture(scope="session", params=ONLY)
def way(request: pytest.FixtureRequest, poe: Sim) -> Iterator[Way]:
    """Each of the ways to Poe, and a proxy that knows no other."""
    with Proxy(poe, API_RATE_LIMIT="0", **ONLY[request.param]) as proxy:
        yield Way(request.param, poe, proxy)


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Whether the answer is streamed."""
    streamed: bool = request.param
    return streamed
