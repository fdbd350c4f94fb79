"""`python -m poe_proxy`: the command; without a sub-command, it serves.

So a service starts the server, and whatever follows is gunicorn's. `poe-proxy`, which people type,
shows its help then.
"""

from __future__ import annotations

import sys

from poe_proxy.command import COMMANDS, launching


def main() -> None:
    """Run the sub-command that the command line begins with, or serve."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first in (*COMMANDS, "--version", "--help", "-h"):
        from poe_proxy.command.main import main as run

        run()
    launching.serve(sys.argv[1:])


if __name__ == "__main__":
    main()
