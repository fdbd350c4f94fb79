"""The server that tests have to themselves does what they take it to do."""

from __future__ import annotations

import pytest
import redis

from .redis_server import RedisServer


def test_what_is_to_be_kept_is_there_after_a_restart() -> None:
    """With a log of its own; without one, a server begins empty."""
    for options, kept in ((("--appendonly", "yes"), b"yes"), ((), None)):
        with RedisServer(*options) as server:
            server.client.set("kept", "yes")
            server.stop()
            server.start()

            assert kept == server.client.get("kept")


def test_a_server_with_a_password_asks_for_it() -> None:
    """The client of the test has it."""
    with (
        RedisServer("--requirepass", "open-sesame") as server,
        redis.from_url(server.url) as other,
    ):
        assert server.client.ping()
        with pytest.raises(redis.AuthenticationError):
            other.ping()


def test_a_frozen_server_answers_later() -> None:
    """It has forgotten nothing by then."""
    with (
        RedisServer() as server,
        redis.from_url(server.url, socket_timeout=0.2, retry=None) as client,
    ):
        server.client.set("kept", "yes")
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            client.get("kept")
        server.thaw()

        assert b"yes" == server.client.get("kept")
