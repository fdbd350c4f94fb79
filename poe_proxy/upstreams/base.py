"""What every upstream offers to the gateway."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from poe_proxy.chat import ChatRequest, Idle, Message, ReplyEvent
from poe_proxy.errors import UpstreamError
from poe_proxy.pool.known import Funds

#: The most seconds of a wait that a hang-up does not end.
TICK: Final = 0.5


class Permit(Protocol):
    """The permit to send, for one reply."""

    def __call__(self) -> Generator[Idle, None, None]:
        """Return once one request may be sent, and count the use from that moment on.

        Asked for before each request for an answer, repeats included: `yield from turn()`, or in
        a thread `for _ in turn(): pass`. What is granted is to be sent at once. Raises
        `TokenHeldBack` if that would take too long.
        """

    def arrived(self) -> None:
        """Note that Poe has answered what was sent last: so it had arrived by now.

        Until then a use counts from no later than 5 s after its sending. May be called more than
        once, and by any thread.
        """

    def refused(self, failure: UpstreamError) -> None:
        """Note what Poe said of the token in answer to what was sent, if no reader is left for it.

        May be called behind the end of the reply, and by any thread.
        """


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
    #: It passes on requests of Anthropic's Messages API as they are (`ChatRequest.as_messages`),
    #: with all that they ask for.
    messages: bool = False
    #: Poe tells with each reply what it takes, which is noted in the request's `Charges`.
    tells_costs: bool = False
    #: It wants to know what answer the client was given in the end.
    remembers: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """What Poe has taken from an account for one request, as its history tells it."""

    id: str
    #: The bot, as Poe calls it.
    bot: str
    #: In microseconds since 1970.
    at: int
    points: int
    #: Whether it was asked by the API, and not on the site.
    is_api: bool = True


@dataclass(frozen=True, slots=True)
class ChargesPage:
    """A page of an account's history, the newest first."""

    charges: Sequence[Charge]
    has_more: bool = False


@runtime_checkable
class HasCharges(Protocol):
    """An account whose history can be read."""

    def charges(self, after: str = "") -> ChargesPage:
        """Ask Poe for the charges before the one of that id, or for the newest; raises
        `UpstreamError`."""


class Upstream(Protocol):
    """One account at Poe, by one of the two ways that lead there."""

    def abilities(self, bot: str) -> Abilities:
        """Return what it does by itself for *bot*, as far as is known. Does not wait."""

    def reply(self, chat: ChatRequest, bot: str, turn: Permit) -> Generator[ReplyEvent, None, None]:
        """Yield what *bot* answers as it arrives, ending with `Done`.

        It asks *turn* before each request for an answer.
        `Idle` comes after each wait in which there was nothing to say: a wait for the bot lasts
        `chat.listener.patience` seconds at most, and ends as soon as the client hangs up
        (`chat.listener.wakes`); any other, such as for a login, lasts `TICK` seconds.
        Closing the generator hangs up: the bot is stopped at Poe, and nothing that
        was acquired stays behind. Every failure is raised as an `UpstreamError`,
        whatever library it comes from.
        """

    def answered(self, chat: ChatRequest, answer: Message) -> None:
        """Note that the client was given *answer*, whole, for *chat*: called before the `Done` of
        its reply passes, and only if this upstream remembers. Does not wait."""

    def balance(self) -> Funds:
        """Ask Poe for the points that are left; raises `UpstreamError`."""

    def let_go(self) -> None:
        """Give back what is kept between replies, unless there is one: the account is used from
        elsewhere now. It may come back: the next reply, or look, begins anew. May wait."""

    def close(self) -> None:
        """Give back what is kept between replies: connections, a websocket."""
