"""`python -m poe_proxy`: starts gunicorn with the `gunicorn.conf.py` of this project.

gunicorn reads `FORWARDED_ALLOW_IPS` from the environment before any file of ours, and refuses a
wrong one with a line of its own: the user would hear of all other mistakes one start later. So that
one is looked at here; everything else is checked by the configuration, before anything is served.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from environs import ValidationError

from poe_proxy.checks import are_networks
from poe_proxy.environment import as_list

CONFIGURATION = Path(__file__).resolve().parents[1] / "gunicorn.conf.py"


def main() -> NoReturn:
    """Become gunicorn, with the arguments of the command line behind its own.

    Exits with the one message that names every bad setting if gunicorn would stop at one of them.
    """
    try:
        are_networks(as_list(os.environ.get("FORWARDED_ALLOW_IPS", "")))
    except ValidationError:
        _name_every_mistake()
    # Of the same environment, whatever PATH says.
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    os.execv(gunicorn, [gunicorn, "-c", str(CONFIGURATION), "wsgi:app", *sys.argv[1:]])


def _name_every_mistake() -> None:
    # Only now: half of the program is imported with it.
    from poe_proxy.settings import BadSettings
    from poe_proxy.startup import read_settings

    try:
        read_settings()
    except BadSettings as bad:
        sys.exit(str(bad))


if __name__ == "__main__":
    main()
