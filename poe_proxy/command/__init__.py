"""`poe-proxy`, the command: a module for each sub-command, which holds it as `command`.

A sub-command is one question or one act, and a process of its own. So each imports what it needs
when it is asked for, and the server's start imports none of them.
"""

from __future__ import annotations

from typing import Final

#: The sub-commands, in the order in which the help shows them.
COMMANDS: Final = (
    "serve",
    "demo",
    "check",
    "models",
    "chat",
    "keys",
    "usage",
    "reload",
    "status",
    "doctor",
    "discover",
    "report",
)
