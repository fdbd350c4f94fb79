"""The kinds of abuse, by name: what each does, and which answers to it are right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final, TypeAlias

from .wire import Client

#: What a client does; returns how the server took it, see `Kind.allowed`.
Attack: TypeAlias = Callable[[Client], Awaitable[str]]

#: A body that cannot be served: refused with a reason.
REFUSED: Final = ("400 *", "413 *")
#: A bot that twice did not answer in the form that was asked for.
UNUSABLE: Final = ("502 invalid_json_answer", "502 tool_call_invalid")
#: What any client may hear while the server has enough to do.
BUSY: Final = ("429 *", "503 *", "529 *")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of abuse."""

    name: str
    attack: Attack
    #: Patterns of outcomes: a status and the code of an error, or its type if it has none;
    #: `cut` if there was no answer, `held` for a client that holds on until it is told to leave.
    allowed: tuple[str, ...]
    #: The size at which a test tries it.
    small: float

    @property
    def holds(self) -> bool:
        """Whether its clients may hold on for as long as they like."""
        return "held" in self.allowed

    def is_right(self, outcome: str, *, busy: bool = False) -> bool:
        """Whether the server may answer like that; *busy*: while others abuse it too."""
        return any(fnmatch(outcome, one) for one in (*self.allowed, *(BUSY if busy else ())))


#: What `kind` was put on so far; `catalogue` has all.
NOTED: Final[dict[str, Kind]] = {}


def kind(*allowed: str, small: float = 0.05) -> Callable[[Attack], Attack]:
    """Return a decorator that makes a function a kind of abuse, named after it."""

    def note(attack: Attack) -> Attack:
        name = attack.__name__.replace("_", "-")
        NOTED[name] = Kind(name, attack, allowed, small)
        return attack

    return note
