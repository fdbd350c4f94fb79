from __future__ import annotations

import pytest

from .site import Site


@pytest.fixture
def site() -> Site:
    """An app whose one token answers a greeting."""
    return Site()
