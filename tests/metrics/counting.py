"""A worker that counts: a process that does what it is told, a line each, and answers a line each.

`told CLIENT` counts a request of that client; `open N` has so many requests under way; `text` and
`openmetrics` answer with all metrics, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from poe_proxy import tallies
from poe_proxy.metrics import Looks, Metrics, Together
from poe_proxy.pool.facts import Facts
from poe_proxy.pool.rotator import Token, TokenRotator
from poe_proxy.record import Record


def main(folder: str, worker: str) -> None:
    """Count as *worker* in *folder*."""
    rotator: TokenRotator[object] = TokenRotator([Token("key-1", object(), kind="key")])
    under_way: list[Record] = []
    looks = Looks(
        Facts(rotator).newest,
        rotator.points,
        rotator.day_uses,
        lambda: under_way,
        hosts=lambda: ["a", "a", "b"],
    )
    metrics = Metrics(looks, lambda bot: bot, Together(Path(folder), worker))
    metrics.start()
    print("ready", flush=True)
    for line in sys.stdin:
        answer = "done"
        match line.split():
            case ["told", client]:
                metrics.told(_record(client))
            case ["open", number]:
                under_way[:] = [Record() for _ in range(int(number))]
            case ["login", account]:
                tallies.LOGINS.add(account, "ok")
            case ["text"]:
                answer = json.dumps(metrics.text()[0].decode())
            case ["openmetrics"]:
                text, _ = metrics.text("application/openmetrics-text; version=1.0.0")
                answer = json.dumps(text.decode())
        print(answer, flush=True)


def _record(client: str) -> Record:
    record = Record(now=100.0)
    fields = {
        "route": "/v1/chat/completions", "status": 200, "client": client, "bot": "GPT-4o",
        "account": "key-1", "kind": "key", "streams": True, "joined": 100.001, "queued": 0.2,
        "first_text": 100.7, "done": 103.0, "ended": 103.002,
    }  # fmt: skip
    for name, one in fields.items():
        setattr(record, name, one)
    return record


if __name__ == "__main__":
    main(*sys.argv[1:])
