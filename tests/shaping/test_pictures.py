"""Pictures in place of links to them, for clients that show none."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import pytest

from poe_proxy.chat import (
    ChatRequest,
    Done,
    Idle,
    JsonWanted,
    Reasoning,
    Refusal,
    Replaced,
    ReplyEvent,
    Text,
    ToolCallPart,
    Usage,
)
from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.shaping import pictures
from poe_proxy.shaping.pictures import MAX_PICTURE, MAX_PICTURES, Pictures

from ..fakes import ask
from .support import affording, content, pieces, stream, through
from .test_files import Fetched, Files

FOX = "https://pfst.cf2.poecdn.net/base/image/f0?w=1&h=2"
OWL = "https://pfst.cf2.poecdn.net/base/image/0a"
SOUND = "https://pfst.cf2.poecdn.net/base/audio/0a"
DATA = f"data:image/png;base64,{base64.b64encode(b'bytes').decode()}"


def inline(text: str, size: int = 1_000_000) -> str:
    """What a client reads of *text*, which comes in pieces of *size*."""
    return content(through([*pieces(text, size), Done()], Pictures(Files())))


def embedded(
    *events: ReplyEvent, known: Files | None = None, chat: ChatRequest | None = None
) -> list[ReplyEvent]:
    return list(pictures.shown(stream(events), chat or ask(), "embed", known or Files()))


CASES: list[tuple[str, str]] = [
    (FOX, f"![picture]({FOX})"),
    (f"Here: {FOX}", f"Here: ![picture]({FOX})"),
    (f"Here it is:\n{FOX}.\nLike it?", f"Here it is:\n![picture]({FOX}).\nLike it?"),
    (f"{FOX} {OWL}", f"![picture]({FOX}) ![picture]({OWL})"),
    (f"![a fox.png]({FOX})\n\n{FOX}", f"![a fox.png]({FOX})\n\n{FOX}"),
    (f"![a [b] {SOUND} c]({FOX})\n\n\n{OWL}", f"![a [b] {SOUND} c]({FOX})\n\n\n![picture]({OWL})"),
    (f"{FOX}\n{FOX}", f"![picture]({FOX})\n{FOX}"),
    (f"[the fox]({FOX})", f"[the fox]({FOX})"),
    (f"`{FOX}` and <{FOX}>", f"`{FOX}` and <{FOX}>"),
    (f'{{"url": "{FOX}"}}', f'{{"url": "{FOX}"}}'),
    (SOUND, SOUND),
    ("See https://example.com/image/x.png", "See https://example.com/image/x.png"),
    ("http https:/ https:// hhttp", "http https:/ https:// hhttp"),
    ("", ""),
    (f"https://{'x' * 5000}/ {FOX}", f"https://{'x' * 5000}/ ![picture]({FOX})"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "read"), CASES, ids=map(str, range(len(CASES))))
@pytest.mark.parametrize("size", [1_000_000, 7, 1])
def test_a_bare_link_becomes_an_image(said: str, read: str, size: int) -> None:
    """In whatever pieces it comes; all else stays as it is."""
    assert read == inline(said, size)


def test_only_what_may_be_a_link_is_held_back() -> None:
    """The rest is passed on at once."""
    stage = Pictures(Files())

    assert [Text("Look: ")] == list(stage.feed(Text("Look: http")))
    assert [] == list(stage.feed(Text(OWL.removeprefix("http"))))
    assert [Text(f"![picture]({OWL})! ")] == list(stage.feed(Text("! ")))
    assert [Done()] == list(stage.feed(Done()))


def test_a_text_that_is_rewritten_is_read_anew() -> None:
    """What was held back of the old one is gone."""
    events = [Text("Drawing https"), Replaced(f"Here: {FOX}"), Text(" done"), Done()]

    assert f"Here: ![picture]({FOX}) done" == content(through(events, Pictures(Files())))


def test_answers_that_need_nothing_stay_as_they_are() -> None:
    """With `links`, and where JSON is wanted, in which a link is a value."""
    events = stream([Text(FOX), Done()])

    assert events is pictures.shown(events, ask(), "links", Files())
    assert events is pictures.shown(events, ask(json=JsonWanted()), "embed", Files())
    assert [Text(f"![picture]({FOX})"), Done()] == [
        one for one in pictures.shown(events, ask(), "inline", Files()) if not isinstance(one, Idle)
    ]


# ---- the picture itself


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (f"![a fox.png]({FOX})\n\n{FOX}", f"![a fox.png]({DATA})\n\n{FOX}"),
        (f"Here: {FOX}", f"Here: ![picture]({DATA})"),
        (f"[the fox]({FOX}), {SOUND}", f"[the fox]({FOX}), {SOUND}"),
    ],
    ids=["Markdown", "bare", "no pictures"],
)
@pytest.mark.parametrize("size", [1_000_000, 7])
def test_a_picture_is_embedded(said: str, read: str, size: int) -> None:
    """In images, which programs show; links stay links."""
    assert read == content(embedded(*pieces(said, size), Done()))


def test_signs_of_life_come_while_a_picture_is_fetched() -> None:
    """And whoever hangs up then ends the fetch."""
    known = Files(ticks=2)
    events = embedded(Text(f"{FOX} "), Done(), known=known)

    assert [Idle(), Idle()] == events[:2]
    assert known.fetching.is_closed


@pytest.mark.parametrize(
    "file",
    [
        Fetched(content_type="text/html"),
        Fetched(data=b""),
        Fetched(data=bytes(MAX_PICTURE + 1)),
        UpstreamProtocolError("It is gone."),
    ],
    ids=["a page", "nothing", "too much", "a failure"],
)
def test_a_picture_that_is_not_to_be_had_stays_a_link(file: Fetched | Exception) -> None:
    """Too large, of another kind, or gone: the answer is good all the same."""
    text = content(embedded(Text(f"![a]({FOX})"), Done(), known=Files(file)))

    assert f"![a]({FOX})" == text


def test_pictures_may_take_so_long_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their account is held meanwhile. What has not come by then stays a link, and is given up."""
    monkeypatch.setattr(pictures, "MAX_SECONDS", 0.0)
    known = Files(ticks=10**9)
    text = content(embedded(Text(f"![a]({FOX}) ![b]({OWL})"), Done(), known=known))

    assert f"![a]({FOX}) ![b]({OWL})" == text
    assert known.fetching.is_closed


def test_so_many_pictures_are_embedded() -> None:
    """Each is fetched once, however often the bot writes its answer anew."""
    known = Files()
    links = [f"![a]({OWL}{number})" for number in range(MAX_PICTURES + 1)]
    events: Iterable[ReplyEvent] = embedded(
        *(Replaced("\n".join(links)) for _ in range(3)), Done(), known=known
    )
    text = content(events)

    assert MAX_PICTURES == len(known.asked) == text.count(DATA)
    assert links[-1] in text


def test_they_are_so_large_together() -> None:
    """Beyond that, links stay; answers that are written anew count each time."""
    known = Files(Fetched(data=bytes(MAX_PICTURE)))
    text = f"![a]({FOX})"
    replaced = embedded(*[Replaced(text)] * 5, Done(), known=known)
    lengths = [len(one.text) for one in replaced if isinstance(one, Replaced)]

    assert [5_000_000] * 3 == [length // 1_000_000 * 1_000_000 for length in lengths[:3]]
    assert [len(text)] * 2 == lengths[3:]


def test_a_large_picture_comes_in_pieces() -> None:
    """No event of a stream is of many megabytes."""
    known = Files(Fetched(data=bytes(1_000_000)))
    events = embedded(Text(f"![a]({FOX})"), Done(), known=known)

    assert max(len(one.text) for one in events if isinstance(one, Text)) < 200_000
    assert content(events).startswith("![a](data:image/png;base64,AAAA")


def test_the_usage_is_that_of_what_the_bot_said() -> None:
    """Megabytes of base64 are not its words."""
    known = Files(Fetched(data=bytes(100_000)))
    chat = ask()
    (counted,) = [
        one
        for one in embedded(Reasoning("Hm."), Text(f"![a]({FOX})"), Done(), known=known, chat=chat)
        if isinstance(one, Usage)
    ]
    given = [Text(f"![a]({FOX})"), Usage(3, 4), Done()]

    assert 0 < counted.completion_tokens < 100
    assert [Usage(3, 4)] == [one for one in embedded(*given) if isinstance(one, Usage)]
    assert not [one for one in embedded(Text("No."), Done()) if isinstance(one, Usage)]


@pytest.mark.parametrize(
    "more",
    [Reasoning("One thought."), Refusal("I must not."), ToolCallPart(0, "c", "draw", '{"a": "b"}')],
    ids=lambda one: type(one).__name__,
)
def test_all_that_the_bot_said_counts(more: ReplyEvent) -> None:
    """Thoughts, words of refusal and calls, too; of a text that was written anew, the last one."""

    def counted(*events: ReplyEvent) -> int:
        (found,) = [one for one in embedded(*events, Done()) if isinstance(one, Usage)]
        return found.completion_tokens

    drawn = Replaced(f"![a]({FOX})")

    assert counted(drawn) < counted(more, drawn)
    assert counted(more, drawn) == counted(more, Text("Drawing..."), drawn)


def test_a_request_that_has_cost_enough_gets_links() -> None:
    """The answer passes as it came."""
    chat = ask(budget=affording(0.01))
    chat.budget.charge(1)
    said = f"{'x' * 5000} ![a]({FOX})"

    assert said == content(embedded(Text(said), Done(), chat=chat))
