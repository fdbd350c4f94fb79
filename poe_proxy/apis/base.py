"""What every API that clients speak offers to `server.delivery`. No Flask, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, Said
from poe_proxy.errors import PoeProxyError


class Call(Protocol):
    """One request of an API: what to ask the bot, and how its answer is dressed."""

    @property
    def chat(self) -> ChatRequest:
        """What to ask."""

    @property
    def streams(self) -> bool:
        """Whether the client wants the answer as it arrives."""

    @property
    def content_type(self) -> str:
        """What the body of a whole answer is; asked for once `body` has returned."""

    def body(self, events: Iterable[Said]) -> bytes:
        """Return the body of a whole answer. *events* end with `Done`, or raise."""

    def frame(self, event: Said) -> bytes:
        """Return the frames of a stream that *event* makes; empty if it makes none.

        Called with one event after the other, `Done` last. The first one also opens the stream:
        what comes before all else stands before its own frames. An `Idle` is the moment for a
        keep-alive: a frame that says nothing new, with data as all frames have it, since not all
        clients know comments. May raise, and is then not called again.
        """

    def failed(self, failure: PoeProxyError) -> bytes:
        """Return the end of a stream that failed, however many events `frame` was given."""

    def opens_for(self, failure: PoeProxyError) -> bool:
        """Whether a stream that fails before its first event is opened all the same, to end with
        `failed`: its clients would take the status for a reason to ask again, and pay again."""


class Api(Protocol):
    """One API that clients speak."""

    def call(self, body: bytes | bytearray, budget: Budget) -> Call:
        """Read a request, which goes on with *budget*.

        Raises `InvalidRequest`, with the path of the field as `param`.
        """

    def failure(self, failure: PoeProxyError) -> bytes:
        """Return the body that reports *failure* in the API's own form."""

    def status(self, failure: PoeProxyError) -> int:
        """Return the HTTP status that *failure* has in this API."""
