"""OpenAI's Responses API: `POST /v1/responses`.

As of November 2026, by the types of the `openai` package (3.57) and by what Codex CLI sends and
reads. Nothing is kept: each request has the whole conversation.
"""

from __future__ import annotations

from poe_proxy.apis.openai_error import OpenAiErrors
from poe_proxy.apis.responses import parsing
from poe_proxy.apis.responses.rendering import Answer
from poe_proxy.budget import Budget


class Responses(OpenAiErrors):
    """This API: an `Api`."""

    def __init__(self, *, errors_as_text: bool = False) -> None:
        """With *errors_as_text* the failure of a stream is also the last text of the answer."""
        self._errors_as_text = errors_as_text

    def call(self, body: bytes | bytearray, budget: Budget) -> Answer:
        """Read a request; raises `InvalidRequest`."""
        chat, form = parsing.request(body, budget)
        return Answer(chat, form, errors_as_text=self._errors_as_text)
