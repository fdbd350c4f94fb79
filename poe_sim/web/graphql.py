"""The parts of GraphQL operations: a call, its refusal, the pages of a list."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import faults
from .bots import node_id
from .channels import Channel
from .objects import Account, Chat, Upload
from .world import World

Json = dict[str, Any]

VIEWER_ID = node_id("Viewer", 0)


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
        """Return the chat that the call names. Raises `Refused` if the account has no such chat."""
        chat = self.account.chats.get(self.variables["chatId"])
        if chat is None:
            raise server_error("unknown chat")
        return chat


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: the variables it takes, in the form of `variables_error`, and its handler."""

    schema: Mapping[str, str]
    handler: Callable[[Call], Awaitable[Json]]
    # Its effects are pushed, so it must name a channel to push to.
    pushes: bool = False


def server_error(why: str) -> faults.Refused:
    """Return the refusal of an impossible call, web protocol sheet §17.2."""
    return faults.graphql_error("Server Error", f"server error: {why}")


def cursor_of(key: object) -> str:
    """Return the cursor of a list's item."""
    return base64.b64encode(f"c:{key}".encode()).decode()


def page_of(nodes: Sequence[tuple[object, Json]], count: int | None, cursor: str | None) -> Json:
    """Return one page of a list of keys and nodes, from behind *cursor* on."""
    start = 0
    if cursor:
        keys = [cursor_of(key) for key, _ in nodes]
        # An unknown cursor, such as a page's number or that of a removed item, gets the end.
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
