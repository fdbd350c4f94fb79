"""Who used what, and what it cost: both kinds of token, over the end of the server, and with Poe's
own history."""

from __future__ import annotations

import csv
import io
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from poe_proxy.upstreams.poe_api.client import PoeApi
from poe_proxy.usage.file import UsageFile, opened
from poe_proxy.usage.history import History
from poe_proxy.usage.recorder import GATHER

from .official import ApiSim
from .servers import KEY, Proxy, ask, until

ADMIN = "sk-admin-of-usage"
COOKIE, POE_KEY = "cookie-usage", "sk-poe-usage-key"
ANOTHER = "sk-poe-another-key"
#: A bot that is there by key, with a price for tokens.
BOT = "GPT-4o-mini"


@pytest.fixture(scope="module")
def sim() -> Iterator[ApiSim]:
    with ApiSim(tokens=(COOKIE,), api_keys=(POE_KEY, ANOTHER)) as sim:
        yield sim


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.sqlite3"


def serve(sim: ApiSim, path: Path, **settings: str) -> Proxy:
    """A server that records what is used, for two clients."""
    return Proxy(
        sim, AuthKey=f"{KEY},sk-other-client", ADMIN_KEY=ADMIN, USAGE_FILE=str(path), **settings
    )


def report(proxy: Proxy, key: str = ADMIN, **fields: str) -> Any:
    answer = requests.get(
        f"{proxy.url}/v1/usage",
        params=fields,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )
    assert answer.ok, answer.text
    return answer.json()


def test_both_kinds_of_token_have_their_tokens_and_points(sim: ApiSim, path: Path) -> None:
    """By cookie Poe says what it has taken; by key it counts tokens, and its list has a price. Each
    client sees its own, and whoever runs the server all of it, as JSON or as a table."""
    with serve(sim, path, POE_API_KEYS="") as proxy:
        streamed = ask("!cost=42 !echo secret words", "GPT-4o", stream=True)
        assert b"words" in proxy.post(streamed).content
        assert proxy.post(ask("!echo Hi", "GPT-4o")).ok
        # Poe says it just behind the answer.
        until(lambda: report(proxy)["total"]["requests_exact"] == 2)
        (row,) = report(proxy, group_by="kind")["data"]
        assert ("cookie", 2, 2, 57, 57) == (
            *(row["kind"], row["requests"], row["requests_uncounted"]),
            *(row["points"], row["points_exact"]),
        )
        assert row["tokens_out"] > 0
    with serve(sim, path, TOKENS="", POE_API_KEYS=POE_KEY) as proxy:
        headers = {"Authorization": "Bearer sk-other-client"}
        usage = proxy.post(ask("!echo secret words", BOT), headers=headers).json()["usage"]
        # A request is told of once its answer is over: its client may have that sooner.
        (row,) = until(lambda: report(proxy, "sk-other-client", group_by="client,kind")["data"])

        assert ("key-2", "key", 1, 0) == tuple(
            row[name] for name in ("client", "kind", "requests", "requests_uncounted")
        )
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (
            row["tokens_in"], row["tokens_out"],
        )  # fmt: skip
        assert (None, row["points"]) == (row["points_exact"], row["points_estimated"])
        assert row["points"] > 0
        by_client = report(proxy, group_by="client")["data"]
        assert {"key-1": 2, "key-2": 1} == {one["client"]: one["requests"] for one in by_client}
        table = requests.get(
            f"{proxy.url}/v1/usage?group_by=model",
            headers={"Authorization": f"Bearer {ADMIN}", "Accept": "text/csv"},
            timeout=60,
        ).text
        rows = csv.DictReader(io.StringIO(table))
        assert {"GPT-4o": "2", BOT: "1"} == {one["model"]: one["requests"] for one in rows}
    written = b"".join(one.read_bytes() for one in path.parent.glob("usage.sqlite3*"))
    assert b"GPT-4o" in written
    for secret in ("secret words", KEY, "sk-other-client", ADMIN, COOKIE, POE_KEY):
        assert secret.encode() not in written


def test_what_a_key_has_cost_is_exact_once_its_history_is_read(sim: ApiSim, path: Path) -> None:
    """But where two clients asked the same bot at the same time: that remains an estimate, and the
    sum of the day is exact."""
    sim.control_api(cost=37)
    with serve(sim, path, TOKENS="", POE_API_KEYS=ANOTHER) as proxy:
        assert proxy.post(ask("!echo one", BOT)).ok
        other = {"Authorization": "Bearer sk-other-client"}
        assert proxy.post(ask("!echo two", "GPT-4o"), headers=other).ok
        assert proxy.post(ask("!echo three", "GPT-4o")).ok
        until(lambda: report(proxy)["total"]["requests"] == 3)
        (label,) = {one["account"] for one in report(proxy, group_by="account")["data"]}

        # An hour later: a charge of the last minutes is not believed yet.
        account = PoeApi(ANOTHER, api_url=sim.url)
        file = UsageFile(path)
        for later in (0.0, 3600.0):
            assert report(proxy)["total"]["requests_exact"] == 0
            History(file, lambda: [(label, account)], wall=lambda at=later: time.time() + at).read()
        file.close()
        account.close()

        told = report(proxy, group_by="model")
        exact = {one["model"]: one["points_exact"] for one in told["data"]}
        assert {BOT: 37, "GPT-4o": None} == exact
        assert 3 * 37 == sum(one["points"] for one in told["charged"])
        assert {label} == {one["account"] for one in told["charged"]}
        assert "charged" not in report(proxy, KEY)


def test_what_was_used_survives_a_kill_once_it_is_written(sim: ApiSim, path: Path) -> None:
    """Which is by itself, while the server runs; what a kill can lose is what was gathered since,
    and that is less than a second's."""
    assert GATHER < 1.0
    with serve(sim, path, POE_API_KEYS="") as proxy:
        assert proxy.post(ask("!echo Hi", "GPT-4o")).ok

        def is_written() -> bool:
            with closing(opened(path)) as db:
                return bool(db.execute("SELECT count(*) FROM requests").fetchone()[0])

        until(is_written)
        pid = proxy.process.pid
        for worker in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(worker), signal.SIGKILL)
        proxy.stop(signal.SIGKILL)
    with serve(sim, path, POE_API_KEYS="") as proxy:
        assert proxy.post(ask("!echo Hi", "GPT-4o")).ok
        until(lambda: report(proxy)["total"]["requests"] == 2)
