"""The app with two places where a request gets stuck, which the product must not have."""

from __future__ import annotations

import hashlib

from poe_proxy.apis.chat_completions import ChatCompletions
from poe_proxy.apis.chat_completions.rendering import Completion
from poe_proxy.app import create_app
from poe_proxy.budget import Budget

_read = ChatCompletions.call


def _stuck(api: ChatCompletions, body: bytes | bytearray, budget: Budget) -> Completion:
    while b"stuck in Python" in body:
        pass
    if b"stuck in C" in body:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    return _read(api, body, budget)


ChatCompletions.call = _stuck  # type: ignore[method-assign]  # planted
app = create_app()
