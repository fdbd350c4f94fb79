"""Calls of tools: when a bot makes them, of which tools, with which arguments."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Iterable, Sequence

import orjson

from . import errors
from .bot_request import BotRequest, Tool, ToolCall, Turn
from .schemas import instance

# Parts of function names that say nothing about the subject of a prompt.
_HOLLOW = frozenset(
    ("call", "fetch", "find", "from", "function", "lookup", "make", "query", "read", "tool", "with")
)
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLACE = re.compile(r"\b(?:in|at|for|of)\s+([A-Z][\w’'-]*(?:\s[A-Z][\w’'-]*)*)")
_CJK_PLACE = re.compile(r"([\u4e00-\u9fff]{2,3})(?:的|今天|现在)?天气")
_PLACE_NAMES = ("city", "location", "place", "town", "area")


def wanted_calls(asked: BotRequest, maker: CallMaker) -> list[ToolCall]:
    """Return the calls that the bot makes now; none if it answers with a text."""
    script = asked.script
    if not asked.tools or asked.tool_choice == "none":
        return []
    if asked.results and asked.rounds >= script.count("rounds", 1):
        return []
    chosen = _chosen(asked)
    if not chosen:
        return []
    # The same for each call of a tool: a bot may make ten thousand at once.
    arguments = {name: maker.arguments(tool, asked) for name, tool in _by_name(chosen).items()}
    return [
        maker.make(tool.name, asked, number, arguments[tool.name])
        for number, tool in enumerate(chosen)
    ]


def _by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools}


def _chosen(asked: BotRequest) -> list[Tool]:
    script = asked.script
    by_name = _by_name(asked.tools)
    count = max(1, script.count("calls", 1)) if asked.parallel else 1
    if asked.forced_tool is not None:
        return [by_name[asked.forced_tool]] * count
    named = script.get("call")
    if named is not None:
        # Some models call a tool that was not offered.
        return [by_name.get(named, Tool(name=named))] * count
    if script.has("call") or script.has("calls"):
        return [asked.tools[index % len(asked.tools)] for index in range(count)]
    fitting = [tool for tool in asked.tools if _is_about(asked.prompt, tool)]
    if fitting:
        return fitting[:1]
    return [asked.tools[0]] if asked.tool_choice == "required" else []


def _is_about(prompt: str, tool: Tool) -> bool:
    """Return whether a word of the tool's name is in the prompt."""
    lower = prompt.lower()
    parts = {part.lower() for part in _NAME_PART.findall(tool.name)}
    if "weather" in parts and "天气" in prompt:
        return True
    return any(
        len(part) >= 4 and part not in _HOLLOW and re.search(rf"\b{part}", lower) for part in parts
    )


class CallMaker:
    """Makes calls with the ids of each vendor, official API sheet §3.5."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._secret = rng.randbytes(16)

    def make(self, name: str, asked: BotRequest, number: int, arguments: str) -> ToolCall:
        """Return the call with this *number* of the tool *name*."""
        return ToolCall(
            id=self._id(name, asked, number),
            name=name,
            arguments=arguments,
            signature=self.sign(name) if asked.model.thought_signature else None,
        )

    def _id(self, name: str, asked: BotRequest, number: int) -> str:
        match asked.model.owner:
            case "Google":
                return f"tool_{name}_{self._rng.getrandbits(48):012x}"
            case "Anthropic":
                return f"toolu_vrtx_{self._rng.getrandbits(96):024x}"
            case "Novita AI" | "Fireworks AI":
                return f"{name}:{asked.rounds + number}"
            case _:
                return f"call_{self._rng.randrange(10**9, 10**10)}"

    def arguments(self, tool: Tool, asked: BotRequest) -> str:
        """Return arguments for *tool* that satisfy its schema, unless the prompt says others."""
        script = asked.script
        if script.has("bad-args"):
            return '{"broken": '
        given = script.get("args")
        if given is not None:
            return given
        hints = {}
        place = _PLACE.search(asked.prompt) or _CJK_PLACE.search(asked.prompt)
        if place is not None:
            hints = dict.fromkeys(_PLACE_NAMES, place[1])
        value = instance(tool.schema or {"type": "object"}, hints)
        if not isinstance(value, dict):
            value = {}
        return orjson.dumps(value).decode()

    def sign(self, name: str) -> str:
        """Return a thought signature for a call of *name*."""
        nonce = self._rng.randbytes(9)
        return base64.b64encode(nonce + self._mark(nonce, name)).decode()

    def is_signed(self, call: ToolCall) -> bool:
        """Return whether the call came back with a signature that was made for it."""
        try:
            raw = base64.b64decode(call.signature or "", validate=True)
        except ValueError:
            return False
        return raw[9:] == self._mark(raw[:9], call.name)

    def _mark(self, nonce: bytes, name: str) -> bytes:
        return hashlib.blake2b(nonce + name.encode(), key=self._secret, digest_size=39).digest()


def check_signatures(asked: BotRequest, calls: CallMaker) -> None:
    """Raise `Refused` if the latest calls of a Gemini conversation lost their signature."""
    if not asked.model.thought_signature:
        return
    for turn in reversed(asked.turns):
        if turn.role == "user":
            return
        for call in turn.calls:
            if not calls.is_signed(call):
                raise errors.invalid(
                    f"Error from Google: the function call '{call.name}' has no valid "
                    "thought_signature."
                )


def check_results(turns: Sequence[Turn]) -> None:
    """Raise `Refused` for a tool result without a call before it."""
    known: set[str] = set()
    for turn in turns:
        known.update(call.id for call in turn.calls)
        if turn.role == "tool" and turn.result_of not in known:
            raise errors.invalid(
                f"A tool result names the call '{turn.result_of}', which was never made.",
                param="messages",
                code="invalid_parameter",
            )
