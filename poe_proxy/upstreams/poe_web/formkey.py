"""The form key: computed by the page's own scripts, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import orjson

from poe_proxy.upstreams.poe_web.pages import formkey_failure

_SANDBOX = Path(__file__).with_name("sandbox.py")
_KEY = re.compile(r"[0-9a-f]{32}")


def evaluate(program: str, seconds: float) -> str:
    """Return the form key that *program* computes, within about *seconds*.

    Raises `UpstreamProtocolError` naming what went wrong.
    """
    command = [sys.executable, "-I", str(_SANDBOX), str(seconds)]
    try:
        ended = subprocess.run(
            command, input=program.encode(), capture_output=True, env={}, timeout=seconds + 5
        )
    except subprocess.TimeoutExpired:
        raise formkey_failure(f"the page's scripts did not end within {seconds:g} s") from None
    try:
        answer = orjson.loads(ended.stdout)
    except orjson.JSONDecodeError:
        raise formkey_failure("the JavaScript engine broke down") from None
    if "error" in answer:
        raise formkey_failure(f"the page's scripts failed ({answer['error'][:200]})")
    if not _KEY.fullmatch(answer["value"] or ""):
        raise formkey_failure("the page's scripts gave no key of 32 hexadecimal characters")
    key: str = answer["value"]
    return key
