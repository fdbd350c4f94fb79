"""Becomes gunicorn, with the configuration of this package.

gunicorn reads `FORWARDED_ALLOW_IPS` from the environment before any file of ours, and refuses a
wrong one with a line of its own: the user would hear of all other mistakes one start later. So that
one is looked at here; everything else is checked by the configuration, before anything is served.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from environs import ValidationError

from poe_proxy.checks import are_networks
from poe_proxy.environment import as_list

CONFIGURATION: Final = Path(__file__).resolve().parents[1] / "gunicorn_conf.py"


def serve(arguments: Sequence[str] = ()) -> NoReturn:
    """Become gunicorn, with *arguments* behind its own.

    Exits with the one message that names every bad setting if gunicorn would stop at one of them.
    """
    try:
        are_networks(as_list(os.environ.get("FORWARDED_ALLOW_IPS", "")))
    except ValidationError:
        _name_every_mistake()
    command = [*gunicorn(), *arguments]
    os.execv(command[0], command)


def gunicorn() -> list[str]:
    """Return the command that serves the app."""
    script = Path(sys.executable).with_name("gunicorn")
    # Of the same environment, whatever PATH says. Scripts may also have been installed elsewhere.
    runs = [str(script)] if script.exists() else [sys.executable, "-P", "-m", "gunicorn"]
    return [*runs, "-c", str(CONFIGURATION), "poe_proxy.wsgi:app"]


def _name_every_mistake() -> None:
    # Only now: half of the program is imported with it.
    from poe_proxy.settings import BadSettings
    from poe_proxy.startup import read_settings

    try:
        read_settings()
    except BadSettings as bad:
        sys.exit(str(bad))
