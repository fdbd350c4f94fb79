"""The routes of poe.com, web protocol sheet §22.2, and the journal entry of each request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import BodyPartReader, WSMsgType, web

from ..directives import number
from . import bodies, chats, chunks, faults, hashes, lookups, pages, sending
from .channels import Channel, Socket
from .checks import Visit, variables_error
from .faults import Refused
from .graphql import Call, Operation, server_error
from .objects import Account, Upload
from .world import World

log = logging.getLogger(__name__)

OPERATIONS: dict[str, Operation] = {**lookups.TABLE, **chats.TABLE, **sending.TABLE}
# Today's browser does not send these, so strict mode does not know them.
_OLD_OPERATIONS = frozenset(OPERATIONS) - frozenset(hashes.OPERATIONS)
_BY_LOWER_NAME = {
    **{name.lower(): name for name in OPERATIONS},
    **{alias.lower(): name for alias, name in hashes.ALIASES.items()},
}

_COOKIE_AGE = 63_072_000
# Bytes of a text that is attached, after which the rest is not kept.
_TEXT_SIZE = 1_000_000
_PART_SIZE = 256 * 1024

Handler = Callable[[Visit], Awaitable[web.StreamResponse]]


class Face:
    """poe.com: each route is a method that takes a visit, and answers or raises `Refused`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return the routes, those that would swallow others last."""
        return [
            web.get("/", self._journaled(self.page)),
            web.get("/login", self._journaled(self.login)),
            web.get("/_next/static/{path:.+}", self._journaled(self.script)),
            web.get("/api/settings", self._journaled(self.settings)),
            web.get("/api/ping", self._journaled(self.ping)),
            web.post("/api/gql_POST", self._journaled(self.gql)),
            web.post("/api/gql_upload_POST", self._journaled(self.gql_upload)),
            web.post("/api/finish_upload_POST", self._journaled(self.finish_upload)),
            web.post("/api/receive_POST", self._journaled(self.telemetry)),
            web.get("/up/{box}/updates", self._journaled(self.updates)),
            web.get("/chat/{code}", self._journaled(self.page)),
            web.get("/{handle}", self._journaled(self.page)),
        ]

    def _journaled(
        self, handler: Handler
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Wrap *handler* so that each request and its verdict are in the journal."""

        async def answer(request: web.Request) -> web.StreamResponse:
            started = time.monotonic()
            # Names only: a value may be a secret.
            entry = self._world.journal.add(
                face="web",
                peer=request.remote,
                method=request.method,
                path=request.path,
                headers=sorted({name.lower() for name in request.headers}),
                verdict="pending",
            )
            visit = Visit(self._world, request, entry)
            response: web.StreamResponse
            try:
                visit.check_client()
                response = await handler(visit)
                if entry["verdict"] == "pending":
                    entry["verdict"] = "ok"
            except Refused as refused:
                entry["verdict"] = refused.verdict
                if refused.response is None:
                    if request.transport is not None:
                        request.transport.abort()
                    response = web.Response(status=500)
                else:
                    response = refused.response
            entry["status"] = response.status
            entry["ms"] = round((time.monotonic() - started) * 1000, 1)
            if entry["verdict"] != "ok":
                log.info("%s %s: %s", request.method, request.path, entry["verdict"])
            return response

        return answer

    # Pages and scripts -------------------------------------------------------------------------

    async def page(self, visit: Visit) -> web.StreamResponse:
        """Any page of a logged-in account: pages differ in nothing that clients read."""
        account = visit.cookie()
        fault = await visit.play_fault(None)
        if account is None:
            raise faults.login_redirect(f"{visit.entry['cookie']} cookie")
        world, request = self._world, visit.request
        words = {} if fault is None else fault.words
        data = None
        if not world.switches.page_without_channel:
            data = self._fresh_channel(visit, account)
        html = world.page(
            account,
            base=f"{request.scheme}://{request.host}",
            path=request.path,
            channel_data=data,
            words=words,
        )
        if "drip" in words:
            return await bodies.drip(request, html, "text/html", number(words, "drip", 0.5))
        response = web.Response(text=html, content_type="text/html")
        self._renew_cookie(response, visit)
        return response

    async def login(self, visit: Visit) -> web.Response:
        """The login page."""
        visit.cookie()
        return web.Response(text=pages.login(), content_type="text/html")

    async def script(self, visit: Visit) -> web.StreamResponse:
        """A script of the front end."""
        visit.note_host()
        fault = await visit.play_fault(None)
        words = {} if fault is None else fault.words
        if "huge-script" in words:
            return await bodies.flood(visit.request, number(words, "huge-script", 64))
        text = self._world.script(visit.request.match_info["path"])
        if text is None:
            raise Refused(web.Response(status=404, text="Not Found"), "unknown script")
        kind = "application/javascript"
        if "endless-manifest" in words:
            text = chunks.endless_manifest(int(number(words, "endless-manifest", 10_000)))
        if "drip" in words:
            return await bodies.drip(visit.request, text, kind, number(words, "drip", 0.5))
        return web.Response(text=text, content_type=kind)

    async def settings(self, visit: Visit) -> web.Response:
        """Channel data without a page."""
        account = visit.cookie()
        await visit.play_fault(None)
        if account is None and self._world.switches.settings_need_login:
            raise faults.login_redirect(f"{visit.entry['cookie']} cookie")
        answer = {}
        if not self._world.switches.settings_without_channel:
            answer["tchannelData"] = self._fresh_channel(visit, account)
        response = faults.json_response(answer)
        if account is not None:
            self._renew_cookie(response, visit)
        return response

    async def ping(self, _visit: Visit) -> web.Response:
        """A sign of life."""
        return web.Response(text="<html><body><p>pong</p></body></html>", content_type="text/html")

    def _fresh_channel(self, visit: Visit, account: Account | None) -> dict[str, object]:
        channel = self._world.new_channel(account)
        visit.entry["channel"] = channel.label
        return channel.data(self._world.switches.base_host or visit.request.host)

    def _renew_cookie(self, response: web.Response, visit: Visit) -> None:
        """Issue the session's cookie again, as Poe does on many answers."""
        account, how = visit.account, self._world.switches.set_cookie
        if account is None or how == "none":
            return
        token = self._world.new_token(account) if how == "new" else account.tokens[-1]
        for _ in range(2 if how == "twice" else 1):
            # By hand: aiohttp would quote some values and merge two cookies of one name.
            response.headers.add(
                "Set-Cookie", f"p-b={token}; Path=/; HttpOnly; Max-Age={_COOKIE_AGE}"
            )

    # GraphQL -----------------------------------------------------------------------------------

    async def gql(self, visit: Visit) -> web.Response:
        """One GraphQL operation."""
        self._note_query(visit)
        account = visit.required_cookie()
        await visit.play_fault(None)
        visit.check_json_type()
        visit.check_formkey(account)
        body = await visit.request.read()
        visit.check_tag(body, account)
        return await self._run(visit, account, body, [])

    async def gql_upload(self, visit: Visit) -> web.Response:
        """One GraphQL operation with files, web protocol sheet §16.1."""
        self._note_query(visit)
        account = visit.required_cookie()
        await visit.play_fault(None)
        if visit.request.content_type != "multipart/form-data":
            raise faults.bad_request("bad content type")
        visit.check_formkey(account)
        body, files = b"", list[tuple[str, Upload]]()
        async for part in await visit.request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "queryInfo":
                body = bytes(await part.read())
            else:
                files.append((part.name or "", (await self._receive(part))[0]))
        visit.check_tag(body, account)
        return await self._run(visit, account, body, files)

    def _note_query(self, visit: Visit) -> None:
        """Note what a request says it is, though its key or tag may be refused unread."""
        label = visit.request.headers.get("poe-queryname", "")
        if label.lower() in _BY_LOWER_NAME:
            visit.entry["queryName"] = label

    async def _run(
        self, visit: Visit, account: Account, body: bytes, files: list[tuple[str, Upload]]
    ) -> web.Response:
        world = self._world
        given_name, variables, given_hash = visit.envelope(body)
        await visit.play_fault(given_name)
        visit.check_headers(given_name)
        name = self._operation_name(given_name)
        operation = OPERATIONS.get(name or "")
        if name is None or operation is None:
            raise faults.graphql_error("PersistedQueryNotFound", "unknown operation")
        if world.is_strict and given_hash != world.hashes[name]:
            raise faults.graphql_error(world.switches.stale_answer, "bad hash")
        channel = self._channel(visit, account) if operation.pushes else None
        if channel is not None:
            visit.entry["isHeard"] = bool(channel.sockets)
        fault = variables_error(variables, operation.schema, is_strict=world.is_strict)
        if fault is not None:
            raise server_error(fault)
        attachments = variables.get("attachments", [])
        if files and attachments and [field for field, _ in files] != attachments:
            raise server_error("files and attachments differ")
        call = Call(
            world,
            account,
            channel,
            variables,
            visit.entry,
            [upload for _, upload in files],
        )
        data = await operation.handler(call)
        response = faults.json_response({"data": data, "extensions": {"hi": "bye"}})
        self._renew_cookie(response, visit)
        return response

    def _operation_name(self, given: str) -> str | None:
        """Return the operation's name in the table, or None; its first letter may be a capital."""
        name = _BY_LOWER_NAME.get(given.lower())
        if name is None or not self._world.is_strict:
            return name
        same_spelling = (
            name,
            *(alias for alias in hashes.ALIASES if hashes.ALIASES[alias] == name),
        )
        is_spelt_right = any(
            given[1:] == spelling[1:] and given[0].lower() == spelling[0].lower()
            for spelling in same_spelling
        )
        return name if is_spelt_right and name not in _OLD_OPERATIONS else None

    def _channel(self, visit: Visit, account: Account) -> Channel:
        name = visit.request.headers.get("Poe-Tchannel")
        channel = account.channels.get(name or "")
        if channel is None:
            raise faults.bad_request("unknown tchannel" if name else "missing tchannel")
        return channel

    # Uploads and telemetry ---------------------------------------------------------------------

    async def _receive(self, part: BodyPartReader) -> tuple[Upload, str]:
        """Read one file; its size and digest are kept, and of a text its beginning."""
        limit, size, digest = self._world.switches.upload_limit, 0, hashlib.sha256()
        kind = part.headers.get("Content-Type", "application/octet-stream")
        begun = b""
        while chunk := await part.read_chunk(_PART_SIZE):
            size += len(chunk)
            if size > limit:
                raise faults.http_error(413)
            digest.update(chunk)
            if kind.startswith("text/") and len(begun) < _TEXT_SIZE:
                begun += chunk
        name, text = part.filename or part.name or "file", begun.decode("utf-8", "replace")
        return Upload(name, kind, size, text), digest.hexdigest()

    async def finish_upload(self, visit: Visit) -> web.Response:
        """One file, answered with a ticket; web protocol sheet §16.2."""
        account = visit.required_cookie()
        await visit.play_fault(None)
        visit.check_formkey(account)
        if visit.request.content_type != "multipart/form-data":
            raise faults.bad_request("bad content type")
        received: list[tuple[Upload, str]] = []
        async for part in await visit.request.multipart():
            if not isinstance(part, BodyPartReader) or part.name != "file" or received:
                raise faults.bad_request("not exactly one part `file`")
            received.append(await self._receive(part))
        if not received:
            raise faults.bad_request("not exactly one part `file`")
        upload, digest = received[0]
        ticket = ".".join(
            base64.urlsafe_b64encode(part).decode().rstrip("=")
            for part in (
                b'{"alg":"HS256","typ":"JWT"}',
                orjson.dumps({"hash": digest, "size": upload.size}),
                self._world.rng.randbytes(32),
            )
        )
        account.uploads[ticket] = upload
        visit.entry["size"] = upload.size
        match self._world.switches.jwt_form:
            case "quoted":
                return web.Response(text=f'"{ticket}"', content_type="text/plain")
            case "json":
                return faults.json_response({"fileHashJwt": ticket})
            case "nested":
                return faults.json_response({"data": {"upload": {"file_hash_jwt": ticket}}})
        return web.Response(text=ticket, content_type="text/plain")

    async def telemetry(self, visit: Visit) -> web.Response:
        """A browser's telemetry; accepted and forgotten."""
        account = visit.required_cookie()
        await visit.play_fault(None)
        visit.check_formkey(account)
        body = await visit.request.read()
        visit.check_tag(body, account)
        try:
            events = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise faults.bad_request("bad JSON") from None
        if not isinstance(events, list) or not all(
            isinstance(event, dict)
            and isinstance(event.get("category"), str)
            and isinstance(event.get("data"), dict)
            for event in events
        ):
            raise faults.bad_request("bad events")
        return faults.json_response({})

    # The websocket -----------------------------------------------------------------------------

    async def updates(self, visit: Visit) -> web.StreamResponse:
        """The push channel, web protocol sheet §7."""
        world, request = self._world, visit.request
        query = request.query
        channel = world.channels.get(query.get("channel", ""))
        if channel is None or query.get("hash") != channel.hash:
            raise Refused(web.Response(status=403), "bad channel")
        if request.match_info["box"] != channel.box:
            raise Refused(web.Response(status=404), "bad box")
        try:
            min_seq = int(query.get("min_seq", ""))
        except ValueError:
            raise Refused(web.Response(status=403), "bad min_seq") from None
        await visit.play_fault(None)
        # Frames are written without waiting: a client that does not read must not hold up the
        # replies of others. `Socket.send` drops it in the end.
        ws = web.WebSocketResponse(autoping=False, compress=False, writer_limit=2**40)
        if not ws.can_prepare(request).ok:
            raise Refused(web.Response(status=404), "no upgrade")
        await ws.prepare(request)
        visit.entry.update(verdict="ok", account=channel.owner, status=101)
        socket = Socket(ws, request.transport)
        label = {"account": channel.owner, "channel": channel.label, "peer": request.remote or ""}
        world.journal.add(face="web", event="socket-open", minSeq=min_seq, **label)
        channel.sockets.add(socket)
        pinging = asyncio.create_task(self._ping_regularly(socket))
        try:
            await channel.replay(socket, min_seq)
            await self._listen(ws, socket, label)
        finally:
            pinging.cancel()
            channel.sockets.discard(socket)
            world.journal.add(face="web", event="socket-close", code=ws.close_code, **label)
        return ws

    async def _listen(
        self, ws: web.WebSocketResponse, socket: Socket, label: dict[str, str]
    ) -> None:
        """Answer pings until the websocket ends."""
        async for message in ws:
            if socket.is_silent or not self._world.switches.answer_pings:
                continue
            if message.type is WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                try:
                    said = orjson.loads(message.data)
                except orjson.JSONDecodeError:
                    continue
                if said == {"type": "ping"}:
                    self._world.journal.add(face="web", event="ping", **label)
                    await socket.send(b'{"type":"pong"}')
                elif said == {"type": "pong"}:
                    self._world.journal.add(face="web", event="pong", **label)

    async def _ping_regularly(self, socket: Socket) -> None:
        while True:
            seconds = self._world.switches.server_ping
            await asyncio.sleep(seconds or 1.0)
            if seconds > 0:
                await socket.send(b'{"type":"ping"}')
