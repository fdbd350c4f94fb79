"""Joins the two faces of Poe in one application, and runs it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from . import control
from .api import add_routes as add_api_routes
from .journal import Journal
from .web import Switches, World
from .web import add_routes as add_web_routes

# The largest file that Poe takes, and the form around it.
_BODY_LIMIT = 360 * 1024 * 1024
WORLD = web.AppKey("world", World)


class PortTakenError(Exception):
    """The port cannot be listened on: mostly another process has it."""


def build_app(
    *,
    tokens: Sequence[str] = ("demo-cookie",),
    api_keys: Sequence[str] = ("demo-key",),
    switches: Switches | None = None,
    seed: int = 0,
    points: int = 1_000_000,
) -> web.Application:
    """Return poe.com and api.poe.com as one application; its `World` is under `WORLD`."""
    app = web.Application(client_max_size=_BODY_LIMIT)
    journal = Journal()
    world = World(tokens=tokens, journal=journal, seed=seed, switches=switches, points=points)
    app[WORLD] = world
    control.add_routes(app, world)
    add_api_routes(
        app, journal=journal, api_keys=list(api_keys), pace=world.switches.pace, seed=seed
    )
    # Last, because its pages answer at any name.
    add_web_routes(app, world)
    return app


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one. Raises `PortTakenError`."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PortTakenError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


async def serve(app: web.Application, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve *app* until *stop* is set."""
    # Replies that still run are not waited for: stopping the stand-in means stopping at once.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=1024).start()
    await stop.wait()
    await runner.cleanup()
    # Closed connections release their sockets in the loop's next turn.
    await asyncio.sleep(0)


async def serve_until_signal(app: web.Application, listener: socket.socket) -> None:
    """Serve *app* until the first SIGINT or SIGTERM; one line on stdout has the URL."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    host, port = listener.getsockname()[:2]
    print(f"poe_sim listening on http://{host}:{port}", flush=True)
    await serve(app, listener, stop)


@dataclass(frozen=True, slots=True)
class Running:
    """A stand-in that runs in a thread of this process."""

    url: str
    world: World


@contextlib.contextmanager
def running(app: web.Application) -> Iterator[Running]:
    """Serve *app* in a thread, on a free port of this machine, for a ``with`` block."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve(app, listener, stop))

    thread = threading.Thread(target=run, name="poe_sim", daemon=True)
    thread.start()
    try:
        yield Running(f"http://127.0.0.1:{port}", app[WORLD])
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
