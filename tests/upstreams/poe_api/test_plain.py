"""Plain events are read in a short way of their own, which makes no difference but to the time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from poe_proxy.budget import Budget
from poe_proxy.chat import ReplyEvent
from poe_proxy.errors import UpstreamError
from poe_proxy.upstreams.merging import Together
from poe_proxy.upstreams.poe_api import answers, plain

Answer = tuple[list[ReplyEvent], list[str]]


def chunk(delta: Any, choice: Any = None, **more: Any) -> bytes:
    return json.dumps({"choices": [{"delta": delta, **(choice or {})}], **more}).encode()


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        (chunk({"content": "a"}), ("", "a")),
        (chunk({"content": "a", "role": "assistant"}, {"finish_reason": None}), ("", "a")),
        (chunk({"content": "a"}, usage=None, object="chat.completion.chunk"), ("", "a")),
        (chunk({"content": "", "reasoning_content": "a", "reasoning": "a"}), ("a", "")),
        (chunk({"content": None, "reasoning": "a"}), ("a", "")),
    ],
)
def test_what_is_plain(data: bytes, piece: tuple[str, str]) -> None:
    """One text or one thought, and nothing else that counts."""
    assert piece == plain.piece(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[DONE]",
        b"",
        b"[]",
        b"{",
        b"{}",
        b'{"choices": {}}',
        b'{"choices": []}',
        b'{"choices": [[]]}',
        b'{"choices": [{"delta": "content"}]}',
        b'{"choices": [{"delta": {"content": "\\ud83d"}}]}',
        chunk({}),
        chunk(None),
        chunk({"content": ""}),
        chunk({"content": ["a"]}),
        chunk({"content": "a", "reasoning": "b"}),
        chunk({"content": "a", "reasoning": {"text": "b"}}),
        chunk({"content": "a", "refusal": "b"}),
        chunk({"content": "a", "tool_calls": [{"id": "x"}]}),
        chunk({"content": "a"}, {"finish_reason": "stop"}),
        chunk({"content": "a"}, {"error": {"message": "x"}}),
        chunk({"content": "a"}, error={"message": "x"}),
        chunk({"content": "a"}, object="error"),
        chunk({"content": "a"}, type="error"),
        chunk({"content": "a"}, usage={"prompt_tokens": 1, "completion_tokens": 2}),
        chunk({"content": "a" * 5000}),
    ],
)
def test_what_is_not(data: bytes) -> None:
    """It is left to those who know all kinds of events."""
    assert plain.piece(data) is None


# ---- those that differ in their text alone


@pytest.mark.parametrize("dump", [json.dumps, orjson.dumps], ids=["json", "orjson"])
def test_pieces_of_a_stream(dump: Callable[[Any], str | bytes]) -> None:
    """Each is read as if it were the only one, however much it is like the one before."""
    pieces = plain.Pieces()
    texts = ["a", "b", '"', "\\", "五", "\n", "a" * 4000, '","role":"b', "a" * 5000, ""]
    found = []
    for text in texts:
        event = {"id": "x", "choices": [{"delta": {"content": text}, "finish_reason": None}]}
        written = dump(event)
        found.append(written if isinstance(written, bytes) else written.encode())

    assert [plain.piece(data) for data in found] == [pieces.read(data) for data in found]


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"delta":{"content":"b","refusal":"c"}}]}',
        b'{"choices":[{"delta":{"content":"b","content":"c"}}]}',
        b'{"choices":[{"delta":{"content":"b"},"error":{"message":"c"}}]}',
        b'{"choices":[{"delta":{"content":["b"]}}]}',
        b'{"choices":[{"delta":{"content":"b}}]}',
        b'{"choices":[{"delta":{"content":b"}}]}',
        b'{"choices":[{"delta":{"content":"}}]}',
        b'{"choices":[{"delta":{"content":}}]}',
        b'{"choices":[{"delta":{"content":null}}]}',
        b'{"choices":[{"delta":{"content":"\\ud83d"}}]}',
        b'{"choices":[{"delta":{"content":"b"}}]} ',
    ],
)
def test_what_is_almost_like_the_piece_before(data: bytes) -> None:
    """A text that only seems to be one is none."""
    pieces = plain.Pieces()
    pieces.read(b'{"choices":[{"delta":{"content":"a"}}]}')

    assert plain.piece(data) == pieces.read(data)


@pytest.mark.parametrize(
    "first",
    [
        b'{"note":"\\"content\\":","choices":[{"delta":{"content":"a"}}]}',
        b'{"x":{"content":"a"},"choices":[{"delta":{"content":"a"}}]}',
        b'{"choices":[{"delta":{"content":"x","content":"a"}}]}',
        b'{"choices":[{"delta":{"content":"a","content":"a"}}]}',
        b'{"choices":[{"delta":{"role":"assistant","content" : "a"}}]}',
    ],
)
def test_a_first_piece_that_leads_astray(first: bytes) -> None:
    """Not every place that looks like that of the text is it."""
    pieces = plain.Pieces()
    pieces.read(first)
    second = first.replace(b'"a"', b'"b"', 1)

    assert plain.piece(second) == pieces.read(second)


# ---- the same answer by both ways


def by_one(found: list[bytes]) -> Answer:
    """What events mean that are read one by one, as if none of them were plain."""
    stream, said, failed = answers.Stream(Budget()), Together(), []
    try:
        for data in found:
            said.add(stream.feed(data))
        said.add(stream.close())
    except UpstreamError as failure:
        failed.append(repr(failure))
    return said.taken(), failed


def together(found: list[bytes], size: int) -> Answer:
    """What they mean if so many at a time come together."""
    stream, said, failed = answers.Stream(Budget()), Together(), []
    try:
        for at in range(0, len(found), size):
            stream.read(found[at : at + size], said)
        said.add(stream.close())
    except UpstreamError as failure:
        failed.append(repr(failure))
    return said.taken(), failed


#: Texts that may be the beginning or the end of inline thoughts, and halves of a character.
TEXTS = (
    *("Hello", " ", "", "\n", "五", "🖐", "<think>", "</think>", "<thi", "Thinking...", "\n\n> so"),
    *("*Thinking... (3s elapsed)*\n", "> a\n", "\ud83d", "\udd90", "a" * 5000, "[DONE]"),
)
ODD: tuple[Any, ...] = (
    None,
    "",
    "a",
    0,
    1.5,
    True,
    [],
    {},
    ["a"],
    {"text": "a"},
    [{"type": "text", "text": "a"}],
)


def any_chunk(rng: random.Random) -> bytes:
    """Return the data of an event: mostly plain, often nearly so, at times not at all."""
    text = rng.choice(TEXTS)
    delta: dict[str, Any] = {"content": text}
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    outer: dict[str, Any] = {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}
    changes: list[Callable[[], object]] = [
        lambda: delta.update(role="assistant"),
        lambda: choice.update(delta={"reasoning_content": text}),
        lambda: choice.update(delta={"reasoning": text, "content": ""}),
        lambda: delta.update({rng.choice(("reasoning_content", "reasoning")): rng.choice(ODD)}),
        lambda: delta.update(content=rng.choice(ODD)),
        lambda: delta.update(refusal=rng.choice(("no", None))),
        lambda: delta.update(tool_calls=[{"id": "c", "function": {"name": "f"}}]),
        lambda: delta.update(other=rng.choice(ODD)),
        lambda: choice.update(finish_reason=rng.choice(("stop", "length", "", None, None, None))),
        lambda: choice.update(error=rng.choice((None, {}, {"message": "x"}))),
        lambda: choice.update(delta=rng.choice(ODD), message={"content": text}),
        lambda: outer.update(
            usage=rng.choice((None, {"prompt_tokens": 1, "completion_tokens": 2}))
        ),
        lambda: outer.update(error=rng.choice((None, {}, "x"))),
        lambda: outer.update({rng.choice(("type", "object")): rng.choice(("error", "x", None))}),
        lambda: outer.update(choices=rng.choice(ODD)),
    ]
    if rng.random() < 0.3:
        rng.choice(changes)()
    if rng.random() < 0.01:
        return rng.choice((b"{", b"[DONE]", b"null", b'{"choices":[{"delta":{"content":"a"}}]}}'))
    return json.dumps(outer).encode()


@pytest.mark.parametrize("seed", range(300))
def test_both_ways_make_the_same_of_a_stream(seed: int) -> None:
    """Whatever is in it, and however much of it comes together."""
    rng = random.Random(seed)
    found = [any_chunk(rng) for _ in range(rng.randrange(1, 60))]

    assert by_one(found) == together(found, rng.choice((1, 3, 100)))


@pytest.mark.parametrize("seed", range(100))
def test_both_ways_make_the_same_of_a_stream_as_poe_writes_it(seed: int) -> None:
    """The same without spaces, and without halves of a character."""
    rng = random.Random(seed)
    chunks = [any_chunk(rng) for _ in range(rng.randrange(1, 60))]
    found = [
        orjson.dumps(json.loads(data)) if data.startswith(b'{"id') and b"ud" not in data else data
        for data in chunks
    ]

    assert by_one(found) == together(found, rng.choice((1, 3, 100)))
