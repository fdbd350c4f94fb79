"""Where the value of each setting comes from, for those who wonder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from poe_proxy.environment import CHOSEN, Environment, Given, Setting, declared
from poe_proxy.lookalikes import is_secret, shown

#: What is shown of a secret: that it is set.
SET: Final = "set"
DEFAULT: Final = "default"
BY_COMMAND: Final = "poe-proxy serve"


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting."""

    name: str
    #: Its value as it was given, `SET` for a secret, and nothing for a default.
    shown: str
    #: `environment`, `.env, line 3`, or a file of its own; `BY_COMMAND` if `serve` has set it, as
    #: nobody else did; `DEFAULT` if it is not set.
    where: str
    setting: Setting = field(repr=False)

    @property
    def is_set(self) -> bool:
        """Whether it has another value than the default, or may have."""
        return self.where != DEFAULT


def origins(settings: type, dotenv: Path) -> list[Origin]:
    """Return all that the dataclass *settings* declares, in order.

    *dotenv* is read for what the environment does not set. Whether the values are right is not
    looked at. Raises OSError or ValueError if *dotenv* cannot be read.
    """
    env = Environment(settings)
    env.read_env(dotenv, recurse=False)
    found = []
    for declaration, one in declared(settings):
        # A file comes first, as it does when the value is read.
        given = next(filter(None, map(env.given, reversed(one.variables))), None)
        if given is None:
            found.append(Origin(one.name, "", DEFAULT, one))
            continue
        is_plain = declaration.repr and not is_secret(given.text)
        found.append(Origin(one.name, _shown(given, one, is_plain), _where(given, one), one))
    return found


def _shown(given: Given, one: Setting, is_plain: bool) -> str:
    if given.name in one.names and is_plain:
        return shown(given.text.strip())[1:-1]
    return SET


def _where(given: Given, one: Setting) -> str:
    if given.name == os.environ.get(CHOSEN):
        return BY_COMMAND
    where = given.line or "environment"
    return where if given.name in one.names else f"the file of {given.name}, {where}"
