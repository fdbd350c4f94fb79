"""How many tokens a text has, in the vocabulary of OpenAI's newer models (o200k).

The vocabulary comes with the library, so nothing is fetched. Poe's bots have tokenizers of
their own: the figures are good estimates for GPT, fair ones for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Final

import orjson

from poe_proxy import mapped
from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.chat import ChatRequest, Tool

#: Characters that are counted at a time. Counting holds the interpreter, for about 3 ms with a
#: slice of code; between two slices other requests get their turn.
_SLICE: Final = 50_000
#: The most characters that are counted for one figure. What is more is as dense, it is assumed.
MAX_COUNTED: Final = 1_000_000
#: Characters that an estimate is made by: about 2 ms, and one slice more at most.
_SAMPLE: Final = 20_000
#: Characters to a token, where none has been counted.
_USUAL: Final = 4

#: Tokens that the chat format adds to each message, and to the whole, according to OpenAI.
_PER_MESSAGE: Final = 3
_PER_CHAT: Final = 3


@cache
def _counter() -> Callable[[str], int]:
    # rs-bpe is lighter; from Python 3.14 on only bpe-openai has a build.
    try:
        from rs_bpe import bpe, openai
    except ImportError:
        import bpe_openai

        encode = bpe_openai.get_encoding("o200k_base").encode_ordinary
        return lambda text: len(encode(text))
    count: Callable[[str], int] = openai.o200k_base().count
    # The vocabulary is unpacked by now: 33 MB. The packed one, 32 MB, was read for that alone.
    mapped.let_go(bpe.__file__)
    return count


def warm_up() -> None:
    """Load the vocabulary before the first request needs it: that holds the interpreter for 40 ms,
    and takes 33 MB."""
    _counter()("")


def count_text(text: str) -> int:
    """Return how many tokens *text* has; to be called with a short one."""
    return sum(map(_counter(), _slices(text)))


def count_texts(texts: Iterable[str], budget: Budget, *, at_most: int | None = None) -> int:
    """Return how many tokens the *texts* have together.

    What is beyond *at_most* characters, by default `MAX_COUNTED`, or beyond the *budget*, is
    estimated by what has been counted.
    """
    count = _counter()
    most = MAX_COUNTED if at_most is None else at_most
    parts = (part for text in texts for part in _slices(text))
    tokens = counted = length = 0
    # One block of work for all: to begin and end one costs as much as to count a short text.
    with suppress(OutOfBudget), budget.work("counting tokens"):
        for part in parts:
            length += len(part)
            if counted < most:
                budget.breathe()
                tokens += count(part)
                counted += len(part)
    uncounted = length - counted + sum(map(len, parts))
    density = tokens / counted if counted else 1 / _USUAL
    return tokens + round(uncounted * density)


def _slices(text: str) -> Iterator[str]:
    if len(text) <= _SLICE:
        yield text
        return
    for start in range(0, len(text), _SLICE):
        yield text[start : start + _SLICE]


def count_prompt(chat: ChatRequest) -> int:
    """Return how many tokens the conversation has, its tools and its framing included."""
    return _framing(chat) + count_texts(_texts(chat), chat.budget)


def estimate_prompt(chat: ChatRequest) -> int:
    """Return about how many tokens the conversation has, at once: only its beginning is counted."""
    return _framing(chat) + count_texts(_texts(chat), chat.budget, at_most=_SAMPLE)


def _framing(chat: ChatRequest) -> int:
    return _PER_CHAT + _PER_MESSAGE * len(chat.messages)


def _texts(chat: ChatRequest) -> Iterator[str]:
    yield from map(_definition, chat.tools)
    for message in chat.messages:
        yield message.text
        for call in message.tool_calls:
            yield call.name
            yield call.arguments


def _definition(tool: Tool) -> str:
    # As OpenAI's bots read it.
    whole = {"type": "function", "function": tool.definition, **tool.beside}
    return orjson.dumps(whole).decode()
