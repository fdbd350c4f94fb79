"""`gunicorn.conf.py`, loaded as gunicorn loads it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

_SCRIPT = """
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


def test_long_work_waits_for_all_that_is_short_but_not_for_ever() -> None:
    """Until nobody has anything to compute, or to read; and no longer than it is told. All who have
    their turn one after the other are in one round."""
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TOKENS": "cookie", "AuthKey": "sk-client"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ["100 100", "200 200", "gave up", "1 True"] == ran.stdout.splitlines(), ran.stderr
