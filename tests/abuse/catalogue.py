"""The catalogue: all kinds of abuse, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import agents, answers, connections, contents, readers
from .kinds import NOTED, Kind

#: In the order of their modules.
KINDS: Final[Mapping[str, Kind]] = {
    name: kind
    for module in (connections, contents, answers, agents, readers)
    for name, kind in NOTED.items()
    if kind.attack.__module__ == module.__name__
}
