"""What is noted of a request: who answered, what it took, and how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from poe_proxy.chat import Done, Message, Text, TextPart, Usage
from poe_proxy.errors import TokenRejected, UpstreamInterrupted
from poe_proxy.record import CLIENT_CLOSED, Record
from poe_proxy.server import access_log
from poe_proxy.server.services import Services

from ..fakes import ANSWER, FakeUpstream, Step, log_lines
from ..test_gateway import House
from .site import COMPLETIONS, HELLO, Site


def test_the_times_of_a_request_are_its_parts() -> None:
    """Overhead is what was neither the line nor Poe's: before it asked for an account, and after
    the bot had ended."""
    record = Record(now=100.0)
    record.joined, record.queued, record.first_text = 100.25, 3.0, 104.0
    record.done, record.ended = 110.0, 110.5

    assert (10.5, 4.0, 0.75) == (record.total, record.first_text_after, record.overhead)


def test_a_request_that_asks_nobody_is_all_overhead() -> None:
    """There is no first word either."""
    record = Record(now=100.0)
    record.ended = 100.5

    assert (0.5, None, False) == (record.overhead, record.first_text_after, record.was_asked)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("four" * 5, 5), ("你好世界" * 5, 15)], ids=repr
)
def test_without_a_count_tokens_are_estimated_by_bytes(text: str, tokens: int) -> None:
    """Four bytes make a token: Chinese has about three signs for four tokens."""
    house = House(FakeUpstream([Text(text), Done()]))
    list(house.reply(messages=(Message(role="user", content=(TextPart(text),)),)))

    assert (tokens, tokens) == (house.record.tokens_in, house.record.tokens_out)
    assert not house.record.is_counted


def test_what_poe_counts_is_its_word() -> None:
    """Its tokens, and its points where it tells of them, which may be after the answer."""
    house = House(FakeUpstream([Text("Hi"), Usage(7, 9), Done()]))
    list(house.reply())

    record = house.record
    assert record.points is None
    assert record.charges is not None
    record.charges.note(555, 120)
    assert (7, 9, True, 120) == (
        record.tokens_in, record.tokens_out, record.is_counted, record.points,
    )  # fmt: skip


def test_who_answered_is_noted_and_why_others_did_not() -> None:
    """The account that answered last, and the code of each failure before."""
    house = House(FakeUpstream([TokenRejected("Logged out.")]), FakeUpstream())
    list(house.reply(model="GPT-4"))

    record = house.record
    assert ("cookie-2", "cookie", ("upstream_auth",)) == (record.account, record.kind, record.moves)
    assert record.bot
    assert record.was_asked


def test_the_time_in_line_is_that_of_the_pools_clock() -> None:
    """It is known while the request waits, and stays when it has its token."""
    house = House(FakeUpstream([Text("one"), Done()], ANSWER))
    first = house.reply()
    next(first)
    second, record = house.reply(), house.record
    next(second)
    assert house.clock() == record.in_line
    house.clock.go(7.0)
    first.close()
    list(second)

    assert (7.0, 0.0) == (record.queued, record.in_line)


class Told(Site):
    """A site that keeps the records that it tells."""

    def __init__(self, *script: Step, **how: Any) -> None:
        super().__init__(*script, **how)
        self.records: list[Record] = []
        services: Services = self.client.application.extensions["poe_proxy"]
        # A frozen value, replaced as a reload does it.
        object.__setattr__(services, "told", self.records.append)


def test_a_record_is_told_once_the_answer_is_closed() -> None:
    """A stream's with its end, and with all that was noted on its way."""
    site = Told(Text("Hello"), Text(" there"), Usage(3, 2), Done())
    answer = site.ask(stream=True)
    assert [] == site.records
    answer.get_data()
    answer.close()

    (record,) = site.records
    assert (200, "", True) == (record.status, record.code, record.streams)
    assert (COMPLETIONS, "POST", HELLO["model"]) == (record.route, record.method, record.model)
    assert (3, 2) == (record.tokens_in, record.tokens_out)
    assert record.pieces
    assert record.began <= record.joined <= record.first_text <= record.done <= record.ended
    assert answer.headers["x-request-id"] == record.id


def test_a_failure_behind_the_head_has_its_code() -> None:
    """The status was sent before."""
    site = Told(Text("Hel"), UpstreamInterrupted("Cut."))
    answer = site.ask(stream=True)
    answer.get_data()
    answer.close()

    (record,) = site.records
    assert (200, "upstream_interrupted") == (record.status, record.code)


def test_a_client_that_leaves_has_a_code_of_its_own() -> None:
    """It closed the connection, and nothing has failed."""
    site = Told(Text("Hel"), Text("lo"), Done())
    answer = site.ask(stream=True)
    next(answer.iter_encoded())
    answer.close()

    (record,) = site.records
    assert (200, CLIENT_CLOSED) == (record.status, record.code)


def test_what_is_refused_is_told_too() -> None:
    """A wrong key has no client, a wrong path no route."""
    site = Told()
    site.get("/v1/models", headers={}).close()
    site.get("/nothing").close()

    wrong_key, wrong_path = site.records
    assert (401, "", "invalid_api_key") == (wrong_key.status, wrong_key.client, wrong_key.code)
    assert (404, "") == (wrong_path.status, wrong_path.route)


def test_whoever_tells_cannot_spoil_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what the others tell; what goes wrong there is logged."""

    def tell(record: Record) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(access_log, "tell", tell)
    site = Site()
    with log_lines() as lines:
        answer = site.ask()
        answer.close()

    assert 200 == answer.status_code
    assert "a request was not recorded" in lines.getvalue()
    services: Services = site.client.application.extensions["poe_proxy"]
    (client,) = services.registry.overview()
    assert client["last_seen"]
