"""A request's body: how large it may be, how long it may take, and what is left unread."""

from __future__ import annotations

from typing import Final

from flask import g, request

from poe_proxy.errors import InvalidRequest, RequestTooLarge
from poe_proxy.server.client_socket import ClientGone, ClientSocket

#: Seconds that a client may take to send its body.
BODY_TIMEOUT: Final = 60.0

#: The most bytes of an unread body that are left for the server to drain, to keep the connection.
MAX_UNREAD: Final = 65_536


def read_body(client: ClientSocket, limit: int) -> bytes:
    """Return the body of the request at hand, *limit* bytes at most.

    Raises `InvalidRequest` for a body that is too large, compressed or incomplete, and
    `ClientGone` if it did not arrive in time.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise InvalidRequest("The body must not be compressed (Content-Encoding).", param="body")
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(limit)
    try:
        with client.deadline(BODY_TIMEOUT):
            # One byte more than is allowed shows that a body is too large.
            body = (
                request.stream.read(limit + 1) if length is None else request.get_data(cache=False)
            )
    except OSError:  # the connection broke, or was cut because the body took too long
        raise ClientGone from None
    except Exception:
        # gunicorn found an invalid chunk; what follows cannot be read.
        client.stop_reading()
        g.has_read_body = True
        raise InvalidRequest("The body is not framed as HTTP demands.", param="body") from None
    if len(body) > limit:
        raise too_large(limit)
    if length is not None and len(body) < length:
        raise InvalidRequest("The body ended before its Content-Length.", param="body")
    g.has_read_body = True
    return body


def too_large(limit: int) -> RequestTooLarge:
    """Return the refusal of a body of more than *limit* bytes."""
    return RequestTooLarge(
        f"The body is larger than {limit / 1_000_000:g} MB (MAX_BODY_MB).", param="body"
    )


def leaves_body_unread() -> bool:
    """Whether the request at hand has a body that was not read and is not a short one."""
    if getattr(g, "has_read_body", False):
        return False
    if request.content_length is None:
        return "HTTP_TRANSFER_ENCODING" in request.environ
    return request.content_length > MAX_UNREAD
