"""`poe-proxy demo`: the proxy in front of `poe_sim`, a stand-in for Poe; no account is needed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from poe_proxy.command import launching
from poe_proxy.environment import OTHER_DOTENV

#: Where both packages are.
HERE: Final = Path(__file__).resolve().parents[2]
KEY: Final = "sk-demo"
TOKENS: Final = "demo-cookie-1,demo-cookie-2"
#: Settings that lead to accounts and clients and what is known of them, or out of this computer:
#: the demo ignores them.
NOT_FOR_A_DEMO: Final = (
    *("AUTH_KEY", "AuthKey", "TOKENS", "POE_API_KEYS", "TOKENS_CONFIG"),
    *("CLIENTS", "USAGE_FILE", "ALERT_URL", "PROXY", "MODELS", "POE_SITE", "STATE_FILE"),
    "REDIS_URL",
)


@click.command()
def command() -> None:
    """Try it without an account, on a stand-in for Poe.

    Nothing leaves this computer, and no .env is read. PORT and HOST in the environment say where it
    listens, AUTH_KEY which key it takes.
    """
    sys.exit(run())


def run() -> int:
    """Run the demo until Ctrl-C; return the exit status."""
    if importlib.util.find_spec("poe_sim") is None:
        print("The demo needs poe_sim, the stand-in for Poe, which is not installed here.")
        return 1
    given = (os.environ.get("PORT") or "8080").strip()
    port = int(given) if given.isdecimal() else 0
    if not 1 <= port <= 65535:
        print("PORT must be a whole number from 1 to 65535.")
        return 1
    if _is_taken(port):
        print(f"Port {port} is taken; stop what listens there, or set PORT to another.")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    running: list[subprocess.Popen[str]] = []
    try:
        sim = _start([sys.executable, "-m", "poe_sim", "--port", "0", "--tokens", TOKENS], {})
        running.append(sim)
        assert sim.stdout is not None
        poe = sim.stdout.readline().split()[-1]
        _keep_pictures_here(poe)
        settings = {
            "AuthKey": os.environ.get("AUTH_KEY") or KEY,
            "TOKENS": TOKENS,
            "POE_WEB_URL": poe,
            "POE_WS_URL": poe.replace("http", "ws", 1),
            "POE_API_URL": poe,
            # Poe cannot ban these accounts, so they need no rest.
            "COOL_DOWN": "0",
            "RATE_LIMIT": "0",
            "TOKEN_CONCURRENCY": "3",
        }
        proxy = _start(launching.gunicorn(), settings)
        running.append(proxy)
        base = f"http://{launching.reached_at(os.environ.get('HOST') or '0.0.0.0')}:{port}"
        if not _answers(f"{base}/health", proxy):
            return proxy.wait()
        print(
            _WELCOME.format(poe=poe, base=base, key=settings["AuthKey"].split(",")[0]), flush=True
        )
        return proxy.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # it ends already
        # The stand-in last: the proxy says goodbye to it, and would complain if it were gone.
        for process in reversed(running):
            _end(process)


_WELCOME = """
A demo of poe-proxy: a stand-in for Poe is running at {poe},
and the proxy in front of it. Nothing leaves this computer.

  page       {base}/, to chat in a browser, with ready lines for programs
  base URL   {base}/v1, or {base} for Claude Code
  API key    {key}
  model      Claude-Sonnet-4.5, GPT-5.1, Gemini-2.5-Pro, and a few dozen more

Try it in another terminal:

  curl -N {base}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "GPT-5.1", "stream": true, "messages": [{{"role": "user", "content": "Hi!"}}]}}'

Your own Poe account goes into a file .env, as the README says. Ctrl-C ends the demo.
"""


def _start(command: list[str], settings: Mapping[str, str]) -> subprocess.Popen[str]:
    left_out = {name + suffix for name in NOT_FOR_A_DEMO for suffix in ("", "_FILE")}
    left_out.add(OTHER_DOTENV)
    environ = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.Popen(
        command,
        cwd="/",  # not in a folder that may have a .env
        env={**environ, "PYTHONPATH": str(HERE), **settings},
        text=True,
        stdout=subprocess.PIPE if "poe_sim" in command else None,
        # Not in our group: Ctrl-C of a terminal goes to all of it, and would end both at once.
        process_group=0,
    )


def _keep_pictures_here(poe: str) -> None:
    """Let the links of bots that draw lead to the stand-in: the proxy fetches some of them."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for path, switches in {
        "__control": {"media_host": poe},
        "__control_api": {"media_local": True},
    }.items():
        opener.open(f"{poe}/{path}", json.dumps(switches).encode(), timeout=10).close()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def _answers(url: str, process: subprocess.Popen[str]) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None:
        try:
            with opener.open(url, timeout=1):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def _end(process: subprocess.Popen[str]) -> None:
    """End *process*: in good order, at once if replies go on, and in any case."""
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGINT, 15)):
        try:
            process.send_signal(number)
            process.wait(timeout=seconds)
            return
        except subprocess.TimeoutExpired:
            pass
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
