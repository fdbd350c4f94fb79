"""What every upstream offers to the gateway."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, Protocol

from poe_proxy.chat import ChatRequest, ReplyEvent, Sending

#: The longest time in seconds that an upstream stays silent before it yields `Idle`.
TICK: Final = 0.5


class Upstream(Protocol):
    """One account at Poe, by one of the two ways that lead there."""

    def reply(self, chat: ChatRequest, bot: str) -> Generator[ReplyEvent | Sending, None, None]:
        """Yield what *bot* answers as it arrives, ending with `Done`.

        `Sending` comes before each request for an answer.
        `Idle` comes at least every `TICK` seconds while there is nothing to say.
        Closing the generator hangs up: the bot is stopped at Poe, and nothing that
        was acquired stays behind. Every failure leaves as an `UpstreamError`,
        whichever library it began in.
        """

    def balance(self) -> int:
        """Ask Poe for the points that are left; raises `UpstreamError`."""

    def close(self) -> None:
        """Give back what is kept between replies: connections, a websocket."""
