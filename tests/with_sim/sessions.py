"""A coding agent's session of twenty calls by cookie, and how much of it goes to Poe.

`python -m tests.with_sim.sessions` prints the characters of each way to send it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .servers import Proxy, Sim

CALLS = 20
#: The client's instructions and tools have about 40,000 characters together; a result has 3,000.
RULES = "Keep to the house's style in all that you write. " * 600
RESULT = "    return number + 1  # and so on\n" * 86
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"This is how to {name} a file of the project. " * 24,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for name in ("read", "write", "list", "find", "move", "run", "test", "diff", "plan", "ask")
]
BOT = "Claude-Sonnet-4.5"
#: What the bot says: its calls, and a last word.
LINES = [
    f"Step {number}.\n<tool_call>\n"
    + json.dumps({"name": "read", "arguments": {"path": f"file{number}.py"}})
    + "\n</tool_call>"
    for number in range(CALLS)
] + ["All is read."]


@dataclass(frozen=True)
class Sent:
    """What one turn brought to Poe: the characters of its message, and the bytes of its files."""

    chat: int
    message: int
    files: int


def play(sim: Sim, proxy: Proxy) -> list[dict[str, Any]]:
    """Play the session; return its messages."""
    sim.control(lines={BOT: LINES})
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": RULES},
        {"role": "user", "content": "Read all files."},
    ]
    for _ in range(CALLS + 1):
        answer = proxy.post({"model": BOT, "messages": messages, "tools": TOOLS})
        answer.raise_for_status()
        said = answer.json()["choices"][0]["message"]
        messages.append({name: said.get(name) for name in ("role", "content")})
        if calls := said.get("tool_calls"):
            messages[-1]["tool_calls"] = calls
        for call in calls or ():
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": RESULT})
    return messages


def sent(sim: Sim) -> list[Sent]:
    """What each turn since the journal was last emptied brought to Poe."""
    turns: list[Sent] = []
    files = 0
    for entry in sim.journal(face="web", verdict="ok"):
        if entry.get("path") == "/api/finish_upload_POST":
            files += entry["size"]
        if entry.get("queryName") == "sendMessageMutation":
            turns.append(Sent(entry["chatId"], entry["promptLength"], files))
            files = 0
    return turns


#: The settings of each way, and how many accounts it has.
WAYS: dict[str, tuple[dict[str, str], int]] = {
    "a new chat for each turn": ({}, 1),
    "REUSE_CHATS=1": ({"REUSE_CHATS": "1"}, 1),
    "the same, three accounts": ({"REUSE_CHATS": "1"}, 3),
    "MAX_PROMPT_CHARS=30000": ({"MAX_PROMPT_CHARS": "30000"}, 1),
    "both, one account": ({"REUSE_CHATS": "1", "MAX_PROMPT_CHARS": "30000"}, 1),
}


def main() -> None:
    """Print a line for each way."""
    print(f"{CALLS} calls: characters in messages, bytes in files")
    print(f"{'':26}{'first':>8}{'second':>8}{'last':>8}{'all':>10}{'in files':>10}{'chats':>6}")
    for way, (settings, accounts) in WAYS.items():
        tokens = [f"cookie-{number}" for number in range(accounts)]
        with Sim(tokens, (), pace=0.0) as sim, Proxy(sim, **settings) as proxy:
            play(sim, proxy)
            turns = sent(sim)
        message = [one.message for one in turns]
        chats = len({one.chat for one in turns})
        files = sum(one.files for one in turns)
        print(
            f"{way:26}{message[0]:8}{message[1]:8}{message[-1]:8}"
            f"{sum(message):10}{files:10}{chats:6}"
        )


if __name__ == "__main__":
    main()
