"""One run from beginning to end: everything started, abused, measured, and read."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from ..with_sim.servers import KEY, ROOT, until
from .catalogue import KINDS
from .servers import HONEST_KEY, Abused, stand_in
from .verdict import Probe, Run


class _Sampler(threading.Thread):
    """Looks at the memory of the server."""

    def __init__(self, server: Abused) -> None:
        super().__init__(daemon=True)
        self.found: list[float] = []
        self._server = server
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.5):
            self.found.append(self._server.memory())

    def stop(self) -> None:
        self._over.set()
        self.join()


def run(
    *, clients: int, seconds: float, seed: int, size: float, folder: Path, kinds: Sequence[str] = ()
) -> Run:
    """Perform a run with these *kinds* of abuse, by default all.

    The server's log and what was recorded are left in *folder*.
    """
    with stand_in() as poe, Abused(poe, folder) as server:
        for model in ("by-key", "by-cookie"):  # the accounts are logged in before it begins
            for _ in range(10):
                _greet(server, model)
        before = server.memory()
        sampler = _Sampler(server)
        sampler.start()
        crowd = _start(
            "crowd",
            *("--port", server.port, "--key", KEY, "--clients", clients, "--seconds", seconds),
            *("--seed", seed, "--size", size, "--kinds", ",".join(kinds or KINDS)),
        )
        honest = _start(
            "honest",
            *("--port", server.port, "--poe", poe.port, "--key", HONEST_KEY),
            *("--poe-key", poe.api_keys[0], "--seconds", seconds),
        )
        probes, tally = _said(honest, seconds), _said(crowd, seconds)
        sampler.stop()
        is_alive = _answers(server)
        log = server.output()
        journal = poe.journal()
    (folder / "server.log").write_text(log)
    _keep(folder, "probes", probes)
    _keep(folder, "journal", journal)
    _keep(folder, "crowd", [tally])
    _keep(folder, "memory", sampler.found)
    return Run(
        probes=[Probe(*one) for one in probes],
        outcomes=tally["outcomes"],
        answered=tally["answered"],
        memory_before=before,
        memory=sampler.found,
        log=log,
        journal=journal,
        is_alive=is_alive,
    )


def _greet(server: Abused, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "!echo Hello"}]}
    assert server.post(body).ok, server.output()


def _answers(server: Abused) -> bool:
    def is_up() -> bool:
        try:
            return requests.get(f"{server.url}/health", timeout=10).ok
        except requests.RequestException:
            return False

    try:
        return bool(until(is_up))
    except AssertionError:
        return False


def _start(name: str, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"{__package__}.{name}", *map(str, options)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _said(process: subprocess.Popen[str], seconds: float) -> Any:
    try:
        out, _ = process.communicate(timeout=seconds + 150)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return json.loads(out)


def _keep(folder: Path, name: str, entries: Sequence[Any]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))
