"""GraphQL as poe.com speaks it: persisted queries by hash, and a tag over every body.

Free of I/O. Web protocol sheet §6, §8 and §17.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from poe_proxy.errors import (
    BotFailed,
    BotNotAllowed,
    ParameterRefused,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamBlocked,
    UpstreamChanged,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamUncertain,
)
from poe_proxy.net import retry_after
from poe_proxy.upstreams.bulk import digest, loads
from poe_proxy.upstreams.poe_web.site import Site, Tag, TagForm

#: What helps where Poe shows a challenge.
AGAINST_CHALLENGES: Final = (
    "Run poe-proxy where you use Poe in a browser, or lead it out there (PROXY, or `proxy` of an "
    "account in TOKENS_CONFIG); or use official API keys (POE_API_KEYS, from poe.com/api/keys), "
    "which are never challenged: the way that lasts."
)


class StaleSession(Exception):
    """Poe refused the form key or the tag: nothing was done, and a fresh page may help (§17.1)."""

    def __init__(self, operation: str, status: int) -> None:
        super().__init__(
            f"Poe refused {operation} with {status}: it no longer accepts the form key or the tag."
        )
        self.operation = operation
        #: 400 for a wrong key, tag or channel; 401 and 403 put the login itself in doubt.
        self.status = status


class StillRefused(UpstreamChanged):
    """Poe refuses with 400 whatever key and tag we send; nothing was done."""

    def __init__(self, message: str, *, tag: Tag | None = None) -> None:
        super().__init__(message)
        #: What the tag was last made with.
        self.tag = tag


class HashUnknown(UpstreamChanged):
    """Poe does not know an operation by the hash that we have for it, or nobody knows one."""

    def __init__(
        self, message: str, *, operation: str = "", hash: str = "", is_perhaps: bool = False
    ) -> None:
        super().__init__(message)
        self.operation = operation
        #: Empty if nobody knows it.
        self.hash = hash
        #: Whether it may be a fault of Poe's own.
        self.is_perhaps = is_perhaps


class ServerError(UpstreamUncertain):
    """Poe answered "Server Error": a retired hash, a fault of its own, or a lost answer (§17.2)."""

    def __init__(self, message: str, *, hash: str = "") -> None:
        super().__init__(message)
        #: The hash that it was asked with.
        self.hash = hash


class MessageUnseen(UpstreamUncertain):
    """Nobody can look whether a message arrived, since the site has changed: that says nothing
    about the account that sent it."""

    strikes = None
    site_changed = True


class MessageTooLong(PromptTooLong):
    """Poe says of a message that it is too long for the bot."""

    def __init__(self, message: str, *, was_taken: bool = False) -> None:
        super().__init__(message)
        #: Whether the message is in its chat all the same; if not, Poe did nothing with it.
        self.was_taken = was_taken


def body(operation: str, variables: Mapping[str, Any], site: Site) -> bytes:
    """Return the JSON to post: compact, its keys in the browser's order."""
    return orjson.dumps(
        {
            "queryName": operation,
            "variables": variables,
            "extensions": {"hash": site.operations.get(operation, "")},
        }
    )


def tag(payload: bytes, formkey: str, made: Tag, form: TagForm) -> str:
    """Return the `poe-tag-id` for exactly these bytes, as *made* has it but in this *form* (§6)."""
    parts = {"body": payload, "formkey": formkey.encode(), "salt": made.salt.encode()}
    plain = digest("md5", *(parts[part] for part in made.order)).hex()
    return plain if form == "plain" else swapped(plain)


def swapped(plain: str) -> str:
    """Return the other form of a digest."""
    return f"{plain[:20]}{plain[24]}{plain[21:24]}{plain[20]}{plain[25:]}"


def refuse_page(status: int, headers: Mapping[str, str], text: str) -> None:
    """Raise the `UpstreamError` of an answer that is not the application's: a challenge, a login,
    an outage."""
    location = headers.get("Location", "")
    if headers.get("cf-mitigated") == "challenge" or (
        # An address that is blocked for good gets a page in other words.
        status in (403, 503) and ("Just a moment..." in text or "Attention Required!" in text)
    ):
        raise UpstreamBlocked(
            f"Poe shows a browser challenge instead of an answer. {AGAINST_CHALLENGES}"
        )
    if status in (301, 302, 303, 307, 308):
        if "/login" in location:
            raise TokenRejected("Poe does not accept this cookie any more: it asks to log in.")
        raise UpstreamProtocolError("Poe redirected the request to somewhere unexpected.")
    if status == 405:
        raise UpstreamProtocolError("Poe does not take requests at this address (405).")
    if status == 413:
        raise PromptTooLong("Poe refused the request as too large.")
    if status == 429:
        raise TokenLimited(
            "Poe says that this account sends too many requests.",
            retry_after=max(60.0, retry_after.seconds(headers.get("Retry-After")) or 0.0),
        )


def read_answer(
    operation: str,
    site: Site,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    reading: bool = False,
) -> dict[str, Any]:
    """Return the `data` of the answer to *operation*; raise the failure that it reports.

    A failure after which Poe may have acted is an `UpstreamUncertain`. *reading* says that there
    is nothing that it could have done.
    """
    text = content[:4000].decode("utf-8", "replace")
    refuse_page(status, headers, text)
    if status in (400, 401, 403):
        raise StaleSession(operation, status)
    if 400 <= status < 500:
        raise UpstreamProtocolError(f"Poe refused {operation} with {status}.")
    if status >= 500:
        fate = UpstreamOverloaded if reading else UpstreamUncertain
        raise fate(f"Poe answered {operation} with {status}.")
    try:
        answer = loads(content)
    except ValueError:
        kind = headers.get("Content-Type", "no content type")[:60]
        raise UpstreamUncertain(
            f"Poe answered {operation} with {status} and no JSON ({kind})."
        ) from None
    data = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(data, dict):
        return data
    errors = answer.get("errors") if isinstance(answer, dict) else None
    message = ""
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        message = text_of(errors[0].get("message"))
    hash = site.operations.get(operation, "")
    if message == "PersistedQueryNotFound":
        raise changed(operation, hash)
    if message == "Server Error" or not message:
        raise ServerError(f"Poe answered {operation} with a server error.", hash=hash)
    raise UpstreamRefused(f"Poe refused {operation}: {message[:500]}")


def text_of(given: Any) -> str:
    """Return *given* if it is a text; an empty one if it is anything else."""
    return given if isinstance(given, str) else ""


def still_refused(operation: str, tag: Tag) -> StillRefused:
    """Return the failure that Poe refuses *operation* with fresh keys and a *tag* in each form."""
    return StillRefused(
        f"Poe refuses {operation} (400), also with a form key fresh from its page: most likely the "
        "site has changed how requests are signed.",
        tag=tag,
    )


def changed(operation: str, hash: str, *, perhaps: bool = False) -> HashUnknown:
    """Return the failure that Poe has a new hash for *operation* in place of this one, or *perhaps*
    has one. An empty one is not known."""
    if not hash:
        said = f"The hash of {operation} is not known."
    elif perhaps:
        said = (
            f"Poe answers with a server error when it is asked for {operation} by the hash {hash}: "
            "most likely the site has changed."
        )
    else:
        said = f"Poe no longer knows {operation} by the hash {hash}: the site has changed."
    return HashUnknown(said, operation=operation, hash=hash, is_perhaps=perhaps)


def refusal(status: str, message: str) -> UpstreamError:
    """Return the failure for a status of `messageEdgeCreate` other than success (§17.3)."""
    status = status[:100]
    said = message[:1000] or f"Poe refused the message ({status})."
    match status:
        case "reached_limit":
            return TokenExhausted(said)
        case "too_many_tokens":
            return MessageTooLong(said)
        case "no_access":
            return BotNotAllowed(said)
        case "rate_limit_exceeded":
            return TokenLimited(said, retry_after=30)
        case "concurrent_messages":
            return TokenLimited(said, retry_after=5)
        case "unsupported_file_type":
            return ParameterRefused(said, param="messages")
        case "bot_unavailable":
            return UpstreamOverloaded(said)
        case _:
            return UpstreamRefused(f"{said} ({status})" if message else said)


def failed_state(state: str, text: str) -> UpstreamError:
    """Return the failure for a message that ended in *state* (§12.2)."""
    state = state[:100]
    said = text[:1000] or f"The bot's message ended in the state {state}."
    match state:
        case "error_user_message_too_long":
            return MessageTooLong(said, was_taken=True)
        case "error_insufficient_fund":
            return TokenExhausted(said)
        case _:
            return BotFailed(f"{said} ({state})" if text else said)
