"""The server under test, as people run it: gunicorn in a folder with a `.env`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import requests

from ..with_sim.servers import free_port, until
from .record import COOKIES, KEYS, Limits

#: Several clients have a key of their own.
AUTH_KEYS: Final = ("sk-chaos-client-one", "sk-chaos-client-two", "sk-chaos-client-three")

_NAMES: Final = """
[names]
"by-key" = { bot = "Claude-Sonnet-4.5", tokens = "keys" }
"by-cookie" = { bot = "GPT-4o", tokens = "cookies" }
"""


class Product:
    """gunicorn with `wsgi:app` of the code in *code*; its state lives in *folder*."""

    def __init__(
        self, folder: Path, code: Path, *, poe_port: int, limits: Limits, redis_url: str = ""
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        #: Where clients ask.
        self.urls: Sequence[str] = [self.url]
        #: The accounts in its `.env`.
        self.accounts: tuple[str, ...] = ()
        self._folder = folder
        self._code = code
        self._workers = 2 if redis_url else 1
        self._log = folder / "server.log"
        # The folder may hold what an earlier run has left.
        for old in (self._log, *folder.glob("state.sqlite3*")):
            old.unlink(missing_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        poe = f"127.0.0.1:{poe_port}"
        self._settings = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "AuthKey": ",".join(AUTH_KEYS),
            "POE_WEB_URL": f"http://{poe}",
            "POE_WS_URL": f"ws://{poe}",
            "POE_API_URL": f"http://{poe}",
            "MODELS": str(folder / "models.toml"),
            "STATE_FILE": str(folder / "state.sqlite3"),
            "COOL_DOWN": f"{limits.cool_down:g}",
            "RATE_LIMIT": str(limits.rate_limit),
            "API_RATE_LIMIT": str(limits.api_rate_limit),
            "TOKEN_CONCURRENCY": str(limits.concurrency),
            "API_CONCURRENCY": str(limits.api_concurrency),
            "QUEUE_TIMEOUT": f"{limits.queue_timeout:g}",
            "TIMEOUT": f"{limits.timeout:g}",
            "POINTS_CHECK": "2",
            # By key the bot is one of Anthropic's: a request of its API is passed on.
            "NATIVE_MESSAGES": "1",
            "LOG_LEVEL": "DEBUG",
        }
        if redis_url:
            self._settings["REDIS_URL"] = redis_url
        (folder / "models.toml").write_text(_NAMES)

    def configure(self, accounts: Sequence[str], **more: str) -> None:
        """Write `.env` with these accounts."""
        self.accounts = tuple(accounts)
        settings = {
            **self._settings,
            "TOKENS": ",".join(COOKIES[one] for one in accounts if one in COOKIES),
            "POE_API_KEYS": ",".join(KEYS[one] for one in accounts if one in KEYS),
            **more,
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        new = self._folder / ".env.new"
        new.write_text(text)
        new.replace(self._folder / ".env")

    def start(self, grace: int) -> None:
        """Start it, and return when it serves; *grace* is for the replies at its end."""
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            str(self._code / "gunicorn.conf.py"),
            "--graceful-timeout",
            str(grace),
            "wsgi:app",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**_environ(self._code), "WEB_CONCURRENCY": str(self._workers)},
                stdout=log,
                stderr=subprocess.STDOUT,
                # Killed as a whole: the arbiter and its worker.
                start_new_session=True,
            )
        until(self._is_up)

    def kill(self) -> None:
        """End it as a crash does: kill -9, arbiter and worker."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill_worker(self, number: int) -> None:
        """End one of its workers as a crash does; another one takes its place."""
        assert self._process is not None
        pid = self._process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(workers[number % len(workers)]), signal.SIGKILL)

    def terminate(self) -> None:
        """End it with SIGTERM, and return when it has ended."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(120)

    def end(self) -> None:
        """End it for good."""
        self.terminate()

    def reload(self) -> None:
        """SIGHUP: it reads its `.env` again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it however it is."""
        if self.is_running:
            self.kill()

    def output(self) -> str:
        """Return what it has printed, in all its lives."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended:\n{self.output()[-3000:]}")
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.05)
            return False


def _environ(code: Path) -> Mapping[str, str]:
    """Return the environment: nothing in it that the `.env` of a run should say."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("HOME", "LANG", "PATH", "TMPDIR", "TZ")
    }
    return {**kept, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
