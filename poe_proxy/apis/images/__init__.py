"""OpenAI's images: `POST /v1/images/generations` and `/v1/images/edits`."""

from __future__ import annotations

from poe_proxy.apis.basics import Declared
from poe_proxy.apis.images.parsing import edited, generated
from poe_proxy.apis.images.rendering import Picture
from poe_proxy.apis.openai_error import OpenAiErrors
from poe_proxy.budget import Budget


class Generations(OpenAiErrors):
    """Pictures by a description: an `Api`."""

    def __init__(self, declared: Declared = lambda model: {}) -> None:
        """*declared* returns the parameters that a model declares, with the schema of each."""
        self._declared = declared

    def call(self, body: bytes | bytearray, budget: Budget) -> Picture:
        """Read a request; raises `InvalidRequest`."""
        return Picture(generated(body, budget, self._declared))


class Edits(OpenAiErrors):
    """Pictures by others, and a description: an `Api`. Its body is JSON; see `server.forms`."""

    def __init__(self, declared: Declared = lambda model: {}) -> None:
        """As for `Generations`."""
        self._declared = declared

    def call(self, body: bytes | bytearray, budget: Budget) -> Picture:
        """Read a request; raises `InvalidRequest`."""
        return Picture(edited(body, budget, self._declared))
