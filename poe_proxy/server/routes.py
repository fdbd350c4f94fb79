"""The blueprint: routes, the clients' keys, CORS, errors."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from math import ceil
from typing import Any, Final

import orjson
from flask import Blueprint, Flask, Response, current_app, g, request
from markupsafe import escape
from werkzeug.exceptions import HTTPException
from werkzeug.routing import PathConverter

from poe_proxy import logs, sse
from poe_proxy.apis.chat_completions import parsing, rendering
from poe_proxy.chat import ChatRequest, Idle, ReplyEvent, Waiting
from poe_proxy.errors import (
    BotNotFound,
    InternalError,
    InvalidKey,
    InvalidRequest,
    MethodNotAllowed,
    PoeProxyError,
    RequestTooLarge,
    RouteNotFound,
    UpstreamInterrupted,
)
from poe_proxy.gateway import Gateway
from poe_proxy.pool.balances import DOLLARS, Balance
from poe_proxy.server.client_socket import Connection

log = logging.getLogger(__name__)

bp = Blueprint("openai", __name__)

#: Seconds that a client may take to send its body.
BODY_TIMEOUT: Final = 60.0

#: Bytes of a body that the server may read away, so that the connection can be kept.
UNREAD_AT_MOST: Final = 65_536

#: Seconds for which a client may take nothing of its answer before it is given up.
WRITE_TIMEOUT: Final = 60.0

#: Seconds between two looks whether the client is still there, at most.
LOOK_EVERY: Final = 0.5

#: The longest wait that a client is told of: the openai packages give up at longer ones.
RETRY_AFTER_AT_MOST: Final = 60

_EXPOSED: Final = ", ".join(
    [
        "x-request-id", "retry-after", "x-should-retry",
        *(
            f"x-ratelimit-{what}-{of}"
            for what in ("limit", "remaining", "reset")
            for of in ("requests", "tokens")
        ),
    ]
)  # fmt: skip
_HEADER_NAMES: Final = re.compile(r"[\w\-, ]{1,2000}", re.ASCII)
_OPEN: Final = frozenset({"openai.hello", "openai.health", "openai.describe"})
_DESCRIPTION: Final = (
    resources.files("poe_proxy.server.pages").joinpath("openapi.json").read_bytes()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the views need of the rest of the house."""

    gateway: Gateway
    #: What all accounts have left.
    balance: Balance[Any]
    auth_keys: tuple[str, ...]
    max_body: int
    #: Whether a failure within a stream is told in the answer too.
    errors_as_text: bool = False


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


def services() -> Services:
    """The services of the running app."""
    found: Services = current_app.extensions["poe_proxy"]
    return found


# ---- routes


@bp.get("/")
def hello() -> Response:
    """Say what this is to somebody who opens the address in a browser."""
    return Response(_HELLO.format(base=escape(request.host_url.rstrip("/"))), mimetype="text/html")


@bp.get("/health")
def health() -> Response:
    """Tell that the process answers."""
    return _json(b'{"status":"ok"}')


@bp.get("/openapi.json")
def describe() -> Response:
    """Describe these routes, in OpenAPI's form."""
    return _json(_DESCRIPTION)


@bp.get("/models")
@bp.get("/v1/models")
def list_models() -> Response:
    """List the models that clients may name."""
    return _json(rendering.model_list(services().gateway.models()))


class _Name(PathConverter):
    """A model's name: anything, slashes and line breaks too."""

    regex = r"(?s:[^/].*?)"


@bp.get("/models/<name:name>")
@bp.get("/v1/models/<name:name>")
def show_model(name: str) -> Response:
    """Show one model of the list."""
    for entry in services().gateway.models():
        if entry["id"].lower() == name.lower():
            return _json(orjson.dumps(entry))
    raise BotNotFound(f"The model {name!r} is not in the list of models.", param="model")


@bp.get("/dashboard/billing/subscription")
@bp.get("/v1/dashboard/billing/subscription")
def show_subscription() -> Response:
    """Tell what the accounts have left, in the form in which some clients show it."""
    return _json(rendering.subscription(services().balance.points() * DOLLARS))


@bp.get("/dashboard/billing/usage")
@bp.get("/v1/dashboard/billing/usage")
def show_usage() -> Response:
    """Tell that nothing of it is used: the subscription above is what is left."""
    return _json(rendering.NO_USAGE)


@bp.post("/chat/completions")
@bp.post("/v1/chat/completions")
def create_chat_completion() -> Response:
    """Answer a conversation, whole or as the answer arrives."""
    connection = Connection(request.environ)
    connection.limit_writes(WRITE_TIMEOUT)
    chat = parsing.chat_request(_body(connection))
    g.model = chat.model
    events = _while_connected(services().gateway.reply(chat), connection)
    try:
        return _stream(chat, events) if chat.stream else _whole(chat, events)
    except Exception:
        events.close()
        raise
    except BaseException:
        # The server stops, and ends what is still under way.
        events.close()
        raise _stopped() from None


def _whole(chat: ChatRequest, events: Generator[ReplyEvent, None, None]) -> Response:
    return _json(rendering.completion(chat, events))


def _stream(chat: ChatRequest, events: Generator[ReplyEvent, None, None]) -> Response:
    # What fails before the first event can still be told with a status code.
    first = _first_event(events)
    frames = rendering.frames(
        chat, chain([first], _told(events)), errors_as_text=services().errors_as_text
    )
    if isinstance(first, Idle):
        frames = chain([sse.comment("keep-alive")], frames)
    response = Response(_until_gone(frames), content_type="text/event-stream; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold frames back
    # A generator that was never started runs no `finally`: hang up by hand.
    response.call_on_close(events.close)
    return response


def _told(events: Iterator[ReplyEvent]) -> Iterator[ReplyEvent]:
    """Pass *events* on, and log a failure: the line of the request has gone out with its 200."""
    try:
        yield from events
    except PoeProxyError as failure:
        log.info("broke off: %s", failure.code)
        raise


def _until_gone(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Pass *frames* on until the client hangs up; the server would log that as a fault."""
    try:
        yield from frames
    except ClientGone:
        return
    except GeneratorExit:
        raise
    except Exception as bug:
        yield sse.data(rendering.error_body(_our_fault(bug)))
    except BaseException:
        yield sse.data(rendering.error_body(_stopped()))
        raise


def _stopped() -> UpstreamInterrupted:
    return UpstreamInterrupted("The proxy was stopped before the end of the reply.")


def _first_event(events: Iterator[ReplyEvent]) -> ReplyEvent:
    """Return the first event that says something, or `Idle` after too long a silence.

    Silence counts from when Poe was asked: the time in line ends with a status of its own.
    """
    silent_since: float | None = None
    for event in events:
        match event:
            case Waiting():
                continue
            case Idle():
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since >= rendering.KEEP_ALIVE:
                    return event
            case _:
                return event
    raise InternalError("The reply ended before it began.")


def _while_connected(
    events: Generator[ReplyEvent, None, None], connection: Connection
) -> Generator[ReplyEvent, None, None]:
    """Pass *events* on as long as the client is there to hear them.

    A bug beneath is a failure like others, so that a stream can tell of it.
    """
    looked = time.monotonic()
    try:
        for event in events:
            now = time.monotonic()
            # A bot that talks without a pause gives no `Idle`, and to a client that wants the
            # whole answer nothing is written that could fail.
            if isinstance(event, Idle | Waiting) or now - looked >= LOOK_EVERY:
                looked = now
                if connection.is_gone():
                    raise ClientGone
            yield event
    except (PoeProxyError, ClientGone):
        raise
    except Exception as bug:
        raise _our_fault(bug) from bug
    finally:
        events.close()


def _body(connection: Connection) -> bytes:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InvalidRequest("The body must not be compressed (Content-Encoding).", param="body")
    limit = services().max_body
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    try:
        with connection.deadline(BODY_TIMEOUT):
            # One byte more than is allowed tells a full body from a cut one.
            body = (
                request.stream.read(limit + 1) if length is None else request.get_data(cache=False)
            )
    except OSError:  # broken, or cut because it took too long
        raise ClientGone from None
    except Exception:
        # The server's own complaint about chunks that are none; what follows cannot be read.
        connection.no_more()
        g.has_read_body = True
        raise InvalidRequest("The body is not framed as HTTP demands.", param="body") from None
    if len(body) > limit:
        raise _too_large(limit)
    if length is not None and len(body) < length:
        raise InvalidRequest("The body ended before its Content-Length.", param="body")
    g.has_read_body = True
    return body


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"The body is larger than {limit / 1_000_000:g} MB (MAX_BODY_MB).", param="body"
    )


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json")


# ---- before and after each request


def register(app: Flask) -> None:
    """Put the routes on *app*, and what goes around them."""
    app.url_map.converters["name"] = _Name
    app.register_blueprint(bp)
    app.before_request(_begin)
    app.after_request(_finish)
    app.register_error_handler(ClientGone, lambda gone: Response(status=499))
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(PoeProxyError, error_response)
    app.register_error_handler(Exception, _on_bug)


def _begin() -> Response | None:
    logs.request_id.set(f"req_{secrets.token_hex(12)}")
    g.began = time.monotonic()
    if request.method == "OPTIONS":
        nothing = Response(status=204)
        del nothing.headers["Content-Type"]  # Flask would call it HTML
        return nothing
    if request.endpoint is not None and request.endpoint not in _OPEN and not _has_key():
        raise InvalidKey(
            "The API key is missing or wrong. Send one of the keys in AuthKey as "
            "'Authorization: Bearer <key>', 'x-api-key' or 'api-key'."
        )
    return None


def _has_key() -> bool:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        request.headers.get("x-api-key", ""),
        request.headers.get("api-key", ""),
    )
    # Every key is compared, so that the time tells nothing about which one was near.
    matches = [
        # WSGI hands headers over as Latin-1, whatever the client's bytes mean.
        hmac.compare_digest(one.encode("latin-1", "replace"), key.encode())
        for one in given
        for key in services().auth_keys
    ]
    return any(matches)


def _finish(response: Response) -> Response:
    response.headers["x-request-id"] = logs.request_id.get()
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    if request.method == "OPTIONS":
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        if not _HEADER_NAMES.fullmatch(wanted):
            wanted = "Authorization, Content-Type"
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = wanted
        response.headers["Access-Control-Max-Age"] = "86400"
    if _leaves_body_unread():
        # gunicorn would read the rest of it, as fast as it comes, with everybody waiting.
        response.call_on_close(Connection(request.environ).cut)
        response.headers["Connection"] = "close"
    model = getattr(g, "model", None)
    code = getattr(g, "failure_code", None)
    log.info(
        "%s %s %s %d %.0f ms%s%s",
        request.remote_addr or "-",
        request.method,
        _for_log(request.path),
        response.status_code,
        1000 * (time.monotonic() - g.began),
        f" model={_for_log(model)}" if model else "",
        f" code={code}" if code else "",
    )
    return response


def _leaves_body_unread() -> bool:
    """Whether there is a body that nobody has read, and no short one."""
    if getattr(g, "has_read_body", False):
        return False
    if request.content_length is None:
        return "HTTP_TRANSFER_ENCODING" in request.environ
    return request.content_length > UNREAD_AT_MOST


def _for_log(text: str) -> str:
    """*text* from outside, made harmless for a line of the log."""
    return text[:100].encode("unicode_escape").decode("ascii")


# ---- failures


def error_response(failure: PoeProxyError) -> Response:
    """Return *failure* as the OpenAI error object, with its status."""
    g.failure_code = failure.code
    response = _json(rendering.error_body(failure), failure.status)
    if failure.retry_after is not None:
        seconds = max(1, ceil(failure.retry_after))
        if failure.client_may_retry is not False:
            seconds = min(seconds, RETRY_AFTER_AT_MOST)
        response.headers["Retry-After"] = str(seconds)
    if failure.client_may_retry is not None:
        response.headers["x-should-retry"] = "true" if failure.client_may_retry else "false"
    return response


def _on_http_error(error: HTTPException) -> Response:
    match error.code:
        case 404:
            failure: PoeProxyError = RouteNotFound(
                f"There is no {request.method} {_for_log(request.path)} here. "
                "Chat is POST /v1/chat/completions; models are GET /v1/models."
            )
        case 405:
            failure = MethodNotAllowed(f"{request.method} is not allowed on this path.")
        case 413:
            failure = _too_large(services().max_body)
        case _:
            failure = InvalidRequest(error.description or "The request makes no sense.")
    response = error_response(failure)
    if error.code == 405 and (allowed := getattr(error, "valid_methods", None)):
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _on_bug(error: Exception) -> Response:
    return error_response(_our_fault(error))


def _our_fault(bug: Exception) -> InternalError:
    log.error("failed", exc_info=bug)
    where = logs.request_id.get()
    return InternalError(f"A fault of the proxy; its log has the details under {where}.")


_HELLO: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>poe-proxy</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto;
         padding: 0 1rem; color-scheme: light dark; }}
  code, pre {{ font-family: ui-monospace, monospace; }}
  pre {{ padding: 1rem; overflow-x: auto; background: #8882; border-radius: .5rem; }}
</style>
<h1>poe-proxy</h1>
<p>This is an OpenAI-compatible API in front of Poe. Set your client's base URL to
<code>{base}/v1</code>, and its API key to one of the keys in <code>AuthKey</code>.</p>
<pre>curl {base}/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "Claude-Sonnet-4.5", "messages": [{{"role": "user", "content": "Hello!"}}]}}'</pre>
<p>Routes: <code>POST /v1/chat/completions</code>, <code>GET /v1/models</code>,
<code>GET /v1/models/{{id}}</code>, each with and without <code>/v1</code>;
<code>GET /health</code>; and <a href="/openapi.json"><code>GET /openapi.json</code></a>, which
describes them all.</p>
</html>
"""
