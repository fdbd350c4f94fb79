"""A picture as the client of OpenAI's images wants it."""

from __future__ import annotations

import time
from collections.abc import Iterable

import orjson

from poe_proxy.apis.whole import WholeCall, file_or_words
from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import Said
from poe_proxy.errors import InvalidRequest, RequestTooCostly
from poe_proxy.shaping.files import in_base64


class Picture(WholeCall):
    """One request for a picture: a `Call`."""

    def body(self, events: Iterable[Said]) -> bytes:
        """Return the object with the picture: its link, or itself in base64.

        Raises `InvalidRequest` with the bot's words if it made none.
        """
        found = file_or_words(events)
        if isinstance(found, str):
            raise InvalidRequest(
                found or "The bot made no picture, and said nothing.",
                param="prompt",
                code="image_generation_user_error",
            )
        head = b'{"created":%d,"data":[{' % time.time()
        if not found.data:
            return head + b'"url":' + orjson.dumps(found.url) + b"}]}"
        return b"".join([head, b'"b64_json":"', *_encoded(found.data, self.chat.budget), b'"}]}'])


def _encoded(data: bytes, budget: Budget) -> list[bytes]:
    try:
        return in_base64(data, budget)
    except OutOfBudget:
        raise RequestTooCostly("It takes too long to encode the picture.") from None
