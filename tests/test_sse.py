"""The SSE wire format, both ways."""

from __future__ import annotations

import pytest

from poe_proxy import sse

from .steps import Counted, grows_linearly


def decoded(*pieces: bytes) -> list[bytes]:
    """The data of all events that the pieces hold, the last one included."""
    decoder = sse.Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.flush()


STREAM = (
    b"\xef\xbb\xbfdata: one\n\n"
    b": hello\n\n"
    b"event: message\r\ndata:two\r\nid: 7\r\n\r\n"
    b"data: thr\ndata: ee\n\n"
    b"data\ndata:  four \r\r"
    b"data:\n\n"
    b"retry: 5\n\n" + "data: fünf 五 🖐\n\n".encode() + b"data: [DONE]\n\n"
)
EVENTS = [b"one", b"two", b"thr\nee", b"\n four ", "fünf 五 🖐".encode(), b"[DONE]"]


def test_the_data_of_each_event_comes_out() -> None:
    """Comments, other fields and events without data say nothing; one space is left out."""
    assert EVENTS == decoded(STREAM)


@pytest.mark.parametrize("at", range(1, len(STREAM)))
def test_a_cut_anywhere_changes_nothing(at: int) -> None:
    """Cuts fall inside characters, line ends, field names, the byte order mark."""
    assert EVENTS == decoded(STREAM[:at], STREAM[at:])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_small_pieces_change_nothing(size: int) -> None:
    """Byte by byte it is the same stream; empty pieces are no end."""
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]

    assert EVENTS == decoded(*[half for piece in pieces for half in (piece, b"")])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_out_with_its_last_byte(end: bytes) -> None:
    """Nothing waits for the bytes of the next event, whatever the line ends are."""
    decoder = sse.Decoder()

    assert [] == decoder.feed(b"data: now" + end)
    assert [b"now"] == decoder.feed(end)


def test_a_line_end_in_two_halves_is_one() -> None:
    """The line feed that belongs to the last return is not an empty line."""
    decoder = sse.Decoder()

    assert [] == decoder.feed(b"data: a\r")
    assert [] == decoder.feed(b"\ndata: b\r")
    assert [b"a\nb"] == decoder.feed(b"\n\r")
    assert [b"c"] == decoder.feed(b"\ndata: c\n\n")


def test_several_events_of_one_read_come_together() -> None:
    """What one read holds is split at once."""
    assert [b"1", b"2", b"3"] == sse.Decoder().feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4")


@pytest.mark.parametrize(("rest", "last"), [(b"data: x", [b"x"]), (b"data: x\n", [b"x"])])
def test_flush_returns_an_event_without_its_end(rest: bytes, last: list[bytes]) -> None:
    """An upstream that forgets the last empty line is still understood; once is enough."""
    decoder = sse.Decoder()

    assert [] == decoder.feed(rest)
    assert last == decoder.flush()
    assert [] == decoder.flush()


@pytest.mark.parametrize("flood", [b"data: " + b"x" * 200, b"data: xxxxxx\n" * 20, b": x" * 90])
def test_an_event_without_end_is_refused(flood: bytes) -> None:
    """Memory has a limit: for a line, for the lines of an event, in one piece or in many."""
    with pytest.raises(ValueError, match="without an end"):
        sse.Decoder(at_most=100).feed(flood)
    decoder = sse.Decoder(at_most=100)
    with pytest.raises(ValueError, match="without an end"):
        list(map(decoder.feed, (flood[at : at + 1] for at in range(len(flood)))))


def test_empty_lines_are_a_flood_too() -> None:
    """Each of them is held as well."""
    with pytest.raises(ValueError, match="without an end"):
        sse.Decoder(at_most=100).feed(b"data:\n" * 101)


@pytest.mark.parametrize("size", [1, 10, 100_000])
@pytest.mark.parametrize(
    "unit", [b"data: x\n", b"data:\n", b"data: x\n\n", b"x", b"\n", b"\r", b"\r\n", b": x\n"]
)
def test_a_stream_costs_what_it_is_long(unit: bytes, size: int) -> None:
    """Lines and events without end, in one piece and in many."""
    counted = Counted("poe_proxy.sse")

    def steps(length: int) -> int:
        stream = unit * (length // len(unit))
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        decoder = counted["sse"].Decoder()
        return counted.of(lambda: list(map(decoder.feed, pieces)))

    assert grows_linearly(steps, 200) is None


def test_many_events_are_no_flood() -> None:
    """The limit is for one event, however long the stream is."""
    decoder = sse.Decoder(at_most=100)

    assert 1000 == sum(len(decoder.feed(b"data: 0123456789\n\n")) for _ in range(1000))


def test_what_is_written_can_be_read() -> None:
    """Frames of data are events."""
    assert [b'{"a":1}', b"[DONE]"] == decoded(sse.data(b'{"a":1}') + sse.DONE)
    assert b"data: {}\n\n" == sse.data(b"{}")
