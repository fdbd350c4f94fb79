"""One stand-in for all tests here, on which each has an account of its own: the journal of the
account has what that test did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.upstreams.poe_web.account import PoeWeb

from ....with_sim.servers import Sim
from .accounts import Account, Part

ACCOUNTS = 300
numbers = count(1)


@pytest.fixture(scope="package")
def own_sim() -> Iterator[Sim]:
    """The stand-in; what a test changes there goes back with `control`."""
    tokens = [f"secret-cookie-{n}%3D%3D" for n in range(1, ACCOUNTS + 1)]
    with Sim(tokens, (), "--max-concurrent", "50", pace=0.004) as running:
        yield running


@pytest.fixture
def account(own_sim: Sim, tmp_path: Path) -> Iterator[Account]:
    """An account that no other test has."""
    number = next(numbers)
    one = Account(own_sim, own_sim.tokens[number - 1], f"cookie-{number}", tmp_path)
    one.forget()
    yield one
    for web in one.webs:
        web.close()


@pytest.fixture
def web(account: Account) -> PoeWeb:
    """The account as an upstream."""
    return account.web()


@pytest.fixture(scope="package")
def shared(own_sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account for tests that do it no harm: they save themselves the login."""
    number = next(numbers)
    folder = tmp_path_factory.mktemp("shared")
    one = Account(own_sim, own_sim.tokens[number - 1], f"cookie-{number}", folder)
    one.web()
    yield one
    one.webs[0].close()


@pytest.fixture
def part(shared: Account) -> Part:
    """The shared account, with an empty journal."""
    shared.forget()
    return Part(shared)


@pytest.fixture
def control(own_sim: Sim) -> Iterator[Callable[..., Any]]:
    """The stand-in's control; all is as before afterwards."""
    yield own_sim.control
    own_sim.control(reset=True)
    for name in ("challenge", "set_cookie", "tag_mode"):
        assert own_sim.control()[name] in ("off", "same", "either")
