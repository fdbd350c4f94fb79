"""One run from beginning to end: the parts started, the schedule performed, the records read."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import requests

from ..shared.redis_server import RedisServer
from ..with_sim.official import ApiSim
from ..with_sim.servers import free_port
from .case import Case, causes
from .clients import Clients
from .evidence import Entry, read
from .faults import Stage, schedule
from .proxy import Proxy
from .record import COOKIES, FRAIL, KEYS, SOUND, Limits, Record
from .servers import Product
from .shared import Twins
from .verdict import Violation, judge

#: The clients of a run.
CLIENTS: Final = 24
#: Seconds of the short form under load, and limits so low that it meets them.
SHORT: Final = 18.0
SHORT_LIMITS: Final = Limits(rate_limit=8, api_rate_limit=40, queue_timeout=4.0)
#: Seconds that replies have after the last client, before the server ends.
SETTLING: Final = 6.0


def run(
    *,
    seconds: float,
    seed: int,
    code: Path,
    folder: Path,
    limits: Limits,
    shared: bool = False,
) -> tuple[Case, Sequence[Violation]]:
    """Perform a run; return what was recorded, and what was violated.

    If the pool is *shared*, two servers of two workers each are under test, and their Redis.
    The server's log and all records are left in *folder*.
    """
    record = Record(limits, is_shared=shared)
    with contextlib.ExitStack() as stack:
        poe = stack.enter_context(
            ApiSim(tuple(COOKIES.values()), tuple(KEYS.values()), "--max-concurrent", "50",
                   "--quiet")
        )  # fmt: skip
        names = {secret: name for name, secret in {**COOKIES, **KEYS}.items()}
        net = stack.enter_context(Proxy(free_port(), poe.port, names))
        redis = stack.enter_context(RedisServer("--appendonly", "yes")) if shared else None
        server: Product | Twins
        if redis is None:
            server = Product(folder, code, poe_port=net.port, limits=limits)
        else:
            server = Twins(folder, code, poe_port=net.port, limits=limits, redis_url=redis.url)
        stack.callback(server.stop)
        server.configure([*SOUND, *FRAIL])
        server.start(2)
        record.begun = time.monotonic()
        crowd = Clients(record, server.urls, seed, CLIENTS)
        crowd.start()
        stage = Stage(record, poe, net, server, redis)
        stage.perform(schedule(seed, seconds, shared=shared))
        _wait_until(record.begun + seconds)
        crowd.stop()
        _settle(poe, time.monotonic() + SETTLING)
        server.end()
        # What the server was doing at Poe has arrived there.
        _settle(poe, time.monotonic() + 1.0)
        journal = poe.journal()
        evidence = read(journal, net.passages, server.output())
        record.name_failures(evidence.codes)
        _keep(folder, record, journal, net)
    case = Case(record, evidence, causes(record, net.met, evidence))
    return case, judge(case)


def _wait_until(moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))


def _settle(poe: ApiSim, end: float) -> None:
    """Return when no bot speaks any more, or at *end*."""
    while time.monotonic() < end:
        web = requests.get(f"{poe.url}/__control", timeout=60).json()["accounts"]
        api = requests.get(f"{poe.url}/__control_api", timeout=60).json()["active"]
        if not any(one["running"] for one in web) and not any(api.values()):
            return
        time.sleep(0.2)


def _keep(folder: Path, record: Record, journal: Sequence[Entry], net: Proxy) -> None:
    """Leave the records behind, for a closer look."""
    attempts = [{**asdict(one), "explains": sorted(one.explains)} for one in record.attempts]
    happenings = [{**asdict(one), "explains": sorted(one.explains)} for one in record.happenings]
    passages = [asdict(one) for one in net.passages]
    contents: dict[str, Sequence[Mapping[str, Any]]] = {
        "attempts": attempts,
        "happenings": happenings,
        "journal": journal,
        "passages": passages,
    }
    for name, content in contents.items():
        lines = "".join(json.dumps(one) + "\n" for one in content)
        (folder / f"{name}.jsonl").write_text(lines)
