"""A conversation as the one text that the web protocol takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, Message

DEFAULT_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "system": "Instructions",
        "developer": "Instructions",
        "user": "User",
        "assistant": "Assistant",
        "tool": "Tool",
        "function": "Tool",
    }
)


class RoleMode(IntEnum):
    """`SIMULATE_ROLES`, with the numbers of the Go program."""

    #: The messages' texts, joined by newlines.
    OFF = 0
    #: A label before each message, and an open one for the answer.
    ON = 1
    #: As `ON`, unless the conversation is so simple that labels would only disturb.
    AUTO = 2


#: The most characters of a speaker's name that are told.
MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Prompt:
    """A callable that turns a request into the text that is sent.

    Where tools are taught there are labels in every mode. Speakers with a name are told by it: in
    their label, and without labels if there are two of them at least.
    """

    mode: RoleMode = RoleMode.OFF
    pattern: str = "||>{role}-"
    #: The name for each role; a role without one keeps its default.
    labels: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, chat: ChatRequest) -> str:
        if not self._has_labels(chat):
            return "\n".join(_unlabelled(chat.messages))
        return "\n".join([*self._labelled(chat), self._label("assistant"), ""])

    def transcript(self, chat: ChatRequest) -> str:
        """Return the messages with a label before each, in every mode, and none for the answer."""
        return "\n".join([*self._labelled(chat), ""])

    def _labelled(self, chat: ChatRequest) -> Iterator[str]:
        marks = self._marks()
        for one in chat.messages:
            yield self._label(one.role, _name(one))
            yield "".join(_escaped(one.text, marks, chat.budget))

    def _has_labels(self, chat: ChatRequest) -> bool:
        if chat.is_taught or self.mode is RoleMode.ON:
            return True
        return self.mode is RoleMode.AUTO and not _is_simple(chat.messages)

    def _label(self, role: str, name: str = "") -> str:
        label = self.labels.get(role) or DEFAULT_LABELS[role]
        return self.pattern.replace("{role}", f"{label} ({name})" if name else label)

    def _marks(self) -> list[str]:
        """Return how labels begin, with a name and without."""
        marks = {self._label(role): None for role in DEFAULT_LABELS}
        marks |= {self._label(role, "\0").partition("\0")[0]: None for role in DEFAULT_LABELS}
        return list(marks)


#: The most characters in which labels are searched for at once.
_SLICE: Final = 65_536


def _escaped(text: str, marks: Sequence[str], budget: Budget) -> Iterator[str]:
    """Yield *text* in parts, with a backslash before each line that begins with one of *marks*.

    What a tool found on a page must not pass for somebody else's message.
    """
    text = f"\n{text}"
    at = 0
    while at < len(text):
        end = at + _SLICE
        if end < len(text) and (line := text.rfind("\n", at + 1, end)) > 0:
            end = line  # no label is cut in two
        part = text[at:end]
        for mark in marks:
            if mark in part:
                part = part.replace(f"\n{mark}", f"\n\\{mark}")
        yield part[1:] if at == 0 else part
        at = end
        budget.pause()


#: What would break a line, or hide within one.
_UNPRINTABLE: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e]")


def _name(message: Message) -> str:
    """Return who speaks, in one line that is not long; empty if nobody is named."""
    return " ".join(_UNPRINTABLE.sub(" ", (message.name or "")[:MAX_NAME]).split())


def _unlabelled(messages: Sequence[Message]) -> Iterable[str]:
    """Return the texts; if several speakers are named, their names before them."""
    names = [_name(one) for one in messages]
    if len({*names} - {""}) < 2:
        return [one.text for one in messages]
    return [
        f"{name}: {one.text}" if name else one.text
        for name, one in zip(names, messages, strict=True)
    ]


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise ValueError, naming the role, if *labels* has an unknown role."""
    if unknown := labels.keys() - DEFAULT_LABELS.keys():
        raise ValueError(
            f"{', '.join(map(repr, sorted(unknown)))}: no such role; "
            f"there are {', '.join(DEFAULT_LABELS)}."
        )


def _is_simple(messages: Sequence[Message]) -> bool:
    roles = ["system" if one.role == "developer" else one.role for one in messages]
    return roles in (["user"], ["system"], ["system", "user"])
