"""The alarm among greenlets, as in the worker: in a process of its own, since gevent patches it."""

from __future__ import annotations

import subprocess
import sys

SET_WITH_THE_LOCK_HELD = """
from gevent import monkey
monkey.patch_all()
import gevent
from poe_proxy.pool.line.alarm import Alarm

alarm = Alarm(lambda: None, name="line")
alarm.set(3600.0)
gevent.idle()
turns = []
gevent.spawn(turns.append, "another request")
alarm.set(1800.0)
print(turns)
"""


def test_who_sets_the_alarm_keeps_its_turn() -> None:
    """The pool does it with its lock held: a crowd that came in between would wait for that lock,
    and the line for the crowd."""
    ran = subprocess.run(
        [sys.executable, "-c", SET_WITH_THE_LOCK_HELD],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "[]" == ran.stdout.strip()
