"""What is noted of one request on its way, for all that tell of it later: the log, metrics, usage
records, the status page, the budgets of clients.

Of a conversation it has counts and names, and never a text; of an account its label.
"""

from __future__ import annotations

import time
from typing import Final

from poe_proxy.chat import Charges, Usage
from poe_proxy.prices import Price

#: The bytes of a token as a rule, where nobody counts them: what a text in English, code, or
#: Chinese has for each of its tokens is between three and five.
BYTES_OF_TOKEN: Final = 4

#: The most tokens of a request that are believed.
MOST_TOKENS: Final = 1_000_000_000

#: The code of a request whose client hung up; its status is 499 unless it had one already.
CLIENT_CLOSED: Final = "client_closed"


class Record:
    """One request: who asked what, what was answered by whom, and how long each part took.

    Times are seconds on a monotonic clock; 0.0 stands for what has not come.
    """

    __slots__ = (
        "account", "answer_size", "at", "began", "bot", "charges", "client", "code", "done",
        "ended", "first_text", "id", "in_line", "joined", "kind", "message", "method", "model",
        "moved_from", "moves", "path", "peer", "pieces", "price", "prompt_size", "queued", "route",
        "sends", "sent", "site_changed", "status", "streams", "their_id", "trace_id", "usage",
    )  # fmt: skip

    def __init__(self, id: str = "-", *, now: float = 0.0, at: float = 0.0) -> None:
        """It came at *now*, which is *at* in seconds since 1970."""
        #: What it is called, and what its client calls it (`x-request-id`), if that is sane.
        self.id = id
        self.their_id = ""
        #: The trace that it is a part of (`traceparent`); empty if it says none.
        self.trace_id = ""
        #: When its head had come: on the monotonic clock, and on the wall's.
        self.began = now
        self.at = at
        #: Who asked: the name of a client; empty where no key is needed, or it was wrong.
        self.client = ""
        #: From where, as the log shows it.
        self.peer = ""
        self.method = ""
        #: The rule of its route, such as `/v1/models/<name>`; empty: there is none.
        self.route = ""
        #: The path as it came.
        self.path = ""
        #: The model as the client wrote it; empty if none was asked.
        self.model = ""
        #: Whether the answer is streamed.
        self.streams = False

        #: The status that was sent, and the `code` of the failure that ended the answer, be it
        #: behind a 200; 499 if the client hung up.
        self.status = 0
        self.code = ""
        #: What is said of that failure, cut, without what may be words of the conversation.
        self.message = ""
        #: Whether it failed because Poe has changed its site, whatever its code is.
        self.site_changed = False

        #: The bot that was asked, as Poe calls it, the account that answered last, and its kind.
        self.bot = ""
        self.account = ""
        self.kind = ""
        #: The codes of the failures for which another try was made, and the accounts that had
        #: them.
        self.moves: tuple[str, ...] = ()
        self.moved_from: tuple[str, ...] = ()
        #: When it first asked for an account, and since when it waits in line; and how long it has
        #: waited in line so far.
        self.joined = 0.0
        self.in_line = 0.0
        self.queued = 0.0
        #: When the first word went out, when the bot had ended, and when the last byte was sent.
        self.first_text = 0.0
        self.done = 0.0
        self.ended = 0.0
        #: When that account was first asked, and how often.
        self.sent = 0.0
        self.sends = 0
        #: How many parts the answer was sent in.
        self.pieces = 0

        #: What the bot costs; None if that is not known.
        self.price: Price | None = None
        #: What Poe counted; None if it counted nothing.
        self.usage: Usage | None = None
        #: What Poe says it takes; None if no bot was asked.
        self.charges: Charges | None = None
        #: Bytes of text that were asked, and characters that were answered, for an estimate.
        self.prompt_size = 0
        self.answer_size = 0

    @property
    def was_asked(self) -> bool:
        """Whether a bot was asked."""
        return bool(self.account)

    @property
    def total(self) -> float:
        """The seconds from its head to the last byte of its answer."""
        return self.ended - self.began

    @property
    def first_text_after(self) -> float | None:
        """The seconds from its head to the first word that went out; None if none did."""
        return self.first_text - self.began if self.first_text else None

    @property
    def overhead(self) -> float:
        """The seconds that it has cost here: what was neither the line nor Poe's."""
        if not self.joined:
            return self.total
        return self.joined - self.began + (self.ended - self.done if self.done else 0.0)

    @property
    def has_answer(self) -> bool:
        """Whether it brought anything: what did not is not paid for, as far as anybody knows."""
        return self.usage is not None or self.answer_size > 0

    @property
    def tokens_in(self) -> int:
        """How many tokens were read: as Poe counts, or estimated; none without an answer."""
        if self.usage is not None:
            return _count(self.usage.prompt_tokens)
        return -(-self.prompt_size // BYTES_OF_TOKEN) if self.has_answer else 0

    @property
    def tokens_out(self) -> int:
        """How many tokens were written: as Poe counts, or estimated."""
        if self.usage is not None:
            return _count(self.usage.completion_tokens)
        return -(-self.answer_size // BYTES_OF_TOKEN)

    @property
    def is_counted(self) -> bool:
        """Whether the tokens are Poe's own count."""
        return self.usage is not None

    @property
    def points(self) -> int | None:
        """The points that Poe says it has taken; None if it has not said so. It may do so shortly
        after the answer."""
        return None if self.charges is None else self.charges.points

    @property
    def estimated_points(self) -> int | None:
        """What the tokens cost by Poe's list; None where it has no price for the bot. A bot that
        was not asked, or said nothing, costs nothing."""
        if not self.was_asked or not self.has_answer:
            return 0
        if self.price is None:
            return None
        return self.price.points(self.tokens_in, self.tokens_out, self._cached_tokens)

    @property
    def _cached_tokens(self) -> int:
        """How many of the tokens that were read Poe calls cached."""
        if self.usage is None or not self.usage.details:
            return 0
        counts = self.usage.details.get("prompt_tokens_details", {})
        return _count(counts.get("cached_tokens", 0))


def _count(given: int) -> int:
    """Return a count of Poe's as far as it can be one."""
    return min(max(0, given), MOST_TOKENS)


def begun(id: str) -> Record:
    """Return the record of a request that comes now."""
    return Record(id, now=time.monotonic(), at=time.time())
