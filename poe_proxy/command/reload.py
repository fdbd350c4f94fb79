"""`poe-proxy reload`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from poe_proxy.command import asking, options, screen


@click.command()
@options.env
@options.server
def command(url: str | None, key: str | None) -> None:
    """Let the server that runs read its settings anew. It needs ADMIN_KEY.

    Replies under way go on. A mistake in the settings is told, and changes nothing.
    """
    with asking.admin(url, key) as server:
        answer = server.request("POST", "/admin/reload")
        told = asking.object_of(answer.read())
    if "outcome" not in told:
        raise asking.refusal(answer.status, told)
    if told["outcome"] == "reloaded":
        click.secho("reloaded", fg="green")
        return
    screen.fault("not reloaded, the server goes on as before:")
    problems = told.get("problems")
    for name, why in problems.items() if isinstance(problems, Mapping) else ():
        # A file may have several faults, a line each.
        said = "\n".join(map(str, why if isinstance(why, list) else [why]))
        first, *others = (screen.line(one.strip(), 2000) for one in said.split("\n"))
        click.echo("\n    ".join([f"  {screen.line(str(name))}: {first}", *others]))
    sys.exit(1)
