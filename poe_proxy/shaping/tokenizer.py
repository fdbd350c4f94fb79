"""How many tokens a text has, in the vocabulary of OpenAI's newer models (o200k).

The vocabulary comes with the library, so nothing is fetched. Poe's bots have tokenizers of
their own: the figures are good estimates for GPT, fair ones for the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Final

import orjson

from poe_proxy.chat import ChatRequest, Tool

#: Characters that are counted at a time. Counting holds the interpreter, for about 3 ms with a
#: slice of code; between two slices other requests get their turn.
_SLICE: Final = 50_000

#: Tokens that the chat format adds to each message, and to the whole, according to OpenAI.
_PER_MESSAGE: Final = 3
_PER_CHAT: Final = 3


@cache
def _counter() -> Callable[[str], int]:
    # rs-bpe is lighter; from Python 3.14 on only bpe-openai has a build.
    try:
        from rs_bpe import openai
    except ImportError:
        import bpe_openai

        encode = bpe_openai.get_encoding("o200k_base").encode_ordinary
        return lambda text: len(encode(text))
    count: Callable[[str], int] = openai.o200k_base().count
    return count


def warm_up() -> None:
    """Load the vocabulary, which takes a moment, before the first request needs it."""
    _counter()("")


def count_text(text: str) -> int:
    """Return how many tokens *text* has."""
    count = _counter()
    if len(text) <= _SLICE:
        return count(text)
    total = 0
    for start in range(0, len(text), _SLICE):
        if start:
            time.sleep(0.0001)
        total += count(text[start : start + _SLICE])
    return total


def count_prompt(chat: ChatRequest) -> int:
    """Return how many tokens the conversation has, its tools and its framing included."""
    return (
        _PER_CHAT
        + sum(count_text(_definition(tool)) for tool in chat.tools)
        + sum(
            _PER_MESSAGE
            + count_text(message.text)
            + sum(count_text(call.name) + count_text(call.arguments) for call in message.tool_calls)
            for message in chat.messages
        )
    )


def _definition(tool: Tool) -> str:
    # As OpenAI's bots read it.
    whole = {"type": "function", "function": tool.definition, **tool.beside}
    return orjson.dumps(whole).decode()
