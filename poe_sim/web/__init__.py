"""poe.com as a browser sees it: pages, GraphQL, a websocket. Web protocol sheet §22."""

from __future__ import annotations

from aiohttp import web

from .routes import Face
from .switches import Switches
from .world import World

__all__ = ["Switches", "World", "add_routes"]


def add_routes(app: web.Application, world: World) -> None:
    """Serve the web face of *world* on *app*; when *app* ends, its replies and sockets end."""
    app.add_routes(Face(world).routes())

    async def close(_app: web.Application) -> None:
        for account in world.accounts:
            for job in list(account.jobs.values()):
                if job.task is not None:
                    job.task.cancel()
        for channel in list(world.channels.values()):
            for socket in tuple(channel.sockets):
                await socket.close()

    app.on_shutdown.append(close)
