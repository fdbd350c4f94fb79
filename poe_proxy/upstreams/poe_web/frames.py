"""A look at a frame before it is parsed: whether it goes on with an unfinished message.

Each frame of such a message has all of its text so far: a reply of 100,000 characters in 5,000
frames is 250 MB, and to parse them takes longer than to receive them. But a frame is what the last
one was, with a little more text in it. Where its beginning is byte for byte that of a frame that
was parsed, all that can be said of that beginning is known; what is left is short, and is read
here. For 50 kB a look takes 2 µs, and to parse it 31.

Web protocol sheet §7.4 and §7.5. Free of I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from orjson import JSONDecodeError, loads

from poe_proxy.upstreams.poe_web.items import Draft, Item

#: How a frame begins whose first item is about a message: with its sequence number or with its
#: items. The item is JSON within a JSON string, and the number of its chat comes first.
_BEGINNING: Final = re.compile(
    rb'\{(?:"min_seq":(0|[1-9][0-9]{0,17}),)?+"messages":\["(?=\{\\"message_type\\":'
    rb'\\"subscriptionUpdate\\",\\"payload\\":\{\\"unique_id\\":\\"messageAdded:([0-9]{1,20})\\")'
)
_TEXT: Final = rb"\"text\":\""
_MESSAGE_ID: Final = rb"\"messageId\":"
#: A nonce that is there: the bots' own messages have an empty one, or none.
_NONCE: Final = re.compile(rb'Nonce\\":(?!\\"\\"|null)')
_INCOMPLETE: Final = rb"\"state\":\"incomplete\""

#: The most bytes before the text of an item's message.
_MOST_FIELDS: Final = 8192
#: The most bytes of a frame that is looked at: a larger one may have too many pieces.
_LARGEST: Final = 8_000_000
#: Bytes behind the known beginning from which on more of it is made known. To copy a long beginning
#: at each frame costs as much as to compare it.
_FAR: Final = 1024

#: How a frame ends: behind its only item, or with the sequence number if that does not come first.
_END: Final = b'"]}'
_SEQ: Final = b'"],"min_seq":'
_NUMBER: Final = re.compile(rb"(0|[1-9][0-9]{0,17})\}")
#: Characters of a text in an item, up to its end. Escapes are escaped themselves; what begins one
#: in another way is left to those that parse.
_CHARACTERS: Final = re.compile(
    rb'[^"\\\x00-\x1f]*+(?:\\(?:\\(?:\\["\\]|[/bfnrt]|u[0-9a-fA-F]{4})|u(?!00[0-7])[0-9a-fA-F]{4}|/)'
    rb'[^"\\\x00-\x1f]*+)*+'
)


class Known:
    """What the frames of an unfinished message have in common so far."""

    __slots__ = ("chat_id", "echoes", "is_incomplete", "message_key", "prefix")

    def __init__(self, chat_id: int, message_key: str, prefix: bytes) -> None:
        self.chat_id = chat_id
        self.message_key = message_key
        #: How the item begins, up to a place in its text or to the end of that.
        self.prefix = prefix
        #: Whether that says that the message is unfinished. If not, the rest has to.
        self.is_incomplete = _INCOMPLETE in prefix[:_MOST_FIELDS]
        #: Whether that echoes a nonce.
        self.echoes = _NONCE.search(prefix, 0, _MOST_FIELDS) is not None

    @classmethod
    def of(cls, frame: bytes, item: Item) -> Known | None:
        """Return what the next frame may have in common with *frame*, whose one item is *item*;
        None if that is not about an unfinished message, or of an unusual form."""
        key = item.message_key
        if key is None or item.chat_id is None or len(frame) > _LARGEST:
            return None
        begun = _BEGINNING.match(frame)
        if begun is None:
            return None
        start = begun.end()
        text = frame.find(_TEXT, start, start + _MOST_FIELDS)
        number = frame.find(_MESSAGE_ID, start, max(start, text))
        if number < 0 or not frame.startswith(b"%b," % key.encode(), number + len(_MESSAGE_ID)):
            return None
        found = _CHARACTERS.match(frame, text + len(_TEXT))
        assert found is not None
        return cls(item.chat_id, key, frame[start : found.end()])

    def grow(self, frame: bytes, start: int) -> None:
        """Note that *frame*, whose item begins at *start* in the same way, has much more text."""
        end = start + len(self.prefix)
        found = _CHARACTERS.match(frame, end)
        if found is not None and found.end() - end > _FAR // 2:
            self.prefix = frame[start : found.end()]


class Knowing(Protocol):
    """Who waits for the messages of a chat."""

    #: What is known of the message that its bot is writing; None if that is nothing.
    known: Known | None

    #: Whether it is the chat's own, and not one that a nonce may still find.
    @property
    def is_bound(self) -> bool: ...


def look(frame: bytes, waiting: Callable[[int], Knowing | None]) -> tuple[int, Draft] | None:
    """Return the sequence number of *frame* and the one item that it has, if it goes on with an
    unfinished message that is known to who is *waiting* for its chat; None: it is to be parsed.

    What is returned is what parsing would have found.
    """
    begun = _BEGINNING.match(frame)
    if begun is None or (one := waiting(int(begun[2]))) is None or (known := one.known) is None:
        return None
    start = begun.end()
    if not frame.startswith(known.prefix, start) or len(frame) > _LARGEST:
        return None
    rest = frame[start + len(known.prefix) :]
    if not known.is_incomplete and _INCOMPLETE not in rest:
        return None
    if not one.is_bound and (known.echoes or _NONCE.search(rest) is not None):
        return None
    seq, end = begun[1], len(rest) - len(_END)
    if seq is None:
        end = rest.rfind(_SEQ)
        number = _NUMBER.fullmatch(rest, end + len(_SEQ))
        if end < 0 or number is None:
            return None
        seq = number[1]
    elif not rest.endswith(_END):
        return None
    try:
        # That it is a string to its end, and nothing else, is told faster than by any pattern.
        loads(b'"%b"' % rest[:end])
    except JSONDecodeError:
        return None
    if len(rest) > _FAR:
        known.grow(frame, start)
    return int(seq), Draft(known.chat_id, known.message_key, frame)
