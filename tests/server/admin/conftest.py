from __future__ import annotations

from collections.abc import Iterator

import pytest

from .owner import Owner


@pytest.fixture
def owner() -> Iterator[Owner]:
    made = Owner()
    yield made
    made.close()
