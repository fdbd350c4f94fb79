"""What one worker announces, the others hear: on a real redis-server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from poe_proxy.shared.courier import Courier
from poe_proxy.shared.link import Link
from poe_proxy.shared.presence import Presence, name_of_worker

from ..fakes import until
from .redis_server import RedisServer


class Worker:
    """One of those that share the pool."""

    def __init__(self, url: str) -> None:
        self.heard: list[dict[str, Any]] = []
        name = name_of_worker()
        link = Link(url, "test")
        self.courier = Courier(link, worker=name)
        self.presence = Presence(self.courier, link.listener(5.0), name, version="1")
        self.presence.on_message.append(self.heard.append)
        self.presence.start()

    def close(self) -> None:
        self.presence.close()
        self.courier.close()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    """Three that listen."""
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        found = [Worker(server.url) for _ in range(3)]
        for one in found:
            stack.callback(one.close)
            until(lambda one=one: {"look": True} in one.heard)
        yield found


def test_all_others_hear_what_one_announces(workers: list[Worker]) -> None:
    """It does not hear itself, and they hear from whom it comes."""
    first, *others = workers
    first.presence.announce({"reload": True})
    others[0].presence.announce({"guess": "10.0.0.1"})
    reload = {"reload": True, "from": first.presence.worker}
    guess = {"guess": "10.0.0.1", "from": others[0].presence.worker}
    until(lambda: guess in first.heard)
    until(lambda: reload in others[0].heard)
    until(lambda: reload in others[1].heard and guess in others[1].heard)

    assert reload not in first.heard
    assert guess not in others[0].heard
