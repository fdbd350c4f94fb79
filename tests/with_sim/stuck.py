"""The app with two places where a request gets stuck, which the product must not have."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from poe_proxy.apis.chat_completions import ChatCompletions
from poe_proxy.apis.chat_completions.rendering import Completion
from poe_proxy.app import create_app
from poe_proxy.budget import Budget
from poe_proxy.server.services import Services


class Stuck(ChatCompletions):
    """Reads requests as the product does, but for two."""

    def call(self, body: bytes | bytearray, budget: Budget) -> Completion:
        """Return what *body* asks for; never for a body that says that it gets stuck."""
        while b"stuck in Python" in body:
            pass
        if b"stuck in C" in body:
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
        return super().call(body, budget)


app = create_app()
_services: Services = app.extensions["poe_proxy"]
app.serve(replace(_services, apis={"chat_completions": Stuck()}))
