"""What every upstream offers to the gateway."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from poe_proxy.chat import ChatRequest, Idle, ReplyEvent

#: The longest time in seconds that an upstream stays silent before it yields `Idle`.
TICK: Final = 0.5

#: The permit to send: `yield from turn()` returns once the token may be used, and counts the use
#: from that moment on. Raises `NoTokenFree` if that would take too long.
Permit: TypeAlias = Callable[[], Generator[Idle, None, None]]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an upstream does by itself for a bot; the rest is done in `shaping`.

    JSON and stop words have no place here: whatever the bot heeds, its JSON is checked and its
    text searched for stop words.
    """

    #: It passes tools on to the bot, and the bot's calls back.
    tools: bool = False
    #: It ends the answer at `max_tokens`.
    length: bool = False


class Upstream(Protocol):
    """One account at Poe, by one of the two ways that lead there."""

    def abilities(self, bot: str) -> Abilities:
        """Return what it does by itself for *bot*, as far as is known. Does not wait."""

    def reply(self, chat: ChatRequest, bot: str, turn: Permit) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers as it arrives, ending with `Done`.

        It calls `yield from turn()` before each request for an answer.
        `Idle` comes at least every `TICK` seconds while there is nothing to say.
        Closing the generator hangs up: the bot is stopped at Poe, and nothing that
        was acquired stays behind. Every failure is raised as an `UpstreamError`,
        whatever library it comes from.
        """

    def balance(self) -> int:
        """Ask Poe for the points that are left; raises `UpstreamError`."""

    def close(self) -> None:
        """Give back what is kept between replies: connections, a websocket."""
