"""A conversation that is too long for one message of a bot: what is sent in its place.

Free of I/O. Web protocol sheet §16 to §18: Poe names no limit, so what is too long is known from
the setting, or from what the bot has refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import Final

from poe_proxy.chat import ChatRequest, ContentPart, Message, TextPart
from poe_proxy.errors import ParameterRefused, PromptTooLong, UpstreamError, let_go
from poe_proxy.shaping.tool_prompt import shortened
from poe_proxy.upstreams.poe_web.attachments import Attachment
from poe_proxy.upstreams.poe_web.bots import Bot
from poe_proxy.upstreams.poe_web.graphql import MessageTooLong
from poe_proxy.upstreams.poe_web.prompts import Prompt

#: The most forms of one conversation that are sent, one after the other.
FORMS: Final = 4
#: The name under which the bot finds the file.
FILE: Final = "conversation.txt"

#: What is tried behind a refusal is no longer than this share of what was refused.
_SHARE: Final = 0.75

_NOTE: Final = (
    f"This conversation is too long for one message. The attached file {FILE} has {{what}}, each "
    "message with the name of its speaker above it. Read all of it before you answer. What follows "
    "here is the newest part, which is not in the file: answer the last message, as the next turn "
    "of the conversation. Do not speak of the file."
)
_INSTRUCTIONS: Final = "instructions that hold for you"
_EARLIER: Final = "the earlier messages"
_ALL: Final = (
    f"What belongs here is too long for one message: all of it is in the attached file {FILE}, "
    "each message with the name of its speaker above it. Read it to its end. If there are "
    "instructions at its beginning, they hold for you. Answer its last message as if it stood "
    "here. Do not speak of the file."
)


class LongPrompts(StrEnum):
    """`LONG_PROMPTS`: what becomes of a conversation that is too long for one message."""

    #: A text file, where the bot takes files; else it is refused.
    ATTACH = "attach"
    #: The same, but where the bot takes no files, the oldest tool results are shortened.
    SHORTEN = "shorten"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Form:
    """What is sent for a conversation."""

    prompt: str = field(repr=False)
    #: What of it goes along as a file.
    file: Attachment | None = None


@dataclass(frozen=True, slots=True)
class Fitting:
    """How conversations are made to fit into a message."""

    policy: LongPrompts = LongPrompts.ATTACH
    #: The most characters of one message; 0: as many as Poe takes.
    most: int = 0
    #: The text of a file.
    to_transcript: Callable[[ChatRequest], str] = Prompt().transcript


class Drafts:
    """The forms of one conversation: the whole in one message, and what is sent in its place."""

    def __init__(
        self, chat: ChatRequest, to_prompt: Callable[[ChatRequest], str], fitting: Fitting
    ) -> None:
        self._chat = chat
        self._to_prompt = to_prompt
        self._fitting = fitting
        self._whole = to_prompt(chat)
        #: The most characters that a message may have, for certain.
        self._room: float = fitting.most or inf
        self._may_attach = True
        #: The last refusal, and the lengths that were refused without a file of ours, and with one.
        self._refusal: UpstreamError | None = None
        self._plain: list[int] = []
        self._with_file: list[int] = []

    def fit(self, bot: Bot, refused: float) -> Form:
        """Return the form that comes closest to the whole, and is not too long for *bot*.

        *refused* is the length of what it has refused before; `inf` if there is nothing. Raises
        `PromptTooLong`, or what a form of this conversation was refused with, if there is none.
        """
        length, room = len(self._whole), self._room
        if length >= refused:
            room = min(room, refused * _SHARE)
        if length <= room:
            return Form(self._whole)
        form = None
        if self._fitting.policy is not LongPrompts.REFUSE:
            form = self._attached(bot, room) or self._shortened(room)
        if form is None and length <= self._room:
            # It was only another conversation that was too long.
            form = Form(self._whole)
        if form is None:
            raise self._failure()
        return form

    def go_on(self, form: Form, refusal: MessageTooLong | ParameterRefused) -> bool:
        """Note that *form* was refused; return whether another one may be sent.

        It may if Poe certainly did nothing with this one, and if what it was refused for is what
        the next one does not have.
        """
        if isinstance(refusal, ParameterRefused):
            # The client gave no file: what it hears is that its conversation is too long.
            self._may_attach = False
            return form.file is not None
        (self._plain if form.file is None else self._with_file).append(len(form.prompt))
        self._room = min(self._room, len(form.prompt) * _SHARE)
        if refusal.was_taken or len(self._plain) + len(self._with_file) == FORMS:
            return False
        let_go(refusal)
        self._refusal = refusal
        return True

    def _failure(self) -> UpstreamError:
        refusal, self._refusal = self._refusal, None
        return refusal or PromptTooLong(
            f"The conversation has {len(self._whole)} characters, and a message may have "
            f"{self._fitting.most} (MAX_PROMPT_CHARS).",
            param="messages",
        )

    def too_long(self, *, is_answered: bool) -> int | None:
        """Return the length of a message that is too long for the bot; None if none is known.

        If no form *is answered*, a message with a file may have been refused for the file.
        """
        return min((*self._plain, *(self._with_file if is_answered else ())), default=None)

    # ---- a file

    def _attached(self, bot: Bot, room: float) -> Form | None:
        """Return the form with a file whose message keeps the most; None if none fits."""
        if not self._may_attach or not bot.takes_files:
            return None
        for kept, filed in _divisions(self._chat.messages):
            self._chat.budget.pause()
            prompt = self._to_prompt(replace(self._chat, messages=kept))
            if len(prompt) > room:
                continue
            text = self._fitting.to_transcript(replace(self._chat, messages=filed))
            data = text.encode("utf-8", "replace")
            if 0 < bot.file_limit < len(data):
                return None
            return Form(prompt, Attachment(FILE, "text/plain", data))
        return None

    # ---- shorter results

    def _shortened(self, room: float) -> Form | None:
        """Return the form whose oldest tool results are shortened, as many as need be; None if that
        is not enough. What is new stays as it is: the bot has not read it yet."""
        if self._fitting.policy is not LongPrompts.SHORTEN:
            return None
        too_much = len(self._whole) - room
        messages = list(self._chat.messages)
        for place, one in enumerate(messages[: _newest(messages)]):
            content: list[ContentPart] = []
            for part in one.content:
                if too_much > 0 and isinstance(part, TextPart) and part.kind == "result":
                    short = replace(part, text=shortened(part.text))
                    too_much -= len(part.text) - len(short.text)
                    part = short
                content.append(part)
                self._chat.budget.pause()
            messages[place] = replace(one, content=tuple(content))
        prompt = self._to_prompt(replace(self._chat, messages=tuple(messages)))
        return Form(prompt) if len(prompt) <= room else None


def _newest(messages: Sequence[Message]) -> int:
    """Return where the newest part begins: behind what the bot said last."""
    places = [place for place, one in enumerate(messages) if one.role == "assistant"]
    return min(places[-1] + 1, len(messages) - 1) if places else 0


def _divisions(
    messages: Sequence[Message],
) -> Iterator[tuple[tuple[Message, ...], tuple[Message, ...]]]:
    """Yield what stays in the message, with a note, and what goes into the file: first as much of
    it stays as makes sense, in the end nothing.

    A bot does best what the message itself says. So what is new stays there for as long as it can,
    and before the client's instructions those that it is taught with: how to call tools.
    """
    at = _newest(messages)
    system = [one for one in messages if _is_system(one)]
    new = [one for one in messages[at:] if not _is_system(one)]
    earlier = [one for one in messages[:at] if not _is_system(one)]
    taught, untaught = _split(system)
    ways: tuple[tuple[list[Message], list[Message]], ...] = (
        (system, []),
        (taught, untaught),
        ([], system),
    )
    for stays, goes in ways:
        filed = (*goes, *earlier)
        if filed and new:
            has = [_INSTRUCTIONS] * bool(goes) + [_EARLIER] * bool(earlier)
            note = TextPart(_NOTE.format(what=", and ".join(has)))
            yield (*stays, Message(role="system", content=(note,)), *new), filed
    yield (Message(role="user", content=(TextPart(_ALL),)),), tuple(messages)


def _is_system(message: Message) -> bool:
    return message.role in ("system", "developer")


def _split(system: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Return what the *system* messages teach, and all else of them."""
    taught: list[Message] = []
    untaught: list[Message] = []
    for one in system:
        for into, is_taught in ((taught, True), (untaught, False)):
            parts = tuple(part for part in one.content if _teaches(part) is is_taught)
            if parts:
                into.append(replace(one, content=parts))
    return taught, untaught


def _teaches(part: object) -> bool:
    return isinstance(part, TextPart) and part.kind == "instruction"
