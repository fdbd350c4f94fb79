"""A stream as a call dresses it, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poe_proxy.apis.base import Call
from poe_proxy.chat import Said

_END = b"\n\n"


def frames(call: Call, events: Iterable[Said]) -> Iterator[bytes]:
    """Yield the frames that *call* makes of *events*, each as soon as its event is there."""
    for event in events:
        *found, rest = call.frame(event).split(_END)
        assert b"" == rest
        yield from (one + _END for one in found)
