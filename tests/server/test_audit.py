"""What is kept of keys that were refused."""

from __future__ import annotations

import hashlib
import re
from types import SimpleNamespace
from typing import Any

import pytest

from poe_proxy.record import Record
from poe_proxy.server import hooks
from poe_proxy.server.audit import MOST_REFUSED, RefusedKeys

from ..fakes import Clock, log_lines
from .site import Site


def test_a_refused_key_is_known_by_the_beginning_of_its_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Enough to see that it is the same one again, and never the key."""
    monkeypatch.setattr(hooks, "refused_keys", RefusedKeys())
    with log_lines() as lines:
        Site().get("/v1/models", headers={"Authorization": "Bearer sk-an-old-key"})
        Site().get("/v1/models", headers={})
    said = [line for line in lines.getvalue().splitlines() if "key refused" in line]
    digest = hashlib.sha256(b"sk-an-old-key").hexdigest()

    assert [f"key refused: {digest[:6]}... from 127.0.0.1"] == [
        re.split(" +", line, maxsplit=4)[4] for line in said
    ]
    assert digest[:7] not in lines.getvalue()
    assert "sk-an-old" not in lines.getvalue()


def test_whoever_tries_keys_does_not_fill_the_log() -> None:
    """What was left out is counted."""
    clock = Clock()
    refused = RefusedKeys(clock)
    request: Any = SimpleNamespace(environ={"HTTP_X_API_KEY": "sk-wrong"}, record=Record())
    with log_lines() as lines:
        for _ in range(1000):
            refused.tell(request)
        assert MOST_REFUSED == lines.getvalue().count("\n")
        clock.go(60)
        refused.tell(request)

    assert lines.getvalue().endswith(f" ({1000 - MOST_REFUSED} more were not logged)\n")
