"""gunicorn's hooks, as `gunicorn.conf.py` names them, and settings in gunicorn's spelling.

gunicorn ships no types: the protocols below have what the hooks use.
"""

from __future__ import annotations

import _thread
import errno
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from poe_proxy import flight
from poe_proxy.apis.openai_error import error_body
from poe_proxy.errors import InternalError, InvalidRequest
from poe_proxy.net.background import Background
from poe_proxy.pool.store.holding import StateInUse, hold
from poe_proxy.server import several, watchdog
from poe_proxy.server.allocation import (
    look_for_circles_later,
    look_for_circles_less,
    return_memory,
)
from poe_proxy.server.connection import Connection
from poe_proxy.server.connections import affordable, raise_descriptors

#: Seconds for closing the accounts: up to five until their bots are stopped at Poe, and next to
#: none for the connections.
CLOSE_TIME: Final = 6.0
#: The most seconds that the end of a worker takes besides the grace for its replies: up to two
#: until it sees the signal and the end of the grace, up to two until its replies have broken off,
#: and `CLOSE_TIME`; with one for a busy machine.
END_TIME: Final = 11
#: Seconds that an interrupted worker has for its end: more than it takes.
INTERRUPT_TIME: Final = 14


#: Where `post_worker_init` leaves the worker among the app's extensions.
WORKER: Final = "gunicorn_worker"


class Log(Protocol):
    """gunicorn's log."""

    def warning(self, message: str, /, *args: object) -> None: ...

    def error(self, message: str, /, *args: object) -> None: ...

    def exception(self, message: str, /, *args: object) -> None: ...


class Config(Protocol):
    """gunicorn's settings; each process has its own copy."""

    workers: int
    worker_connections: int
    #: Where it listens: host and port, or the path of a Unix socket.
    address: Sequence[tuple[str, int] | str]
    #: Seconds.
    graceful_timeout: int

    def set(self, name: str, value: object, /) -> None: ...


class Arbiter(Protocol):
    """The process that starts the workers and handles signals."""

    cfg: Config
    log: Log
    num_workers: int
    worker_class: type
    #: What SIGHUP does, and SIGUSR1.
    handle_hup: Callable[[], None]
    handle_usr1: Callable[[], None]


class Worker(Protocol):
    """The process that serves. It also has `wsgi`, the app, once that is loaded."""

    cfg: Config
    log: Log
    alive: bool
    #: Its number among all workers of this server: no other one ever has it.
    age: int
    #: What it computes when it dies; `pre_fork` puts it there.
    recorder: flight.Recorder

    def notify(self) -> None: ...

    def handle_usr1(self, number: int, frame: FrameType | None, /) -> None: ...


# ---- settings in gunicorn's spelling


def address(host: str, port: int) -> str:
    """Return *host* and *port* as `bind` takes them; IPv6 may come as ::1 or as [::1]."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def networks(given: Iterable[str]) -> str:
    """Return addresses and networks as `forwarded_allow_ips` takes them.

    Each is there in every form in which a socket may report it: IPv4 may come over IPv6.
    """
    return ",".join(form for network in given for form in _forms(network))


def _forms(network: str) -> list[str]:
    if network == "*" or ":" in network:
        return [network]
    ipv4, _, length = network.partition("/")
    return [network, f"::ffff:{ipv4}/{96 + int(length or 32)}"]


# ---- how it is served

#: In a checkout, the folder of `gunicorn.conf.py` and `wsgi.py`.
_FOLDER: Final = Path(__file__).resolve().parents[2]

_START_IT: Final = (
    f"Start it with\n  cd {_FOLDER} && gunicorn wsgi:app\n"
    "or, with the .env of the folder where you are, with\n"
    f"  gunicorn -c {_FOLDER}/gunicorn.conf.py wsgi:app"
    if (_FOLDER / "gunicorn.conf.py").exists()
    else "Start it with\n  poe-proxy serve"
)

#: With this status a worker tells gunicorn not to start another one in its place.
APP_LOAD_ERROR: Final = 4

#: Whether `gunicorn.conf.py` was loaded in this process, or in the one that it was forked from.
_is_configured = False


def configured() -> None:
    """Note that `gunicorn.conf.py` was loaded; it calls this."""
    global _is_configured
    _is_configured = True


def check_served() -> None:
    """Exit with one message if something else than `gunicorn.conf.py` says how the app is served:
    it would listen elsewhere, and a reply would hold up all the others.

    gunicorn looks for that file where it is started, before it goes where --chdir says.
    """
    if not _is_configured:
        print(
            "poe-proxy is to be served by gunicorn with its own gunicorn.conf.py, and that was not "
            "loaded: it is looked for where gunicorn is started, whatever --chdir says. "
            f"{_START_IT}",
            file=sys.stderr,
            flush=True,
        )
        sys.exit(APP_LOAD_ERROR)


def check_folder(folder: str, is_same: Callable[[], bool]) -> None:
    """Exit with one message if it serves in another folder than *folder*, where its configuration
    was read, and the settings there are not the same: the worker would read another `.env`."""
    if os.getcwd() != folder and not is_same():
        sys.exit(
            f"poe-proxy was started in {folder}, and reads its .env there, before --chdir leads to "
            f"{os.getcwd()}. {_START_IT}"
        )


def check_worker(server: Arbiter, wanted: type) -> None:
    """Exit with one message if other workers than *wanted* would serve (-k, GUNICORN_CMD_ARGS)."""
    if not issubclass(server.worker_class, wanted):
        sys.exit(
            "poe-proxy is served by the worker of its gunicorn.conf.py, and another one was asked "
            f"for: {server.worker_class.__name__} (-k, --worker-class, --threads or "
            "GUNICORN_CMD_ARGS). With that, a reply would hold up all the others. Leave it out."
        )


# ---- hooks, in the order in which gunicorn calls them


def on_starting(server: Arbiter, *, against_several: str = several.ALONE) -> None:
    """Exit with one line if something would go wrong later.

    *against_several* is why there must not be more than one worker; empty if there may be.
    """
    if against_several and server.cfg.workers > 1:
        sys.exit(
            f"poe-proxy serves with one worker, and {server.cfg.workers} were asked for "
            f"(-w, WEB_CONCURRENCY or GUNICORN_CMD_ARGS). {against_several}"
        )
    _fit_connections(server)
    if "LISTEN_FDS" in os.environ or "GUNICORN_PID" in os.environ:
        return  # the socket is already open
    for host, port in (one for one in server.cfg.address if isinstance(one, tuple)):
        if _is_taken(host, port):
            # gunicorn would try five times first.
            several.end_as_taken(port, "PORT")


def _fit_connections(server: Arbiter) -> None:
    """Have no more connections than there are descriptors for them."""
    wanted, descriptors = server.cfg.worker_connections, raise_descriptors()
    number = affordable(wanted, descriptors)
    if number < wanted:
        server.cfg.set("worker_connections", number)
        server.log.warning(
            "Only %d connections at a time, not %d: this process may have no more than %d "
            "descriptors (ulimit -n, LimitNOFILE).",
            number,
            wanted,
            descriptors,
        )


def check_metrics_port(port: int) -> None:
    """Exit with one line if something listens at METRICS_PORT already; 0 stands for none."""
    if port and _is_taken("127.0.0.1", port):
        several.end_as_taken(port, "METRICS_PORT")


def hold_state(path: Path | None, *, shared: bool = False) -> None:
    """Hold the state file for as long as this process or one of its workers lives, *shared* with
    other servers that do so too.

    Exits with one line if another server has it. `on_starting` calls this, and a check of the
    configuration does not: that may run beside the server.
    """
    try:
        if path is not None:
            hold(path, shared=shared)
    except StateInUse as taken:
        sys.exit(str(taken))


def nworkers_changed(
    server: Arbiter, new: int, old: int | None, *, against_several: str = several.ALONE
) -> None:
    """Ignore SIGTTIN, which asks for one more worker, unless there may be several."""
    if against_several and old is not None and new > 1:
        server.log.error(
            "poe-proxy serves with one worker; SIGTTIN changes nothing. %s", against_several
        )
        server.num_workers = 1


def when_ready(server: Arbiter) -> None:
    """Let SIGHUP make the workers read their settings anew, in place of starting others.

    Those would use the accounts beside the first, and know nothing of what these have used. So
    SIGHUP does what SIGUSR1 does: log files are opened anew, and all workers get SIGUSR1.
    """
    server.handle_hup = server.handle_usr1


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """Let gunicorn wait for the end of a worker, however short the grace is, and see what it
    computed if it dies."""
    server.cfg.set("graceful_timeout", max(server.cfg.graceful_timeout, END_TIME))
    worker.recorder = flight.recorder.begin_anew()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Let the worker end by itself what is still under way, before gunicorn kills it.

    Only then are clients sent that their reply broke off, and bots stopped at Poe. Worker and
    gunicorn count the same seconds, and gunicorn would be first.
    """
    worker.cfg.set("graceful_timeout", max(0, worker.cfg.graceful_timeout - END_TIME))
    look_for_circles_later()
    several.inherited.worker = str(worker.age)
    # Held until `post_worker_init`: the settings may change between being read and then.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def post_worker_init(worker: Worker) -> None:
    """Let SIGUSR1 make the app read its settings anew, besides what gunicorn does at it.

    The app gets to know the worker, too: whether it is ending, for `/ready`. And it looks at its
    accounts, which nothing has to wait for.
    """
    look_for_circles_less()
    return_memory()
    extensions = getattr(getattr(worker, "wsgi", None), "extensions", {})
    extensions[WORKER] = worker

    def reload() -> None:
        if services := extensions.get("poe_proxy"):
            services.reload()

    def handle(number: int, frame: FrameType | None) -> None:
        worker.handle_usr1(number, frame)
        # A handler must not wait, not even for a thread to begin, as `Thread.start` does.
        _thread.start_new_thread(reload, ())

    if services := extensions.get("poe_proxy"):
        services.look()
    signal.signal(signal.SIGUSR1, handle)
    signal.siginterrupt(signal.SIGUSR1, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


def worker_int(worker: Worker) -> None:
    """Let Ctrl-C, too, end what is under way instead of dropping it: see `post_fork`.

    gunicorn exits when this returns. Until then the worker does what it does when the grace is
    over, without any grace; that takes a few seconds.
    """
    worker.cfg.set("graceful_timeout", 0)
    time.sleep(INTERRUPT_TIME)


def worker_abort(worker: Worker) -> None:
    """End the request that has held the worker up for `timeout` seconds, and go on.

    gunicorn calls this in the handler of SIGABRT, and ends the worker if it returns.
    """
    watchdog.end_stuck_request(worker, sys._getframe(2))  # beneath gunicorn's handler


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Say in which request a worker was stuck, if it had to be killed; the master calls this."""
    watchdog.blame(server.log, worker.recorder)


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """Stop what is still at work at Poe, and give back what is kept between requests.

    gunicorn calls this once, at the worker's end.
    """
    app = getattr(worker, "wsgi", None)
    services = getattr(app, "extensions", {}).get("poe_proxy")
    if services is None:
        return  # the app was not loaded
    # In a thread, so that nothing in it can hold up the end.
    closing = Background(services.close, name="closing")
    if not closing.wait(CLOSE_TIME):
        worker.log.warning("Connections were not closed within %g s; ending anyway.", CLOSE_TIME)
        return
    try:
        closing.result()
    except Exception:
        worker.log.exception("Connections were not closed.")


# ---- in place of gunicorn.util.write_error


def write_error(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer an invalid or too long HTTP request in the form of all other errors.

    Such a request never gets to the app. gunicorn's own answer is HTML, and no setting changes
    that.
    """
    failure = (InvalidRequest if status < 500 else InternalError)(message[:200] or reason)
    body = error_body(failure)
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"x-request-id: req_{secrets.token_hex(12)}\r\n"
        "Access-Control-Allow-Origin: *\r\n"
        "\r\n"
    )
    # As gunicorn does it: without waiting for a client that may not read.
    sock.setblocking(False)
    try:
        sock.sendall(head.encode("latin-1") + body)
    finally:
        sock.setblocking(True)
    if isinstance(sock, Connection):
        sock.close_after_answer()
        sock.part()


# ----


def _is_taken(host: str, port: int) -> bool:
    """Whether something listens on *port* already; exits if *host* cannot be used at all."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as bad:
            if bad.errno != errno.EADDRINUSE:
                sys.exit(f"Cannot listen on HOST {host}, PORT {port}: {bad.strerror}.")
            return True
    return False
