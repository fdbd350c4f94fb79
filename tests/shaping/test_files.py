"""The file that a bot made, in place of its link."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import pytest

from poe_proxy.chat import Done, File, FileWanted, Idle, Replaced, ReplyEvent, Text
from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.shaping import files

from ..fakes import ask

HOST = "https://pfst.cf2.poecdn.net/base"
FOX, OWL = f"{HOST}/image/f0?w=1&h=2", f"{HOST}/image/0a"


@dataclass
class Fetched:
    data: bytes = b"bytes"
    content_type: str = "image/png"


@dataclass
class Fetching:
    """A file that is there after some ticks."""

    file: Fetched | Exception
    ticks: int = 0
    is_closed: bool = False

    def wait(self, seconds: float) -> bool:
        self.ticks -= 1
        return self.ticks < 0

    def result(self) -> Fetched:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def close(self) -> None:
        self.is_closed = True


class Files:
    """Poe's files, each as it is told."""

    def __init__(self, file: Fetched | Exception | None = None, ticks: int = 0) -> None:
        self.asked: list[str] = []
        self.fetching = Fetching(file or Fetched(), ticks)

    def owns(self, url: str) -> bool:
        return url.startswith(HOST)

    def begin(self, url: str) -> Fetching:
        self.asked.append(url)
        return self.fetching


def saying(events: Iterable[ReplyEvent]) -> Generator[ReplyEvent, None, None]:
    yield from events


def reply(
    *events: ReplyEvent, wanted: FileWanted | None = None, known: Files | None = None
) -> list[ReplyEvent]:
    chat = ask(file=wanted)
    return list(files.reply(saying(events), chat, known or Files()))


LINK = FileWanted("image", is_fetched=False)


def test_a_reply_that_needs_no_file_stays_as_it_is() -> None:
    """With nothing in between."""
    events = saying([Text(FOX), Done()])

    assert events is files.reply(events, ask(), Files())


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (f"![a fox.png]({FOX})\n\n{FOX}", FOX),
        (f"![see {OWL}]({FOX})", FOX),
        (f"Here it is: {FOX}.", FOX),
        (f"{OWL}\n{FOX}\nhttps://example.com/image/x", FOX),
        (f"{FOX}\n{HOST}/audio/1 {HOST}/video/2", FOX),
        (f"**{OWL}**", OWL),
        ("No, see https://example.com/rules", None),
        ("http http:// https://", None),
        ("", None),
    ],
)
def test_the_last_link_is_the_file(text: str, url: str | None) -> None:
    """Of those that lead to a file of a bot, and one of that kind."""
    found = [one for one in reply(Text(text), Done(), wanted=LINK) if isinstance(one, File)]

    assert ([] if url is None else [File(url)]) == found


def test_a_text_that_is_rewritten_counts_as_it_is_last() -> None:
    """Its pieces are joined."""
    events = [Text(OWL), Replaced("Drawing"), Text("... "), Text(FOX[:40]), Text(FOX[40:]), Done()]
    *said, file, done = reply(*events, wanted=LINK)

    assert (events[:-1], File(FOX), Done()) == (said, file, done)


def test_a_file_is_fetched() -> None:
    """With signs of life until it is there."""
    known = Files(ticks=2)
    events = reply(Text(FOX), Done(), wanted=FileWanted("image"), known=known)

    assert [Text(FOX), Idle(), Idle(), File(FOX, "image/png", b"bytes"), Done()] == events
    assert [FOX] == known.asked
    assert known.fetching.is_closed


def test_the_bot_is_done_while_its_file_is_fetched() -> None:
    """Its account is free by then."""
    ended: list[str] = []

    def events() -> Generator[ReplyEvent, None, None]:
        yield Text(FOX)
        yield Done()
        ended.append("account")

    one = files.reply(events(), ask(file=FileWanted("image")), Files(ticks=1))

    assert [Text(FOX), Idle()] == [next(one), next(one)]
    assert ["account"] == ended


def test_a_client_that_hangs_up_ends_the_fetch() -> None:
    """At the next sign of life."""
    known = Files(ticks=1000)
    events = files.reply(saying([Text(FOX), Done()]), ask(file=FileWanted("image")), known)
    assert [Text(FOX), Idle()] == [next(events), next(events)]

    events.close()

    assert known.fetching.is_closed


@pytest.mark.parametrize(
    "file",
    [
        Fetched(content_type="text/html"),
        Fetched(content_type="audio/mpeg"),
        Fetched(data=b""),
        UpstreamProtocolError("It is gone.", code="media_unreachable"),
    ],
    ids=str,
)
def test_a_file_that_is_not_to_be_had_is_a_failure(file: Fetched | Exception) -> None:
    """The bot has been paid: it must not be asked again, and the client is told the link."""
    with pytest.raises(UpstreamProtocolError) as failure:
        reply(Text(FOX), Done(), wanted=FileWanted("image"), known=Files(file))

    assert ("media_unreachable", False) == (failure.value.code, failure.value.client_may_retry)
    assert str(failure.value) == failure.value.message
    assert failure.value.message.endswith(f" It is at {FOX}")


@pytest.mark.parametrize("kind", ["image/webp", "application/octet-stream"])
def test_any_type_of_the_kind_will_do(kind: str) -> None:
    """And one that says nothing."""
    known = Files(Fetched(content_type=kind))
    events: Sequence[ReplyEvent] = reply(Text(FOX), Done(), wanted=FileWanted("image"), known=known)

    assert File(FOX, kind, b"bytes") in events


def test_only_so_many_links_are_looked_at() -> None:
    """The last ones."""
    others = " https://x.test/" * files.MAX_LINKS

    assert files.last_link(f"{FOX}{others[16:]}", "image", Files()) == FOX
    assert files.last_link(f"{FOX}{others}", "image", Files()) is None
