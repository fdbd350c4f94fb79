"""What several sub-commands take: a file in place of `.env`, a server that runs, a key for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from poe_proxy.command import launching
from poe_proxy.environment import OTHER_DOTENV, dotenv

if TYPE_CHECKING:
    from poe_proxy.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def _use(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None:
        os.environ[OTHER_DOTENV] = str(path.absolute())


#: `--env FILE`: all that is read from then on is read from there.
env = click.option(
    "--env",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_use,
    expose_value=False,
    metavar="FILE",
    help="Read this file in place of .env.",
)


def server(command: F) -> F:
    """Give *command* the options `--url` and `--key`."""
    with_key = click.option(
        "--key",
        help="A key of that server; by default one of the settings, which nobody sees in the list "
        "of processes.",
    )
    with_url = click.option(
        "--url", help="A server that runs, such as http://nas:8080; by default the settings'."
    )
    return with_url(with_key(command))


def settings() -> Settings:
    """Return the settings as the server would have them; exits with the one message that names
    every problem."""
    # Not for `serve`, which leaves that to the server.
    from poe_proxy.settings import BadSettings
    from poe_proxy.startup import read_settings

    launching.keep_state()
    try:
        return read_settings()
    except BadSettings as bad:
        sys.exit(str(bad))


def settings_that_are_right() -> tuple[Settings, dict[str, list[str]]]:
    """Return the settings, with defaults for those that are wrong, and what is wrong with them."""
    from poe_proxy import configuration
    from poe_proxy.settings import BadSettings, Settings
    from poe_proxy.startup import read_settings

    launching.keep_state()
    try:
        return read_settings(), {}
    except BadSettings as bad:
        problems = dict(bad.problems)
    try:
        found = configuration.read(Settings, dotenv(), needed={}, checks={})
    except BadSettings:
        return Settings(auth_keys=()), problems
    return Settings(**{"auth_keys": (), **found.values}), problems
