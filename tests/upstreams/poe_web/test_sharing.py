"""Work that several threads want at once: it is done once, and again after a failure."""

from __future__ import annotations

import pytest

from poe_proxy.errors import UpstreamTimeout
from poe_proxy.net.background import Background
from poe_proxy.upstreams.poe_web.sharing import Shared

from .fakes import Door


def test_what_is_known_is_not_done_again() -> None:
    """The work is not even begun."""
    assert "known" == Shared[str]().get(lambda: "known", lambda: pytest.fail("done again"))


def test_a_failure_is_shared_by_all_that_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each raises a copy of its own; the next call does the work anew."""
    shared: Shared[str] = Shared()
    door = Door()
    monkeypatch.setattr(shared, "_lock", door)
    begun = []

    def fail() -> str:
        begun.append("work")
        for _ in range(3):
            assert door.visitors.acquire(timeout=60)
        raise UpstreamTimeout("Silence.")

    failures = []
    for one in [Background(lambda: shared.get(lambda: None, fail)) for _ in range(3)]:
        with pytest.raises(UpstreamTimeout) as raised:
            one.result()
        failures.append(raised.value)

    assert 3 == len({id(one) for one in failures})
    assert ["work"] == begun
    assert "done" == shared.get(lambda: None, lambda: "done")
