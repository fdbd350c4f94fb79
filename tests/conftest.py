"""The order of the tests, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from poe_proxy.shaping import schemas

from .checker.jobs import patient
from .shared.redis_server import RedisServer

#: Folders of tests that start servers, or programs that others wrote; and files that count steps.
_LONG = {"with_sim", "clients", "chaos", "test_linear.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first: in the end, every worker has something to do until all are done."""
    items.sort(key=lambda item: _LONG.isdisjoint(item.path.parts))


@pytest.fixture(scope="session", autouse=True)
def _patient_checks() -> None:
    """A check comes to the end of what it may compute, and not of its time."""
    schemas._pool._start = patient


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real redis-server that many tests share: each takes a pool of its own on it."""
    with RedisServer() as server:
        yield server
