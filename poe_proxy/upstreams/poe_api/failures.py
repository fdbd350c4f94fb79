"""What Poe's refusals mean, judged by status, then by type, then by words. Free of I/O.

Official API sheet §9. Poe's own message is kept wherever there is one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from poe_proxy import sse
from poe_proxy.errors import (
    BotFailed,
    BotFailedEarly,
    BotLimited,
    BotNotAllowed,
    BotNotFound,
    ParameterRefused,
    PromptRefused,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    ToolsRefused,
    UpstreamBlocked,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
)
from poe_proxy.net import retry_after
from poe_proxy.upstreams.bulk import loads
from poe_proxy.upstreams.halves import joined

_MAX_MESSAGE: Final = 2000
#: The most characters of an error's text that is looked into, and of the name of a field.
_MAX_GIVEN: Final = 100_000
_MAX_NAME: Final = 200
#: The most bytes of an answer that are read as JSON: a tenth of a second at the worst.
_MAX_READ: Final = 1_000_000

# ---- words, where status and type leave room

_POINTS_USED_UP: Final = re.compile(r"used up your points|(?:insufficient|not enough) points", re.I)
_TOO_LONG: Final = re.compile(
    r"(?:prompt|input|message|conversation|request)\S{0,100} (?:is |are )?too long"
    r"|maximum context|context.(?:length|window)|too many (?:input )?tokens"
    r"|exceeds? the (?:maximum|model's) (?:input|prompt|token)",
    re.I,
)
_NO_TOOLS: Final = re.compile(
    r"(?:not|n't) support(?:ed)? (?:\w+ ){0,2}(?<!parallel )(?:tool|function)s?\b(?! choice)"
    r"|(?<!parallel )\b(?:tool|function)s?\b(?! choice)[\w ]{0,20}(?:not|n't) supported",
    re.I,
)
#: The bot's limit, where a 429 might be the key's.
_MAKERS_QUOTA: Final = re.compile(r"quota|error from|capacity|overloaded", re.I)
_TOOL_CHOICE: Final = re.compile(r"tool[_ ]choice", re.I)
#: A field that should not be there at all.
_FIELD: Final = re.compile(
    r"unknown|unrecogni[sz]ed|unsupported|unexpected|extra|not (?:supported|permitted|declared)",
    re.I,
)
#: The value of a field that may be there; such a refusal may use words of the other kind, too.
_VALUE: Final = re.compile(
    r"(?:unsupported|invalid|unknown) (?:value|type|schema|format)"
    r"|(?:must|should) (?:be|have|match)"
    r"|too (?:large|small|high|low|long|short|many)|(?:less|greater|more) than|at (?:most|least)"
    r"|out of range|between|maximum|minimum|(?:allowed|supported|valid)(?: values| options)?:",
    re.I,
)
#: A field, whatever other words there are: "Unsupported value: 'x' is not a parameter of ...".
_NO_FIELD: Final = re.compile(
    r"(?:is|are) (?:not an?|no) (?:\w+ ){0,2}(?:parameter|field|argument|option|property|key)\b"
    r"|(?:unknown|unrecogni[sz]ed|unexpected|no such|extra|additional) (?:\w+ ){0,2}"
    r"(?:parameter|field|argument|option|propert|key|input)"
    r"|does(?: not|n't) (?:take|have|know|declare) (?:the |a )?"
    r"(?:parameter|field|argument|option|property|key)\b",
    re.I,
)
_MISSING: Final = re.compile(r"missing", re.I)
_MODERATED: Final = re.compile(
    r"moderat|polic(?:y|ies)|safety|flagged|harmful|content.filter|inappropriate", re.I
)
_NOT_PERMITTED: Final = re.compile(
    r"private|access denied|denied access|do(?:es)? not have access|permi(?:t|ssion)"
    r"|not allowed|not available|subscri",
    re.I,
)
_CODES_OF_MODERATION: Final = ("content_policy_violation", "content_filter", "moderation_blocked")
#: A fault of Poe's catalogue that comes as a 400 (§9.3).
_POES_OWN_FAULT: Final = re.compile(r"unit price not found", re.I)

# ---- types and codes, where there is no status: within a stream

_STATUS_OF: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "invalid_parameter": 400,
    "missing_parameter": 400,
    "unsupported_feature_for_model": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "insufficient_credits": 402,
    "insufficient_points": 402,
    "insufficient_quota": 402,
    "moderation_error": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "timeout_error": 408,
    "context_length_exceeded": 413,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
    "provider_error": 500,
    "upstream_error": 502,
    "overloaded_error": 529,
}


def of_answer(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    now: Callable[[], float] = time.time,
) -> UpstreamError:
    """Return the failure that an answer with this error status reports.

    *headers* are case-insensitive; *now* is the time of day, for a `Retry-After` that gives
    a date.
    """
    answer = _json(content)
    if answer is None:
        return _of_page(status, headers, now)
    return _of_error(
        status,
        _found_in(answer),
        _rest(headers, now),
        has_end="Retry-After" in headers or headers.get("x-ratelimit-remaining-requests") == "0",
        is_early=True,
    )


def of_event(error: Any) -> UpstreamError:
    """Return the failure that an error object within a 200 reports."""
    found = _as_object(error)
    return _of_error(_status(found), found, wait=None)


def check_choice(choice: Mapping[str, Any], failed: Collection[str]) -> None:
    """Raise the failure that a choice reports: in an object of its own, or by a reason that is one
    of *failed*."""
    reason = choice.get("finish_reason")
    if error := choice.get("error"):
        raise of_event(error)
    if isinstance(reason, str) and reason.lower() in failed:
        raise BotFailed(f'The bot broke down: its answer ended with "{reason.lower()}".')


def without_choice(answer: Mapping[str, Any]) -> UpstreamError | None:
    """Return the failure that an answer of a 200 without a choice reports; None if it says
    nothing."""
    found = _found_in(answer)
    return of_event(found) if _message(found.get("message")) else None


def _found_in(answer: Any) -> Mapping[str, Any]:
    """Return the error object of an answer, wherever servers have it."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]  # Google's way
    match answer:
        case {"error": dict() | str() as error}:
            return _as_object(error)
        case {"message": str() | dict()}:
            found: Mapping[str, Any] = answer
            return found
        case {"detail": str() | dict() as detail}:
            return _as_object(detail) if isinstance(detail, str) else _found_in(detail)
        case {"detail": [dict() as first, *_]}:
            # As FastAPI tells what is wrong with a body.
            path = first.get("loc")
            names = [one for one in path if isinstance(one, str)] if isinstance(path, list) else []
            said = first.get("msg")
            where = ".".join(names[:10])
            return {
                "message": f"{where}: {said}" if where and isinstance(said, str) else said,
                "param": ".".join(names[1:10]) or None,
            }
    return {}


def _json(content: bytes) -> Any:
    """Return the JSON of an answer, or of the first event of a stream; None if it is neither, or
    longer than any explanation."""
    if len(content) > _MAX_READ:
        return None
    for text in (content, *sse.Decoder().feed(content + b"\n\n")[:1]):
        with suppress(ValueError):
            return loads(text)
    return None


def _of_page(status: int, headers: Mapping[str, str], now: Callable[[], float]) -> UpstreamError:
    """Return what an answer other than JSON means: something in front of Poe's API sent it."""
    message = f"Something in front of Poe's API answered {status}."
    match status:
        case 403:
            return UpstreamBlocked(message)
        case 404:
            return UpstreamProtocolError(f"{message} Does POE_API_URL lead to Poe?")
    return _of_error(status, {"message": message}, _rest(headers, now), is_early=True)


def _as_object(error: Any) -> Mapping[str, Any]:
    return error if isinstance(error, dict) else {"message": error}


def _status(error: Mapping[str, Any]) -> int:
    """Return the status that an error object would have had: `code` may be anything (§9.2)."""
    code = error.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    if isinstance(code, str) and re.fullmatch(r"[45]\d\d", code):
        return int(code)
    return next(
        (
            _STATUS_OF[name]
            for name in (code, error.get("type"))
            if isinstance(name, str) and name in _STATUS_OF
        ),
        500,
    )


def _of_error(
    status: int,
    error: Mapping[str, Any],
    wait: float | None,
    *,
    has_end: bool = False,
    is_early: bool = False,
) -> UpstreamError:
    """Return what an error object means that came with *status*.

    *wait* is how many seconds Poe asks for; *has_end* says that it says when a limit ends, and
    *is_early* that the status was that of the answer, of which nothing had come before.
    """
    said = _message(error.get("message"))
    message = said or f"Poe answered {status}."
    kind, code, param = (error.get(name) for name in ("type", "code", "param"))
    if status == 402 or _POINTS_USED_UP.search(said):
        return TokenExhausted(message)
    if status in (400, 404) and (code == "unsupported_feature_for_model" or _NO_TOOLS.search(said)):
        # Poe reports it as a fault of the model; the way out is to ask without tools.
        return ToolsRefused(message, param="tools")
    if status == 413 or (
        status in (400, 422, 500) and (code == "context_length_exceeded" or _TOO_LONG.search(said))
    ):
        return PromptTooLong(message, param="messages")
    match status:
        case 400 | 422 if _POES_OWN_FAULT.search(said):
            return UpstreamRefused(message)
        case 400 | 422 if code in _CODES_OF_MODERATION:
            return PromptRefused(message)
        case 400 | 422:
            return _parameter(message, param, code)
        case 401:
            return TokenRejected(message)
        case 403:
            # One type for both (§9.1), so the words have to decide; moderation is the default.
            if not _MODERATED.search(said) and (
                kind == "permission_error" or _NOT_PERMITTED.search(said)
            ):
                return BotNotAllowed(message, param="model")
            return PromptRefused(message)
        case 404:
            return BotNotFound(message, param="model")
        case 408 | 504:
            return UpstreamTimeout(message)
        case 429 if not has_end and _MAKERS_QUOTA.search(said):
            # The key's own limit says when it ends (§9.1, §10); that of a maker does not (§9.3).
            return BotLimited(message)
        case 429:
            return TokenLimited(message, retry_after=wait)
        case 502 | 503 | 529:
            return UpstreamOverloaded(message, retry_after=wait)
    # Of the statuses that have no case, Poe calls only 500 safe to ask again after (§9.1).
    broken = BotFailedEarly if is_early and status == 500 else BotFailed
    return broken(message) if status >= 500 else UpstreamRefused(message)


def _parameter(message: str, param: Any, code: Any) -> ParameterRefused:
    """Return a refusal; its code says whether it is about a field or about its value."""
    named = joined(param[:_MAX_NAME]) if isinstance(param, str) and param else None
    if named is None and _TOOL_CHOICE.search(message):
        named = "tool_choice"
    refused = ToolsRefused if named in ("tools", "tool_choice") else ParameterRefused
    if code == "missing_parameter" or _MISSING.match(message):
        return refused(message, param=named, code="missing_required_parameter")
    if _NO_FIELD.search(message):
        return refused(message, param=named)
    if _VALUE.search(message) or not (named or _FIELD.search(message)):
        return refused(message, param=named, code="invalid_value")
    return refused(message, param=named)


def _message(given: Any) -> str:
    """Return what Poe said; a vendor's error within it is unpacked (§5)."""
    inner: Any
    match given:
        case {"error": {"message": str(inner)}} | {"message": str(inner)} | {"error": str(inner)}:
            given = inner
        case {"detail": str(inner)} | {"text": str(inner)} | [{"message": str(inner)}, *_]:
            given = inner
        case dict() | list():
            with suppress(orjson.JSONEncodeError):
                return orjson.dumps(given)[:_MAX_MESSAGE].decode(errors="ignore")
    said = joined(given[:_MAX_GIVEN]).strip() if isinstance(given, str) else ""
    if said.startswith("{"):
        try:
            inner = orjson.loads(said)
        except orjson.JSONDecodeError:
            inner = None
        match inner:
            case {"error": {"message": str(vendor)}} | {"message": str(vendor)} if vendor.strip():
                said = vendor.strip()
    return said[:_MAX_MESSAGE]


def _rest(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """Return the seconds to wait: what `Retry-After` says, or what the window of the rate limit
    has left (§10)."""
    for name in ("Retry-After", "x-ratelimit-reset-requests"):
        wait = retry_after.seconds(headers.get(name), now)
        if wait is not None:
            return wait
    return None
