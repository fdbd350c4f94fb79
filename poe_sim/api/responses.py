"""POST /v1/responses, official API sheet §4."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web

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
from .errors import Refused
from .replies import Reply
from .script import Script
from .tools import check_results
from .visit import Visit

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_RESEARCH_TOOLS = ("web_search_preview", "mcp", "file_search")


async def serve(visit: Visit) -> web.StreamResponse:
    """Answer one request."""
    account = visit.admit()
    body = await visit.json()
    model = visit.find_model()
    if not model.serves("responses"):
        raise errors.no_responses()
    if body.get("input") in (None, "", []):
        raise errors.missing("input")
    turns = _turns(body["input"])
    instructions = body.get("instructions")
    if isinstance(instructions, str) and not visit.face.switches.ignore_instructions:
        turns.insert(0, Turn(role="system", text=instructions))
    script, prompt = visit.face.script_for(account, last_user_text(turns), model)
    await visit.play_fault(script)
    if body.get("previous_response_id") is not None:
        raise _no_memory(model)
    asked = _understand(body, model, script, prompt, turns, visit.spelling)
    check_results(turns)
    fields.check_prompt_length(asked.prompt_tokens, model)
    visit.check_points()
    reply = visit.compose(asked)
    renderer = _Renderer(visit, asked, reply)
    if body.get("stream"):
        return await stage.stream(visit, asked, reply, renderer.frames())
    return await stage.whole(visit, asked, reply, renderer.whole())


def _no_memory(model: Model) -> Refused:
    """Return the refusal to go on from an earlier response, as it was seen at Poe."""
    if model.owner == "Anthropic":
        return errors.by_status(500, model.id, model.owner)
    return errors.invalid(
        "Previous response cannot be used: zero data retention is on.",
        param="previous_response_id",
    )


def _turns(given: Any) -> list[Turn]:
    if isinstance(given, str):
        return [Turn(role="user", text=given)]
    if not isinstance(given, list):
        raise errors.wrong_type("input", "a string or a list of items")
    turns: list[Turn] = []
    for index, item in enumerate(given):
        here = f"input[{index}]"
        match item:
            case {"type": "function_call", "call_id": str(i), "name": str(n), "arguments": str(a)}:
                call = ToolCall(id=i, name=n, arguments=a)
                if turns and turns[-1].calls:
                    turns[-1].calls.append(call)
                else:
                    turns.append(Turn(role="assistant", calls=[call]))
            case {"type": "function_call_output", "call_id": str(call_id), "output": output}:
                text = output if isinstance(output, str) else orjson.dumps(output).decode()
                turns.append(Turn(role="tool", text=text, result_of=call_id))
            case {"type": "reasoning"}:
                pass
            case {"role": str(role), "content": content} if role in _ROLES:
                turn = Turn(role=_ROLES[role])
                _read_content(turn, content, f"{here}.content")
                turns.append(turn)
            case {"type": "input_text" | "input_image" | "input_file"}:
                if not turns or turns[-1].role != "user":
                    turns.append(Turn(role="user"))
                _read_content(turns[-1], [item], here)
            case _:
                raise errors.wrong_type(here, "a message, a function call or its output")
    return turns


def _read_content(turn: Turn, content: Any, where: str) -> None:
    if isinstance(content, str):
        turn.text = content
        return
    if not isinstance(content, list):
        raise errors.wrong_type(where, "a string or a list of parts")
    texts = [turn.text] if turn.text else []
    for index, part in enumerate(content):
        here = f"{where}[{index}]"
        match part:
            case {"type": "input_text" | "output_text" | "text", "text": str(text)}:
                texts.append(text)
            case {"type": "input_image", "image_url": url}:
                turn.attachments.append(picture(url, f"{here}.image_url"))
            case {"type": "input_file", "file_url": str(url)}:
                turn.attachments.append(Attachment(kind="file", url=url))
            case {"type": "input_file", "file_data": data}:
                mime, content_bytes = from_data_uri(data, f"{here}.file_data")
                name = part.get("filename")
                turn.attachments.append(
                    Attachment(
                        kind="file",
                        mime=mime,
                        data=content_bytes,
                        name=name if isinstance(name, str) else None,
                    )
                )
            case _:
                raise errors.wrong_type(here, "input_text, input_image or input_file")
    turn.text = "\n".join(texts)


def _understand(
    body: Json, model: Model, script: Script, prompt: str, turns: list[Turn], spelling: str
) -> BotRequest:
    fields.flag(body, "stream", False)
    fields.number_between(body, "temperature", 0, 2)
    fields.number_between(body, "top_p", 0, 1)
    asked = BotRequest(
        model=model,
        spelling=spelling,
        script=script,
        prompt=prompt,
        turns=turns,
        body=body,
        messages_field="input",
        parallel=fields.flag(body, "parallel_tool_calls", True),
        most_tokens=fields.whole_number(body, "max_output_tokens"),
        reasons=model.reasoning_required,
    )
    _reason(asked, body.get("reasoning"))
    tools = fields.listed(body, "tools")
    kinds = [tool.get("type") if isinstance(tool, dict) else None for tool in tools]
    if model.deep_research and not any(kind in _RESEARCH_TOOLS for kind in kinds):
        raise errors.invalid(
            "Deep research models require at least one of 'web_search_preview', 'mcp', or "
            "'file_search' tools.",
            param="tools",
        )
    for index, tool in enumerate(tools):
        match tool:
            case {"type": "function", "name": str(name)}:
                if not model.takes_tools:
                    raise errors.no_tools(spelling, model.refuses_tools or 400)
                asked.tools = [*asked.tools, Tool(name=name, schema=tool.get("parameters"))]
            case {"type": "web_search_preview"}:
                pass
            case _ if model.deep_research:
                pass
            case _:
                raise errors.unsupported_value(
                    f"tools[{index}].type", kinds[index], "'function', 'web_search_preview'"
                )
    names = {tool.name for tool in asked.tools}
    match body.get("tool_choice"):
        case None:
            pass
        case "none" | "auto" | "required" as choice:
            asked.tool_choice = choice
        case {"type": "function", "name": str(name)} if name in names:
            asked.tool_choice, asked.forced_tool = "named", name
        case _:
            raise errors.unsupported_value("tool_choice", "this", "'none', 'auto', 'required'")
    match body.get("text"):
        case {"format": {"type": "json_schema", "schema": schema}}:
            asked.schema = schema
        case {"format": {"type": "json_object"}}:
            asked.wants_json = True
    return asked


def _reason(asked: BotRequest, reasoning: Any) -> None:
    if not isinstance(reasoning, dict):
        return
    effort = reasoning.get("effort")
    if effort is not None:
        # The same values as on chat completions, if the model has any.
        chosen = {"reasoning_effort": effort}
        fields.check_declared(chosen, asked.model)
        asked.reasons = fields.reasons(chosen, asked.model)


class _Renderer:
    """Renders a reply for Responses."""

    def __init__(self, visit: Visit, asked: BotRequest, reply: Reply) -> None:
        self._asked = asked
        self._script = asked.script
        self._reply = reply
        self._ids = visit.face.ids
        self._marker = visit.face.switches.done_marker and not self._script.has("no-done")
        opaque = base64.b64encode(self._ids.rng.randbytes(36)).decode()
        self._id = f"resp_{opaque}"
        self._created = int(time.time())
        self._number = -1

    def whole(self) -> Json:
        items = [item for item, _ in self._items()]
        return self._response(self._status, items)

    @property
    def _status(self) -> str:
        return "incomplete" if self._reply.finish == "length" else "completed"

    def _response(self, status: str, output: list[Json]) -> Json:
        asked, body, reply = self._asked, self._asked.body, self._reply
        is_over = status != "in_progress"
        usage = {
            "input_tokens": reply.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        }
        reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
        reasoning = body.get("reasoning") if isinstance(body.get("reasoning"), dict) else {}
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "model": asked.model.snapshot or asked.model.id,
            "status": status,
            "output": output,
            "usage": usage if is_over and not self._script.has("no-usage") else None,
            "store": False,
            "error": None,
            "incomplete_details": reason,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "metadata": body.get("metadata") or {},
            "parallel_tool_calls": asked.parallel,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None, **(reasoning or {})},
            "service_tier": body.get("service_tier") or "default",
            "temperature": body.get("temperature", 1.0),
            "text": body.get("text") or {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_p": body.get("top_p", 1.0),
            "truncation": body.get("truncation") or "disabled",
        }

    def _items(self) -> list[tuple[Json, str]]:
        """Return the finished items of the output, each with its text for a stream."""
        reply = self._reply
        items: list[tuple[Json, str]] = []
        if reply.reasoning:
            summary = [{"type": "summary_text", "text": reply.reasoning}]
            items.append(
                (
                    {"id": f"rs_{self._ids.hex(48)}", "type": "reasoning", "summary": summary},
                    reply.reasoning,
                )
            )
        if reply.text or not reply.calls or self._script.has("no-text"):
            part = {
                "type": "output_text",
                "text": reply.text,
                "annotations": [],
                "logprobs": [],
            }
            if self._script.has("no-text"):
                del part["text"]
            items.append(
                (
                    {
                        "id": f"msg_{self._ids.hex(48)}",
                        "type": "message",
                        "role": "assistant",
                        "status": self._status,
                        "content": [part],
                    },
                    reply.text,
                )
            )
        for call in reply.calls:
            items.append(
                (
                    {
                        "id": f"fc_{self._ids.hex(48)}",
                        "type": "function_call",
                        "call_id": call.id,
                        "name": call.name,
                        "arguments": call.arguments,
                        "status": "completed",
                    },
                    call.arguments,
                )
            )
        return items

    def frames(self) -> stage.Frames:
        items = self._items()
        count = sum(len(self._pieces(item, text)) for item, text in items)
        started = self._response("in_progress", [])
        opening = self._event("response.created", response=started)
        opening += self._event("response.in_progress", response=started)
        return stage.Frames(
            opening=opening,
            chunks=self._chunks(items),
            chunk_count=count,
            # Rendered when it is sent: its number follows from the events before it.
            closing=lambda: self._closing([item for item, _ in items]),
            error=self._error,
        )

    def _closing(self, items: list[Json]) -> bytes:
        frames = b""
        if not self._script.has("no-finish"):
            status = self._status
            frames = self._event(f"response.{status}", response=self._response(status, items))
        return frames + (b"data: [DONE]\n\n" if self._marker else b"")

    def _error(self, error: Json) -> bytes:
        return self._event("error", code=error["code"], message=error["message"], param=None)

    def _event(self, kind: str, **data: Any) -> bytes:
        self._number += 1
        return stage.sse({"type": kind, "sequence_number": self._number, **data}, kind)

    def _pieces(self, item: Json, text: str) -> list[str]:
        if item["type"] == "function_call":
            return [text[at : at + 7] for at in range(0, len(text), 7)]
        # An empty text has one chunk, so that its item is announced and finished all the same.
        return list(self._script.cut(text)) or [""]

    def _chunks(self, items: list[tuple[Json, str]]) -> Iterator[bytes]:
        for index, (item, text) in enumerate(items):
            pieces = self._pieces(item, text)
            where: Json = {"item_id": item["id"], "output_index": index}
            match item["type"]:
                case "reasoning":
                    begin, step, end = self._reasoning_events(item, text)
                case "message":
                    begin, step, end = self._message_events(item, text)
                case _:
                    begin, step, end = self._call_events(item, text)
            last = len(pieces) - 1
            for number, piece in enumerate(pieces):
                frame = b""
                if number == 0:
                    empty = {**item, **begin}
                    frame += self._event(
                        "response.output_item.added", output_index=index, item=empty
                    )
                    frame += self._part_added(item, where)
                if piece:
                    frame += self._event(step[0], **where, **step[1], delta=piece)
                if number == last:
                    for kind, data in end:
                        frame += self._event(kind, **where, **data)
                    frame += self._event("response.output_item.done", output_index=index, item=item)
                yield frame

    def _part_added(self, item: Json, where: Json) -> bytes:
        match item["type"]:
            case "reasoning":
                part: Json = {"type": "summary_text", "text": ""}
                return self._event(
                    "response.reasoning_summary_part.added", **where, summary_index=0, part=part
                )
            case "message":
                part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
                return self._event(
                    "response.content_part.added", **where, content_index=0, part=part
                )
            case _:
                return b""

    @staticmethod
    def _reasoning_events(item: Json, text: str) -> _Events:
        kind = "response.reasoning_summary"
        at = {"summary_index": 0}
        done = [
            (f"{kind}_text.done", {**at, "text": text}),
            (f"{kind}_part.done", {**at, "part": item["summary"][0]}),
        ]
        return {"summary": []}, (f"{kind}_text.delta", at), done

    @staticmethod
    def _message_events(item: Json, text: str) -> _Events:
        at = {"content_index": 0, "logprobs": []}
        done = [
            ("response.output_text.done", {**at, "text": text}),
            ("response.content_part.done", {"content_index": 0, "part": item["content"][0]}),
        ]
        begin = {"status": "in_progress", "content": []}
        return begin, ("response.output_text.delta", at), done

    @staticmethod
    def _call_events(item: Json, text: str) -> _Events:
        kind = "response.function_call_arguments"
        done = [(f"{kind}.done", {"arguments": text, "name": item["name"]})]
        return {"status": "in_progress", "arguments": ""}, (f"{kind}.delta", {}), done


# An item's fields when it is announced, the event of a piece, and the events of its end.
_Events = tuple[Json, tuple[str, Json], list[tuple[str, Json]]]
