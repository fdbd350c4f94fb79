"""Requests passed on to Poe's own Messages API, and its answers. Free of I/O.

Poe hands them to Anthropic nearly unchanged, and refuses what it does not know (official API sheet
§5). So only what the API has without a beta goes along. Prompts marked with `cache_control` are
cached there, and nowhere else at Poe: that is what this way is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from poe_proxy.budget import Budget
from poe_proxy.chat import Done, FinishReason, ReplyEvent, Usage, Verbatim
from poe_proxy.errors import ParameterRefused, UpstreamInterrupted, UpstreamProtocolError
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.merging import Together
from poe_proxy.upstreams.poe_api import failures

PATH: Final = "/v1/messages"
#: Newer versions refuse fields that programs still send, such as `temperature`.
HEADERS: Final[Mapping[str, str]] = {"anthropic-version": "2023-06-01"}

#: Fields of a request that are sent as they came, and those that may be left out if refused.
_PLAIN: Final = ("max_tokens", "stop_sequences", "stream")
_OPTIONAL: Final = (
    "metadata", "service_tier", "temperature", "top_k", "top_p", "thinking", "output_config",
)  # fmt: skip
_OF_TOOLS: Final = ("name", "description", "input_schema", "type", "cache_control")
#: What belongs to fetching tools on demand, for which Poe would need a beta.
_PLACEHOLDER: Final = "DeferredToolPlaceholder"
_UNKNOWN_TOOLS: Final = ("tool_search_tool_", "mcp_toolset")
#: It changes with each version of a program, and would make every prompt a new one.
_BILLING: Final = "x-anthropic-billing-header:"
_FIRST_NAME: Final = re.compile(r"\w{1,40}", re.ASCII)

#: The kind of an event with a piece of what the bot says.
_MORE: Final = "content_block_delta"
_FINISHED: Final[Mapping[str, FinishReason]] = {
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


def request(
    given: Mapping[str, Any], bot: str, budget: Budget, *, without: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return the JSON object that asks *bot* what the client asked for: *given*, which has passed
    the checks of the client's API, without what Poe does not take, and without these fields."""
    fields = {name: given.get(name) for name in (*_PLAIN, *_OPTIONAL)}
    tools = [*_tools(given.get("tools"))]
    names = {tool.get("name") for tool in tools}
    choice = given.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("name", "") not in (*names, ""):
        choice = None
    return {
        "model": bot,
        **({"system": system} if (system := _system(given.get("system"))) else {}),
        "messages": [*_messages(given.get("messages"), budget)],
        **({"tools": tools} if tools else {}),
        **({"tool_choice": choice} if tools and choice is not None else {}),
        **{
            name: _without(value, "display") if name == "thinking" else value
            for name, value in fields.items()
            if value is not None and name not in without
        },
    }


def droppable(sent: Mapping[str, Any], refusal: ParameterRefused) -> str | None:
    """Return the field of *sent* without which Poe may be asked again; None if there is none.

    Anthropic names a place first in the message: `service_tier: Extra inputs are not permitted`.
    """
    named = _FIRST_NAME.match(refusal.param or refusal.message)
    if refusal.code != ParameterRefused.code or named is None or named[0] not in sent:
        return None
    return named[0] if named[0] in _OPTIONAL else None


# ---- what goes along


def _system(given: Any) -> Any:
    if not isinstance(given, list):
        return given
    return [
        _cached(block)
        for block in given
        if isinstance(block, dict)
        and block.get("text")
        and not str(block["text"]).startswith(_BILLING)
    ]


def _messages(given: Any, budget: Budget) -> Iterator[dict[str, Any]]:
    for message in given if isinstance(given, list) else ():
        budget.pause()
        # Programs put a word of the system between the messages; Poe knows two roles.
        role = "assistant" if message.get("role") == "assistant" else "user"
        content = message.get("content")
        if isinstance(content, list):
            content = [*_blocks(content)]
        if content:
            yield {"role": role, "content": content}


def _blocks(given: list[Any]) -> Iterator[Any]:
    for block in given:
        match block:
            case {"type": "thinking", "signature": str(signature)} if signature:
                yield _cached(block)
            # One without a signature was written by another bot, or came translated.
            case {"type": "thinking"} | {"type": "text", "text": ""}:
                pass
            case {"type": "tool_reference", "tool_name": name}:
                yield {"type": "text", "text": f"The tool {name} can be called now."}
            case {"type": "tool_result", "content": list(inner)}:
                yield {**_cached(block), "content": [*_blocks(inner)]}
            case dict():
                yield _cached(block)


def _tools(given: Any) -> Iterator[dict[str, Any]]:
    for tool in given if isinstance(given, list) else ():
        kind = tool.get("type")
        if tool.get("name") == _PLACEHOLDER or str(kind).startswith(_UNKNOWN_TOOLS):
            continue
        if kind in (None, "custom"):
            tool = {name: tool[name] for name in _OF_TOOLS if tool.get(name) is not None}
        yield _cached(_without(tool, "defer_loading"))


def _cached(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return *block* with its mark for the cache as it is without a beta."""
    marked = {**block}
    mark = marked.pop("cache_control", None)
    if isinstance(mark, Mapping):
        known = {name: mark[name] for name in ("type", "ttl") if name in mark}
        marked["cache_control"] = known
    return marked


def _without(given: Any, name: str) -> Any:
    return {key: one for key, one in given.items() if key != name} if name in given else given


# ---- what comes back


class Stream:
    """A streamed answer: the data of one SSE event after another in, reply events out."""

    def __init__(self, budget: Budget) -> None:
        """It computes next to nothing, so nothing counts towards the *budget*."""
        #: Whether `Done` has been returned.
        self.is_over = False
        self._usage: dict[str, Any] = {}
        self._finish: FinishReason = "stop"

    def read(self, found: Iterable[bytes], said: Together) -> None:
        """Take the data of events that have come together, up to the end of the answer, and add
        what they mean to *said*.

        Raises the `UpstreamError` that one reports.
        """
        for data in found:
            said.add(self.feed(data))

    def feed(self, data: bytes) -> list[ReplyEvent]:
        """Take the data of one event; return what it means.

        Raises the `UpstreamError` that it reports.
        """
        if self.is_over:
            return []
        event = _object(data)
        if event.get("type") == _MORE and "error" not in event:
            # Nearly all events: with this they take 2.2 µs in place of 4.1.
            return [Verbatim(event, len(data))]
        match event:
            case {"type": "ping"}:
                return []
            case {"type": "error"} | {"error": dict()}:
                raise failures.of_event(event.get("error") or event)
            case {"type": "message_start", "message": {"usage": dict(usage)}}:
                self._usage |= usage
            case {"type": "message_delta"}:
                self._note(event)
            case {"type": "message_stop"}:
                self.is_over = True
                return [*_usage(self._usage), Verbatim(event, len(data)), Done(self._finish)]
        return [Verbatim(event, len(data))]

    def _note(self, event: Mapping[str, Any]) -> None:
        match event:
            case {"usage": dict(usage)}:
                self._usage |= {name: one for name, one in usage.items() if one is not None}
        match event:
            case {"delta": {"stop_reason": str(reason)}}:
                self._finish = _FINISHED.get(reason, "stop")

    def close(self) -> list[ReplyEvent]:
        """Note that no more comes; raises `UpstreamInterrupted` if that is too early."""
        if not self.is_over:
            raise UpstreamInterrupted("Poe's reply broke off before its end.")
        return []


def whole_answer(content: bytes | bytearray, budget: Budget) -> list[ReplyEvent]:
    """Return what a whole answer means; raises the `UpstreamError` that it reports."""
    answer = _object(content)
    if answer.get("type") == "error" or answer.get("error"):
        raise failures.of_event(answer.get("error") or answer)
    if not isinstance(answer.get("content"), list):
        raise UpstreamProtocolError("Poe sent an answer without content.")
    reason = answer.get("stop_reason")
    finish = _FINISHED.get(reason, "stop") if isinstance(reason, str) else "stop"
    usage = answer.get("usage")
    counted = _usage(usage if isinstance(usage, dict) else {})
    return [*counted, Verbatim(answer, len(content)), Done(finish)]


def _object(content: bytes | bytearray) -> dict[str, Any]:
    try:
        found = loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UpstreamProtocolError("Poe sent an answer that is not a JSON object.")
    return found


def _usage(given: Mapping[str, Any]) -> Iterator[Usage]:
    """Yield what an answer has cost: what was read from the cache and written to it comes beside
    the other input here."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    counts = [one if isinstance(one := given.get(name), int) else 0 for name in names]
    written = given.get("output_tokens")
    if isinstance(written, int):
        yield Usage(sum(counts), written, {"prompt_tokens_details": {"cached_tokens": counts[2]}})
