from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import requests

from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import PoeApi, fetch_models
from tests.with_sim.official import ApiSim
from tests.with_sim.servers import until

from .asking import Key


@pytest.fixture(scope="session")
def running() -> Iterator[ApiSim]:
    """A stand-in with two keys, shared by all tests."""
    with ApiSim((), ("k1", "k2"), pace=0.002) as sim:
        yield sim


@pytest.fixture
def sim(running: ApiSim) -> ApiSim:
    """The stand-in as it was at the start, with an empty journal."""
    # What the test before hung up on shall not end in the journal of this one.
    until(lambda: 0 == running.active())
    running.control_api(reset=True)
    requests.delete(f"{running.url}/__journal", timeout=60)
    return running


@pytest.fixture
def catalogue(sim: ApiSim) -> Catalogue:
    """The list of the bots that it offers."""
    found = Catalogue(lambda: fetch_models(sim.url))
    assert found.look()
    return found


@pytest.fixture
def key() -> Iterator[Key]:
    """Makes a key an upstream; in the end its connections, and the threads of those, are gone."""
    with ExitStack() as made:
        yield lambda *args, **options: made.enter_context(closing(PoeApi(*args, **options)))
    until(lambda: not [t for t in threading.enumerate() if t.name == "dialing"])


@pytest.fixture
def api(sim: ApiSim, key: Key, catalogue: Catalogue) -> PoeApi:
    """The first key as an upstream."""
    return key("k1", api_url=sim.url, catalogue=catalogue)
