"""The script that decides in Redis: one text, put together from its chapters."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

#: How the script reads the time: only from Redis, so that the clocks of hosts do not matter. It is
#: one line; a test may have another one, which has to say what `now` is, in seconds.
TIME: Final = 'local t = redis.call("TIME") local now = t[1] + t[2] / 1000000'


@cache
def text(clock: str = TIME) -> str:
    """Return the script, whose first line is *clock*."""
    chapters = sorted(
        (one for one in files("poe_proxy.shared").joinpath("lua").iterdir()),
        key=lambda one: one.name,
    )
    return "\n".join([clock, *(one.read_text("utf-8") for one in chapters)])
