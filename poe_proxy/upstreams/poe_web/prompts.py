"""A conversation as the one text that the web protocol takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Prompt:
    """A callable that turns a request into the text that is sent."""

    mode: RoleMode = RoleMode.OFF
    pattern: str = "||>{role}-"
    #: The name for each role; a role without one keeps its default.
    labels: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, chat: ChatRequest) -> str:
        messages = chat.messages
        if self.mode is RoleMode.OFF or (self.mode is RoleMode.AUTO and _is_simple(messages)):
            return "\n".join(message.text for message in messages)
        lines = [line for one in messages for line in (self._label(one.role), one.text)]
        return "\n".join([*lines, self._label("assistant"), ""])

    def _label(self, role: str) -> str:
        label = self.labels.get(role) or DEFAULT_LABELS[role]
        return self.pattern.replace("{role}", label)


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
