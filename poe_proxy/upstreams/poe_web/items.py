"""What Poe pushes: the frames of the websocket, and the items in them. Free of I/O.

Web protocol sheet §7.4 and §7.5. The text of an unfinished message comes again and again, each time
with a little more; only its newest version is of use. So items are not parsed until their reader
takes them, and `frames` tells most frames of such a message by their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from poe_proxy.net.pacing import breathe
from poe_proxy.upstreams.bulk import TooMuch, loads

#: The most messages that a frame may have.
MAX_ITEMS: Final = 10_000

_MESSAGE_ID: Final = re.compile(r'"messageId":\s*(\d+)')
_NONCE: Final = re.compile(r'"(?:clientNonce|chatNonce)":\s*"([\w-]{1,64})"')
_TYPE: Final = re.compile(r'"message_type":\s*"(\w+)"')
_CHAT: Final = re.compile(r"[0-9]{1,20}")
_SCOPE: Final = re.compile(r'"unique_id":\s*"(\w+)(?::([^"]*))?"')
#: The beginning of nearly all items. It says what the two say that look for type and scope.
_USUAL: Final = re.compile(
    r'\{"message_type":"subscriptionUpdate","payload":\{"unique_id":"(\w+)(?::([^"]*))?"'
)


class ChannelLost(Exception):
    """The channel says that it has lost messages (§7.4), or they are too many to be read."""


# Not frozen, which would double what it costs to make one.
@dataclass(slots=True)
class Item:
    """One thing that Poe pushed: which chat it is about, and its JSON text, not yet parsed."""

    name: str
    #: None if it is not about one chat.
    chat_id: int | None
    text: str = field(repr=False)

    @property
    def size(self) -> int:
        """Characters that it holds."""
        return len(self.text)

    def content(self) -> Mapping[str, Any]:
        """Return the object that was pushed; empty if it is invalid."""
        try:
            found = loads(self.text)["payload"]["data"][self.name]
        except (ValueError, KeyError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}

    def nonces(self) -> Iterator[str]:
        """Yield the nonces that it echoes, in one look through its text."""
        for found in _NONCE.finditer(self.text):
            yield found[1]

    @property
    def message_key(self) -> str | None:
        """The unfinished message that it is about: a later item with this key has all its text."""
        if self.name != "messageAdded" or '"state":"incomplete"' not in self.text:
            return None
        # Quotes within the message's own text are escaped, so this finds the real field.
        found = _MESSAGE_ID.search(self.text)
        return found[1] if found else None


@dataclass(slots=True)
class Draft:
    """A frame with one item, which is about an unfinished message; nothing of it is parsed."""

    name: ClassVar[str] = "messageAdded"
    chat_id: int
    message_key: str
    frame: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.frame)

    def content(self) -> Mapping[str, Any]:
        """Return the object that was pushed; empty if it is invalid."""
        _, items = read_frame(self.frame)
        return items[0].content()


def read_frame(frame: bytes) -> tuple[int | None, list[Item]]:
    """Return the sequence number and the items of a frame; None and no items if it has none.

    Raises `ChannelLost`.
    """
    try:
        data = loads(frame)
    except TooMuch:
        raise ChannelLost("a frame is of too many pieces") from None
    except ValueError:
        return None, []
    if not isinstance(data, dict):
        return None, []
    if data.get("error") == "missed_messages":
        raise ChannelLost("Poe says that it has missed some")
    seq = data.get("min_seq")
    texts = data.get("messages")
    items: list[Item] = []
    if isinstance(texts, list):
        if len(texts) > MAX_ITEMS:
            raise ChannelLost("a frame has too many messages")
        for text in texts:
            if (item := _item(text)) is not None:
                items.append(item)
            if len(texts) > 1:
                breathe()
    return seq if isinstance(seq, int) else None, items


def _item(text: Any) -> Item | None:
    # Quotes within an item's own texts are escaped, so these find the real fields.
    if not isinstance(text, str):
        return None
    found = _USUAL.match(text)
    if found is None:
        kind = _TYPE.search(text)
        if kind is not None and kind[1] == "refetchChannel":
            raise ChannelLost("Poe wants it to be fetched anew")
        found = _SCOPE.search(text)
        if found is None:
            return None
    name, scope = found[1], found[2] or ""
    is_chat = name != "jobCostUpdated" and _CHAT.fullmatch(scope) is not None
    return Item(name, int(scope) if is_chat else None, text)
