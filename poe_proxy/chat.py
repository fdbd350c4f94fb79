"""What travels through the house: a request down, reply events up. Plain values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool", "function"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

# ---- the request


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of a message that is text."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: an https URL or a data URI."""

    url: str = field(repr=False)
    detail: str | None = None
    #: Where the client sent it: what is wrong with it is said by this path.
    path: str = field(default="messages", compare=False)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of any kind: an https URL or a data URI, and a name to show."""

    data: str = field(repr=False)
    filename: str | None = None
    #: As that of an image.
    path: str = field(default="messages", compare=False)


ContentPart: TypeAlias = TextPart | ImagePart | FilePart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the bot made earlier in the conversation."""

    id: str
    name: str
    #: A JSON text, as the bot wrote it.
    arguments: str = field(repr=False)
    #: Whatever else stood beside it, such as Gemini's `extra_content`; goes back unchanged.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the conversation."""

    role: Role
    content: tuple[ContentPart, ...] = field(default=(), repr=False)
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    #: In a message of role `tool`: the call that it answers.
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a client asks for, checked and in one shape."""

    #: The name as the client wrote it; answers carry it back.
    model: str
    messages: tuple[Message, ...] = field(repr=False)
    stream: bool = False
    include_usage: bool = False
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    #: Tool definitions in OpenAI's JSON shape.
    tools: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    #: Whether the client speaks the form that tools had before: `functions`, of which an answer
    #: calls one, as `function_call`. Beneath they are tools like others.
    legacy_functions: bool = False
    response_format: Mapping[str, Any] | None = None
    reasoning_effort: str | None = None
    #: Fields that have no name here, a bot's own parameters among them, as they came.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


# ---- the reply


@dataclass(frozen=True, slots=True)
class Waiting:
    """Still in line for a token. Comes from the gateway, never from an upstream."""


@dataclass(frozen=True, slots=True)
class Sending:
    """The request goes out to Poe when the next event is asked for. Comes from an upstream, and
    goes no further than the gateway: that is the moment from which a token's use counts."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing new. Comes at least twice a second while there is nothing to say, so that
    those above can look whether the client is still there."""


@dataclass(frozen=True, slots=True)
class Text:
    """More of the answer: append it."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Replaced:
    """The bot rewrote itself: `text` is the whole answer so far, what came before is void."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """More of what the bot thinks before it answers: append it."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """More of one tool call. The first part of a call has `id` and `name`."""

    index: int
    id: str | None = None
    name: str | None = None
    #: A piece of a JSON text; the pieces of one index join to the whole.
    arguments: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """How much was read and written, as Poe counts it. The last one holds."""

    prompt_tokens: int
    completion_tokens: int
    #: `prompt_tokens_details` and `completion_tokens_details`, where Poe gives them.
    details: Mapping[str, Any] = field(default_factory=dict)
    #: Poe's own total, which may be more than the sum; None where it gives none.
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The reply ended as it should; the last event."""

    finish_reason: FinishReason = "stop"


ReplyEvent: TypeAlias = Waiting | Idle | Text | Replaced | Reasoning | ToolCallPart | Usage | Done
