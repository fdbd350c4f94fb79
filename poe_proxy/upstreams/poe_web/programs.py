"""Code of Poe's page that is run, in a process of its own with limits of time and memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

#: The most characters of the string that a program ends with; the rest is left out.
MAX_VALUE: Final = 20_000

_SANDBOX: Final = Path(__file__).with_name("sandbox.py")

#: What code of the page expects around it. The window is the global object, as in a browser; and
#: neither `process` nor `QuickJS` is there, by which a page would know that it is none.
_PRELUDE: Final = """
const namesBeforeThePage = new Set(Object.getOwnPropertyNames(globalThis));
var window = globalThis, self = globalThis, document = {}, navigator = {userAgent: %s};
for (const one of ["window", "self", "document", "navigator"]) namesBeforeThePage.add(one);
"""


@dataclass(frozen=True, slots=True)
class Program:
    """Scripts that are run one after the other, as a browser runs those of a page, and the
    expression whose string is wanted."""

    scripts: tuple[str, ...] = field(repr=False)
    value: str = field(repr=False)


class ProgramFailed(Exception):
    """A program has no value; the text says why."""


def prelude(agent: str) -> str:
    """Return the script that comes first: a window of a browser that calls itself *agent*, and
    `namesBeforeThePage`, a set of what is there before the page has run."""
    return _PRELUDE % orjson.dumps(agent).decode()


def run(program: Program, seconds: float) -> str | None:
    """Return the string that *program* ends with, of at most `MAX_VALUE` characters, or None if it
    ends with none. It may compute for *seconds*.

    Raises `ProgramFailed`.
    """
    command = [sys.executable, "-I", str(_SANDBOX), str(seconds), str(MAX_VALUE)]
    asked = orjson.dumps({"scripts": program.scripts, "value": program.value})
    try:
        ended = subprocess.run(
            command, input=asked, capture_output=True, env={}, timeout=seconds + 5
        )
    except subprocess.TimeoutExpired:
        raise ProgramFailed(f"the page's scripts did not end within {seconds:g} s") from None
    try:
        answer = orjson.loads(ended.stdout)
    except orjson.JSONDecodeError:
        raise ProgramFailed("the JavaScript engine broke down") from None
    if "error" in answer:
        raise ProgramFailed(f"the page's scripts failed ({answer['error'][:200]})")
    value: str | None = answer["value"]
    return value
