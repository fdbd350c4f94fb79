"""A question, or a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from poe_proxy.command import asking, chat
from poe_proxy.command.main import commands

from .canned import DONE, HELLO, Canned, chunk


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Canned]:
    """Let the server answer so."""

    def answer(status: int, body: object) -> Canned:
        server = Canned(completions=(status, body))
        monkeypatch.setattr(asking, "someone", lambda url, key: server)
        return server

    return answer


def asked(server: Canned) -> list[Any]:
    """What each request said, from the first message to the last."""
    return [[one["content"] for one in body["messages"]] for _, _, body in server.asked]


def test_an_answer_is_printed_as_it_comes(
    run: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """The stream is read to its end, and closed."""
    server = answers(200, [*HELLO, DONE])
    result = run("chat", "GPT-5.1", "Hi!")

    assert (0, "Hello\n") == (result.exit_code, result.output)
    assert [["Hi!"]] == asked(server)
    assert server.hung_up
    assert 1 == server.closed


def test_a_question_may_come_from_another_program(
    run: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """As it is, with its lines."""
    server = answers(200, [*HELLO, DONE])
    run("chat", "GPT-5.1", input="a long\ntext\n")

    assert [["a long\ntext\n"]] == asked(server)


def test_nothing_to_ask_is_not_asked(
    run: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """It would cost points all the same."""
    server = answers(200, [])
    result = run("chat", "GPT-5.1", input=" \n")

    assert 2 == result.exit_code
    assert [] == server.asked


def test_thoughts_are_for_people(
    answers: Callable[..., Canned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dimmed at a terminal, apart from the answer; a file gets the answer alone."""
    answers(200, [chunk(reasoning_content="Hm."), *HELLO, DONE])
    plain = CliRunner().invoke(commands, ["chat", "x", "Hi!"])
    monkeypatch.setattr(chat.screen, "is_terminal", lambda: True)
    shown = CliRunner().invoke(commands, ["chat", "x", "Hi!"], color=True)

    assert "Hello\n" == plain.output
    assert "\x1b[2mHm.\x1b[0m\n\n" in shown.output


def test_no_colour_is_no_colour(
    answers: Callable[..., Canned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets NO_COLOR, or has a terminal that knows none, gets plain text."""
    answers(200, [chunk(reasoning_content="Hm."), *HELLO, DONE])
    monkeypatch.setattr(chat.screen, "is_terminal", lambda: True)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = CliRunner().invoke(commands, ["chat", "x", "Hi!"], color=True, env=variables)

        assert "Hm.\n\nHello\n" == shown.output


def test_a_bot_cannot_command_the_terminal(
    run: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """What it writes is shown."""
    answers(200, [chunk(content="\x1b]0;mine\x07\nnext"), DONE])

    assert "\\x1b]0;mine\\x07\nnext\n" == run("chat", "x", "Hi!").output


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, {"error": {"message": "No bot.", "code": "model_not_found"}},
         "No bot. (404 model_not_found)"),
        (502, {"error": {"message": "\x1b[2J", "code": None}}, "\\x1b[2J (502)"),
        (500, "<html>", "There was no answer that makes sense. (500)"),
        (200, [*HELLO, b'data: {"error":{"message":"Broke.","code":"upstream_interrupted"}}\n\n'],
         "Broke. (upstream_interrupted)"),
        (200, HELLO, "The answer broke off."),
    ],
)  # fmt: skip
def test_an_error_is_said_with_its_code(
    run: Callable[..., Result],
    answers: Callable[..., Canned],
    status: int,
    body: object,
    said: str,
) -> None:
    """Also in the middle of an answer, on a line of its own."""
    answers(status, body)
    result = run("chat", "x", "Hi!")

    assert 1 == result.exit_code
    assert f"{said}\n" in result.output.splitlines(keepends=True)


def test_ctrl_c_hangs_up(run: Callable[..., Result], answers: Callable[..., Canned]) -> None:
    """What has come is there, and the status is that of an interrupted program."""
    server = answers(200, [*HELLO, KeyboardInterrupt()])
    result = run("chat", "x", "Hi!")

    assert (130, "Hello\n") == (result.exit_code, result.output)
    assert server.hung_up
    assert 1 == server.closed


class Terminal:
    """A person who types these lines."""

    def __init__(self, *lines: str | BaseException) -> None:
        self._lines = list(lines)

    def __call__(self, prompt: str) -> str:
        line = self._lines.pop(0) if self._lines else EOFError()
        if isinstance(line, BaseException):
            raise line
        return line


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Let a person at a terminal type these lines."""

    def type_in(*lines: str | BaseException) -> Result:
        monkeypatch.setattr("builtins.input", Terminal(*lines))
        monkeypatch.setattr(chat, "_is_at_terminal", lambda: True)
        return CliRunner().invoke(commands, ["chat", "GPT-5.1"])

    return type_in


def test_a_conversation_goes_on(
    types: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """Each question comes with all that was said; the end of the input is its end."""
    server = answers(200, [*HELLO, DONE])
    result = types("one", "", "two")

    assert 0 == result.exit_code
    assert [["one"], ["one", "Hello", "two"]] == asked(server)


def test_ctrl_c_stops_an_answer_and_not_the_conversation(
    types: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """At the prompt it ends it."""
    server = answers(200, [*HELLO, KeyboardInterrupt()])
    result = types("one", "two", KeyboardInterrupt(), "three")

    assert 0 == result.exit_code
    assert [["one"], ["one", "Hello", "two"]] == asked(server)


def test_a_question_that_was_not_answered_is_forgotten(
    types: Callable[..., Result], answers: Callable[..., Canned]
) -> None:
    """It may be asked anew."""
    server = answers(429, {"error": {"message": "Wait.", "code": "rate_limit_exceeded"}})
    result = types("one", "two")

    assert 0 == result.exit_code
    assert [["one"], ["two"]] == asked(server)
    assert 2 == result.output.count("Wait. (429 rate_limit_exceeded)")
