"""POST /v1/messages, official API sheet §5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web

from . import errors, fields, stage
from .bot_request import (
    Attachment,
    BotRequest,
    Tool,
    ToolCall,
    Turn,
    checked_picture,
    from_base64,
    last_user_text,
    picture,
)
from .catalogue import Json, Model
from .errors import Refused
from .replies import Reply
from .script import Script
from .tools import check_results
from .visit import Visit

_FIELDS = frozenset(
    (
        "model",
        "messages",
        "max_tokens",
        "system",
        "metadata",
        "stop_sequences",
        "stream",
        "temperature",
        "top_k",
        "top_p",
        "thinking",
        "tools",
        "tool_choice",
        "service_tier",
        "output_config",
    )
)
_STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
# Shorter prompts are not cached.
_LEAST_CACHED_TOKENS = 1024


async def serve(visit: Visit) -> web.StreamResponse:
    """Answer one request."""
    account = visit.admit()
    body = await visit.json()
    if "anthropic-version" not in visit.request.headers:
        raise errors.invalid("anthropic-version: header is required")
    for name in ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            raise errors.invalid(f"{name}: field required")
    model = visit.find_model()
    if not model.serves("messages"):
        raise errors.no_such_model(visit.spelling)
    turns = _turns(body)
    script, prompt = visit.face.script_for(account, last_user_text(turns), model)
    await visit.play_fault(script)
    for name in body:
        if name not in _FIELDS:
            raise errors.invalid(f"{name}: extra inputs are not permitted")
    asked = _understand(body, model, script, prompt, turns, visit.spelling)
    check_results(turns)
    if model.context_length is not None and asked.prompt_tokens > model.context_length:
        raise errors.invalid(
            f"prompt is too long: {asked.prompt_tokens} tokens > {model.context_length} maximum"
        )
    visit.check_points()
    reply = visit.compose(asked)
    renderer = _Renderer(visit, asked, reply)
    if body.get("stream"):
        return await stage.stream(visit, asked, reply, renderer.frames())
    return await stage.whole(visit, asked, reply, renderer.whole())


def _turns(body: Json) -> list[Turn]:
    turns: list[Turn] = []
    system = body.get("system")
    if isinstance(system, str):
        turns.append(Turn(role="system", text=system))
    elif isinstance(system, list):
        text = "\n".join(str(block.get("text", "")) for block in system if isinstance(block, dict))
        turns.append(Turn(role="system", text=text))
    messages = body["messages"]
    if not isinstance(messages, list) or not messages:
        raise errors.invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        match message:
            case {"role": "user" | "assistant" as role, "content": str(text)}:
                turns.append(Turn(role=role, text=text))
            case {"role": "user" | "assistant" as role, "content": list(blocks)}:
                turns += _from_blocks(role, blocks, f"messages.{index}.content")
            case {"role": role, "content": _} if role not in ("user", "assistant"):
                raise errors.invalid(
                    f"messages.{index}.role: '{role}' is neither 'user' nor 'assistant'"
                )
            case _:
                raise errors.invalid(f"messages.{index}: role and content are required")
    return turns


def _from_blocks(role: Any, blocks: list[Any], where: str) -> list[Turn]:
    turn = Turn(role=role)
    results: list[Turn] = []
    texts: list[str] = []
    for number, block in enumerate(blocks):
        here = f"{where}.{number}"
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "image", "source": dict(source)}:
                turn.attachments.append(_source(source, "image", here))
            case {"type": "document", "source": dict(source)}:
                turn.attachments.append(_source(source, "file", here))
            case {"type": "tool_use", "id": str(i), "name": str(n), "input": dict(given)}:
                turn.calls.append(ToolCall(id=i, name=n, arguments=orjson.dumps(given).decode()))
            case {"type": "tool_result", "tool_use_id": str(call_id)}:
                text = _result_text(block.get("content"))
                results.append(Turn(role="tool", text=text, result_of=call_id))
            case {"type": "thinking" | "redacted_thinking"} if role == "assistant":
                pass
            case _:
                raise errors.invalid(f"{here}: unknown type of block")
    turn.text = "\n".join(texts)
    # Results come in a user message, which may have a text besides.
    return results + ([turn] if texts or turn.attachments or turn.calls or not results else [])


def _source(source: Json, kind: Any, where: str) -> Attachment:
    match source:
        case {"type": "base64", "media_type": str(mime), "data": data}:
            content = from_base64(data, f"{where}.source.data")
            if kind == "image":
                return checked_picture(mime, content, f"{where}.source")
            return Attachment(kind="file", mime=mime, data=content)
        case {"type": "url", "url": url} if kind == "image":
            return picture(url, f"{where}.source.url")
        case {"type": "url", "url": str(url)}:
            return Attachment(kind="file", url=url)
        case {"type": "text", "data": str(text)}:
            return Attachment(kind="file", mime="text/plain", data=text.encode())
    raise errors.invalid(f"{where}.source: unknown type of source")


def _result_text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _understand(
    body: Json, model: Model, script: Script, prompt: str, turns: list[Turn], spelling: str
) -> BotRequest:
    fields.flag(body, "stream", False)
    fields.number_between(body, "temperature", 0, 1)
    fields.number_between(body, "top_p", 0, 1)
    stop = body.get("stop_sequences") or []
    if not isinstance(stop, list) or not all(isinstance(one, str) for one in stop):
        raise errors.wrong_type("stop_sequences", "a list of strings")
    asked = BotRequest(
        model=model,
        spelling=spelling,
        script=script,
        prompt=prompt,
        turns=turns,
        body=body,
        stop=stop,
        most_tokens=fields.whole_number(body, "max_tokens"),
    )
    match body.get("thinking"):
        case {"type": "enabled", "budget_tokens": int(budget)}:
            if budget < 1024:
                raise errors.invalid("thinking.budget_tokens: should be 1024 or more")
            if budget >= body["max_tokens"]:
                raise errors.invalid("max_tokens: must be greater than thinking.budget_tokens")
            asked.reasons = True
        case {"type": "adaptive"}:
            asked.reasons = True
        case None | {"type": "disabled"}:
            pass
        case _:
            raise errors.invalid("thinking: invalid type or budget_tokens")
    for index, tool in enumerate(fields.listed(body, "tools")):
        match tool:
            case {"name": str(name), "input_schema": dict(schema)}:
                asked.tools = [*asked.tools, Tool(name=name, schema=schema)]
            case {"type": str(kind), "name": str()} if kind != "custom":
                pass  # Tools that run at the vendor.
            case _:
                raise errors.invalid(f"tools.{index}: name and input_schema are required")
    _choose(asked, body.get("tool_choice"))
    return asked


def _choose(asked: BotRequest, choice: Any) -> None:
    names = {tool.name for tool in asked.tools}
    match choice:
        case None:
            return
        case {"type": "auto" | "none" as kind}:
            asked.tool_choice = kind
        case {"type": "any"} if names:
            asked.tool_choice = "required"
        case {"type": "tool", "name": str(name)} if name in names:
            asked.tool_choice, asked.forced_tool = "named", name
        case _:
            raise errors.invalid("tool_choice: no such tool or type")
    asked.parallel = not choice.get("disable_parallel_tool_use", False)


class _Renderer:
    """Renders a reply for Messages."""

    def __init__(self, visit: Visit, asked: BotRequest, reply: Reply) -> None:
        self._asked = asked
        self._script = asked.script
        self._reply = reply
        self._visit = visit
        self._signature = visit.face.ids.hex(64)
        self._cached = self._cache_usage()

    def _cache_usage(self) -> tuple[int, int]:
        """Return tokens written to and read from the prompt cache, for `cache_control`."""
        body = self._asked.body
        marked = {"system": body.get("system"), "tools": body.get("tools")}
        printed = orjson.dumps([marked, body["messages"]])
        tokens = self._reply.prompt_tokens
        if b'"cache_control"' not in printed or tokens < _LEAST_CACHED_TOKENS:
            return 0, 0
        # The first message stands for the prefix: it is the same in each round of a conversation.
        prefix = orjson.dumps([self._asked.model.id, marked, body["messages"][0]])
        digest = hashlib.sha256(prefix).digest()
        known = self._visit.face.cached_prompts
        if digest in known:
            return 0, tokens
        known.append(digest)
        return tokens, 0

    def _usage(self) -> Json:
        written, read = self._cached
        return {
            "input_tokens": self._reply.prompt_tokens - written - read,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": self._reply.completion_tokens,
            "service_tier": "standard",
        }

    @property
    def _stop_reason(self) -> str:
        if self._reply.stopped_by is not None:
            return "stop_sequence"
        return _STOP_REASONS.get(self._reply.finish, self._reply.finish)

    def _blocks(self) -> list[tuple[Json, str]]:
        reply = self._reply
        blocks: list[tuple[Json, str]] = []
        if reply.reasoning:
            block = {"type": "thinking", "thinking": reply.reasoning, "signature": self._signature}
            blocks.append((block, reply.reasoning))
        if reply.text:
            blocks.append(({"type": "text", "text": reply.text}, reply.text))
        for call in reply.calls:
            block = {
                "type": "tool_use",
                "id": call.id,
                "name": call.name,
                # Arguments of `!bad-args` cannot be parsed: only a stream shows them.
                "input": {} if self._script.has("bad-args") else orjson.loads(call.arguments),
            }
            blocks.append((block, call.arguments))
        return blocks

    def _message(self, content: list[Json], *, is_over: bool) -> Json:
        usage = self._usage()
        if not is_over:
            usage["output_tokens"] = 1
        model = self._asked.model
        return {
            "id": self._visit.request_id,
            "type": "message",
            "role": "assistant",
            "model": (model.snapshot or model.id)
            if self._script.has("snapshot")
            else self._asked.spelling,
            "content": content,
            "stop_reason": self._stop_reason if is_over else None,
            "stop_sequence": self._reply.stopped_by if is_over else None,
            "usage": usage,
        }

    def whole(self) -> Json:
        return self._message([block for block, _ in self._blocks()], is_over=True)

    def frames(self) -> stage.Frames:
        blocks = self._blocks()
        message = self._message([], is_over=False)
        opening = stage.sse({"type": "message_start", "message": message}, "message_start")
        opening += stage.sse({"type": "ping"}, "ping")
        closing = b""
        if not self._script.has("no-finish"):
            delta = {"stop_reason": self._stop_reason, "stop_sequence": self._reply.stopped_by}
            closing += stage.sse(
                {"type": "message_delta", "delta": delta, "usage": self._usage()}, "message_delta"
            )
        if not self._script.has("no-done"):
            closing += stage.sse({"type": "message_stop"}, "message_stop")
        return stage.Frames(
            opening=opening,
            chunks=self._chunks(blocks),
            chunk_count=sum(len(self._pieces(block, text)) for block, text in blocks),
            closing=closing,
            error=self._error,
            ping=stage.sse({"type": "ping"}, "ping"),
        )

    def _error(self, error: Json) -> bytes:
        refused = Refused(529, {"message": error["message"]})
        request_id = self._visit.request_id
        body = errors.anthropic_body(refused, request_id, model=self._asked.spelling)
        return stage.sse(body, "error")

    def _pieces(self, block: Json, text: str) -> list[str]:
        if block["type"] == "tool_use":
            # The first piece is empty, as Anthropic sends it.
            return ["", *(text[at : at + 7] for at in range(0, len(text), 7))]
        return list(self._script.cut(text))

    def _chunks(self, blocks: list[tuple[Json, str]]) -> Iterator[bytes]:
        for index, (block, text) in enumerate(blocks):
            match block["type"]:
                case "thinking":
                    empty: Json = {"type": "thinking", "thinking": "", "signature": ""}
                    kind, key = "thinking_delta", "thinking"
                case "text":
                    empty = {"type": "text", "text": ""}
                    kind, key = "text_delta", "text"
                case _:
                    empty = {**block, "input": {}}
                    kind, key = "input_json_delta", "partial_json"
            pieces = self._pieces(block, text)
            last = len(pieces) - 1
            for number, piece in enumerate(pieces):
                frame = b""
                if number == 0:
                    start = {"type": "content_block_start", "index": index, "content_block": empty}
                    frame += stage.sse(start, "content_block_start")
                frame += self._delta(index, {"type": kind, key: piece})
                if number == last:
                    if block["type"] == "thinking":
                        signed = {"type": "signature_delta", "signature": self._signature}
                        frame += self._delta(index, signed)
                    stop = {"type": "content_block_stop", "index": index}
                    frame += stage.sse(stop, "content_block_stop")
                yield frame

    @staticmethod
    def _delta(index: int, delta: Json) -> bytes:
        data = {"type": "content_block_delta", "index": index, "delta": delta}
        return stage.sse(data, "content_block_delta")
