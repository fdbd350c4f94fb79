"""One turn of a chat: what the websocket says about it, as reply events.

Free of I/O and of threads; time is passed in. Web protocol sheet §12 to §14, §25.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from poe_proxy.chat import Done, Replaced, ReplyEvent, Text
from poe_proxy.errors import UpstreamInterrupted
from poe_proxy.upstreams.poe_web.graphql import failed_state
from poe_proxy.upstreams.poe_web.open_chats import OpenChat

#: Seconds that a turn waits for its job's end after a complete message, and for a complete
#: message after its job's end.
AFTER_MESSAGE: Final = 1.0
AFTER_JOB: Final = 2.0
#: How often the history is asked for a message that stays away, or unfinished, after its job's
#: end.
LOOKS: Final = 2

#: The most messages that a bot may begin in one turn.
MAX_MESSAGES: Final = 1000
#: Characters that are said again because an earlier message of the turn has changed: each time it
#: is all of the other messages, however little has changed.
MAX_REPEATED: Final = 64_000_000

_NOT_OF_THE_BOT: Final = frozenset({"human", "chat_break", "pacarana"})
_JOB_GOES_ON: Final = frozenset({"not_started", "running"})


@dataclass(slots=True)
class Turn:
    """A prompt and the bot's answer to it."""

    client_nonce: str
    chat_nonce: str
    chat_id: int | None = None
    human_id: int | None = None
    #: The chat as the last turn left it; None if this is the first one there.
    before: OpenChat | None = None
    #: The job of the bot.
    job: int | None = None
    #: The bot's messages in the order of their first frames: id -> text.
    texts: dict[int, str] = field(default_factory=dict, repr=False)
    is_over: bool = False
    #: Whether the channel reports jobs; if not, a complete message is the end.
    jobs_are_reported: bool = True
    #: Whether the job's end is no end as long as it is not known whether its messages are all here.
    holds_on: bool = False
    job_is_over: bool = False
    _complete: set[int] = field(default_factory=set)
    #: When the turn ends unless something else comes before.
    _ends_at: float | None = None
    #: How often the history had nothing new about a message that is missing or unfinished.
    _looks: int = 0
    #: Characters that were said again although they had not changed.
    _repeated: int = 0

    def __post_init__(self) -> None:
        if self.before is not None:
            # What is not newer belongs to the turns before.
            self.human_id = self.before.newest

    @property
    def has_spoken(self) -> bool:
        """Whether the bot has said anything."""
        return any(self.texts.values())

    def accepted(self, answer: Mapping[str, Any]) -> None:
        """Note what the answer to the sending says: `messageEdgeCreate` (§10.1)."""
        self.chat_id = chat_of(answer, self.before) or self.chat_id
        match answer:
            case {"message": {"node": {"messageId": int(number)}}}:
                self.human_id = number
        match answer:
            case {"job": {"jobId": int(number)}}:
                self.job = number

    def left(self) -> OpenChat | None:
        """Return the chat as it is now that the turn is over; None if it is not, or not known."""
        if self.chat_id is None or not self.is_over or not self.texts:
            return None
        return OpenChat(self.chat_id, max(self.texts), self.job)

    def feed(self, name: str, content: Mapping[str, Any], now: float) -> Sequence[ReplyEvent]:
        """Take one pushed object; return what it means for the reply.

        Raises the `UpstreamError` of a message that failed, and `UpstreamInterrupted` for a bot
        that writes without measure.
        """
        if self.is_over:
            return ()
        match name:
            case "messageAdded" | "messageTextUpdated":
                return self._message(content, now)
            case "messageCancelled":
                return self._end()
            case "jobStarted" | "jobUpdated":
                state, job = content.get("state"), content.get("jobId")
                if isinstance(job, int):
                    if self.before is not None and job == self.before.job:
                        return ()
                    self.job = job
                if state and isinstance(state, str) and state not in _JOB_GOES_ON:
                    self.job_is_over = True
                    return self._end_if_complete(now)
        return ()

    def read(self, messages: Iterable[Mapping[str, Any]], now: float) -> Sequence[ReplyEvent]:
        """Take the messages that the chat has in the history; return what they mean for the reply.

        Raises what `feed` does.
        """
        holds_on, self.holds_on = self.holds_on, True  # until the last of them is known
        news = [event for message in messages for event in self.feed("messageAdded", message, now)]
        self.holds_on = holds_on
        if self._is_complete and not self.is_over:
            news += self._end_if_complete(now)
        return news

    def _message(self, message: Mapping[str, Any], now: float) -> Sequence[ReplyEvent]:
        number, author = message.get("messageId"), message.get("author")
        if author == "human" and message.get("clientNonce") == self.client_nonce:
            self.human_id = number if isinstance(number, int) else self.human_id
        if not isinstance(number, int) or not isinstance(author, str | None):
            return ()
        if author in _NOT_OF_THE_BOT:
            return ()
        if author is None and number not in self.texts:
            return ()
        if self.human_id is not None and number <= self.human_id:
            return ()
        state, text = message.get("state"), message.get("text")
        if state not in (None, "incomplete", "complete", "cancelled"):
            raise failed_state(str(state), self._complaint(number, message))
        if number not in self.texts and len(self.texts) >= MAX_MESSAGES:
            raise UpstreamInterrupted("The bot began too many messages.")
        news: Sequence[ReplyEvent] = ()
        if isinstance(text, str):
            known = self.texts.get(number)
            # History and websocket may overtake each other: an older text may come again.
            is_behind = state == "incomplete" and known is not None and known.startswith(text)
            if text != known and not is_behind:
                self.texts[number] = text
                news = self._news(number, known or "", text)
        if state == "cancelled":
            return (*news, *self._end())
        if state == "complete":
            self.texts.setdefault(number, "")
            self._complete.add(number)
            return (*news, *self._end_if_complete(now))
        if state == "incomplete":
            self._complete.discard(number)
            self._ends_at = now + AFTER_JOB if self.job_is_over else None
        return news

    def _complaint(self, number: int, message: Mapping[str, Any]) -> str:
        """Return what a failed message says about its failure, never what the bot said before."""
        found = message.get("messageStateText")
        if not found and not self.texts.get(number):
            found = message.get("text")
        return found if isinstance(found, str) else ""

    def _news(self, number: int, known: str, text: str) -> Sequence[ReplyEvent]:
        """Return what changes in the whole, now that the *text* of message *number* is no longer
        what was *known*. The whole is only put together where it has to be said again."""
        if text == known:
            return ()
        is_last = number == next((one for one in reversed(self.texts) if self.texts[one]), number)
        if is_last and text.startswith(known):
            is_first = number == next(one for one in self.texts if self.texts[one])
            gap = "" if known or is_first else "\n\n"
            return (Text(gap + text[len(known) :]),)
        whole = "\n\n".join(one for one in self.texts.values() if one)
        self._repeated += len(whole) - len(text)
        if self._repeated > MAX_REPEATED:
            raise UpstreamInterrupted("The bot rewrote its messages too often.")
        return (Replaced(whole),)

    @property
    def _is_complete(self) -> bool:
        return bool(self.texts) and self._complete >= self.texts.keys()

    def _end_if_complete(self, now: float) -> Sequence[ReplyEvent]:
        is_over = self.job_is_over or not self.jobs_are_reported
        if self._is_complete and is_over and not self.holds_on:
            return self._end()
        if self._is_complete:
            self._ends_at = now + AFTER_MESSAGE
        elif self.job_is_over:
            self._ends_at = now + AFTER_JOB
        return ()

    def due(self, now: float) -> Sequence[ReplyEvent]:
        """End the turn if it was complete a while ago and nothing else came."""
        return self._end() if self.is_due(now) and self._is_complete else ()

    def is_due(self, now: float) -> bool:
        """Whether the time has come that `next_due` tells."""
        return not self.is_over and self._ends_at is not None and now >= self._ends_at

    def is_unfinished(self, now: float) -> bool:
        """Whether the bot's job was over a while ago, and its message never became complete, or
        never came.

        Then the history has to say how it ended, or whether the bot goes on.
        """
        return self.is_due(now) and not self._is_complete

    def look_again(self, now: float, *, has_news: bool) -> bool:
        """Note that the history was asked for a message that is missing or unfinished.

        Return whether the turn goes on: it is over, or *has_news*, or another look is due later.
        """
        self._looks = 0 if has_news else self._looks + 1
        if not self._is_complete:
            self._ends_at = now + AFTER_JOB
        return self.is_over or self._looks < LOOKS

    def next_due(self) -> float | None:
        """Return when `due` has something to do, or the history; None if it is not known."""
        return None if self.is_over else self._ends_at

    def _end(self) -> Sequence[ReplyEvent]:
        self.is_over = True
        return (Done("stop"),)


def chat_of(answer: Mapping[str, Any], before: OpenChat | None) -> int | None:
    """Return the chat that the answer to a sending is about: the one that it names, or the one that
    there was *before*."""
    match answer:
        case {"chat": {"chatId": int(number)}}:
            return number
    return None if before is None else before.id
