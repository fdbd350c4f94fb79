"""`POST /v1/responses/input_tokens`: our own count, for which nobody is asked."""

from __future__ import annotations

import orjson

from poe_proxy.apis.responses import parsing
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest
from poe_proxy.shaping.tokenizer import count_prompt


def counted_request(body: bytes | bytearray, budget: Budget) -> ChatRequest:
    """Return the request whose tokens are to be counted; raises `InvalidRequest`."""
    chat, _ = parsing.request(body, budget)
    return chat


def counted(chat: ChatRequest) -> bytes:
    """Return the body of the answer."""
    return orjson.dumps({"object": "response.input_tokens", "input_tokens": count_prompt(chat)})
