"""OpenAI's chat completions: `POST /v1/chat/completions`."""

from __future__ import annotations

from poe_proxy.apis.chat_completions import parsing
from poe_proxy.apis.chat_completions.rendering import Completion
from poe_proxy.apis.openai_error import OpenAiErrors
from poe_proxy.budget import Budget


class ChatCompletions(OpenAiErrors):
    """This API: an `Api`."""

    def __init__(self, *, errors_as_text: bool = False, strict: bool = False) -> None:
        """With *errors_as_text* the failure of a stream is also the last text of the answer. If
        *strict*, fields that Poe passes over are refused."""
        self._errors_as_text = errors_as_text
        self._strict = strict

    def call(self, body: bytes | bytearray, budget: Budget) -> Completion:
        """Read a request; raises `InvalidRequest`."""
        chat, form = parsing.chat_request(body, budget, strict=self._strict)
        return Completion(chat, form, errors_as_text=self._errors_as_text)
