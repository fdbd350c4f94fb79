"""Anthropic's Messages API: `POST /v1/messages`, and what its clients ask for besides."""

from __future__ import annotations

from poe_proxy.apis.messages import parsing
from poe_proxy.apis.messages.errors import AnthropicErrors
from poe_proxy.apis.messages.rendering import Answer
from poe_proxy.budget import Budget


class Messages(AnthropicErrors):
    """This API: an `Api`."""

    def __init__(self, *, errors_as_text: bool = False, native: bool = False) -> None:
        """With *errors_as_text* the failure of a stream is also the last text of the answer. If
        *native*, a request may be passed on to an upstream that speaks this API too."""
        self._errors_as_text = errors_as_text
        self._native = native

    def call(self, body: bytes | bytearray, budget: Budget) -> Answer:
        """Read a request; raises `InvalidRequest`."""
        chat, streams = parsing.chat_request(body, budget, native=self._native)
        return Answer(chat, streams=streams, errors_as_text=self._errors_as_text)
