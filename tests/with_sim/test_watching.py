"""What whoever runs the server sees of it from outside: metrics, readiness, the log."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from .servers import Proxy, Reloading, Sim, ask, free_port, until

OWNER = "sk-owner-of-all"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def watched(sim: Sim, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloading]:
    """A server with metrics, a file of the state, and a log of objects."""
    folder = tmp_path_factory.mktemp("watched")
    with Reloading(
        sim,
        folder,
        METRICS="1",
        METRICS_PORT=str(port),
        ADMIN_KEY=OWNER,
        LOG_FORMAT="json",
        STATE_FILE=str(folder / "state"),
        TOKEN_CONCURRENCY="200",
    ) as running:
        yield running


def series(url: str, **options: Any) -> dict[tuple[str, ...], float]:
    """All series, by name and the values of the labels."""
    answer = requests.get(url, timeout=60, **options)
    assert 200 == answer.status_code, answer.text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_same_metrics_are_at_both_places(watched: Reloading, port: int) -> None:
    """With the owner's key among the routes, and without one on this machine's own port."""
    answer = watched.post(ask("!echo hello"), headers={**watched.headers, "x-request-id": "mine"})
    assert 200 == answer.status_code
    owner = {"Authorization": f"Bearer {OWNER}"}
    told = ["", "/v1/chat/completions", "200"]

    for look in (
        lambda: series(f"{watched.url}/metrics", headers=owner),
        lambda: series(f"http://127.0.0.1:{port}/metrics"),
    ):
        # A request is counted once its answer is over. The labels are in the order of their names,
        # and so the client comes first.
        until(
            lambda look=look: (
                told
                in [labels[1:] for name, *labels in look() if name == "poe_proxy_requests_total"]
            )
        )
        found = look()
        assert 2 == found["poe_proxy_accounts", "cookie", "free"]
        assert 1 == found["poe_proxy_store_up",]
        assert 1 <= found["poe_proxy_store_seconds_count", "write"]
        assert 1 <= found["poe_proxy_logins_total", "cookie-1", "ok"]
        assert found["poe_proxy_account_points", "cookie-1"] > 0
        assert found["process_open_fds",] > 0
    for key in ({}, watched.headers):
        assert 401 == requests.get(f"{watched.url}/metrics", headers=key, timeout=60).status_code


def test_each_line_of_the_log_is_an_object(watched: Reloading) -> None:
    """Ours and gunicorn's, from the first one on; one for each request."""
    watched.post(ask("!echo hello"), headers={**watched.headers, "x-request-id": "mine-7"})
    entries = until(lambda: [e for e in lines(watched) if e.get("client_request_id") == "mine-7"])

    assert {"gunicorn.error", "server.access_log"} <= {entry["logger"] for entry in lines(watched)}
    (entry,) = entries
    assert ("gpt-4", "cookie", 200) == (entry["model"], entry["kind"], entry["status"])
    assert entry["ms"] >= entry["first_text_ms"] >= entry["queue_ms"] >= 0


def lines(watched: Reloading) -> list[dict[str, Any]]:
    """The log so far, but for a line that is being written."""
    whole = watched.output().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def test_the_form_of_the_log_changes_at_a_reload(watched: Reloading, port: int) -> None:
    """What changed is said by name, and the port of the metrics stays open."""
    before = series(f"http://127.0.0.1:{port}/metrics").get(("poe_proxy_reloads_total", "ok"), 0)
    said = watched.reload(LOG_FORMAT="text")
    assert "settings that changed: LOG_FORMAT\n" in said
    said = watched.reload(LOG_FORMAT="json")
    changed = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert ["audit"] == [
        entry["logger"]
        for entry in changed
        if entry["message"] == "settings that changed: LOG_FORMAT"
    ]
    after = series(f"http://127.0.0.1:{port}/metrics")["poe_proxy_reloads_total", "ok"]
    assert before + 2 == after


def test_all_can_be_looked_at_while_streams_are_open(watched: Reloading, port: int) -> None:
    """And they say how many there are. (The benchmark has 2,000, and how long it takes.)"""
    with ExitStack() as ends:
        streams = []
        for _ in range(6):
            stream = watched.post(ask("!echo !silence=50 one two", stream=True), stream=True)
            ends.callback(stream.close)
            streams.append(stream)
        found = series(f"http://127.0.0.1:{port}/metrics")
        assert 6 == found["poe_proxy_requests_open", "true"]
        with requests.Session() as owner:
            # The page takes the cookie of its form, and the others take the key.
            owner.headers["Authorization"] = f"Bearer {OWNER}"
            owner.post(f"{watched.url}/status/login", data={"key": OWNER}, timeout=60)
            for path in ("/health", "/ready", "/status", "/status.json", "/metrics"):
                answer = owner.get(f"{watched.url}{path}", timeout=60)
                assert answer.ok, path
                assert ('id="pool"' in answer.text) == (path == "/status")
        assert all(stream.status_code == 200 for stream in streams)
    until(lambda: not series(f"http://127.0.0.1:{port}/metrics")["poe_proxy_requests_open", "true"])


def test_a_port_that_is_taken_is_said_at_the_start(sim: Sim, port: int, tmp_path: Path) -> None:
    """As for PORT: nothing is served without what was asked for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        with pytest.raises(AssertionError, match=f"Port {number} is taken"):
            Proxy(sim, METRICS_PORT=number).__enter__()


def test_the_port_is_free_at_the_end(sim: Sim) -> None:
    """Whoever restarts the server can have it at once."""
    port = free_port()
    with Proxy(sim, METRICS_PORT=str(port)) as proxy:
        assert series(f"http://127.0.0.1:{port}/metrics")
        proxy.process.terminate()
        assert 0 == proxy.process.wait(60)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
