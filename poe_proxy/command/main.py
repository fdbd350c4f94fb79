"""The group of all sub-commands."""

from __future__ import annotations

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
@click.version_option(__version__, prog_name="poe-proxy")
def commands() -> None:
    """Your Poe subscription behind the APIs of OpenAI and Anthropic."""


def main() -> None:
    """Run the command that the command line names."""
    commands(prog_name="poe-proxy")
