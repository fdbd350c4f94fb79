"""What the audit log has of clients."""

from __future__ import annotations

import pytest

from poe_proxy.clients.client import Client
from poe_proxy.clients.known import Known
from poe_proxy.clients.registry import Registry
from poe_proxy.record import Record

from ..fakes import log_lines

BEFORE = {b"1": Client(name="alice"), b"2": Client(name="ben", enabled=False)}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({b"1": Client(name="alice", enabled=False), b"2": BEFORE[b"2"]}, "disabled: alice"),
        ({b"2": BEFORE[b"2"]}, "gone: alice"),
        ({b"1": BEFORE[b"1"], b"2": Client(name="ben")}, "changed: ben"),
        ({**BEFORE, b"3": Client(name="zoe", enabled=False)}, "new: zoe"),
    ],
    ids=["switched off", "taken away", "switched on", "new"],
)
def test_the_audit_log_names_clients_that_a_reload_disables(
    after: dict[bytes, Client], said: str
) -> None:
    """Those that are switched off, and those that are taken away, each as what it is."""
    registry = Registry(Known(BEFORE))
    with log_lines() as lines:
        registry.replace(Known(after), begins=0.0)

    assert lines.getvalue().endswith(f"clients that changed: {said}\n")
    assert 1 == lines.getvalue().count("\n")


def test_what_all_workers_remember_of_a_client_is_shown() -> None:
    """While nobody can say, what this one remembers."""
    seen: dict[str, tuple[float, dict[str, int]]] | None = {"alice": (60.0, {"invalid_request": 3})}
    registry = Registry(Known(BEFORE), seen=lambda: seen)
    record = Record(at=120.0)
    record.client, record.status, record.code = "ben", 429, "rate_limit_exceeded"
    registry.told(record)

    def shown() -> list[tuple[str, str | None, dict[str, int]]]:
        return [(one["name"], one["last_seen"], one["refused"]) for one in registry.overview()]

    assert [
        ("alice", "1970-01-01T00:01:00Z", {"invalid_request": 3}),
        ("ben", None, {}),
    ] == shown()
    seen = None
    assert [
        ("alice", None, {}),
        ("ben", "1970-01-01T00:02:00Z", {"rate_limit_exceeded": 1}),
    ] == shown()
