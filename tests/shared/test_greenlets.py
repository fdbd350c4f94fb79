"""The way to Redis in greenlets, as gunicorn has them: in a process of its own, patched first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]

BEGIN = """
from gevent import monkey
monkey.patch_all()
import sys, time, gevent
from poe_proxy.shared.calling import StoreAway
from poe_proxy.shared.courier import Courier
from poe_proxy.shared.link import Link
from poe_proxy.shared.presence import Presence, name_of_worker

worker = name_of_worker()
link = Link(sys.argv[1], "greenlets")
courier = Courier(link, worker=worker)
presence = Presence(courier, link.listener(5.0), worker, version="1")
heard = []
presence.on_message.append(heard.append)
presence.start()
while not heard:
    gevent.sleep(0.01)
"""

#: Each asks for what no other does, and is to get its own answer.
ASKS = """
wrong = []
ended = 0

def ask(number):
    global ended
    for turn in range(20):
        name = f"{number}-{turn}"
        # What a greenlet took along that was killed may be done twice: acts have ids.
        first = courier.call("job", {"name": name, "seconds": 60, "id": "first"})
        again = courier.call("job", {"name": name, "seconds": 60, "id": "again"})
        state = courier.call("names", {"digest": name, "names": [name]})
        if (first, again, state) != (True, False, True):
            wrong.append((name, first, again, state))
        courier.note("leave", {"lease": name})
    ended += 1
"""

CROWD = (
    BEGIN
    + ASKS
    + """
gevent.joinall([gevent.spawn(ask, number) for number in range(100)], raise_error=True)
presence.close()
courier.close()
print(ended, wrong[:3])
"""
)

KILLED = (
    BEGIN
    + ASKS
    + """
import random
chance = random.Random(7)
victims = []

def kill():
    while ended < 40:
        victim = gevent.spawn(ask, f"victim {len(victims)}")
        victims.append(victim)
        gevent.sleep(chance.random() * 0.004)
        victim.kill(block=False)

killer = gevent.spawn(kill)
gevent.joinall([gevent.spawn(ask, number) for number in range(40)], raise_error=True)
killer.join()
killed = sum(isinstance(one.value, gevent.GreenletExit) for one in victims)
gevent.joinall(victims)
presence.close()
courier.close()
print(ended >= 40, killed > 0, wrong[:3], courier._queue, len(courier._queue))
"""
)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


def said(script: str, server: RedisServer) -> str:
    """What a process says in the end that runs *script*."""
    ended = subprocess.run(
        [sys.executable, "-c", script, server.url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 0 == ended.returncode, ended.stderr
    assert "" == ended.stderr
    return ended.stdout.strip()


def test_a_crowd_of_greenlets_goes_by_one_connection(server: RedisServer) -> None:
    """Two, with the one that listens; each greenlet gets its own answers."""
    before = server.client.info("stats")["total_connections_received"]

    assert "100 []" == said(CROWD, server)
    assert 2 == server.client.info("stats")["total_connections_received"] - before
    calls = server.client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert calls < 8000 / 4, "those that wait for each other go together"


def test_greenlets_that_are_killed_on_their_way_leave_others_their_answers(
    server: RedisServer,
) -> None:
    """At whatever moment: nobody gets what was answered to another, and nobody waits for ever."""
    assert "True True [] deque([]) 0" == said(KILLED, server)
