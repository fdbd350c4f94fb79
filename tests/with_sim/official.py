"""The stand-in's official API, and what tests ask of it in OpenAI's JSON."""

from __future__ import annotations

from typing import Any

import requests

from .servers import Sim

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
#: A picture of one pixel.
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
#: Letters that a careless reader loses or mistakes.
LETTERS = 'Grüße, 你好, 🖐🏽👩‍👩‍👧, "quotes" \\ and\n> lines\n\nThinking... \t end'


class ApiSim(Sim):
    """The stand-in, with the control of its official face."""

    def control_api(self, **changes: Any) -> Any:
        answer = requests.post(f"{self.url}/__control_api", json=changes, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def active(self) -> int:
        """Replies that the first key's bots are saying."""
        active: int = requests.get(f"{self.url}/__control_api", timeout=60).json()["active"][
            "key-1"
        ]
        return active
