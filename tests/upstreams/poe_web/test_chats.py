"""The chats of an account, as the site lists them. No socket is opened."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from poe_proxy.upstreams.poe_web.chats import Chats
from poe_proxy.upstreams.poe_web.graphql import HashUnknown, ServerError


def connection(*nodes: Any) -> dict[str, Any]:
    return {"edges": [{"node": node} for node in nodes]}


class Site:
    """A session with an account that has some chats: id of the node -> messages."""

    def __init__(self, chats: Mapping[str, Any]) -> None:
        self.chats = chats
        self.calls: list[tuple[str, Mapping[str, Any], bool]] = []

    def call(self, operation: str, variables: Mapping[str, Any], *, reading: bool = True) -> Any:
        self.calls.append((operation, variables, reading))
        if operation == "ChatHistoryListPaginationQuery":
            listed = [{"id": node, "chatId": place} for place, node in enumerate(self.chats, 1)]
            return {"chats": connection(*listed)}
        messages = self.chats.get(variables.get("id", ""))
        if messages is None:
            return {"node": None}
        return {"node": {"messagesConnection": connection(*messages)}}


def chats(site: Site) -> Chats:
    return Chats(site)


def test_the_messages_of_a_chat_are_read_by_its_number() -> None:
    """Oldest first, as the site gives them (§10.9)."""
    node = base64.b64encode(b"Chat:42").decode()
    site = Site({node: [{"text": "hello"}, {"text": "hi"}]})

    assert [{"text": "hello"}, {"text": "hi"}] == chats(site).messages(42)
    assert [
        ("ChatListPaginationQuery", {"count": 100, "cursor": None, "id": node}, True)
    ] == site.calls


def test_a_chat_that_is_gone_has_no_messages() -> None:
    """None, which is not the same as an empty chat."""
    assert chats(Site({})).messages(42) is None
    assert [] == chats(Site({base64.b64encode(b"Chat:42").decode(): []})).messages(42)


def test_a_message_is_found_by_its_nonce() -> None:
    """Among the newest chats, and no further than needed."""
    site = Site({"a": [{"clientNonce": "x"}], "b": [{}, {"clientNonce": "ours"}], "c": []})

    assert 2 == chats(site).find("ours")
    assert ["a", "b"] == [variables["id"] for _, variables, _ in site.calls[1:]]


def test_a_message_for_a_chat_that_is_known_is_looked_for_there_alone() -> None:
    """Wherever the site lists that chat; None if it is not there, or the chat is gone."""
    node = base64.b64encode(b"Chat:42").decode()
    site = Site({"a": [{"clientNonce": "theirs"}], node: [{}, {"clientNonce": "ours"}]})

    assert 42 == chats(site).find("ours", 42)
    assert chats(site).find("theirs", 42) is None
    assert chats(site).find("ours", 43) is None
    assert ["ChatListPaginationQuery"] * 3 == [operation for operation, _, _ in site.calls]


@pytest.mark.parametrize(
    "listed",
    [{}, {"a": []}, {"a": [{"clientNonce": "another"}]}, {"a": [{}, {"clientNonce": None}]},
     {"a": None, "b": [{"text": "ours"}]}],
)  # fmt: skip
def test_a_message_that_never_arrived_is_not_found(listed: dict[str, Any]) -> None:
    """Whatever else the account has; a chat that has just gone does no harm."""
    assert chats(Site(listed)).find("ours") is None


@pytest.mark.parametrize("answer", [{}, {"chats": None}, {"chats": {"edges": [None, {}, 5]}}])
def test_a_list_that_makes_no_sense_is_empty(answer: Any) -> None:
    """What the site may leave out, or fill with something else."""

    class Odd(Site):
        def call(self, *_: Any, **__: Any) -> Any:
            return answer

    assert chats(Odd({})).find("ours") is None


@pytest.mark.parametrize(
    ("act", "operation"),
    [
        (Chats.stop, "cancelViewerActiveJobs_cancelViewerActiveJobs_Mutation"),
        (Chats.delete, "useDeleteChat_deleteChat_Mutation"),
    ],
)
def test_what_acts_is_not_asked_twice(act: Any, operation: str) -> None:
    """It names the chat, and says that it is no mere question (§10.3, §10.4)."""
    site = Site({})
    act(chats(site), 42)

    assert [(operation, {"chatId": 42}, False)] == site.calls


class Fails(Site):
    """Answers with these failures, one after the other, and then well."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__({})
        self.failures = list(failures)

    def call(self, operation: str, variables: Mapping[str, Any], *, reading: bool = True) -> Any:
        self.calls.append((operation, variables, reading))
        if self.failures:
            raise self.failures.pop(0)
        return {}

    def doubted(self, operation: str) -> HashUnknown:
        return HashUnknown("Poe does not know it.", operation=operation, is_perhaps=True)


@pytest.mark.parametrize("act", [Chats.stop, Chats.delete])
def test_two_server_errors_in_a_row_are_a_doubt(act: Any) -> None:
    """One may be a fault of Poe's own."""
    error = ServerError("Server Error")
    one = chats(Fails(error, error, error))
    with pytest.raises(ServerError):
        act(one, 42)
    with pytest.raises(HashUnknown) as raised:
        act(one, 42)

    assert act.__name__ in raised.value.operation.lower() or "cancel" in raised.value.operation


def test_server_errors_are_counted_in_a_row_and_for_each_operation() -> None:
    """What succeeds is known, and another operation is another one."""
    error = ServerError("Server Error")
    site = Fails(error, error)
    one = chats(site)
    for act in (one.stop, one.delete):
        with pytest.raises(ServerError):
            act(42)
    one.stop(42)
    one.delete(42)
    site.failures = [error]
    with pytest.raises(ServerError):
        one.delete(42)


def test_the_newest_message_of_a_chat_is_known_by_its_id() -> None:
    """One message is asked for; None for a chat that is gone or has no messages."""
    node = base64.b64encode(b"Chat:42").decode()
    site = Site({node: [{"messageId": 1}, {"messageId": 2}]})

    assert 2 == chats(site).newest(42)
    assert 1 == site.calls[0][1]["count"]
    assert chats(site).newest(43) is None
    assert chats(Site({node: []})).newest(42) is None
