"""gunicorn's hooks without a server: what each does, and that gunicorn takes them."""

from __future__ import annotations

import gc
import io
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter as RealArbiter
from gunicorn.config import Config as RealConfig
from gunicorn.glogging import Logger as RealLog
from gunicorn.workers.base import Worker as RealWorker

from poe_proxy import flight, logs
from poe_proxy.pool.store.holding import StateInUse, is_held, let_go
from poe_proxy.server import gunicorn, several, watchdog
from poe_proxy.upstreams.poe_web import tidying

from ..fakes import until

#: Reserved for documentation: no machine has it.
NOT_OURS = "192.0.2.1"


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)

    def warning(self, message: str, *args: object) -> None:
        self.lines.append(message % args)

    error = exception = warning


@dataclass
class Config:
    workers: int = 1
    worker_connections: int = 2500
    address: list[Any] = field(default_factory=list)
    graceful_timeout: int = 60

    def set(self, name: str, value: object) -> None:
        assert hasattr(self, name)
        setattr(self, name, value)


@dataclass
class Arbiter:
    cfg: Config = field(default_factory=Config)
    log: Log = field(default_factory=Log)
    num_workers: int = 1
    handle_hup: Callable[[], None] = lambda: None
    handle_usr1: Callable[[], None] = lambda: None


@dataclass
class Worker:
    """One that has not loaded its app; `serving` makes one that has."""

    cfg: Config = field(default_factory=Config)
    log: Log = field(default_factory=Log)
    age: int = 7
    recorder: flight.Recorder = field(default_factory=flight.Recorder)
    #: How often it has opened its log anew.
    reopened: int = 0

    def handle_usr1(self, number: int, frame: object) -> None:
        self.reopened += 1


def serving(
    close: Callable[[], None] = lambda: None, reload: Callable[[], None] = lambda: None
) -> Worker:
    """A worker with an app whose services do *close* and *reload*."""
    worker: Any = Worker()
    services = SimpleNamespace(close=close, reload=reload, look=lambda: None)
    worker.wsgi = SimpleNamespace(extensions={"poe_proxy": services})
    return worker


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """SIGUSR1 is handled afterwards as it was before, and not kept waiting."""
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture(autouse=True)
def _descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are enough of them, and the limit of this process stays as it is."""
    monkeypatch.setattr(gunicorn, "raise_descriptors", lambda: 8192)


# ---- what gunicorn takes, and what it has


@pytest.mark.parametrize(
    "name",
    [
        "on_starting", "nworkers_changed", "when_ready", "pre_fork", "post_fork",
        "post_worker_init", "worker_int", "child_exit", "worker_exit",
    ],
)  # fmt: skip
def test_gunicorn_takes_each_hook(name: str) -> None:
    """Its own check of a hook's arguments passes."""
    config = RealConfig()
    config.set(name, getattr(gunicorn, name))

    assert config.settings[name].get() is getattr(gunicorn, name)


def test_gunicorn_has_what_the_hooks_use() -> None:
    """The protocols, for which gunicorn ships no types, say what is there."""
    assert callable(RealArbiter.handle_hup)
    assert callable(RealArbiter.handle_usr1)
    assert callable(RealWorker.handle_usr1)
    assert isinstance(RealArbiter.num_workers, property)
    assert [] == [name for name in ("warning", "error", "exception") if not hasattr(RealLog, name)]
    assert isinstance(RealConfig().graceful_timeout, int)
    assert isinstance(RealConfig().worker_connections, int)
    assert [("127.0.0.1", 8000)] == RealConfig().address


# ---- settings in gunicorn's spelling


@pytest.mark.parametrize(
    ("host", "listens_at"),
    [("0.0.0.0", "0.0.0.0"), ("localhost", "localhost"), ("::", "::"), ("[::1]", "::1")],
)
def test_an_address_is_read_by_gunicorn_as_it_was_meant(host: str, listens_at: str) -> None:
    """IPv4, a name, and IPv6 in either of its spellings."""
    config = RealConfig()
    config.set("bind", gunicorn.address(host, 9000))

    assert [(listens_at, 9000)] == config.address


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ((), ""),
        (("*",), "*"),
        (("10.1.2.3",), "10.1.2.3,::ffff:10.1.2.3/128"),
        (("10.0.0.0/8",), "10.0.0.0/8,::ffff:10.0.0.0/104"),
        (("::1", "2001:db8::/32"), "::1,2001:db8::/32"),
    ],
)
def test_ipv4_is_written_as_it_may_come_over_ipv6_too(given: tuple[str, ...], written: str) -> None:
    """A proxy with an IPv4 address is believed on a socket that takes both kinds."""
    assert written == gunicorn.networks(given)


# ---- on_starting


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def no_socket_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN_FDS", "GUNICORN_PID"):
        monkeypatch.delenv(name, raising=False)


def test_more_than_one_worker_is_refused_with_the_reason() -> None:
    """Each would spend the limits of the accounts again; or there are cookies alone."""
    with pytest.raises(SystemExit, match=r"one worker, and 3 were asked for.*WEB_CONCURRENCY=1"):
        gunicorn.on_starting(Arbiter(Config(workers=3)))
    with pytest.raises(SystemExit, match=r"3 were asked for.*All accounts are cookies"):
        gunicorn.on_starting(Arbiter(Config(workers=3)), against_several=several.COOKIES)


def test_several_workers_start_where_nothing_is_against_them(taken: int) -> None:
    """And each further thing is looked at as for one: here the port."""
    gunicorn.on_starting(Arbiter(Config(workers=3)), against_several="")
    with pytest.raises(SystemExit, match="is taken"):
        gunicorn.on_starting(
            Arbiter(Config(workers=3, address=[("127.0.0.1", taken)])), against_several=""
        )


def test_a_taken_port_is_said_in_one_line(taken: int) -> None:
    """gunicorn itself would try five times, and end with a traceback."""
    with pytest.raises(SystemExit, match=f"^Port {taken} is taken; .* set PORT to another.$"):
        gunicorn.on_starting(Arbiter(Config(address=[("127.0.0.1", taken)])))


def test_an_address_of_another_machine_is_said_in_one_line() -> None:
    """HOST may name what this machine is called elsewhere."""
    with pytest.raises(SystemExit, match=f"^Cannot listen on HOST {NOT_OURS}, PORT 8080: .*[.]$"):
        gunicorn.on_starting(Arbiter(Config(address=[(NOT_OURS, 8080)])))


@pytest.mark.parametrize("variable", ["LISTEN_FDS", "GUNICORN_PID"])
def test_a_socket_that_is_already_open_is_not_tried(
    taken: int, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From systemd, or from the gunicorn before this one: its port is taken, by itself."""
    monkeypatch.setenv(variable, "1")

    gunicorn.on_starting(Arbiter(Config(address=[("127.0.0.1", taken)])))


def test_one_worker_starts_where_nothing_is_in_the_way(taken: int) -> None:
    """A port that is free, on another address than the one taken, and a Unix socket."""
    gunicorn.on_starting(Arbiter(Config(address=[("127.0.0.9", taken), "/run/poe-proxy.sock"])))


def test_its_log_is_written_as_ours() -> None:
    """It repeats what is wrong with a request: that must neither forge a line nor be cut out."""
    lines = io.StringIO()
    log = RealLog(RealConfig()).error_log
    before = log.handlers[:]
    log.handlers[:] = [handler := logging.StreamHandler(lines)]
    handler.setFormatter(before[-1].formatter)
    try:
        logs.adopt_gunicorn()
        log.warning("Invalid request: a\n[2026-01-01] [ERROR] forged\x1b[2J")
    finally:
        log.handlers[:] = before

    assert re.fullmatch(
        r"\[[-0-9: +]+\] \[\d+\] \[WARNING\] "
        r"Invalid request: a\\n\[2026-01-01\] \[ERROR\] forged\\x1b\[2J\n",
        lines.getvalue(),
    )


def test_there_are_no_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they do not suffice there are fewer connections, and the log says so."""
    server = Arbiter()

    gunicorn.on_starting(server)
    assert (2500, []) == (server.cfg.worker_connections, server.log.lines)
    monkeypatch.setattr(gunicorn, "raise_descriptors", lambda: 1024)
    gunicorn.on_starting(server)

    assert 412 == server.cfg.worker_connections
    assert 1 == len(server.log.lines)
    assert "Only 412 connections at a time, not 2500" in server.log.lines[0]


# ---- hold_state


def test_a_server_holds_its_state_file(tmp_path: Path) -> None:
    """From before it has a worker, which thereby has it too."""
    path = tmp_path / "state.sqlite3"
    try:
        gunicorn.hold_state(path)

        assert is_held(path)
    finally:
        let_go(path)


def test_without_a_state_file_nothing_is_held() -> None:
    """The setting is not needed."""
    gunicorn.hold_state(None)


def test_a_second_server_on_one_state_file_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the process that has it, before a worker would find out and be started again."""

    def refuse(path: Path, *, shared: bool) -> None:
        raise StateInUse(path, "4711")

    monkeypatch.setattr(gunicorn, "hold", refuse)
    with pytest.raises(SystemExit, match=r"^STATE_FILE .* another server \(process 4711\)[.]"):
        gunicorn.hold_state(tmp_path / "state.sqlite3")


def test_servers_with_one_pool_hold_the_file_together(tmp_path: Path) -> None:
    """But not with one that has a pool of its own."""
    path = tmp_path / "state.sqlite3"
    script = "import sys; from pathlib import Path; from poe_proxy.server import gunicorn; "
    hold_it = "gunicorn.hold_state(Path(sys.argv[1]), shared={})"
    try:
        gunicorn.hold_state(path, shared=True)
        together, alone = (
            subprocess.run(
                [sys.executable, "-c", script + hold_it.format(shared), str(path)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            for shared in (True, False)
        )
    finally:
        let_go(path)

    assert (0, "") == (together.returncode, together.stderr)
    assert 1 == alone.returncode
    assert "is in use by another server" in alone.stderr


# ---- nworkers_changed


@pytest.mark.parametrize(
    ("new", "old", "workers", "lines"), [(2, 1, 1, 1), (1, None, 9, 0), (1, 2, 9, 0), (0, 1, 9, 0)]
)
def test_a_second_worker_is_taken_back(new: int, old: int | None, workers: int, lines: int) -> None:
    """The log says so; the number at the start, and fewer workers, are left alone."""
    server = Arbiter(num_workers=9)

    gunicorn.nworkers_changed(server, new, old)

    assert (workers, lines) == (server.num_workers, len(server.log.lines))


def test_a_second_worker_stays_where_nothing_is_against_it() -> None:
    """SIGTTIN and SIGTTOU do what gunicorn does at them."""
    server = Arbiter(num_workers=2)

    gunicorn.nworkers_changed(server, 2, 1, against_several="")

    assert (2, []) == (server.num_workers, server.log.lines)


# ---- when_ready


def test_a_hang_up_is_passed_on_to_the_worker() -> None:
    """The arbiter itself reads nothing anew, and starts no other worker."""
    done: list[str] = []
    server = Arbiter(
        handle_hup=lambda: done.append("another worker"),
        handle_usr1=lambda: done.append("SIGUSR1 to the worker"),
    )

    gunicorn.when_ready(server)
    assert [] == done
    server.handle_hup()

    assert ["SIGUSR1 to the worker"] == done


# ---- post_worker_init


def send_usr1() -> None:
    """Send SIGUSR1 to this thread: a worker that begins has no other, but the tests may have."""
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)


def test_the_signal_makes_the_app_read_its_settings_anew() -> None:
    """In a thread of its own, and gunicorn opens its log as it would without us."""
    where: list[threading.Thread] = []
    worker = serving(reload=lambda: where.append(threading.current_thread()))

    gunicorn.post_worker_init(worker)
    assert [] == where
    send_usr1()
    until(lambda: where)

    assert threading.main_thread() is not where[0]
    assert 1 == worker.reopened


def test_a_signal_before_the_app_is_loaded_is_kept_for_it() -> None:
    """It may have read the settings before they were changed."""
    done: list[str] = []
    worker = serving(reload=lambda: done.append("read"))

    gunicorn.post_fork(Arbiter(), worker)
    send_usr1()
    assert (0, []) == (worker.reopened, done)
    gunicorn.post_worker_init(worker)
    until(lambda: done)

    assert (1, ["read"]) == (worker.reopened, done)


@pytest.mark.parametrize("app", [None, SimpleNamespace(), SimpleNamespace(extensions={})])
def test_another_app_has_nothing_to_read(app: object) -> None:
    """The log is opened anew all the same."""
    worker: Any = Worker()
    if app is not None:
        worker.wsgi = app

    gunicorn.post_worker_init(worker)
    send_usr1()
    until(lambda: worker.reopened)


def test_what_is_loaded_is_left_out_of_garbage_collections() -> None:
    """It is not garbage before the worker ends, and there is much of it."""
    gc.unfreeze()

    gunicorn.post_worker_init(serving())
    assert 0 < gc.get_freeze_count()
    gc.unfreeze()


# ---- the end of a worker


@pytest.mark.parametrize(("grace", "of_worker"), [(60, 49), (12, 1), (3, 0)])
def test_a_worker_ends_its_replies_before_gunicorn_kills_it(grace: int, of_worker: int) -> None:
    """Its own grace is shorter by the time that its end takes, and never negative."""
    worker = Worker(Config(graceful_timeout=grace))

    gunicorn.post_fork(Arbiter(), worker)

    assert of_worker == worker.cfg.graceful_timeout


@pytest.mark.parametrize(("grace", "of_gunicorn"), [(60, 60), (12, 12), (3, 11), (0, 11)])
def test_gunicorn_waits_for_the_end_of_a_worker_whatever_the_grace(
    grace: int, of_gunicorn: int
) -> None:
    """It would kill a worker that has no grace before a bot is stopped."""
    server, worker = Arbiter(Config(graceful_timeout=grace)), Worker()

    gunicorn.pre_fork(server, worker)
    gunicorn.pre_fork(server, worker)

    assert of_gunicorn == server.cfg.graceful_timeout


def test_each_worker_that_dies_is_blamed_for_its_own_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What others compute meanwhile does not hide it, and is not blamed for it."""
    monkeypatch.setattr(watchdog, "offenders", set())
    monkeypatch.setattr(flight, "recorder", flight.Recorder())
    server, workers = Arbiter(), [Worker(), Worker()]
    for number, worker in enumerate(workers):
        gunicorn.pre_fork(server, worker)
        # As the process that is forked now, and has this recorder for its own.
        flight.recorder.write(
            flight.Note("reading", flight.Flight(f"req_{number}", "POST /", f"digest-{number}"))
        )
    gunicorn.child_exit(server, workers[0])

    assert ["Stuck in req_0 POST / (reading). The worker died of it."] == server.log.lines
    assert {"digest-0"} == watchdog.offenders
    gunicorn.child_exit(server, workers[1])
    assert {"digest-0", "digest-1"} == watchdog.offenders


def test_a_worker_knows_which_one_it_is() -> None:
    """By a number that no other one of this server ever has."""
    gunicorn.post_fork(Arbiter(), Worker(age=12))

    assert "12" == several.inherited.worker


def test_an_interrupted_worker_gives_no_grace_and_has_time_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gunicorn ends the process when the hook returns."""
    worker = Worker()
    waits: list[tuple[int, float]] = []

    def sleep(seconds: float) -> None:
        waits.append((worker.cfg.graceful_timeout, seconds))

    # Its own clock alone: another thread may sleep meanwhile.
    monkeypatch.setattr(gunicorn, "time", SimpleNamespace(sleep=sleep))

    gunicorn.worker_int(worker)

    assert [(0, gunicorn.INTERRUPT_TIME)] == waits
    assert gunicorn.INTERRUPT_TIME > gunicorn.END_TIME


def test_what_is_kept_between_requests_is_given_back_once() -> None:
    """The app's services are closed when the worker ends, and nothing is logged."""
    closed: list[str] = []
    worker = serving(lambda: closed.append("closed"))

    gunicorn.worker_exit(Arbiter(), worker)

    assert ["closed"] == closed
    assert [] == worker.log.lines


@pytest.mark.parametrize("app", [None, SimpleNamespace(), SimpleNamespace(extensions={})])
def test_a_worker_without_our_app_just_ends(app: object) -> None:
    """One that could not load it, or was given another, has nothing to give back."""
    worker: Any = Worker()
    if app is not None:
        worker.wsgi = app

    gunicorn.worker_exit(Arbiter(), worker)

    assert [] == worker.log.lines


def test_a_failure_to_close_ends_in_the_log() -> None:
    """The worker ends all the same."""
    worker = serving(lambda: [][0])

    gunicorn.worker_exit(Arbiter(), worker)

    assert ["Connections were not closed."] == worker.log.lines


def test_a_close_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker ends within the time that gunicorn leaves it."""
    assert gunicorn.CLOSE_TIME <= gunicorn.END_TIME - 4
    assert gunicorn.CLOSE_TIME > tidying.PATIENCE
    monkeypatch.setattr(gunicorn, "CLOSE_TIME", 0.01)
    begun, freed = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        freed.wait()

    worker = serving(hang)
    try:
        gunicorn.worker_exit(Arbiter(), worker)

        assert begun.wait(60)
        assert ["Connections were not closed within 0.01 s; ending anyway."] == worker.log.lines
    finally:
        freed.set()


# ---- write_error


class Wire:
    """A client's socket, which keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""
        self.blocks = True
        self.blocked_while_sending = True

    def setblocking(self, flag: bool) -> None:
        self.blocks = flag

    def sendall(self, data: bytes) -> None:
        self.sent += data
        self.blocked_while_sending = self.blocks


class FullWire(Wire):
    """One whose client does not read."""

    def sendall(self, data: bytes) -> None:
        super().sendall(data)
        raise BlockingIOError


def error_of(wire: Wire) -> tuple[list[str], dict[str, Any]]:
    """The lines of the head, and the error object."""
    head, _, body = wire.sent.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("status", "reason", "message", "type_", "text"),
    [
        (400, "Bad Request", "Invalid Method 'x'", "invalid_request_error", "Invalid Method 'x'"),
        (414, "URI Too Long", "", "invalid_request_error", "URI Too Long"),
        (400, "Bad Request", "é" * 300, "invalid_request_error", "é" * 200),
        (500, "Internal Server Error", "", "server_error", "Internal Server Error"),
        (501, "Bad Request", "Unsupported", "server_error", "Unsupported"),
    ],
)
def test_what_is_not_http_is_answered_as_any_other_error(
    status: int, reason: str, message: str, type_: str, text: str
) -> None:
    """The error object in the body, its type by the status, its message not too long."""
    wire: Any = Wire()

    gunicorn.write_error(wire, status, reason, message)

    head, error = error_of(wire)
    assert f"HTTP/1.1 {status} {reason}" == head[0]
    assert (type_, text, None) == (error["type"], error["message"], error["param"])


def test_the_head_of_such_an_answer_is_that_of_any_other() -> None:
    """An id, CORS, a length that is right; and the connection ends, as what follows is unknown."""
    wire: Any = Wire()

    gunicorn.write_error(wire, 400, "Bad Request", "Not “HTTP”.")

    headers = dict(line.split(": ") for line in error_of(wire)[0][1:])
    assert headers["x-request-id"].startswith("req_")
    assert "*" == headers["Access-Control-Allow-Origin"]
    assert "application/json" == headers["Content-Type"]
    assert "close" == headers["Connection"]
    assert len(wire.sent.partition(b"\r\n\r\n")[2]) == int(headers["Content-Length"])


def test_a_client_that_does_not_read_is_not_waited_for() -> None:
    """The answer is sent without blocking, and then the socket blocks again."""
    wire: Any = FullWire()

    with pytest.raises(BlockingIOError):
        gunicorn.write_error(wire, 400, "Bad Request", "Nothing.")

    assert (False, True) == (wire.blocked_while_sending, wire.blocks)
