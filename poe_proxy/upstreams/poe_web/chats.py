"""The chats of an account: read, found, stopped and deleted.

Web protocol sheet §10.3, §10.4, §10.9 and §25.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from poe_proxy.upstreams.poe_web.graphql import ServerError
from poe_proxy.upstreams.poe_web.session import Session

#: After so many server errors in a row Poe does not know the operation any more, most likely.
_DOUBTED: Final = 2


class Chats:
    """The chats of an account. Each method asks the site, and raises `UpstreamError`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: How often in a row an operation that acts has met a server error.
        self._errors: Counter[str] = Counter()

    def messages(self, chat_id: int) -> list[Mapping[str, Any]] | None:
        """Return the messages of a chat, oldest first; None if there is no such chat."""
        return self._messages(_node(chat_id), 100)

    def newest(self, chat_id: int) -> int | None:
        """Return the id of the newest message of a chat; None if there is no such chat."""
        messages = self._messages(_node(chat_id), 1)
        number = messages[-1].get("messageId") if messages else None
        return number if isinstance(number, int) else None

    def find(self, client_nonce: str, chat_id: int | None = None) -> int | None:
        """Return the id of the chat with our message, known by its nonce: it is *chat_id* or, if
        that is None, among the newest ones (§17.1).

        None if it is in none of them: then the message never arrived.
        """
        if chat_id is not None:
            return chat_id if self._has(_node(chat_id), client_nonce) else None
        data = self._session.call("ChatHistoryListPaginationQuery", {"count": 10, "cursor": None})
        for chat in _nodes(data.get("chats")):
            number = chat.get("chatId")
            if isinstance(number, int) and self._has(chat.get("id"), client_nonce):
                return number
        return None

    def _has(self, node: Any, client_nonce: str) -> bool:
        messages = self._messages(node, 10) or ()
        return any(message.get("clientNonce") == client_nonce for message in messages)

    def _messages(self, node: Any, count: int) -> list[Mapping[str, Any]] | None:
        variables = {"count": count, "cursor": None, "id": node}
        chat = self._session.call("ChatListPaginationQuery", variables).get("node")
        return list(_nodes(chat.get("messagesConnection"))) if isinstance(chat, dict) else None

    def stop(self, chat_id: int) -> None:
        """Stop the bot that is at work in a chat. To do so twice does no harm, nor to delete one
        twice; the second server error in a row is an `UpstreamChanged`."""
        self._act("cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation", chat_id)

    def delete(self, chat_id: int) -> None:
        """Delete a chat; see `stop`."""
        self._act("useDeleteChat_deleteChat_Mutation", chat_id)

    def _act(self, operation: str, chat_id: int) -> None:
        try:
            self._session.call(operation, {"chatId": chat_id}, reading=False)
        except ServerError:
            self._errors[operation] += 1
            if self._errors[operation] < _DOUBTED:
                raise
            raise self._session.doubted(operation) from None
        self._errors[operation] = 0


def _node(chat_id: int) -> str:
    return base64.b64encode(f"Chat:{chat_id}".encode()).decode()


def _nodes(connection: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the nodes of a Relay connection."""
    match connection:
        case {"edges": list(edges)}:
            for edge in edges:
                match edge:
                    case {"node": dict(node)}:
                        yield node
