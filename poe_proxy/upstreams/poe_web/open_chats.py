"""Chats in which a conversation may go on, found by digests of what was said in them.

A client sends all of its conversation each time. What of it a chat at Poe has already is known by
a digest for each place at which the bot had answered: nothing of the messages is kept.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from poe_proxy.budget import OutOfBudget
from poe_proxy.chat import ChatRequest, ContentPart, FilePart, ImagePart, Message, TextPart
from poe_proxy.shaping.loose_json import read, write
from poe_proxy.shaping.tool_prompt import as_text, block
from poe_proxy.upstreams.bulk import digest

#: The most chats of one account that may go on, and for how many seconds each of them may.
MAX_CHATS: Final = 20
HOLDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class OpenChat:
    """A chat as it was when the bot had answered."""

    id: int
    #: Its newest message: if Poe has a newer one, somebody else has written there.
    newest: int
    #: The job that ended with it, of which more may still be heard.
    job: int | None = None


# ---- digests


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a conversation, and the digest of all before it."""

    place: int
    digest: str


def marks(bot: str, chat: ChatRequest) -> Iterator[Mark]:
    """Yield a mark behind each answer of *bot*, and at last one behind all messages."""
    known = _grown("", bot.lower())
    place = 0
    for is_answer, group in groupby(chat.messages, lambda one: one.role == "assistant"):
        messages = list(group)
        place += len(messages)
        if is_answer:
            known = _with_answer(known, messages, chat.budget.pause)
        else:
            for one in messages:
                known = _grown(known, one.role, one.name or "", *_told(one))
                chat.budget.pause()
        if is_answer or place == len(chat.messages):
            yield Mark(place, known)


def answered(before: str, answer: Message, pause: Callable[[], None]) -> str:
    """Return the digest of what had the digest *before*, and of the *answer* to it as the client
    has it, calls included. *pause* is called in between."""
    return _with_answer(before, as_text((answer,), pause), pause)


def _with_answer(before: str, messages: Iterable[Message], pause: Callable[[], None]) -> str:
    # Clients send it back in one message or in several, and with other blanks around its parts.
    texts: list[str] = []
    for one in messages:
        texts += (_with_plain_calls(text, pause) for text in _told(one))
        pause()
    return _grown(before, "assistant", "\n".join(texts))


def _with_plain_calls(text: str, pause: Callable[[], None]) -> str:
    """Return *text* without what clients add to the calls in it."""
    begin, end = block("").split("\n\n")
    words, *calls = text.split(f"{begin}\n")
    pieces = [words]
    for one in calls:
        pause()
        call, behind, rest = one.partition(f"\n{end}")
        pieces += (begin, "\n", _plain(call), behind, rest)
    return "".join(pieces)


def _plain(call: str) -> str:
    """Return a *call* without what it might as well leave out, its arguments in one order.

    Claude Code (2.1.332) sends each edit back with `"replace_all": false` in front.
    """
    try:
        match read(call)[0]:
            case {"name": str(), "arguments": dict(given)} as value:
                told = {name: given[name] for name in sorted(given) if _says(given[name])}
                return write({**value, "arguments": told})
    except (ValueError, OutOfBudget):
        pass
    return call


def _says(value: object) -> bool:
    return value is not None and value is not False


def _told(message: Message) -> Iterator[str]:
    return filter(None, (_text(part) for part in message.content))


def _text(part: ContentPart) -> str:
    match part:
        case TextPart(text):
            return text.strip()
        case ImagePart(url):
            return url
        case FilePart(data):
            return f"{part.filename or ''}\n{data}"


def _grown(before: str, *texts: str) -> str:
    pieces = [before.encode()]
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        pieces += (b"%d:" % len(encoded), encoded)
    return digest("sha256", *pieces).hex()


# ---- the memory


class OpenChats:
    """The chats of one account that may go on, the oldest first. May be used by several threads."""

    def __init__(
        self, drop: Callable[[OpenChat], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """*drop* is called with each chat that will not go on; it must not wait."""
        #: For a chat that was taken, and will not be kept again.
        self.drop = drop
        self._clock = clock
        self._lock = threading.Lock()
        #: By the digest of what was said in it: until when it may go on.
        self._chats: OrderedDict[str, tuple[float, OpenChat]] = OrderedDict()
        self._is_closed = False

    def take(self, conversation: Sequence[Mark]) -> tuple[Mark, OpenChat] | None:
        """Return the chat that has the most of *conversation*, and forget it; None if none has any.

        There it goes on from the mark. A chat is taken by one reply at a time.
        """
        self.drop_old()
        with self._lock:
            for mark in reversed(conversation):
                if found := self._chats.pop(mark.digest, None):
                    return mark, found[1]
        return None

    def keep(self, digest: str, chat: OpenChat) -> None:
        """Note that *chat* may go on, as the conversation that has this *digest*."""
        with self._lock:
            _, other = self._chats.pop(digest, (0.0, None))
            self._chats[digest] = self._clock() + HOLDS, chat
        self._drop_all((*self._over(), *((other,) if other else ())))

    def rename(self, chat: OpenChat, digest: str) -> None:
        """Note that *chat*, if it may still go on, is the conversation that has this *digest*."""
        with self._lock:
            known = next((one for one, (_, its) in self._chats.items() if its is chat), None)
            if known is not None:
                del self._chats[known]
        if known is not None:
            self.keep(digest, chat)

    def drop_old(self) -> None:
        """Drop the chats that may not go on any more."""
        self._drop_all(self._over())

    def close(self) -> None:
        """Drop all chats, and each that is kept from now on."""
        self._is_closed = True
        self.drop_old()

    def _over(self) -> list[OpenChat]:
        """Return the chats that are too old or too many, and forget them."""
        over: list[OpenChat] = []
        with self._lock:
            most = 0 if self._is_closed else MAX_CHATS
            now = self._clock()
            while self._chats and (
                len(self._chats) > most or next(iter(self._chats.values()))[0] <= now
            ):
                over.append(self._chats.popitem(last=False)[1][1])
        return over

    def _drop_all(self, chats: Iterable[OpenChat]) -> None:
        for chat in chats:
            self.drop(chat)
