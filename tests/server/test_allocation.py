"""Memory of large blocks: who can be told to give it back."""

from __future__ import annotations

import ctypes
import platform

import pytest

from poe_proxy.server.allocation import return_memory


def test_glibc_is_told() -> None:
    """On Linux with glibc that succeeds; on other systems nothing happens."""
    assert (platform.libc_ver()[0] == "glibc") is return_memory()


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no such function, the server starts all the same."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())

    assert not return_memory()
