"""What is remembered for a while."""

from __future__ import annotations

import subprocess
import sys

from poe_proxy.digests import Digests, SharedDigests

from .fakes import Clock


def test_a_digest_is_remembered_for_a_while() -> None:
    """From the last time that it came."""
    clock = Clock()
    digests = Digests(600, 10, clock=clock)
    digests.add("a")
    digests.add("")
    clock.go(300)
    digests.add("")
    clock.go(299)
    before = list(digests)
    clock.go(1)

    assert ["a", ""] == before
    assert [""] == list(digests)
    assert "a" not in digests
    assert "c" not in digests


def test_of_too_many_the_oldest_are_forgotten() -> None:
    """One that comes again is none of the oldest."""
    digests = Digests(float("inf"), 2, clock=Clock())
    for one in ("a", "", "a", "c"):
        digests.add(one)

    assert ["a", "c"] == list(digests)


def test_a_shared_digest_is_remembered_for_a_while() -> None:
    """From the last time that it came; of too many the oldest are forgotten."""
    clock = Clock()
    digests = SharedDigests(600, 2, clock=clock)
    assert "a" not in digests
    digests.add("a")
    clock.go(599)
    digests.add("b")

    assert "a" in digests
    assert "" not in digests
    clock.go(1)
    assert "a" not in digests
    assert "b" in digests
    for one in ("c", "d"):
        digests.add(one)
    assert [False, True, True] == [one in digests for one in "bcd"]


_FORK = """
import os
from poe_proxy.digests import SharedDigests

digests = SharedDigests(600, 10)
for name in ("first", "second"):
    if not os.fork():
        digests.add(name)
        os._exit(0)
    os.wait()
if not os.fork():
    os._exit(0 if "first" in digests and "second" in digests and "third" not in digests else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_what_one_process_adds_all_know_that_were_forked() -> None:
    """Before or after."""
    subprocess.run([sys.executable, "-c", _FORK], timeout=60, check=True)
