"""POST /v1/chat/completions, official API sheet §3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args

import orjson
from aiohttp import web

from ..lines import Raw
from . import errors, fields, stage
from .bot_request import (
    Attachment,
    BotRequest,
    Role,
    Tool,
    ToolCall,
    Turn,
    from_data_uri,
    last_user_text,
    picture,
)
from .catalogue import Json, Model
from .replies import Reply, usage_a, usage_b
from .script import Script
from .tools import check_results, check_signatures
from .visit import Visit

# Fields that are known for all models, whether honoured or ignored: §3.1.
_KNOWN_FIELDS = frozenset(
    (
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "n",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "logprobs",
        "top_logprobs",
        "response_format",
        "store",
        "metadata",
        "prediction",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "service_tier",
        "audio",
        "logit_bias",
        "user",
        "modalities",
    )
)
_ROLES = get_args(Role)


async def serve(visit: Visit) -> web.StreamResponse:
    """Answer one request."""
    account = visit.admit()
    strict = _is_strict(visit)
    body = await visit.json()
    model = visit.find_model()
    messages = body.get("messages")
    if messages is None:
        raise errors.missing("messages")
    if not isinstance(messages, list) or not messages:
        raise errors.wrong_type("messages", "a list of messages")
    turns = [_turn_of(message, index) for index, message in enumerate(messages)]
    script, prompt = visit.face.script_for(account, last_user_text(turns), model)
    await visit.play_fault(script)
    if strict:
        _check_fields(visit, model)
    asked = _understand(body, model, script, prompt, turns, visit.spelling)
    check_results(turns)
    if visit.face.switches.thought_signatures:
        check_signatures(asked, visit.face.calls)
    fields.check_prompt_length(asked.prompt_tokens, model)
    visit.check_points()
    reply = visit.compose(asked)
    if reply.raw is not None:
        return await _send_raw(visit, asked, reply, reply.raw)
    renderer = _Renderer(visit, asked, reply)
    if body.get("stream"):
        return await stage.stream(visit, asked, reply, renderer.frames())
    return await stage.whole(visit, asked, reply, renderer.whole())


async def _send_raw(visit: Visit, asked: BotRequest, reply: Reply, raw: Raw) -> web.StreamResponse:
    """Send the answer that a test wrote, in the form that was asked for if it has both."""
    if raw.stream is None or (raw.body is not None and not asked.body.get("stream")):
        return await stage.whole(visit, asked, reply, _raw_bytes(raw.body))
    ends = not asked.script.has("no-done")
    frames = stage.Frames(
        chunks=map(_raw_frame, raw.stream),
        chunk_count=len(raw.stream),
        closing=b"data: [DONE]\n\n" if ends else b"",
        error=lambda error: stage.sse({"error": error}),
    )
    return await stage.stream(visit, asked, reply, frames)


def _raw_frame(chunk: Mapping[str, Any] | str) -> bytes:
    written = _raw_bytes(chunk)
    return written if isinstance(chunk, str) else b"data: " + written + b"\n\n"


def _raw_bytes(given: Mapping[str, Any] | str | None) -> bytes:
    if isinstance(given, str):
        return given.encode(errors="surrogatepass")
    # Escaped, because it may have half of a surrogate pair, which has no UTF-8.
    return json.dumps(given).encode()


def _is_strict(visit: Visit) -> bool:
    """Return whether undeclared fields are refused, §3.2; a header says it if the echo is on."""
    switches = visit.face.switches
    strict = switches.strict
    for entry in visit.request.headers.get("poe-feature", "").split(","):
        match entry.strip():
            case "chat-completions-strict":
                strict = True
            case "chat-completions-legacy" if not switches.legacy_ended:
                strict = False
    if switches.legacy_ended:
        strict = True
    if switches.feature_echo:
        mode = "strict" if strict else "legacy"
        visit.more_headers["x-poe-feature-active"] = f"chat-completions-{mode}"
    return strict


def _check_fields(visit: Visit, model: Model) -> None:
    """Raise `Refused` for a field that the model does not declare."""
    for name in sorted(visit.body.keys() - _KNOWN_FIELDS - model.parameters.keys()):
        if visit.face.switches.refused_as_value:
            raise errors.no_parameter(name, model.parameters)
        raise errors.unknown_field(name, visit.spelling)


def _turn_of(message: Any, index: int) -> Turn:
    """Return one parsed message. Raises `Refused` if it is invalid."""
    where = f"messages[{index}]"
    if not isinstance(message, Mapping):
        raise errors.wrong_type(where, "an object")
    role = message.get("role")
    if role not in _ROLES:
        accepted = ", ".join(f"'{one}'" for one in _ROLES)
        raise errors.invalid(
            f"Invalid role '{role}' in {where}. Accepted roles: {accepted}.",
            param="role",
            code="invalid_parameter",
        )
    turn = Turn(role=cast(Role, role))
    content = message.get("content")
    calls = message.get("tool_calls")
    if calls is not None:
        turn.calls = _earlier_calls(calls, f"{where}.tool_calls")
    if role == "tool":
        if not isinstance(message.get("tool_call_id"), str):
            raise errors.missing(f"{where}.tool_call_id")
        turn.result_of = message["tool_call_id"]
    if content is None:
        if role != "assistant" or not turn.calls:
            raise errors.missing(f"{where}.content")
    elif isinstance(content, str):
        turn.text = content
    elif isinstance(content, list):
        _read_parts(turn, content, f"{where}.content")
    else:
        raise errors.wrong_type(f"{where}.content", "a string or a list of parts")
    return turn


def _earlier_calls(calls: Any, where: str) -> list[ToolCall]:
    if not isinstance(calls, list):
        raise errors.wrong_type(where, "a list")
    earlier = []
    for call in calls:
        match call:
            case {"id": str(call_id), "function": {"name": str(name), "arguments": str(arguments)}}:
                extra = call.get("extra_content")
                earlier.append(
                    ToolCall(
                        id=call_id, name=name, arguments=arguments, signature=_signature(extra)
                    )
                )
            case _:
                raise errors.wrong_type(where, "calls with id, function.name and .arguments")
    return earlier


def _signature(extra: Any) -> str | None:
    match extra:
        case {"google": {"thought_signature": str(signature)}}:
            return signature
    return None


def _read_parts(turn: Turn, parts: list[Any], where: str) -> None:
    texts: list[str] = []
    for index, part in enumerate(parts):
        here = f"{where}[{index}]"
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "image_url", "image_url": {"url": url}}:
                turn.attachments.append(picture(url, f"{here}.image_url.url"))
            case {"type": "file", "file": dict(file)}:
                mime, data = from_data_uri(file.get("file_data"), f"{here}.file.file_data")
                name = file.get("filename")
                if name is not None and not isinstance(name, str):
                    raise errors.wrong_type(f"{here}.file.filename", "a string")
                turn.attachments.append(Attachment(kind="file", mime=mime, data=data, name=name))
            case {"type": "input_audio"}:
                pass  # Poe strips audio input (§3.1).
            case _:
                raise errors.wrong_type(here, "a part of type text, image_url or file")
    turn.text = "\n".join(texts)


def _understand(
    body: Json,
    model: Model,
    script: Script,
    prompt: str,
    turns: list[Turn],
    spelling: str,
) -> BotRequest:
    if body.get("n") is not None and body["n"] != 1:
        raise errors.unsupported_value("n", body["n"], "1")
    fields.flag(body, "stream", False)
    fields.number_between(body, "temperature", 0, 2)
    fields.number_between(body, "top_p", 0, 1)
    fields.check_declared(body, model)
    limits = [
        limit
        for name in ("max_tokens", "max_completion_tokens")
        if (limit := fields.whole_number(body, name)) is not None
    ]
    if "max_output_tokens" in model.parameters and body.get("max_output_tokens") is not None:
        limits.append(body["max_output_tokens"])
    asked = BotRequest(
        model=model,
        spelling=spelling,
        script=script,
        prompt=prompt,
        turns=turns,
        body=body,
        parallel=fields.flag(body, "parallel_tool_calls", True),
        stop=fields.stop_strings(body.get("stop")),
        most_tokens=min(limits, default=None),
        reasons=fields.reasons(body, model),
    )
    tools = fields.listed(body, "tools")
    if tools:
        if not model.takes_tools:
            raise errors.no_tools(spelling, model.refuses_tools or 400)
        asked.tools = [_tool_of(tool, index) for index, tool in enumerate(tools)]
    _choose(asked, body.get("tool_choice"))
    if model.structured:
        # Elsewhere the field is ignored (§3.1).
        _take_format(asked, body.get("response_format"))
    return asked


def _tool_of(tool: Any, index: int) -> Tool:
    """Return a tool in OpenAI's form. Raises `Refused` if it is invalid."""
    match tool:
        case {"type": "function", "function": {"name": str(name), **rest}} if name:
            schema = rest.get("parameters")
            if schema is not None and not isinstance(schema, dict):
                raise errors.wrong_type(f"tools[{index}].function.parameters", "an object")
            return Tool(name=name, schema=schema)
    raise errors.wrong_type(f"tools[{index}]", "a function tool with a name")


def _choose(asked: BotRequest, choice: Any) -> None:
    names = {tool.name for tool in asked.tools}
    match choice:
        case None:
            return
        case "none" | "auto":
            asked.tool_choice = choice
            return
        case "required" if names:
            asked.tool_choice = choice
            return
        case {"type": "function", "function": {"name": str(name)}} if name in names:
            asked.tool_choice, asked.forced_tool = "named", name
            return
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(allowed)}}:
            if not asked.model.allowed_tools:
                raise errors.unsupported_value(
                    "tool_choice", "allowed_tools", "'none', 'auto', 'required', a function"
                )
            kept = {
                tool.get("function", {}).get("name") for tool in allowed if isinstance(tool, dict)
            }
            asked.tools = [tool for tool in asked.tools if tool.name in kept]
            asked.tool_choice = "required" if mode == "required" else "auto"
            return
    listed = ", ".join(f"'{name}'" for name in ("none", "auto", "required", *sorted(names)))
    shown = choice if isinstance(choice, str) else orjson.dumps(choice).decode()
    raise errors.unsupported_value("tool_choice", shown, listed)


def _take_format(asked: BotRequest, wanted: Any) -> None:
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            asked.schema = schema
        case {"type": "json_object"}:
            asked.wants_json = True


class _Renderer:
    """Renders a reply for Chat Completions, whole (§3.5) or streamed (§3.6)."""

    def __init__(self, visit: Visit, asked: BotRequest, reply: Reply) -> None:
        self._asked = asked
        self._script = asked.script
        self._reply = reply
        self._switches = visit.face.switches
        self._id = f"chatcmpl-{visit.face.ids.hex(24)}"
        self._created = int(time.time())
        self._model = asked.spelling
        if self._script.has("snapshot"):
            self._model = asked.model.snapshot or asked.model.id

    def whole(self) -> Json:
        reply = self._reply
        message: Json = {"role": "assistant", "content": reply.text}
        if self._script.has("null-content"):
            message["content"] = None
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
            message["reasoning"] = reply.reasoning
        if reply.calls:
            message["tool_calls"] = [_call(call) for call in reply.calls]
        body: Json = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        }
        if not self._script.has("no-usage"):
            body["usage"] = self._usage()
        if self._script.has("extras"):
            message.update(function_call=None, annotations=[], provider_specific_fields=None)
            body.update(system_fingerprint="fp_poe_sim", service_tier="default")
        return body

    def _usage(self) -> Json:
        script = self._script
        variant = script.get("usage") or self._switches.usage_variant
        variant = variant or self._asked.model.usage_variant
        if variant == "A":
            return usage_a(self._reply)
        return usage_b(self._reply, bare=variant == "B-null")

    def frames(self) -> stage.Frames:
        script, reply = self._script, self._reply
        chunks = self._chunks()
        closing = b""
        if not script.has("no-finish"):
            closing += self._chunk({}, finish=reply.finish)
        options = self._asked.body.get("stream_options")
        wants_usage = isinstance(options, dict) and options.get("include_usage")
        if (wants_usage or script.has("usage-empty-choices")) and not script.has("no-usage"):
            closing += stage.sse({**self._head(), "choices": [], "usage": self._usage()})
        if not script.has("no-done"):
            closing += b"data: [DONE]\n\n"
        first: Json = {"role": "assistant", "content": None if script.has("null-content") else ""}
        if script.has("no-role"):
            del first["role"]
        return stage.Frames(
            opening=self._chunk(first),
            chunks=chunks,
            chunk_count=self._chunk_count(),
            closing=closing,
            error=lambda error: stage.sse({"error": error}),
        )

    def _head(self) -> Json:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return stage.sse({**self._head(), "choices": [choice]})

    def _chunk_count(self) -> int:
        reply, cut = self._reply, self._script.cut
        calls = sum(len(_call_deltas(call, self._script)) for call in reply.calls)
        return len(cut(reply.reasoning)) + len(cut(reply.text)) + calls

    def _chunks(self) -> Iterator[bytes]:
        cut, dumps = self._script.cut, orjson.dumps
        # Everything around the text is the same in each chunk: it is rendered once.
        head = orjson.dumps(self._head())[:-1]
        before = b"data: " + head + b',"choices":[{"index":0,"delta":{"content":'
        behind = b'},"finish_reason":null}]}\n\n'
        for piece in cut(self._reply.reasoning):
            yield self._chunk({"reasoning_content": piece, "reasoning": piece})
        for piece in cut(self._reply.text):
            yield before + dumps(piece) + behind
        for index, call in enumerate(self._reply.calls):
            for delta in _call_deltas(call, self._script):
                numbered = delta if self._script.has("no-index") else {"index": index, **delta}
                yield self._chunk({"tool_calls": [numbered]})


def _call_deltas(call: ToolCall, script: Script) -> list[Json]:
    """Return a call as it is streamed: id and name first, then its arguments in pieces."""
    given = call.arguments
    if script.has("whole-args"):
        return [_call(call)]
    # Cuts fall inside words and escapes, as those of vendors do.
    pieces = [given[at : at + 7] for at in range(0, len(given), 7)]
    return [
        _call(call, arguments=""),
        *({"function": {"arguments": piece}} for piece in pieces),
    ]


def _call(call: ToolCall, arguments: str | None = None) -> Json:
    given = call.arguments if arguments is None else arguments
    made: Json = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": given},
    }
    if call.signature is not None:
        made["extra_content"] = {"google": {"thought_signature": call.signature}}
    return made
