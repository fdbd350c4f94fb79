"""poe-proxy on the hosts of a test: a gunicorn each, of two workers."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..servers import ROOT, Reloading, Server, Sim, until
from .hosts import Host

#: How many workers each has.
WORKERS: Final = 2


class Site(Reloading):
    """gunicorn on a host, as its administrator runs it: in a folder with a `.env`."""

    def __init__(
        self,
        sim: Sim,
        host: Host,
        folder: Path,
        *,
        workers: int = WORKERS,
        grace: int = 60,
        **settings: str,
    ) -> None:
        self.host = host
        self._wanted, self._grace = workers, grace
        folder.mkdir()
        poe = f"{host.front.outside}:{sim.port}"
        super().__init__(
            sim,
            folder,
            **{
                "HOST": "0.0.0.0",
                "POE_WEB_URL": f"http://{poe}",
                "POE_WS_URL": f"ws://{poe}",
                "POE_API_URL": f"http://{poe}",
                "TOKENS": "",
                "POE_API_KEYS": "",
                **settings,
            },
        )

    def _start(self, settings: Mapping[str, str]) -> None:
        self.write(**settings)
        self.url = f"http://{self.host.front.inside}:{self.port}"
        Server.__init__(
            self,
            self.host.command(
                *(sys.executable, "-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py"),
                *("--graceful-timeout", str(self._grace), "wsgi:app"),
            ),
            {"PYTHONPATH": str(ROOT), "WEB_CONCURRENCY": str(self._wanted)},
            self._folder,
        )

    def _is_up(self) -> bool:
        return super()._is_up() and self.output().count("serving ") >= self._wanted

    def _has_looked(self) -> bool:
        # Of several workers one looks at an account.
        return True

    def pids(self) -> list[int]:
        """The processes that serve."""
        return [int(one) for one in self.workers()]

    def busy(self) -> set[int]:
        """The workers that serve a connection at this moment."""
        return self.host.processes_at(self.port)

    def of(self, client_port: int) -> int:
        """The worker that serves a client's connection."""
        return self.host.process_of(self.port, client_port)

    def reload_workers(self) -> None:
        """Let all workers read the settings anew; return when they have, or have refused to."""
        before = self.reloads()
        self.hang_up()
        until(lambda: self.reloads() >= before + self._wanted)

    def wait_for_workers(self, but: int) -> None:
        """Return when as many serve as should, and *but* is none of them."""
        until(lambda: len(self.pids()) == self._wanted and but not in self.pids())

    def stop(self, how: int = signal.SIGTERM) -> None:
        # One that stands still would not see its end.
        for pid in self.pids() if self.process.poll() is None else ():
            os.kill(pid, signal.SIGCONT)
        super().stop(how)


def stand_still(pid: int, seconds: float) -> None:
    """Freeze a process for so long."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
