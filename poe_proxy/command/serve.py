"""`poe-proxy serve`."""

from __future__ import annotations

import click

from poe_proxy.command import launching, options


@click.command(context_settings={"ignore_unknown_options": True})
@options.env
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[GUNICORN'S OPTIONS]...")
def command(arguments: tuple[str, ...]) -> None:
    """Serve the APIs until Ctrl-C.

    Limits hold over a restart: unless STATE_FILE is set, what was used is kept in .state in this
    folder.
    """
    launching.keep_state()
    launching.serve(arguments)
