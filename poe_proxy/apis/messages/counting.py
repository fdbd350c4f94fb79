"""`POST /v1/messages/count_tokens`: our own count, for which nobody is asked.

Claude Code asks dozens of times at once: for each tool by itself, and for each part of the prompt.
"""

from __future__ import annotations

import orjson

from poe_proxy.chat import ChatRequest
from poe_proxy.shaping.tokenizer import count_prompt


def counted(chat: ChatRequest) -> bytes:
    """Return the body of the answer."""
    return orjson.dumps({"input_tokens": count_prompt(chat)})
