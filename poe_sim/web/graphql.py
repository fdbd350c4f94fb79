"""What GraphQL operations are made of: a call, its answer or its refusal, pages of lists."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import faults
from .bots import node_id
from .channels import Channel
from .objects import Account, Chat
from .world import World

Json = dict[str, Any]

VIEWER_ID = node_id("Viewer", 0)


@dataclass(slots=True)
class Upload:
    """A file that came with a request."""

    name: str
    content_type: str
    size: int


@dataclass(slots=True)
class Call:
    """One operation that passed all checks."""

    world: World
    account: Account
    channel: Channel | None
    variables: Json
    entry: Json
    files: list[Upload] = field(default_factory=list)

    def chat(self) -> Chat:
        """Return the chat of the call, which must be the account's."""
        chat = self.account.chats.get(self.variables["chatId"])
        if chat is None:
            raise server_error("unknown chat")
        return chat


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation takes, and who answers it."""

    schema: Mapping[str, str]
    handler: Callable[[Call], Awaitable[Json]]
    # Its effects are pushed, so it must name a channel to push to.
    pushes: bool = False


def server_error(why: str) -> faults.Refused:
    """The answer to whatever cannot be done, web protocol sheet §17.2."""
    return faults.graphql_error("Server Error", f"server error: {why}")


def cursor_of(key: object) -> str:
    return base64.b64encode(f"c:{key}".encode()).decode()


def page_of(nodes: Sequence[tuple[object, Json]], count: int | None, cursor: str | None) -> Json:
    """Cut one page out of a list whose items are known by a key."""
    start = 0
    if cursor:
        keys = [cursor_of(key) for key, _ in nodes]
        # Someone who counts pages by numbers and an item that is gone both get the end.
        start = keys.index(cursor) + 1 if cursor in keys else len(nodes)
    limit = 10 if count is None else max(0, min(count, 200))
    part = nodes[start : start + limit]
    return {
        "edges": [{"cursor": cursor_of(key), "node": node} for key, node in part],
        "pageInfo": {
            "endCursor": cursor_of(part[-1][0]) if part else None,
            "hasNextPage": start + limit < len(nodes),
        },
    }
