"""A long session of an agent by cookie, in one chat at Poe."""

from __future__ import annotations

from .servers import Proxy, Sim
from .sessions import CALLS, RESULT, RULES, play, sent


def test_a_session_stays_in_one_chat_until_the_server_stops() -> None:
    """With REUSE_CHATS instructions and tools are sent once, and then each result by itself, also
    where tools are taught; with DELETE_CHATS the chat is deleted at the end, and not before."""
    with Sim(("cookie-a",), (), pace=0.0) as sim:
        with Proxy(sim, REUSE_CHATS="1", DELETE_CHATS="1") as proxy:
            messages = play(sim, proxy)
            first, *others = sent(sim)
            assert [] == sim.journal(event="chat-deleted")
        deleted = sim.journal(event="chat-deleted")

    calls = [call for one in messages for call in one.get("tool_calls", ())]
    assert CALLS == len(calls) == len(others)
    assert "All is read." == messages[-1]["content"]
    assert first.message > len(RULES)
    assert {first.chat} == {one.chat for one in others}
    assert all(len(RESULT) < one.message < len(RESULT) + 200 for one in others)
    assert [first.chat] == [one["chatId"] for one in deleted]
