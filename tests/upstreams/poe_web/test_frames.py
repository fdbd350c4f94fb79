"""What a look at a frame finds, beside what parsing finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poe_proxy.upstreams.poe_web import frames
from poe_proxy.upstreams.poe_web.frames import Known, look
from poe_proxy.upstreams.poe_web.items import ChannelLost, Draft, Item, read_frame
from poe_proxy.upstreams.poe_web.mailbox import Kept, Mailbox, Pile

from .test_turn import bot, frame

CHAT = 1234567890


class Channel:
    """Takes frames for one chat, as a channel does."""

    def __init__(self, *, looks: bool = True, is_bound: bool = True) -> None:
        self.waiting = Mailbox("nonce", "nonce") if is_bound else Kept(0)
        self.seqs: list[int | None] = []
        #: How many were told without being parsed.
        self.told = 0
        self._looks = looks

    def take(self, raw: bytes) -> list[Item | Draft]:
        if self._looks and (found := look(raw, {CHAT: self.waiting}.get)):
            self.seqs.append(found[0])
            self.told += 1
            return [found[1]]
        try:
            seq, read = read_frame(raw)
        except ChannelLost:
            self.seqs.append(-1)
            return []
        self.seqs.append(seq)
        for item in read:
            if item.chat_id == CHAT and item.name == "messageAdded":
                self.waiting.known = Known.of(raw, item) if len(read) == 1 else None
        return list(read)


def meaning(item: Item | Draft) -> Any:
    return item.name, item.chat_id, item.message_key, item.content()


def same(raws: list[bytes]) -> Channel:
    """Take the frames with and without a look; what comes of them is the same, and what echoes a
    nonce is parsed where one may still be looked for."""
    for is_bound in (False, True):
        looking, parsing = Channel(is_bound=is_bound), Channel(looks=False)
        for raw in raws:
            looked, parsed = looking.take(raw), parsing.take(raw)
            assert [meaning(one) for one in parsed] == [meaning(one) for one in looked]
            if looked and isinstance(looked[0], Draft) and not is_bound:
                assert [] == list(parsed[0].nonces())
        assert parsing.seqs == looking.seqs
    return looking


def growing(text: str, step: int = 1, **more: Any) -> list[bytes]:
    ends = range(0, len(text) + 1, step)
    return [frame("messageAdded", bot(text[:end], **more), seq=end) for end in ends]


EVIL = '{"message_type":"refetchChannel","unique_id":"messageAdded:9","state":"complete","text":"x"'
TEXTS = [
    "plain words, and more of them",
    EVIL,
    r"\"state\":\"complete\",\"messageId\":5}}}\"]}",
    '"]}\n","{\\"message_type\\":\\"subscriptionUpdate\\"',
    'back\\slashes\\\\ and "quotes" and \\" both\\',
    "new\nlines\r\tand\b\f/ controls \x00\x1f\x7f",
    "é ü 漢字 😀 \u2028 \u00a0",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_grows_is_told_by_a_look(text: str) -> None:
    """Whatever is in it, every frame but the first of all is told, and means the same."""
    assert len(text) == same(growing(text)).told


@pytest.mark.parametrize("text", TEXTS)
def test_the_order_of_the_fields_does_not_matter(text: str) -> None:
    """The state behind the text, the sequence behind the items, other things anywhere."""
    raws = []
    for end in range(len(text) + 1):
        content = {"messageId": 7, "text": text[:end], "state": "incomplete", "author": "claude"}
        data = {"unique_id": f"messageAdded:{CHAT}", "data": {"messageAdded": content}}
        item = orjson.dumps({"message_type": "subscriptionUpdate", "payload": data, "_": "f" * end})
        raws.append(orjson.dumps({"messages": [item.decode()], "min_seq": end}))
    # Told by its beginning, this would give way to an unfinished one that comes late.
    raws.append(raws[-1].replace(b"incomplete", b"complete"))

    assert len(text) == same(raws).told


@pytest.mark.parametrize("nonce", [{"clientNonce": "abc"}, {"clientNonce": ""}, {}])
def test_what_echoes_a_nonce_is_parsed_while_its_chat_is_nobody_s(nonce: dict[str, str]) -> None:
    """The nonce may say whose it is. An empty one says nothing."""
    raws = growing("hello", **nonce)
    looking = Channel(is_bound=False)
    for raw in raws:
        looking.take(raw)

    assert (0 if nonce.get("clientNonce") else 5) == looking.told
    assert 5 == same(raws).told


def test_a_long_text_is_told_to_its_end() -> None:
    """What is known of it grows with it."""
    text = "".join(random.Random(1).choices('abc "\\\n漢😀é{}[],:', k=20_000))

    looking = same(growing(text, 100))
    known = looking.waiting.known

    assert 200 == looking.told
    assert known is not None
    # All but the newest pieces: a look reads no more than what is not known yet.
    written = orjson.loads(b'"%b"' % known.prefix).partition('"text":"')[2]
    assert orjson.loads(f'"{written}"').startswith(text[:18_000])


def mischief(raw: bytes) -> Iterator[bytes]:
    """Frames that are nearly like this one."""
    text = bot("hello", "complete")
    yield frame("messageAdded", text)
    yield frame("messageAdded", bot("hello", number=5))
    yield frame("messageAdded", bot("hello"), ":77")
    yield frame("messageAdded", bot("other"))
    yield frame("messageAdded", bot("hello", clientNonce="abc", chatNonce=None))
    yield frame("messageAdded", {"clientNonce": "abc", **bot("hello")})
    yield frame("messageAdded", bot("hello", clientNonce="", chatNonce=None))
    yield frame("jobUpdated", {"state": "completed"})
    two = orjson.loads(raw)["messages"] * 2
    yield orjson.dumps({"min_seq": 9, "messages": two})
    yield orjson.dumps({"min_seq": 9, "messages": [*two, "", None]})
    yield raw.replace(b'"]}', b'" ]}')
    yield raw.replace(b'"]}', b'"],"min_seq":7}')
    yield raw.replace(b'"]}', b'"],"error":"missed_messages"}')
    yield raw.replace(b'"]}', b'"],"messages":[]}')
    yield raw.replace(b'"]}', b'"]')
    yield raw.replace(b'"]}', b'\\"]}')
    yield raw.replace(b'"]}', b'\\\\"]}')
    yield raw.replace(b'"]}', b'\\u00"]}')
    yield raw.replace(b'"]}', b'\\ud83d"]}')
    yield raw.replace(b'"]}', b'\xff"]}')
    yield raw.replace(b'"]}', b'\xed\xa0\xbd"]}')
    yield raw.replace(b'"]}', b'\x01"]}')
    yield raw.replace(b"hello", b"hello\\u0022,")
    yield raw.replace(b"hello", b"hello\\\\ud83d")
    yield raw.replace(b"hello", b"hello\\u00e9\\ud83d\\ude00")
    yield raw.replace(b'"min_seq":', b'"min_seq":0')
    yield raw.replace(b'"min_seq":', b'"min_seq":-')
    yield raw.replace(b'"min_seq":', b'"min_seq": ')
    yield raw.replace(b'"min_seq":', b'"min_seq":99999999999999999999')
    yield raw.replace(b"subscriptionUpdate", b"refetchChannel")
    yield raw.replace(b'incomplete\\"', b'complete\\"')
    yield b" " + raw
    yield raw + b" "
    yield raw + raw
    yield raw[:-40]


def test_a_frame_that_is_nearly_one_is_what_parsing_says() -> None:
    """Each stands between two frames that are told by a look."""
    first, last = frame("messageAdded", bot("hel")), frame("messageAdded", bot("hello world"))
    raw = frame("messageAdded", bot("hello"))
    for one in mischief(raw):
        same([first, raw, one, raw, last])
        same([one, raw, one, last])


FRAMES = st.lists(
    st.tuples(
        st.text(st.sampled_from('ab"\\/\n\x01{}[]:,é漢😀'), max_size=40),
        st.sampled_from(["incomplete", "incomplete", "incomplete", "complete", "error"]),
        st.sampled_from([2, 2, 2, 3]),
        st.sampled_from([orjson.dumps, lambda one: orjson.dumps(one, option=orjson.OPT_INDENT_2)]),
        st.booleans(),
        st.binary(max_size=2),
        st.integers(0, 10_000),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(FRAMES)
def test_a_look_never_says_anything_else_than_parsing(
    parts: list[tuple[str, str, int, Callable[[Any], bytes], bool, bytes, int]],
) -> None:
    """Texts that grow or are written anew, of several messages, some of them damaged."""
    text, raws = "", []
    for more, state, number, dumps, goes_on, damage, place in parts:
        text = text + more if goes_on else more
        raw = frame("messageAdded", bot(text, state, number), seq=place)
        if dumps is not orjson.dumps:
            raw = dumps(orjson.loads(raw))
        at = place % len(raw)
        raws += [raw, raw[:at] + damage + raw[at + len(damage) :]]

    same(raws)


def test_a_reader_who_is_late_finds_the_newest_text_alone() -> None:
    """None of the others was ever parsed."""
    channel, pile = Channel(), Pile()
    for raw in growing("hello " * 100):
        for item in channel.take(raw):
            pile.add(item)

    (last,) = pile.notices
    assert isinstance(last, Draft)
    assert "hello " * 100 == last.content()["text"]
    assert len(last.frame) == last.size == pile.size


def test_a_frame_that_is_very_large_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be of too many pieces, which parsing finds out."""
    monkeypatch.setattr(frames, "_LARGEST", 1000)

    assert same(growing("x" * 2000, 100)).told < 10
