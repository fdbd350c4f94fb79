"""The script that decides in Redis: one text, put together from its chapters."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from poe_proxy import rules
from poe_proxy.errors import TokenExhausted

#: How the script reads the time: only from Redis, so that the clocks of hosts do not matter. It is
#: one line; a test may have another one, which has to say what `now` is, in seconds.
TIME: Final = 'local t = redis.call("TIME") local now = t[1] + t[2] / 1000000'

#: The first of the chapters that are together in a function of their own. When a function is made,
#: Lua looks for each name that it uses among all that stand beside it, but not for those outside:
#: for each call of the script that is a tenth of its cost, or more.
_INNER: Final = "40"


@cache
def text(clock: str = TIME) -> str:
    """Return the script, whose first line is *clock*."""
    chapters = {
        one.name: one.read_text("utf-8")
        for one in files("poe_proxy.shared").joinpath("lua").iterdir()
    }
    outer = [chapters[name] for name in sorted(chapters) if name < _INNER]
    inner = [chapters[name] for name in sorted(chapters) if name >= _INNER]
    return "\n".join([clock, _numbers(), *outer, "return (function()", *inner, "end)()"])


def _numbers() -> str:
    """Return the line that says what the script has to know of the rest of the house."""
    numbers = [
        f"{name} = {_in_lua(number)}" for name, number in vars(rules).items() if name.isupper()
    ]
    return f'local rules = {{{", ".join(numbers)}, NO_POINTS = "{TokenExhausted.code}"}}'


def _in_lua(number: float | tuple[float, ...]) -> str:
    if isinstance(number, tuple):
        return f"{{{', '.join(map(repr, number))}}}"
    return repr(number)
