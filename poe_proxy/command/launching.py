"""Becomes gunicorn, with the configuration of this package.

gunicorn reads `FORWARDED_ALLOW_IPS` and `WEB_CONCURRENCY` from the environment before any file of
ours, and refuses wrong ones in its own way: the user would hear of all other mistakes one start
later. So these are looked at here; everything else is checked by the configuration, before anything
is served.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from dotenv.parser import parse_stream
from environs import ValidationError

from poe_proxy.checks import are_networks
from poe_proxy.environment import CHOSEN, FILE, as_list, dotenv

CONFIGURATION: Final = Path(__file__).resolve().parents[1] / "gunicorn_conf.py"
#: The setting that lets limits hold over a restart, and the file where the command has it.
STATE: Final = "STATE_FILE"
STATE_FILE: Final = ".state/state.sqlite3"
#: The setting that says how many workers there are.
WORKERS: Final = "WEB_CONCURRENCY"
#: Where a server that listens on all addresses is reached from this computer.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def serve(arguments: Sequence[str] = ()) -> NoReturn:
    """Become gunicorn, with *arguments* behind its own.

    Exits with the one message that names every bad setting if gunicorn would stop at one of them.
    """
    try:
        are_networks(as_list(os.environ.get("FORWARDED_ALLOW_IPS", "")))
        if not (workers := os.environ.get(WORKERS, "1").strip()):
            os.environ[WORKERS] = workers = "1"  # blank: not set
        int(workers)
    except (ValidationError, ValueError):
        _name_every_mistake()
    command = [*gunicorn(), *arguments]
    os.execv(command[0], command)


def keep_state() -> None:
    """Let the limits hold over a restart, unless `STATE_FILE` is set, in `.env` too: to nothing,
    for one."""
    names = {STATE, f"{STATE}{FILE}"}
    if not names & (os.environ.keys() | _set_in(dotenv())):
        os.environ |= {STATE: STATE_FILE, CHOSEN: STATE}


def _set_in(path: Path) -> set[str]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return {one.key for one in parse_stream(lines) if one.key is not None}
    except (OSError, ValueError):
        return set()  # what is wrong with it is said when it is read


def gunicorn() -> list[str]:
    """Return the command that serves the app."""
    script = Path(sys.executable).with_name("gunicorn")
    # Of the same environment, whatever PATH says. Scripts may also have been installed elsewhere.
    runs = [str(script)] if script.exists() else [sys.executable, "-P", "-m", "gunicorn"]
    return [*runs, "-c", str(CONFIGURATION), "poe_proxy.wsgi:app"]


def reached_at(host: str) -> str:
    """Return where this computer reaches a server on *host*, in a URL's form."""
    host = host.strip("[] ")
    host = _EVERYWHERE.get(host, host)
    return f"[{host}]" if ":" in host else host


def _name_every_mistake() -> None:
    # Only now: half of the program is imported with it.
    from poe_proxy.settings import BadSettings
    from poe_proxy.startup import read_settings

    try:
        read_settings()
    except BadSettings as bad:
        sys.exit(str(bad))
