"""Memory of large blocks: who can be told to give it back."""

from __future__ import annotations

import ctypes
import gc
import platform

import pytest

from poe_proxy.server import allocation
from poe_proxy.server.allocation import return_memory


def test_glibc_is_told() -> None:
    """On Linux with glibc that succeeds; on other systems nothing happens."""
    assert (platform.libc_ver()[0] == "glibc") is return_memory()


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such function, the server starts all the same."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())

    assert not return_memory()


def test_circles_are_looked_for_seldom_and_not_in_what_is_loaded() -> None:
    """The parsed values of a large body are not looked through again and again."""
    before = gc.get_threshold()
    gc.unfreeze()
    try:
        allocation.look_for_circles_less()
        frozen = gc.get_freeze_count()
        found = gc.get_threshold()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

    assert frozen > 1000
    assert (allocation.CIRCLES, allocation.OFTEN, 10) == found
