"""The form key: computed by the page's own scripts, in a process of its own."""

from __future__ import annotations

import re

from poe_proxy.upstreams.poe_web.pages import NO_FUNCTION, formkey_failure
from poe_proxy.upstreams.poe_web.programs import Program, ProgramFailed, run

_KEY = re.compile(r"[0-9a-f]{32}")


def evaluate(program: Program, seconds: float) -> str:
    """Return the form key that *program* computes, within about *seconds*.

    Raises `UpstreamChanged` naming what went wrong.
    """
    try:
        value = run(program, seconds)
    except ProgramFailed as failure:
        raise formkey_failure(str(failure)) from None
    if value == NO_FUNCTION:
        raise formkey_failure(
            "no function of the home page gives it (pages.getter, pages.getter_named)"
        )
    if value is None or not _KEY.fullmatch(value):
        raise formkey_failure("the page's scripts gave no key of 32 hexadecimal characters")
    return value
