"""What a message says, whether it is whole or a delta: thoughts, text, a refusal. Free of I/O.

Official API sheet §3.5. Poe hands on what makers have besides: Mistral's content is a list of
parts, in which thoughts have parts of their own; OpenRouter has `reasoning_details`, LiteLLM
`thinking_blocks`; OpenAI's bots refuse in `refusal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from poe_proxy.chat import Reasoning, Refusal, Text

#: How deeply lists of parts are nested at most; what is deeper is passed over.
_DEPTH: Final = 4
#: Names of a thought: all hold the same one, so the first that is there counts.
_THOUGHTS: Final = (
    "reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks",
)  # fmt: skip
#: Kinds of parts that are thoughts, and where the words of a part may be.
_THOUGHT_PARTS: Final = frozenset(
    {"thinking", "reasoning", "reasoning.text", "reasoning.summary", "summary_text"}
)
_WORDS: Final = ("text", "thinking", "reasoning", "summary", "content", "value")
_PICTURES: Final = frozenset({"image_url", "image", "output_image"})

Content: TypeAlias = Text | Reasoning | Refusal
Breathe: TypeAlias = Callable[[], None]


def of(message: Mapping[str, Any], breathe: Breathe) -> Iterator[Content]:
    """Yield what *message* says. What is of an unknown shape is passed over.

    *breathe* is called at each part of a list: a whole answer may have `bulk.MAX_VALUES` of them.
    """
    found = (_words(message.get(name), breathe) for name in _THOUGHTS)
    thought = next(filter(None, found), "")
    if thought:
        yield Reasoning(thought)
    has_text = False
    for said in _parts(message.get("content"), breathe):
        if isinstance(said, Reasoning) and thought:
            continue
        if isinstance(said, Text) and said.text.startswith("![") and has_text:
            yield Text("\n\n")
        has_text = isinstance(said, Text)
        yield said
    if refusal := _words(message.get("refusal"), breathe):
        yield Refusal(refusal)


def _parts(given: Any, breathe: Breathe, depth: int = _DEPTH) -> Iterator[Content]:
    match given:
        case str():
            if given:
                yield Text(given)
        case list() if depth:
            for part in given:
                breathe()
                yield from _parts(part, breathe, depth - 1)
        case {"type": str(kind)} if kind in _THOUGHT_PARTS:
            if thought := _words(given, breathe):
                yield Reasoning(thought)
        case {"type": str(kind)} if kind in _PICTURES:
            if url := _url(given.get("image_url") or given.get("url")):
                yield Text(f"![image]({url})")
        case {"type": "refusal", "refusal": str(refusal)} if refusal:
            yield Refusal(refusal)
        case {"type": "text" | "output_text"} | {"text": str()}:
            if text := _words(given, breathe):
                yield Text(text)


def _words(given: Any, breathe: Breathe, depth: int = _DEPTH) -> str:
    """Return the text in *given*: a text, an object that has one, or a list of either."""
    match given:
        case str():
            return given
        case list() if depth:
            words = []
            for part in given:
                breathe()
                words.append(_words(part, breathe, depth - 1))
            return "".join(words)
        case dict() if depth:
            found = (_words(given.get(name), breathe, depth - 1) for name in _WORDS)
            return next(filter(None, found), "")
    return ""


def _url(given: Any) -> str | None:
    """Return the address of a picture as Markdown takes it."""
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str) or not url.startswith(("https://", "http://", "data:image/")):
        return None
    return "".join(url.split()).replace("(", "%28").replace(")", "%29")
