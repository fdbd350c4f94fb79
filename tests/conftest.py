"""The order of the tests."""

from __future__ import annotations

import pytest

#: Folders of tests that start servers, or programs that others wrote; and files that count steps.
_LONG = {"with_sim", "clients", "chaos", "test_linear.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first: in the end, every worker has something to do until all are done."""
    items.sort(key=lambda item: _LONG.isdisjoint(item.path.parts))
