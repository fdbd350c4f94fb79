"""POST /bot/{handle}, the bot query protocol, official API sheet §12."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from . import chat, errors, fields, stage
from .asking import Asking, Role, Seen, ToolCall, Turn, last_user_text
from .catalogue import Json, Model
from .errors import Refused
from .replies import Reply
from .script import Script
from .visit import Visit

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "user": "user",
    "bot": "assistant",
    "tool": "tool",
}
_REPORTS = ("report_error", "report_feedback", "report_reaction", "settings")
_REFUSED_TEXTS: Mapping[str, str] = {
    "private": "Cannot access private bots",
    "creator": "Access denied",
    "unpriced": "Internal server error",
}


class _Said(Exception):
    """The answer is an error event: failures of a bot are told in its stream."""

    def __init__(
        self, text: str, *, allow_retry: bool = False, error_type: str | None = None
    ) -> None:
        super().__init__(text)
        self.data: Json = {"allow_retry": allow_retry, "text": text}
        if error_type is not None:
            self.data["error_type"] = error_type


async def serve(visit: Visit) -> web.StreamResponse:
    """Answer one request of any type."""
    body: Json = {}
    try:
        try:
            account = visit.admit()
        except Refused as refused:
            if refused.status == 401 and visit.face.switches.bot_key_event:
                error_id = uuid.uuid4().hex
                raise _Said(f"Internal server error (error_id: {error_id})") from None
            raise
        body = await visit.json()
        kind = body.get("type")
        if kind in _REPORTS:
            visit.entry["type"] = kind
            return visit.answer({})
        if kind != "query":
            return visit.answer({"error": {"message": f"Unknown type: {kind}"}}, status=501)
        visit.entry["stream"] = True
        model = _model(visit)
        try:
            turns = _turns(visit, body)
        except Refused as refused:
            raise _Said(refused.message, error_type="user_caused_error") from None
        script, prompt = visit.face.script_for(account, last_user_text(turns), model.words)
        await visit.play_fault(script)
        asking = _understand(body, model, script, prompt, turns, visit.spelling)
        if account.points <= 0:
            raise _Said(errors.POINTS_MESSAGE, error_type="insufficient_fund")
        if script.has("error") and not script.has("error-after"):
            raise _scripted_error(script)
        reply = visit.compose(asking)
        frames = _Voice(visit, asking, reply).frames()
        return await stage.stream(visit, asking, reply, frames)
    except _Said as said:
        return await _say_error(visit, said)


async def _say_error(visit: Visit, said: _Said) -> web.StreamResponse:
    visit.entry.update(status=200, verdict=f"error event: {said}")
    response = web.StreamResponse(headers=visit.headers())
    response.content_type = "text/event-stream"
    await response.prepare(visit.request)
    await response.write(stage.sse(said.data, "error") + stage.sse({}, "done"))
    await response.write_eof()
    return response


def _scripted_error(script: Script) -> _Said:
    return _Said(
        "The bot failed.",
        allow_retry=script.get("error") != "noretry",
        error_type=script.get("error-type"),
    )


def _model(visit: Visit) -> Model:
    name = visit.request.match_info["handle"]
    found = visit.face.models.find(name)
    if found is not None and found.refused is not None:
        raise _Said(_REFUSED_TEXTS[found.refused])
    try:
        return visit.take_model(name)
    except Refused:
        raise _Said("Bot does not exist") from None


def _turns(visit: Visit, body: Json) -> list[Turn]:
    query = body.get("query")
    if not isinstance(query, list) or not query:
        raise _Said("The query has no messages.", error_type="user_caused_error")
    turns = [_turn(visit, message) for message in query]
    calls = []
    for call in fields.listed(body, "tool_calls"):
        match call:
            case {"id": str(i), "function": {"name": str(n), "arguments": str(a)}}:
                calls.append(ToolCall(id=i, name=n, arguments=a))
    if calls:
        turns.append(Turn(role="assistant", calls=calls))
    for result in fields.listed(body, "tool_results"):
        match result:
            case {"tool_call_id": str(call_id), "content": str(text)}:
                turns.append(Turn(role="tool", text=text, result_of=call_id))
    return turns


def _turn(visit: Visit, message: Any) -> Turn:
    match message:
        case {"role": str(role), "content": str(text)} if role in _ROLES:
            turn = Turn(role=_ROLES[role], text=text)
        case _:
            raise _Said(
                f"A message needs content and one of the roles {', '.join(_ROLES)}.",
                error_type="user_caused_error",
            )
    for attachment in fields.listed(message, "attachments"):
        match attachment:
            case {"url": str(url), "content_type": str(mime), "name": str(name)}:
                stored = visit.face.uploads.find(url)
                turn.seen.append(
                    Seen(
                        kind="image" if mime.startswith("image/") else "file",
                        mime=mime,
                        url=url,
                        name=name,
                        data=stored.data if stored else None,
                    )
                )
    return turn


def _understand(
    body: Json, model: Model, script: Script, prompt: str, turns: list[Turn], spelling: str
) -> Asking:
    given = body["query"][-1].get("parameters")
    parameters = given if isinstance(given, dict) else {}
    asking = Asking(
        model=model,
        spelling=spelling,
        script=script,
        prompt=prompt,
        turns=turns,
        body={**body, "parameters": parameters},
        messages_field="query",
        can_replace=True,
        reasons=fields.reasons(parameters, model),
    )
    try:
        asking.stop = fields.stop_strings(body.get("stop_sequences"), "stop_sequences")
        fields.declared(parameters, model)
        tools = fields.listed(body, "tools")
        if tools:
            if not model.takes_tools:
                raise errors.no_tools(spelling, 400)
            asking.tools = [chat.tool_of(tool, n) for n, tool in enumerate(tools)]
    except Refused as refused:
        raise _Said(refused.message, error_type="user_caused_error") from None
    most = model.context_length
    if most is not None and model.kind == "text" and asking.prompt_tokens > most:
        raise _Said("Your message is too long.", error_type="user_message_too_long")
    return asking


class _Voice:
    """Says a reply in the words of the bot protocol, §12.2."""

    def __init__(self, visit: Visit, asking: Asking, reply: Reply) -> None:
        self._asking = asking
        self._script = asking.script
        self._reply = reply
        self._head: Json = {
            "id": f"chatcmpl-{visit.face.ids.hex(24)}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": asking.spelling,
        }
        if reply.reasoning:
            quoted = "\n".join(f"> {line}." for line in reply.reasoning.rstrip(".").split(". "))
            reply.text = f"Thinking...\n\n{quoted}\n\n{reply.text}"

    def frames(self) -> stage.Frames:
        script = self._script
        beats = list(self._beats())
        opening = b""
        if script.has("meta"):
            meta = {
                "content_type": "text/markdown",
                "linkify": True,
                "suggested_replies": script.has("suggest"),
                "refetch_settings": False,
            }
            opening = self._event("meta", meta)
        closing = b""
        for media in self._reply.media:
            file = {"url": media.url, "content_type": media.mime, "name": media.name}
            closing += self._event("file", {**file, "inline_ref": media.name[:8]})
        for number in range(script.count("suggest", 3 if script.has("suggest") else 0)):
            closing += self._event("suggested_reply", {"text": f"Tell me more ({number + 1})"})
        if script.has("unknown-event"):
            closing += self._event("surprise", {"text": "Nobody knows this event."})
        if script.has("data-event"):
            closing += self._event("data", {"metadata": "{}"})
        if script.has("usage-empty-choices"):
            usage = {
                "prompt_tokens": self._reply.prompt_tokens,
                "completion_tokens": self._reply.completion_tokens,
                "total_tokens": self._reply.prompt_tokens + self._reply.completion_tokens,
            }
            closing += self._event("json", {**self._head, "choices": [], "usage": usage})
        if script.has("bad-data"):
            closing += b"event: done\ndata: \n\n"
        elif not script.has("no-done"):
            closing += self._event("done", {})
        return stage.Frames(
            opening=opening,
            beats=beats,
            beat_count=len(beats),
            closing=closing,
            error=lambda error: stage.sse(
                {**_scripted_error(script).data, "raw_response": error}, "error"
            ),
            ping=self._event("ping", {}),
        )

    def _event(self, kind: str, data: Json) -> bytes:
        if self._script.has("index"):
            data = {**data, "index": self._script.count("index", 0)}
        return stage.sse(data, kind)

    def _beats(self) -> Iterator[bytes]:
        script, reply = self._script, self._reply
        if script.has("thinking"):
            for number in range(max(1, script.count("thinking", 3))):
                elapsed = "" if number == 0 else f" ({number}s elapsed)"
                yield self._event("replace_response", {"text": f"Thinking...{elapsed}"})
        if script.has("file-only"):
            return
        pieces = list(script.cut(reply.text))
        if script.has("rewrite"):
            for piece in pieces[: len(pieces) // 2 + 1]:
                yield self._event("text", {"text": piece.upper()})
        replaces = script.has("rewrite") or script.has("thinking")
        for number, piece in enumerate(pieces):
            kind = "replace_response" if replaces and number == 0 else "text"
            yield self._event(kind, {"text": piece})
        for index, call in enumerate(reply.calls):
            for delta in chat.call_deltas(call, script):
                numbered = delta if script.has("no-index") else {"index": index, **delta}
                yield self._chunk({"tool_calls": [numbered]})
        if reply.calls and not script.has("no-finish"):
            yield self._chunk({}, reply.finish)

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return self._event("json", {**self._head, "choices": [choice]})
