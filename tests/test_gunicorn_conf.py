"""`gunicorn.conf.py`, loaded as gunicorn loads it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

_TURNS = """
import runpy, socket
runpy.run_path("gunicorn.conf.py")
import gevent
from poe_proxy.budget import processor

def wait(seconds):
    processor.until_idle(seconds)
    waited_for.append(len(done))

def compute():
    for _ in range(100):
        done.append(None)
        gevent.sleep(0)

def answer(line):
    for _ in range(100):
        line.recv(1)
        done.append(None)
        line.send(b"x")

ours, theirs = socket.socketpair()
for others in ([compute], [lambda: answer(ours), lambda: answer(theirs)]):
    done, waited_for = [], []
    ours.send(b"x")
    gevent.joinall([gevent.spawn(wait, 60), *map(gevent.spawn, others)], raise_error=True)
    print(waited_for[0], len(done))

def compute_for_ever():
    while not waited_for:
        gevent.sleep(0)

waited_for = []
gevent.joinall([gevent.spawn(compute_for_ever), gevent.spawn(wait, 0.01)], raise_error=True)
print("gave up")

rounds = []
def note():
    rounds.append(processor.round())
gevent.joinall([gevent.spawn(note) for _ in range(3)], raise_error=True)
gevent.sleep(0.001)
note()
print(len(set(rounds[:3])), rounds[3] > rounds[0])
"""


_CONNECTIONS = """
import runpy, socket
settings = runpy.run_path("gunicorn.conf.py")
import gevent
from gevent.pool import Pool

hub = gevent.get_hub()

class Worker:
    server_class = settings["Worker"].server_class

    def handle(self, listener, client, address):
        assert listener is ours
        order.append("it is read")
        client.recv(1)
        order.append("it is answered")
        client.close()

def open_one():
    order.append("a connection comes")
    clients.append(socket.create_connection(ours.getsockname()))

def accept(*client):
    # Whatever can compute by now waits behind the connection.
    for _ in range(3):
        hub.loop.run_callback(order.append, "another computes")
    order.append("it is accepted")
    handle(*client)

order, clients = [], []
ours = socket.create_server(("127.0.0.1", 0))
pool = Pool(5)
nothing = dict.fromkeys(["application", "log", "handler_class", "environ"])
server = Worker().server_class(ours, spawn=pool, **nothing)
handle, server.do_handle = server.do_handle, accept
server.start()
open_one()
while len(order) < 6:
    gevent.sleep(0.001)
print(*order, sep=", ")
clients[0].send(b"x")
pool.join()
print(order[-1], pool.free_count())
pool.spawn(order.append, "not from an accept")
print(order[-1])
pool.join()
print(order[-1])

from gunicorn.config import Config
from gunicorn.workers.ggevent import GeventWorker

class Noted(settings["Worker"]):
    def server_class(self, *given, **options):
        made.append(super().server_class(*given, **options))
        return made[-1]

made = []
worker = Noted.__new__(Noted)
worker.cfg, worker.sockets, worker.worker_connections = Config(), [ours], 7
worker.wsgi = worker.log = None
worker.alive = False
GeventWorker.run(worker)
print(len(made), made[0].pool.size, made[0].pool.greenlet_class.__name__)
"""


def lines(script: str, **env: str) -> list[str]:
    """Return what *script* prints, with these variables too."""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TOKENS": "cookie",
            "AuthKey": "sk-client",
            **env,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not ran.returncode, ran.stderr
    return ran.stdout.splitlines()


def test_long_work_waits_for_all_that_is_short_but_not_for_ever() -> None:
    """Until nobody has anything to compute, or to read; and no longer than it is told. All who have
    their turn one after the other are in one round."""
    assert ["100 100", "200 200", "gave up", "1 True"] == lines(_TURNS)


def test_a_connection_is_read_before_all_that_can_compute_when_it_is_accepted() -> None:
    """It may bring no more than a question after the server's health. The pool counts it, and
    gunicorn's own worker makes it so."""
    assert [
        "a connection comes, it is accepted, it is read, "
        "another computes, another computes, another computes",
        "it is answered 5",
        "it is answered",
        "not from an accept",
        "1 7 _Served",
    ] == lines(_CONNECTIONS)


def test_what_is_imported_is_no_garbage_and_all_else_may_be() -> None:
    """The garbage collector waits only for the imports, which it never looks through again."""
    script = """
import gc, runpy
settings = runpy.run_path("gunicorn.conf.py")
print(gc.isenabled(), gc.get_freeze_count() > len(gc.get_objects()))
"""
    assert ["True True"] == lines(script)


_CHECKED = """
import runpy, sys
sys.argv.append("--check-config")
runpy.run_path("gunicorn.conf.py")
from poe_proxy.startup import read_settings
settings = read_settings()
print(settings.redis_url, settings.state_file)
"""


@pytest.mark.parametrize("end", ["", "_FILE"])
@pytest.mark.parametrize("is_in_dotenv", [True, False])
def test_a_check_uses_neither_the_pool_nor_the_file_of_a_server(
    tmp_path: Path, end: str, is_in_dotenv: bool
) -> None:
    """Wherever they are set: others would count on what only loads the app."""
    given = {"REDIS_URL": "redis://127.0.0.1:1", "STATE_FILE": str(tmp_path / "state")}
    for name, value in given.items():
        (tmp_path / name).write_text(value)
    if end:
        given = {name + end: str(tmp_path / name) for name in given}
    dotenv = tmp_path / ".env"
    dotenv.write_text("\n".join(f"{name}={value}" for name, value in given.items()))
    env = {"POE_PROXY_DOTENV": str(dotenv)} if is_in_dotenv else given

    assert ["None None"] == lines(_CHECKED, **env)
