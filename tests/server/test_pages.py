"""What a browser or a monitor opens."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from poe_proxy.server.gunicorn import WORKER

from .site import KEY, Site


def test_health_needs_no_key(site: Site) -> None:
    """Whoever watches the process has no key."""
    answer = site.get("/health", headers={})

    assert (200, {"status": "ok"}) == (answer.status_code, orjson.loads(answer.data))


# ---- /ready


def ready(
    site: Site, *, alive: bool | None = None, needs_store: bool = False, **state: Any
) -> tuple[int, dict[str, Any]]:
    """What /ready answers if this is the state; *alive* is that of gunicorn's worker."""
    extensions = site.client.application.extensions
    extensions["poe_proxy"] = replace(
        extensions["poe_proxy"], ready=lambda: state, needs_store=needs_store
    )
    if alive is not None:
        extensions[WORKER] = SimpleNamespace(alive=alive)
    answer = site.get("/ready", headers={})
    return answer.status_code, orjson.loads(answer.data)


@pytest.mark.parametrize("usable", ["free", "in_use", "resting", "limited"])
def test_one_account_that_can_be_used_is_enough(site: Site, usable: str) -> None:
    """One that rests can be: the line is there for that."""
    state = {"accounts": {usable: 1, "suspended": 9}, "waiting": 200, "store": "ok"}

    assert (200, {"status": "ready", "reason": None, **state}) == ready(site, **state)


@pytest.mark.parametrize(
    ("accounts", "reason"),
    [
        (
            {"free": 0, "out_of_points": 1, "suspended": 2, "retired": 3},
            "No account can be used (1 out of points, 2 suspended, 3 retired).",
        ),
        ({"free": 0}, "No account can be used (there is none)."),
    ],
)
def test_without_an_account_that_can_be_used_it_is_not_ready(
    site: Site, accounts: dict[str, int], reason: str
) -> None:
    """A load balancer can turn to another server, and a monitor says why."""
    state = {"accounts": accounts, "waiting": 0, "store": "off"}

    assert (503, {"status": "not ready", "reason": reason, **state}) == ready(site, **state)


def test_a_store_that_fails_is_shown(site: Site) -> None:
    """It is no reason to send nothing here: the server goes on without it."""
    state = {"accounts": {"free": 1}, "waiting": 0, "store": "database or disk is full"}

    assert (200, {"status": "ready", "reason": None, **state}) == ready(site, **state)


@pytest.mark.parametrize(
    ("store", "status", "reason"),
    [
        ("ok", 200, None),
        ("OOM no room", 503, "Redis, where the pool is, is away: OOM no room."),
    ],
)
def test_a_pool_in_redis_is_ready_while_redis_is_there(
    site: Site, store: str, status: int, reason: str | None
) -> None:
    """Without it no account is lent, however free it was a moment ago."""
    found, body = ready(site, needs_store=True, accounts={"free": 1}, waiting=0, store=store)

    assert (status, reason, store) == (found, body["reason"], body["store"])


@pytest.mark.parametrize(
    ("alive", "status", "reason"), [(True, 200, None), (False, 503, "The server is ending.")]
)
def test_a_worker_that_is_ending_is_not_ready(
    site: Site, alive: bool, status: int, reason: str | None
) -> None:
    """From the first moment, while its replies still go on."""
    found, body = ready(site, alive=alive, accounts={"free": 1}, waiting=0, store="off")

    assert (status, reason) == (found, body["reason"])


# ---- /metrics


@pytest.mark.parametrize(
    ("admin_key", "kept", "headers", "status"),
    [
        pytest.param("sk-the-owner", True, {"Authorization": "Bearer sk-the-owner"}, 200, id="ok"),
        pytest.param("sk-the-owner", True, {"Authorization": f"Bearer {KEY}"}, 401, id="client"),
        pytest.param("sk-the-owner", True, {}, 401, id="no key"),
        pytest.param("sk-the-owner", False, {"x-api-key": "sk-the-owner"}, 404, id="off"),
        pytest.param(None, True, {"Authorization": f"Bearer {KEY}"}, 404, id="no admin"),
    ],
)
def test_metrics_are_for_whoever_runs_the_server(
    site: Site, admin_key: str | None, kept: bool, headers: dict[str, str], status: int
) -> None:
    """Without `ADMIN_KEY`, or where none are kept, there is no such route."""
    extensions = site.client.application.extensions
    extensions["poe_proxy"] = replace(
        extensions["poe_proxy"],
        admin_key=admin_key,
        metrics=(lambda accept: (b"up 1\n", "text/plain; version=0.0.4")) if kept else None,
    )
    answer = site.get("/metrics", headers=headers)

    assert status == answer.status_code
    if status == 200:
        assert (b"up 1\n", "text/plain; version=0.0.4") == (answer.data, answer.content_type)
