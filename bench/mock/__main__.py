"""Serves until it is killed: `python -m bench.mock PORT`."""

from __future__ import annotations

import gc
import resource
import sys

from bench.mock import api, web
from bench.mock.connection import GATE, Connection, Loop, Play, Request, reply


def _answer(connection: Connection, request: Request) -> Play | None:
    if request.path.startswith(b"/v1/"):
        return api.answer(connection, request)
    if request.path == b"/release":
        GATE.open(connection.loop)
        connection.send(reply(b"text/plain", b"released"))
        return None
    return web.answer(connection, request)


if __name__ == "__main__":
    # There are no cycles to be found, and a look for them would be a pause.
    gc.disable()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Loop(int(sys.argv[1]), _answer).run()
