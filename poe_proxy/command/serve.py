"""`poe-proxy serve`."""

from __future__ import annotations

import click

from poe_proxy.command import launching


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[GUNICORN'S OPTIONS]...")
def command(arguments: tuple[str, ...]) -> None:
    """Serve the APIs, until Ctrl-C."""
    launching.serve(arguments)
