"""One request on its way in: its key, its body, its model, and the head of its answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

from ..directives import spoken
from . import errors
from .bot_request import BotRequest
from .catalogue import Json, Model
from .errors import Dropped, Envelope, HungUp, Refused
from .face import Account, ApiFace
from .replies import Reply, compose
from .schemas import BadSchemaError
from .script import Script

CORS: Mapping[str, str] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
}
# Failures with these statuses are Anthropic's own, handed on by Poe (§5).
_VENDOR_STATUSES = frozenset((400, 413, 429, 500, 529))


class Visit:
    """A request, its journal entry, and the headers of its answer."""

    def __init__(self, face: ApiFace, request: web.Request, envelope: Envelope) -> None:
        self.face = face
        self.request = request
        self.envelope = envelope
        self.started = time.perf_counter()
        self.request_id = f"req_poe_{face.ids.hex(32)}"
        self.account: Account | None = None
        self.model: Model | None = None
        self.spelling = ""
        self.body: Json = {}
        self.more_headers: dict[str, str] = {}
        self._is_replying = False
        self.entry = face.journal.add(
            face="api",
            peer=request.remote,
            method=request.method,
            path=request.path,
            headers=list(request.headers),
        )

    # -- key

    def key(self) -> str | None:
        """Return the request's key, from the header that its endpoint takes (§2)."""
        headers = self.request.headers
        if self.envelope == "anthropic" and headers.get("x-api-key"):
            return headers["x-api-key"]
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else None

    def admit(self, *, counted: bool = True) -> Account:
        """Return the owner of the key. Raises `Refused`: wrong key, too many requests."""
        key = self.key()
        self.entry["key"] = self.face.label_of(key)
        self.account = self.face.account_of(key)
        if counted:
            self.face.count_request(self.account)
        return self.account

    async def check_up(self) -> None:
        """Behave like a host that is down, if the control says so."""
        down = self.face.switches.down
        if not down:
            return
        if down == "refuse":
            raise Dropped
        if down == "hang":
            await self.face.watch.sleep(self.request, float("inf"))
        if down == "html":
            raise Refused(502, {}, html=errors.HTML_502, verdict="down")
        raise errors.by_status(503, "", "Poe")

    # -- body and model

    async def read(self) -> bytes:
        """Return the body. Raises `Refused` if it is too large."""
        most = int(self.face.switches.max_body_mb * 1024 * 1024)
        # By hand, past the limit of the application: this face has its own.
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.request.content.iter_any():
            size += len(chunk)
            if size > most:
                raise errors.too_large(f"The request is larger than {most} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)

    async def json(self) -> Json:
        """Return the JSON object in the body. Raises `Refused` for anything else."""
        try:
            body = orjson.loads(await self.read())
        except orjson.JSONDecodeError:
            raise errors.invalid("The body is not valid JSON.") from None
        if not isinstance(body, dict):
            raise errors.invalid("The body must be a JSON object.")
        self.body = body
        self.entry["fields"] = list(body)
        self.entry["stream"] = bool(body.get("stream", False))
        return body

    def find_model(self) -> Model:
        """Return the model that the body names. Raises `Refused` if there is none."""
        name = self.body.get("model")
        if name is None:
            raise errors.missing("model")
        if not isinstance(name, str):
            raise errors.wrong_type("model", "a string")
        return self._take_model(name)

    def _take_model(self, name: str) -> Model:
        self.spelling = name
        self.entry["model"] = name
        models = self.face.models
        find = models.find_for_messages if self.envelope == "anthropic" else models.find
        model = find(name)
        if model is None or model.id in {n.lower() for n in self.face.switches.hidden_models}:
            raise errors.no_such_model(name)
        if model.refused == "unpriced":
            raise errors.invalid(f"Token unit price not found for entity: {model.id}")
        if model.refused is not None:
            raise Refused(403, {"message": "Access denied", "type": "moderation_error"})
        self.model = model
        return model

    def compose(self, asked: BotRequest) -> Reply:
        """Return the bot's answer: its next line, if it has lines."""
        face = self.face
        line = face.lines.next(asked.model.name, asked.body.get(asked.messages_field))
        return compose(asked, face.calls, face.media_host(self.request), line)

    def check_points(self) -> None:
        """Raise `Refused` for an account without points."""
        if self.account is not None and self.account.points <= 0:
            raise errors.no_points()

    async def play_fault(self, script: Script) -> None:
        """Play the fault that the prompt asks for instead of an answer, if it asks for one."""
        if mark := script.get("mark"):
            self.entry["mark"] = mark
        if script.has("reset"):
            raise Dropped
        if not any(script.has(word) for word in ("http", "html-502", "empty-200")):
            return
        await self.face.watch.sleep(self.request, script.first)
        if script.has("html-502"):
            raise Refused(502, {}, html=errors.HTML_502, verdict="fault html-502")
        if script.has("empty-200"):
            raise Refused(200, {}, html="", verdict="fault empty-200")
        status = script.count("http", 500)
        owner = self.model.owner if self.model else "Poe"
        refused = errors.by_status(status if 400 <= status <= 599 else 500, self.spelling, owner)
        refused.verdict = f"fault http={refused.status}"
        if message := script.get("message"):
            refused.error["message"] = spoken(message)
        if script.get("retry-after") == "none":
            refused.headers.pop("Retry-After", None)
        elif script.has("retry-after"):
            refused.headers["Retry-After"] = script.get("retry-after") or "1"
        if script.has("nested-error"):
            # The vendor's own error as JSON in the message (§5).
            nested = {"type": "error", "error": refused.error}
            refused.error["message"] = orjson.dumps(nested).decode()
        raise refused

    # -- answer

    def reply_starts(self, model: Model) -> None:
        """Note in the journal that a bot begins to answer."""
        account = self.account
        assert account is not None
        self._is_replying = True
        account.active += 1
        account.most_active = max(account.most_active, account.active)
        self._event("reply-start", model)

    def reply_ends(self, model: Model, *, event: str = "reply-end") -> None:
        """Note in the journal how the bot's answer ended; only the first time counts."""
        assert self.account is not None
        if self._is_replying:
            self._is_replying = False
            self.account.active -= 1
            self._event(event, model)

    def _event(self, event: str, model: Model) -> None:
        assert self.account is not None
        self.face.journal.add(
            face="api",
            event=event,
            request=self.entry["n"],
            key=self.account.label,
            model=model.id,
            **({"mark": self.entry["mark"]} if "mark" in self.entry else {}),
        )

    def charge(self, asked: BotRequest, reply: Reply, share: float = 1.0) -> None:
        """Take the points for the answer, or for the *share* of it that was sent."""
        assert self.account is not None
        said = int(reply.completion_tokens * share)
        cost = self.face.charge(self.account, asked.model, reply.prompt_tokens, said)
        self.entry["cost"] = cost

    def headers(self) -> dict[str, str]:
        """Return the headers of every answer, §3.5 and §10."""
        elapsed = (time.perf_counter() - self.started) * 1000
        headers = {
            "Server": "cloudflare",
            "CF-Cache-Status": "DYNAMIC",
            **CORS,
            "x-request-id": self.request_id,
            **self.more_headers,
        }
        if self.envelope == "anthropic":
            headers["request-id"] = self.request_id
        else:
            headers["openai-processing-ms"] = str(max(1, int(elapsed)))
            headers["openai-version"] = "2020-10-01"
        if self.account is not None and self.face.switches.rate_limit > 0:
            limit, left, reset = self.face.rate_state(self.account)
            if self.envelope == "anthropic":
                at = datetime.now(UTC) + timedelta(seconds=reset)
                headers["anthropic-ratelimit-requests-limit"] = str(limit)
                headers["anthropic-ratelimit-requests-remaining"] = str(left)
                headers["anthropic-ratelimit-requests-reset"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            elif self.face.switches.rate_headers:
                headers["x-ratelimit-limit-requests"] = str(limit)
                headers["x-ratelimit-remaining-requests"] = str(left)
                headers["x-ratelimit-reset-requests"] = f"{reset:.3f}"
        return headers

    def answer(self, body: Any, *, status: int = 200, verdict: str = "ok") -> web.Response:
        """Return a JSON answer; *body* may be the bytes of one."""
        self.entry.update(status=status, verdict=verdict)
        return web.Response(
            body=body if isinstance(body, bytes) else orjson.dumps(body),
            status=status,
            content_type="application/json",
            headers=self.headers(),
        )

    def refusal(self, refused: Refused) -> web.Response:
        """Return the error answer in this endpoint's envelope."""
        self.entry.update(status=refused.status, verdict=refused.verdict)
        if self.envelope == "anthropic" and refused.status in _VENDOR_STATUSES:
            # Anthropic's own failures carry Anthropic's form of id (§5).
            self.request_id = f"req_011{self.face.ids.hex(21)}"
        headers = {**self.headers(), **refused.headers}
        if refused.html is not None:
            return web.Response(
                text=refused.html,
                status=refused.status,
                content_type="text/html" if refused.html else "application/json",
                headers=headers,
            )
        body = (
            errors.anthropic_body(refused, self.request_id, model=self.spelling)
            if self.envelope == "anthropic"
            else {"error": refused.error}
        )
        return web.Response(
            body=orjson.dumps(body),
            status=refused.status,
            content_type="application/json",
            headers=headers,
        )


Serve = Callable[[Visit], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def handler(face: ApiFace, serve: Serve, *, envelope: Envelope = "openai") -> Handler:
    """Return the aiohttp handler around *serve*: it keeps the journal and answers failures."""

    async def handle(request: web.Request) -> web.StreamResponse:
        visit = Visit(face, request, envelope)
        try:
            await visit.check_up()
            return await serve(visit)
        except Refused as refused:
            return visit.refusal(refused)
        except BadSchemaError as bad:
            return visit.refusal(errors.invalid(f"Invalid schema: {bad}."))
        except Dropped:
            visit.entry.update(status=0, verdict="dropped")
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        except (HungUp, ConnectionError):
            visit.entry.update(status=0, verdict="client hung up")
            return web.Response(status=499)
        finally:
            visit.entry["ms"] = round((time.perf_counter() - visit.started) * 1000, 3)
            if visit.model is not None and visit.account is not None:
                visit.reply_ends(visit.model, event="reply-aborted")

    return handle
