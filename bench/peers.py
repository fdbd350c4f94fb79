"""What is compared: this proxy on both ways to Poe, and others in front of the same upstream."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Final

from bench.load import Failed, Target
from bench.processes import ALL, OTHERS, ROOT, SERVER, Process, accepts, free_port
from bench.texts import Wanted, content

KEY: Final = "sk-bench-the-load"
#: The key of whoever runs the server.
ADMIN_KEY: Final = "sk-bench-the-owner"
_BIN: Final = Path(sys.executable).parent
_COOKIES: Final = ",".join(f"p-b=bench{n:04d}==; formkey={n + 1:032x}" for n in range(4))
#: Where `make bench-peers` puts those that others wrote.
_PEERS: Final = ROOT / "bench/.peers"
LITELLM: Final = Path(os.environ.get("BENCH_LITELLM", _PEERS / "litellm/bin/litellm"))
PORTKEY: Final = Path(
    os.environ.get(
        "BENCH_PORTKEY",
        _PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js",
    )
)


@dataclass(frozen=True)
class Start:
    """How a peer is started: what its command is made of is known once there are ports."""

    command: Sequence[str]
    environ: Mapping[str, str]
    target: Target
    folder: Path = ROOT
    cores: set[int] = field(default_factory=lambda: SERVER)
    #: Another server that belongs to it, at a port of its own.
    other: Start | None = None
    #: The port of the Redis that it needs; None: it needs none.
    redis: int | None = None


@dataclass(frozen=True)
class Peer:
    """One column of the table."""

    title: str
    what: str
    #: Made of the port to serve, that of the upstream, and a folder for its files. None: it is the
    #: upstream itself.
    start: Callable[[int, int, Path], Start] | None
    #: Its version; empty where it is not installed.
    version: Callable[[], str]
    #: The rows that it is for; empty: all that are for everybody.
    rows: tuple[str, ...] = ()


@dataclass
class Running:
    """A peer that answers."""

    name: str
    target: Target
    process: Process
    #: The port of the upstream.
    upstream: int
    #: Seconds from its start to the first right answer; 0 for the upstream itself.
    started: float = 0.0
    #: The other server that belongs to it, and its Redis.
    other: Running | None = None
    redis: int | None = None


# ---- this proxy, and the floor


def _versions(*packages: str) -> str:
    return ", ".join(f"{package} {metadata.version(package)}" for package in packages)


def _ours(credentials: Mapping[str, str]) -> Callable[[int, int, Path], Start]:
    def start(port: int, upstream: int, _: Path) -> Start:
        environ = {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "AuthKey": KEY,
            "POE_WEB_URL": f"http://127.0.0.1:{upstream}",
            "POE_WS_URL": f"ws://127.0.0.1:{upstream}",
            "POE_API_URL": f"http://127.0.0.1:{upstream}",
            "COOL_DOWN": "0",
            "RATE_LIMIT": "0",
            "API_RATE_LIMIT": "0",
            "TOKEN_CONCURRENCY": "2000",
            "API_CONCURRENCY": "2000",
            **credentials,
        }
        return Start([str(_BIN / "gunicorn"), "wsgi:app"], environ, Target(port, KEY))

    return start


def _noted(port: int, upstream: int, folder: Path) -> Start:
    """All that is noted of a request is on."""
    clients = folder / "clients.toml"
    clients.write_text(
        f"""
        [clients.bench]
        key = "{KEY}"
        per_minute = 1000000
        per_day = 1000000000
        tokens_per_day = 1000000000000
        """
    )
    clients.chmod(0o600)
    settings = {
        "AuthKey": f"{KEY}-of-another",
        "CLIENTS": str(clients),
        "POE_API_KEYS": "k1,k2",
        "USAGE_FILE": str(folder / "usage.sqlite3"),
        "METRICS": "1",
        "LOG_FORMAT": "json",
        "ADMIN_KEY": ADMIN_KEY,
    }
    return _ours(settings)(port, upstream, folder)


def _our_version() -> str:
    said = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return said.stdout.strip() or "of this folder"


def _bare(port: int, upstream: int, _: Path) -> Start:
    command = [
        *(str(_BIN / "gunicorn"), "-c", os.devnull, "-k", "gevent", "-w", "1"),
        *("--worker-connections", "10000", "--backlog", "4096", "--keep-alive", "75"),
        *("--no-control-socket", "--log-level", "warning"),
        *("-b", f"127.0.0.1:{port}", "bench.bare:app"),
    ]
    return Start(command, {"BENCH_UPSTREAM": str(upstream)}, Target(port))


# ---- this proxy with a pool in Redis


def _redis_program() -> str:
    return shutil.which("redis-server") or ""


def _redis_version() -> str:
    program = _redis_program()
    if not program:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"v=(\S+)", said)
    return f"{_our_version()}, Redis {found[1]}" if found else ""


def _shared(workers: int) -> Callable[[int, int, Path], Start]:
    """The same as by key, with its pool in Redis. One worker has the core that others have, too;
    more of them have all cores, and share them with Redis, the mock and the load."""

    def start(port: int, upstream: int, folder: Path) -> Start:
        redis = free_port()
        settings = {
            "POE_API_KEYS": "k1,k2",
            "REDIS_URL": f"redis://127.0.0.1:{redis}",
            "WEB_CONCURRENCY": str(workers),
        }
        made = _ours(settings)(port, upstream, folder)
        return replace(made, redis=redis, cores=SERVER if workers == 1 else ALL)

    return start


def _hosts(port: int, upstream: int, folder: Path) -> Start:
    """Two servers of one worker each, with one key that may be used once at a time."""
    redis = free_port()
    settings = {
        "POE_API_KEYS": "k1",
        "API_CONCURRENCY": "1",
        "REDIS_URL": f"redis://127.0.0.1:{redis}",
    }
    one, two = (_ours(settings)(at, upstream, folder) for at in (port, free_port()))
    return replace(one, redis=redis, cores=ALL, other=replace(two, cores=ALL))


# ---- others


def _nginx(port: int, upstream: int, folder: Path) -> Start:
    files = " ".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"""
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000; {files}
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""
    )
    command = [_nginx_program(), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return Start(command, {}, Target(port), folder)


def _nginx_program() -> str:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


def _nginx_version() -> str:
    program = _nginx_program()
    if not program:
        return ""
    said = subprocess.run([program, "-v"], capture_output=True, text=True).stderr
    return said.rpartition("/")[2].strip()


def _litellm(port: int, upstream: int, folder: Path) -> Start:
    # What JSON says is YAML, too.
    deployments = [
        {
            "model_name": "mock",
            "litellm_params": {
                "model": "openai/mock",
                "api_base": f"http://127.0.0.1:{upstream}/v1",
                "api_key": key,
            },
        }
        for key in ("k1", "k2")
    ]
    settings = {
        "model_list": deployments,
        "litellm_settings": {"telemetry": False, "num_retries": 2, "request_timeout": 120},
        "general_settings": {"master_key": KEY},
    }
    (folder / "config.yaml").write_text(json.dumps(settings))
    command = [
        *(str(LITELLM), "--config", str(folder / "config.yaml"), "--num_workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    environ = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
    }
    return Start(command, environ, Target(port, KEY), folder)


def _litellm_version() -> str:
    if not LITELLM.exists():
        return ""
    ask = "from importlib.metadata import version; print(version('litellm'))"
    said = subprocess.run(
        [str(LITELLM.parent / "python"), "-c", ask], capture_output=True, text=True
    )
    return said.stdout.strip()


def _portkey(port: int, upstream: int, folder: Path) -> Start:
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
    }
    mended = ["--import", str(ROOT / "bench/portkey.mjs")]
    command = ["node", *mended, str(PORTKEY), f"--port={port}", "--headless"]
    environ = {"PORT": str(port), "NODE_ENV": "production"}
    return Start(command, environ, Target(port, KEY, headers), folder)


def _portkey_version() -> str:
    if not PORTKEY.exists() or shutil.which("node") is None:
        return ""
    package = json.loads((PORTKEY.parents[1] / "package.json").read_text())
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    return f"{package['version']}, Node {node}"


PEERS: Final[Mapping[str, Peer]] = {
    "keys": Peer(
        "by key",
        "this proxy on two API keys, with its own `gunicorn.conf.py`",
        _ours({"POE_API_KEYS": "k1,k2"}),
        _our_version,
    ),
    "cookies": Peer(
        "by cookie", "the same on four accounts", _ours({"TOKENS": _COOKIES}), _our_version
    ),
    "noted": Peer(
        "by key, noted",
        "the same as by key with all that is noted of requests: metrics, usage, a client with "
        "limits, and the log as JSON",
        _noted,
        _our_version,
    ),
    **{
        f"shared{workers}": Peer(
            f"in Redis, {workers} worker{'s' * (workers > 1)}",
            "the same as by key with the pool in Redis"
            + (", on all cores, which Redis, mock and load share" if workers > 1 else ""),
            _shared(workers),
            _redis_version,
            ("whole", "alone", "redis", "quarters"),
        )
        for workers in (1, 2, 4)
    },
    "hosts": Peer(
        "two hosts",
        "two servers of one worker each, and one key that may be used once at a time",
        _hosts,
        _redis_version,
        ("wakes", "death"),
    ),
    "bare": Peer(
        "bare Flask + socket",
        "[bare.py](bare.py): what the same stack can do at all",
        _bare,
        lambda: _versions("gunicorn", "gevent", "flask", "orjson"),
    ),
    "direct": Peer(
        "the mock itself",
        "no proxy: what mock and load can do on their one core",
        None,
        lambda: f"Python {sys.version.split()[0]}",
    ),
    "nginx": Peer(
        "nginx",
        "one worker, kept connections, no buffering, no access log",
        _nginx,
        _nginx_version,
    ),
    "litellm": Peer(
        "LiteLLM",
        "its proxy with one worker, two deployments, no database",
        _litellm,
        _litellm_version,
    ),
    "portkey": Peer("Portkey", "its gateway, headless", _portkey, _portkey_version),
}


# ---- running


@contextmanager
def running(name: str, changed: Callable[[Start], Start] | None = None) -> Iterator[Running]:
    """Start a mock, and the peer *name* in front of it; both end with the block. *changed* may
    return another way to start it.

    Raises `Failed` if it does not give the right answer in time.
    """
    peer, upstream = PEERS[name], free_port()
    mock = [sys.executable, "-m", "bench.mock", str(upstream)]
    with Process(mock, {}, OTHERS) as mocked, tempfile.TemporaryDirectory() as folder:
        _until(lambda: accepts(upstream), mocked, 10)
        if peer.start is None:
            yield Running(name, Target(upstream, KEY), mocked, upstream)
            return
        start = peer.start(free_port(), upstream, Path(folder))
        if changed is not None:
            start = changed(start)
        with ExitStack() as stack:
            if start.redis is not None:
                stack.enter_context(_redis(start.redis, folder))
            it = _started(name, start, upstream, stack)
            if start.other is not None:
                it.other = _started(name, start.other, upstream, stack)
            yield it


def _started(name: str, start: Start, upstream: int, stack: ExitStack) -> Running:
    """Start it until *stack* ends, and return once it answers right. Raises `Failed`."""
    process = stack.enter_context(Process(start.command, start.environ, start.cores, start.folder))
    _until(lambda: accepts(start.target.port), process, 120)
    _until(lambda: _is_right(start.target, streams=False), process, 120)
    started = time.monotonic() - process.began
    if not _is_right(start.target, streams=True):
        raise Failed("it streams another text than the mock")
    return Running(name, start.target, process, upstream, started, redis=start.redis)


@contextmanager
def _redis(port: int, folder: str) -> Iterator[None]:
    """A Redis as deploy/redis.conf has it, beside the mock."""
    command = [_redis_program(), str(ROOT / "deploy/redis.conf"), "--dir", folder]
    with Process([*command, "--port", str(port)], {}, OTHERS) as process:
        _until(lambda: accepts(port), process, 20)
        yield


def _until(is_true: Callable[[], bool], process: Process, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not is_true():
        if not process.is_running or time.monotonic() > until:
            raise Failed(f"it does not answer: {process.log()}")
        time.sleep(0.005)


def _is_right(target: Target, *, streams: bool) -> bool:
    wanted = Wanted(form="p")
    try:
        return content(target.ask(wanted, streams=streams)) == wanted.text()
    except (OSError, Failed):
        return False
