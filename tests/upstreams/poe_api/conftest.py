from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.upstreams.poe_api import PoeApi, client
from tests.fakes import Clock

from .scripted import KEY, FakeWire, Make, Steps


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes an upstream on a wire with these scripts."""

    def make(*scripts: Steps, **options: Any) -> tuple[PoeApi, FakeWire]:
        clock = Clock()
        wire = FakeWire(clock, *scripts)
        monkeypatch.setattr(client, "Host", wire)
        return PoeApi(KEY, clock=clock, **options), wire

    return make
