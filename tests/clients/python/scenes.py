"""What the clients in Python have in common: the job comes by environment, the report is JSON."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

URL = os.environ["CLIENT_BASE_URL"]
KEY = os.environ["CLIENT_KEY"]
#: How the bot shall speak; the echo has them too.
WORDS = os.environ["CLIENT_WORDS"]
ECHO = os.environ["CLIENT_ECHO"]
PIXEL = os.environ["CLIENT_PIXEL"]
TALKER = os.environ["CLIENT_TALKER"]
CALLER = os.environ["CLIENT_CALLER"]
WRITER = os.environ["CLIENT_WRITER"]
NOBODY = os.environ["CLIENT_NOBODY"]
#: A prompt whose answer fails in the middle.
BROKEN = os.environ["CLIENT_BROKEN"]
#: Which API a client shall speak that can speak several.
API = os.environ["CLIENT_API"]

RESULT = "17 degrees"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def play(scenes: Mapping[str, Callable[[], Any]]) -> None:
    """Print one JSON object: what each scene that is wanted gave, or `{"failed": why}`."""
    wanted = os.environ.get("CLIENT_SCENES", " ".join(scenes)).split()
    report = {}
    for name, scene in scenes.items():
        if name not in wanted:
            continue
        try:
            report[name] = scene()
        except Exception:
            report[name] = {"failed": traceback.format_exc()}
    print(json.dumps(report))


def complaint(act: Callable[[], Any]) -> str:
    """What the error that *act* raises says to a user, behind the name of its class."""
    try:
        return f"no error but {act()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
