"""The command as a whole: its sub-commands, and how it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import Result

from poe_proxy import __main__, __version__
from poe_proxy.command import COMMANDS, launching

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_sub_command_has_a_module_of_its_name(name: str) -> None:
    """Which says in a line what it is for."""
    command = import_module(f"poe_proxy.command.{name}").command

    assert isinstance(command, click.Command)
    assert command.help
    assert len(command.get_short_help_str(80)) > 10


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_by_itself_it_shows_its_help(run: Callable[..., Result], arguments: tuple[str]) -> None:
    """Each sub-command is there, in a line."""
    shown = run(*arguments).output

    assert [] == [name for name in COMMANDS if f"\n  {name} " not in shown]


def test_it_tells_its_version(run: Callable[..., Result]) -> None:
    """The one of the package."""
    assert f"poe-proxy {__version__}\n" == run("--version").output


def test_a_sub_command_that_there_is_not_is_one_line(run: Callable[..., Result]) -> None:
    """And the status is that of a wrong command line."""
    result = run("sevre")

    assert 2 == result.exit_code
    assert "No such command 'sevre'" in result.output


@pytest.mark.parametrize(
    "arguments", [[], ["--check-config"], ["--graceful-timeout", "6"], ["--bind", "x"]]
)
def test_the_module_serves_where_no_sub_command_is_given(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service and a container start it so; what follows is gunicorn's, as ever."""
    became = []
    monkeypatch.setattr(sys, "argv", ["poe_proxy", *arguments])
    monkeypatch.setattr(os, "execv", lambda path, command: became.append(command))

    __main__.main()

    assert [[*launching.gunicorn(), *arguments]] == became


def test_to_serve_imports_no_more_than_to_read_the_environment() -> None:
    """Neither the settings nor any sub-command: gunicorn is there at once."""
    script = (
        "import os, sys\n"
        "from poe_proxy import __main__\n"
        "os.execv = lambda *_: print(*sys.modules)\n"
        "sys.argv = ['poe_proxy']\n"
        "__main__.main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = set(ran.stdout.split())

    assert {"poe_proxy.command", "poe_proxy.command.launching"} == {
        name for name in imported if name.startswith("poe_proxy.command")
    }
    assert set() == imported & {"click", "poe_proxy.settings", "poe_proxy.startup"}
