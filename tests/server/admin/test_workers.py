"""Two workers that share a pool, as clients and whoever runs the server see them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from poe_proxy.app import create_app
from poe_proxy.pool.rotator import Token
from poe_proxy.server.services import Services
from poe_proxy.settings import Settings

from ...fakes import until
from ...shared.redis_server import RedisServer
from .owner import ADMIN_KEY, BEARER, Account

ALICE, BOB = "sk-alice-0123456789abcdef", "sk-bob-0123456789abcdefgh"
CLIENTS = f"""
[clients.alice]
key = "{ALICE}"
per_minute = 3

[clients.bob]
key = "{BOB}"
"""


class Worker:
    """One of them, with two accounts, and a file of its own host."""

    def __init__(self, server: RedisServer, pool: str, clients: Path, usage: Path) -> None:
        settings = Settings(
            auth_keys=("sk-test",),
            admin_key=ADMIN_KEY,
            redis_url=server.url,
            redis_pool=pool,
            clients=clients,
            usage_file=usage,
        )
        tokens: list[Token[Any]] = [
            Token("cookie-1", Account(), concurrency=5),
            Token("key-1", Account(), kind="key", concurrency=5),
        ]
        app = create_app(settings, upstreams=tokens, read=lambda: settings)
        services: Services = app.extensions["poe_proxy"]
        services.look()
        self.close = services.close
        self.client = app.test_client()

    def ask(self, key: str) -> tuple[int, str | None]:
        """The status of an answer, and how many requests are left."""
        with self.client.post(
            "/v1/chat/completions",
            json={"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]},
            headers={"Authorization": f"Bearer {key}"},
        ) as answer:
            return answer.status_code, answer.headers.get("x-ratelimit-remaining-requests")

    def told(self, path: str) -> Any:
        """What it tells whoever runs it."""
        with self.client.get(path, headers=BEARER) as answer:
            assert 200 == answer.status_code, answer.data
            return orjson.loads(answer.data)


@pytest.fixture
def workers(redis_server: RedisServer, tmp_path: Path) -> Iterator[list[Worker]]:
    clients, pool = tmp_path / "clients.toml", os.urandom(4).hex()
    clients.write_text(CLIENTS)
    clients.chmod(0o600)
    made = [Worker(redis_server, pool, clients, tmp_path / name) for name in ("one", "other")]
    yield made
    for worker in made:
        worker.close()


def test_what_clients_do_with_all_workers_is_one_thing(workers: list[Worker]) -> None:
    """Their limits, what the status page shows, and reports of use, whichever is asked."""
    asked = [workers[number % 2].ask(ALICE) for number in range(5)]
    assert [(200, "2"), (200, "1"), (200, "0"), (429, "0"), (429, "0")] == asked
    assert [(200, None)] * 4 == [workers[number % 2].ask(BOB) for number in range(4)]

    for worker in workers:
        until(partial(_has_nine, worker))
        told = worker.told("/status.json")
        assert (2, 1, "redis") == (told["workers"], told["hosts"], told["store"]["kind"])
        assert [os.getpid()] * 2 == [one["pid"] for one in told["processes"]]
        assert 2 == told["line"]["refused_of_hour"]
        assert [("gpt-4", 7)] == [(one["name"], one["requests"]) for one in told["models"]]
        assert [("rate_limit_exceeded", 2)] == [
            (one["code"], one["times"]) for one in told["failures"]
        ]
        clients = {one["name"]: one for one in told["clients"]}
        assert (3, {"rate_limit_exceeded": 2}) == (
            clients["alice"]["requests"]["today"],
            clients["alice"]["refused"],
        )
        assert 4 == clients["bob"]["requests"]["today"]
        assert all(one["succeeded_at"] for one in told["accounts"])

        until(partial(_has_used, worker, {"alice": 3, "bob": 4}))


def _has_nine(worker: Worker) -> bool:
    return bool(9 == worker.told("/status.json")["line"]["requests_of_hour"])


def _has_used(worker: Worker, requests: dict[str, int]) -> bool:
    report = worker.told("/v1/usage?group_by=client")
    assert report["whole_days"]
    return requests == {one["client"]: one["requests"] for one in report["data"]}
