"""The group of all sub-commands."""

from __future__ import annotations

import io
import logging
import os
import sys
from importlib import import_module

import click

from poe_proxy import __version__
from poe_proxy.command import COMMANDS


class _Commands(click.Group):
    """Imports a sub-command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all sub-commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the sub-command of that name, None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"poe_proxy.command.{cmd_name}").command
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="poe-proxy", message="%(prog)s %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Your Poe subscription behind the APIs of OpenAI and Anthropic.

    `poe-proxy demo` shows it without an account. Settings come from the environment and from .env
    in this folder.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False


def main() -> None:
    """Run the sub-command that the command line names."""
    # Some terminals cannot show what bots write, and some files are no text.
    for stream, errors in (
        (sys.stdin, "replace"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    # What is wrong is said once, by the sub-command.
    package = logging.getLogger("poe_proxy")
    package.addHandler(logging.NullHandler())
    package.propagate = False
    commands(prog_name="poe-proxy")
