"""When a bot calls tools, which, and with what."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Sequence

import orjson

from . import errors
from .asking import Asking, Tool, ToolCall, Turn
from .schemas import instance

# Parts of function names that say nothing about what a prompt would be about.
_HOLLOW = frozenset(
    ("call", "fetch", "find", "from", "function", "lookup", "make", "query", "read", "tool", "with")
)
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_PLACE = re.compile(r"\b(?:in|at|for|of)\s+([A-Z][\w’'-]*(?:\s[A-Z][\w’'-]*)*)")
_CJK_PLACE = re.compile(r"([\u4e00-\u9fff]{2,3})(?:的|今天|现在)?天气")
_PLACE_NAMES = ("city", "location", "place", "town", "area")


def wanted_calls(asking: Asking, ids: CallMaker) -> list[ToolCall]:
    """Return the calls the bot makes now; none when it answers in words."""
    script = asking.script
    if not asking.tools or asking.tool_choice == "none":
        return []
    if asking.results and asking.rounds >= script.count("rounds", 1):
        return []
    chosen = _chosen(asking)
    if not chosen:
        return []
    return [ids.make(tool, asking, number) for number, tool in enumerate(chosen)]


def _chosen(asking: Asking) -> list[Tool]:
    script = asking.script
    by_name = {tool.name: tool for tool in asking.tools}
    count = max(1, script.count("calls", 1)) if asking.parallel else 1
    if asking.forced_tool is not None:
        return [by_name[asking.forced_tool]] * count
    named = script.get("call")
    if named is not None:
        # A name that was not offered: as some models do, it calls what does not exist.
        return [by_name.get(named, Tool(name=named))] * count
    if script.has("call") or script.has("calls"):
        return [asking.tools[index % len(asking.tools)] for index in range(count)]
    fitting = [tool for tool in asking.tools if _is_about(asking.prompt, tool)]
    if fitting:
        return fitting[:1]
    return [asking.tools[0]] if asking.tool_choice == "required" else []


def _is_about(prompt: str, tool: Tool) -> bool:
    """Whether a word of the tool's name is in the prompt."""
    lower = prompt.lower()
    parts = {part.lower() for part in _NAME_PART.findall(tool.name)}
    if "weather" in parts and "天气" in prompt:
        return True
    return any(
        len(part) >= 4 and part not in _HOLLOW and re.search(rf"\b{part}", lower) for part in parts
    )


class CallMaker:
    """Makes calls and their ids in the ways seen at Poe, official API sheet §3.5."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._secret = rng.randbytes(16)

    def make(
        self, tool: Tool, asking: Asking, number: int, arguments: str | None = None
    ) -> ToolCall:
        """Return a call of *tool*, with arguments that satisfy its schema if none are given."""
        signature = self.sign(tool.name) if asking.model.thought_signature else None
        return ToolCall(
            id=self._id(tool.name, asking, number),
            name=tool.name,
            arguments=self._arguments(tool, asking) if arguments is None else arguments,
            signature=signature,
        )

    def _id(self, name: str, asking: Asking, number: int) -> str:
        match asking.model.owner:
            case "Google":
                return f"tool_{name}_{self._rng.getrandbits(48):012x}"
            case "Anthropic":
                return f"toolu_vrtx_{self._rng.getrandbits(96):024x}"
            case "Novita AI" | "Fireworks AI":
                return f"{name}:{asking.rounds + number}"
            case _:
                return f"call_{self._rng.randrange(10**9, 10**10)}"

    def _arguments(self, tool: Tool, asking: Asking) -> str:
        script = asking.script
        if script.has("bad-args"):
            return '{"broken": '
        given = script.get("args")
        if given is not None:
            return given
        hints = {}
        place = _PLACE.search(asking.prompt) or _CJK_PLACE.search(asking.prompt)
        if place is not None:
            hints = dict.fromkeys(_PLACE_NAMES, place[1])
        value = instance(tool.schema or {"type": "object"}, hints)
        if not isinstance(value, dict):
            value = {}
        # As vendors print it: spaces behind colons and commas would be as valid.
        return orjson.dumps(value).decode()

    def sign(self, name: str) -> str:
        """Return a thought signature for a call of *name*."""
        nonce = self._rng.randbytes(9)
        return base64.b64encode(nonce + self._mark(nonce, name)).decode()

    def is_signed(self, call: ToolCall) -> bool:
        """Whether a call came back with a signature that was given out for it."""
        try:
            raw = base64.b64decode(call.signature or "", validate=True)
        except ValueError:
            return False
        return raw[9:] == self._mark(raw[:9], call.name)

    def _mark(self, nonce: bytes, name: str) -> bytes:
        return hashlib.blake2b(nonce + name.encode(), key=self._secret, digest_size=39).digest()


def check_signatures(asking: Asking, calls: CallMaker) -> None:
    """Refuse a Gemini conversation whose latest calls lost their thought signature on the way."""
    if not asking.model.thought_signature:
        return
    for turn in reversed(asking.turns):
        if turn.role == "user":
            return
        for call in turn.calls:
            if not calls.is_signed(call):
                raise errors.invalid(
                    f"Error from Google: the function call '{call.name}' has no valid "
                    "thought_signature."
                )


def check_results(turns: Sequence[Turn]) -> None:
    """Refuse a tool result that belongs to no call before it."""
    known: set[str] = set()
    for turn in turns:
        known.update(call.id for call in turn.calls)
        if turn.role == "tool" and turn.result_of not in known:
            raise errors.invalid(
                f"A tool result names the call '{turn.result_of}', which was never made.",
                param="messages",
                code="invalid_parameter",
            )
