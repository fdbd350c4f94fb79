"""`poe-proxy chat`: one question, or a conversation, in the terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import Any, Final, Literal, TypeAlias

import click

from poe_proxy.command import asking, options, screen
from poe_proxy.command.asking import Asked
from poe_proxy.sse import Decoder

#: A piece of an answer, and what it is.
Piece: TypeAlias = tuple[Literal["answer", "thought"], str]

#: The exit status of a program that Ctrl-C has ended.
_INTERRUPTED: Final = 130
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_ANSWER: Final = {"content": "answer", "refusal": "answer", "reasoning_content": "thought"}


class _CtrlC:
    """Ctrl-C, and SIGTERM, which ends the bot as well.

    The app in this process makes of it an answer that broke off; so it is noted, too.
    """

    has_come = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note and raise it within a block."""
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.has_come = True
        raise KeyboardInterrupt


_ctrl_c: Final = _CtrlC()


@click.command()
@options.env
@options.server
@click.argument("model")
@click.argument("text", required=False)
def command(url: str | None, key: str | None, model: str, text: str | None) -> None:
    """Ask MODEL, and print the answer as it comes.

    Without TEXT it is read from standard input; at a terminal that is a conversation. The server
    that runs is asked, or else the accounts of the settings. Ctrl-C stops the bot.
    """
    try:
        with _ctrl_c.noted(), asking.someone(url, key) as server:
            if text is None and _is_at_terminal():
                _converse(server, model)
                return
            question = text if text is not None else sys.stdin.read()
            if not question.strip():
                raise click.UsageError("There is nothing to ask.")
            _answer(server, model, [_message("user", question)])
    except KeyboardInterrupt:
        click.echo()
        sys.exit(_INTERRUPTED)


def _is_at_terminal() -> bool:
    return sys.stdin.isatty()


def _converse(server: Asked, model: str) -> None:
    """Lead a conversation until the end of the input, or Ctrl-C at its prompt."""
    with suppress(ImportError):
        import_module("readline")  # lets what is typed at `input` be edited

    screen.note(f"{screen.line(model)}, by {server.name}. Ctrl-C stops an answer, Ctrl-D ends.")
    messages: list[Mapping[str, str]] = []
    while True:
        try:
            question = input("> ")
        except (EOFError, KeyboardInterrupt):
            click.echo()
            return
        if not question.strip():
            continue
        messages.append(_message("user", question))
        said: list[str] = []
        try:
            _answer(server, model, messages, said)
        except asking.Trouble as trouble:
            trouble.show()
        except KeyboardInterrupt:
            click.echo()
            screen.note("stopped")
        if said:
            messages.append(_message("assistant", "".join(said)))
        else:
            messages.pop()  # it was not answered, and may be asked anew


def _message(role: str, text: str) -> Mapping[str, str]:
    return {"role": role, "content": text}


def _answer(
    server: Asked, model: str, messages: Sequence[Mapping[str, str]], said: list[str] | None = None
) -> None:
    """Print the answer as it comes; what was said is added to *said*, also if it breaks off.

    Raises `Trouble`. Thoughts are for people alone.
    """
    body = {"model": model, "messages": messages, "stream": True}
    last, is_at_start = "answer", True
    _ctrl_c.has_come = False
    with closing(_pieces(server, body)) as pieces:
        try:
            for kind, text in pieces:
                if kind == "thought" and not screen.is_terminal():
                    continue
                if kind != last and not is_at_start:
                    click.echo("\n")
                click.secho(screen.plain(text), nl=False, dim=kind == "thought")
                sys.stdout.flush()
                last, is_at_start = kind, False
                if kind == "answer" and said is not None:
                    said.append(text)
        except asking.Trouble:
            if _ctrl_c.has_come:
                raise KeyboardInterrupt from None
            if not is_at_start:
                click.echo()
            raise
    click.echo()


def _pieces(server: Asked, body: Mapping[str, Any]) -> Generator[Piece, None, None]:
    """Yield the answer as it comes; closing hangs up. Raises `Trouble`."""
    answer = server.request("POST", "/v1/chat/completions", body)
    if answer.status != 200:
        raise asking.refusal(answer.status, asking.object_of(answer.read()))
    decoder = Decoder()
    with closing(answer):
        for piece in answer.pieces:
            for event in decoder.feed(piece):
                if event == b"[DONE]":
                    return
                yield from _said(asking.object_of(event))
    raise asking.Trouble("The answer broke off.")


def _said(chunk: Mapping[str, Any]) -> Iterator[Piece]:
    if "error" in chunk:
        raise asking.refusal(0, chunk)
    for choice in chunk.get("choices") or ():
        for name, text in (choice.get("delta") or {}).items():
            if name in _ANSWER and text:
                yield ("thought" if _ANSWER[name] == "thought" else "answer"), str(text)
