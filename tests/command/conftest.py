from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poe_proxy.command.main import commands
from poe_proxy.environment import declared
from poe_proxy.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, and an environment without settings, which is as it was afterwards."""
    before = dict(os.environ)
    for _, one in declared(Settings):
        for name in one.variables:
            os.environ.pop(name, None)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run the command with these arguments, and nobody at a terminal."""
    return lambda *arguments, **options: CliRunner().invoke(commands, arguments, **options)
