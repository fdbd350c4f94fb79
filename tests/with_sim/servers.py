"""The real thing for tests: `poe_sim` and the proxy, each in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Self

import requests
from openai import OpenAI

ROOT = Path(__file__).parents[2]
KEY = "sk-test-key"
#: What the log says of an account once the server has looked at it.
FIRST_LOOK = re.compile(
    r": (?:logged in, [\d,]+ points|not logged in, |not known whether it is logged in "
    r"|\w+ already: |the first look at it failed)"
)


# In the background of a shell SIGINT is ignored, and whatever is started there inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_given: list[socket.socket] = []
#: Of stand-ins that take the place of another one; those that do not have 0.
_seeds = count(1)


def free_port() -> int:
    """A port that nobody listens on, and that nobody else is given as long as we run.

    It stays bound. Servers, which set SO_REUSEADDR too, may listen on it all the same.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    _given.append(probe)
    port: int = probe.getsockname()[1]
    return port


def until(condition: Any, seconds: float = 60.0, every: float = 0.02) -> Any:
    """Return what *condition* gives as soon as it is true; fail after *seconds*."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {condition}"
        time.sleep(every)


class Server:
    """A process that listens on a port."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.lower().endswith("_proxy")
            and name not in ("TOKENS", "POE_API_KEYS", "TOKENS_CONFIG")
        }
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**clean, **(environ or {})},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def output(self) -> str:
        """What it has printed so far; after its end, all that it printed."""
        return self._printed if self.log.closed else Path(self.log.name).read_text()

    def log_lines(self) -> list[str]:
        """What it has printed so far, as lines that only a newline ends."""
        return Path(self.log.name).read_bytes().decode().split("\n")

    def wait_for(self, is_up: Callable[[], bool]) -> None:
        """Return when it is up; one that does not come up is not left behind."""
        try:
            until(is_up)
        except BaseException:
            self.__exit__()
            raise

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                # Longer than any limit of its own: a demo gives each of its two servers 5 s.
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()
        self._printed = self.output()
        self.log.close()


class Sim(Server):
    """The stand-in for Poe."""

    def __init__(
        self,
        tokens: Sequence[str] = ("a", "b"),
        api_keys: Sequence[str] = (),
        *options: str,
        port: int | None = None,
        pace: float = 0.005,
    ) -> None:
        self.tokens, self.api_keys = tuple(tokens), tuple(api_keys)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "poe_sim", "--port", str(self.port)]
        if tokens:
            command += ["--tokens", ",".join(tokens)]
        if api_keys:
            command += ["--api-keys", ",".join(api_keys)]
        if port:
            # In place of one that has ended: Poe gives no number twice, and what the first one is
            # still asked to stop would be something else here.
            command += ["--seed", str(next(_seeds))]
        super().__init__([*command, "--pace", str(pace), *options])
        self.wait_for(self._is_up)

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.output()
        return "listening" in self.output()

    def journal(self, **wanted: Any) -> list[dict[str, Any]]:
        """The entries of the journal that have all of *wanted*."""
        entries: list[dict[str, Any]] = requests.get(f"{self.url}/__journal", timeout=60).json()
        return [
            entry
            for entry in entries
            if all(entry.get(name) == value for name, value in wanted.items())
        ]

    def control(self, **changes: Any) -> Any:
        answer = requests.post(f"{self.url}/__control", json=changes, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


class Proxy(Server):
    """gunicorn with the real configuration, and settings as its users give them."""

    def __init__(self, sim: Sim | None, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers = {"Authorization": f"Bearer {KEY}"}
        environ = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "AuthKey": KEY,
            "COOL_DOWN": "0",
            "RATE_LIMIT": "0",
            "API_RATE_LIMIT": "0",
            "TOKEN_CONCURRENCY": "20",
            "LOG_LEVEL": "DEBUG",
        }
        if sim is not None:
            environ |= {
                "POE_WEB_URL": sim.url,
                "POE_WS_URL": sim.url.replace("http", "ws", 1),
                "POE_API_URL": sim.url,
            }
            if sim.tokens:
                environ["TOKENS"] = ",".join(sim.tokens)
            if sim.api_keys:
                environ["POE_API_KEYS"] = ",".join(sim.api_keys)
        environ |= settings
        self._start(environ)
        self.wait_for(self._is_up)
        if sim is not None and environ["LOG_LEVEL"] in ("DEBUG", "INFO"):
            # What a test changes at Poe must not meet a login that is under way.
            self.wait_for(self._has_looked)

    def _has_looked(self) -> bool:
        """Whether all accounts have had their first look."""
        assert self.process.poll() is None, self.output()
        serving = re.search(r"serving (\d+) cookie token\(s\) and (\d+) API key", self.output())
        assert serving is not None, self.output()
        return sum(map(int, serving.groups())) <= len(FIRST_LOOK.findall(self.output()))

    def _start(self, settings: Mapping[str, str]) -> None:
        Server.__init__(self, [sys.executable, "-m", "gunicorn", "wsgi:app"], settings)

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.output()
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def openai(self, **options: Any) -> OpenAI:
        """The openai client, pointed at this proxy."""
        options = {"api_key": KEY, "max_retries": 0, "timeout": 60, **options}
        return OpenAI(base_url=f"{self.url}/v1", **options)

    def post(self, body: Any, **options: Any) -> requests.Response:
        """POST a chat request; a dict goes as JSON, bytes as they are."""
        data: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        return requests.post(
            f"{self.url}/v1/chat/completions",
            **{**data, "headers": self.headers, "timeout": 60, **options},
        )


class Reloading(Proxy):
    """The proxy in a folder of its own, whose `.env` has the settings and can be changed."""

    def __init__(self, sim: Sim, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings: dict[str, str] = {}
        super().__init__(sim, **settings)

    def _start(self, settings: Mapping[str, str]) -> None:
        self.write(**settings)
        Server.__init__(
            self,
            [sys.executable, "-m", "gunicorn", "-c", f"{ROOT}/gunicorn.conf.py", "wsgi:app"],
            {"PYTHONPATH": str(ROOT)},
            self._folder,
        )

    def write(self, **changes: str) -> None:
        """Change settings in `.env`; an empty value takes one away."""
        self._settings |= changes
        lines = [f"{name}='{value}'\n" for name, value in self._settings.items() if value]
        # In one step, as an editor does it.
        (self._folder / "new").write_text("".join(lines))
        (self._folder / "new").replace(self._folder / ".env")

    def reloads(self) -> int:
        """How often it has read its settings anew, or has refused to."""
        said = self.output()
        return said.count("reloaded, serving") + said.count("Not reloaded, ")

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def reload(self, **changes: str) -> str:
        """Change settings, and let them be read; return what the log says from then on."""
        before, reloads = len(self.output()), self.reloads()
        self.write(**changes)
        self.hang_up()
        until(lambda: self.reloads() > reloads)
        return self.output()[before:]

    def workers(self) -> list[str]:
        """The ids of the processes that serve."""
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def ask(prompt: str, model: str = "gpt-4", **fields: Any) -> dict[str, Any]:
    """A chat request with one user message."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **fields}
