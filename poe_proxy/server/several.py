"""Several workers on one host: whether there may be, and what gunicorn's process makes for them
before it forks them."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Final, NoReturn

from poe_proxy import accounts
from poe_proxy.locks import held, is_held
from poe_proxy.settings import Settings

log = logging.getLogger(__name__)

#: Why there must not be more than one worker: without `REDIS_URL`, and with cookies alone.
ALONE: Final = (
    "The pool of accounts and its limits live in the process: each further worker would spend "
    "every limit again, and Poe would see it. One worker serves hundreds of streams; set "
    "WEB_CONCURRENCY=1, or REDIS_URL, with which workers share one pool."
)
COOKIES: Final = (
    "All accounts are cookies, and each of them is at home with one worker, as Poe must see no "
    "more than one session of it. A connection reaches any of the workers, so that those that are "
    "no cookie's home would refuse about half of the requests. More workers are for API keys; one "
    "serves hundreds of streams. Set WEB_CONCURRENCY=1, and for failover let another host have a "
    "server too."
)

#: Where the folder is, if there is such a place: in memory, so that no disk holds up who counts.
MEMORY: Path = Path("/dev/shm")
#: How the name of the folder begins in which workers count together.
PREFIX: Final = "poe-proxy-metrics-"
#: The file in it that is locked for as long as gunicorn's process or a worker lives.
HELD: Final = "held"


def against(settings: Settings) -> str:
    """Return why there must not be several workers with *settings*; empty if there may be."""
    if settings.redis_url is None:
        return ALONE
    return "" if any(one.kind == "key" for one in accounts.read(settings)) else COOKIES


def warn(settings: Settings) -> None:
    """Log why there should not be as many workers as there are, if *settings* that were read while
    they ran are against it."""
    if inherited.workers > 1 and (why := against(settings)):
        log.warning("%d workers, and there should be one now. %s", inherited.workers, why)


def end_as_taken(port: int, setting: str) -> NoReturn:
    """Exit with the line that says that *port*, which that *setting* names, is taken."""
    sys.exit(f"Port {port} is taken; stop what listens there, or set {setting} to another.")


class Inherited:
    """What all workers inherit. It is empty where nothing is to be shared."""

    def __init__(self) -> None:
        #: How many workers there were to be at the start.
        self.workers = 1
        #: Where workers count together.
        self.folder: Path | None = None
        #: The descriptor of a socket that listens at `METRICS_PORT`; all workers answer there.
        self.listener: int | None = None
        #: Names a worker among those of this host, as long as gunicorn lives.
        self.worker = "0"
        self._held: int | None = None

    def make(self, *, metrics_port: int = 0) -> None:
        """Make it all; the port is 0 if there is none. Exits with one line if it is taken."""
        self._make_folder()
        if metrics_port:
            try:
                listener = socket.create_server(("127.0.0.1", metrics_port), backlog=32)
            except OSError:
                end_as_taken(metrics_port, "METRICS_PORT")
            # A number can be inherited, whatever becomes of the object in the workers.
            self.listener = listener.detach()

    def _make_folder(self) -> None:
        parent = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        _remove_left(parent)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        except OSError as failure:
            sys.exit(f"No folder for the metrics can be made in {parent}: {failure.strerror}.")
        self._held = held(self.folder / HELD)

    def remove(self) -> None:
        """Remove what was made, once no worker is left."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
        for descriptor in (self.listener, self._held):
            if descriptor is not None:
                os.close(descriptor)
        self.listener = self._held = None


inherited: Final = Inherited()


def _remove_left(parent: Path) -> None:
    """Remove the folders of servers that were killed: nobody holds them."""
    for file in parent.glob(f"{PREFIX}*/{HELD}"):
        if not is_held(file):
            shutil.rmtree(file.parent, ignore_errors=True)
