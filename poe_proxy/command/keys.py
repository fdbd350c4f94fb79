"""`poe-proxy keys`: keys for people."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import Final

import click

from poe_proxy import tables
from poe_proxy.clients.known import OF_AUTH_KEY_NAME

#: A name that a table of TOML may have without quotes.
_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,50}")
#: Bytes of a key that come from chance.
_CHANCE: Final = 32


@click.group()
def command() -> None:
    """Make keys for the people who use the server."""


@command.command()
@click.argument("name")
def new(name: str) -> None:
    """Print a new key for NAME, and the lines for the file that CLIENTS names.

    The key is kept nowhere: give it to whoever it is for. The file needs only its digest.
    """
    try:
        tables.label(name)
    except ValueError as bad:
        raise click.BadParameter(str(bad), param_hint="NAME") from None
    if OF_AUTH_KEY_NAME.fullmatch(name):
        raise click.BadParameter("The keys in AuthKey are called so.", param_hint="NAME")
    key = f"sk-{secrets.token_urlsafe(_CHANCE)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    # A quoted key of TOML is written like a string of JSON.
    table = name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    click.echo(f"# The key of {name}, which is shown only now:")
    click.secho(key, bold=True)
    click.echo("\n# For the file that CLIENTS names:")
    click.echo(f'[clients.{table}]\nkey_sha256 = "{digest}"')
