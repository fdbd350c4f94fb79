"""What travels through the house: a request down, reply events up. Plain values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypeAlias, TypeVar, cast

from poe_proxy.budget import Budget
from poe_proxy.values import value
from poe_proxy.waiting import Listener

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool", "function"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

T = TypeVar("T")

# ---- the request


@value()
class TextPart:
    """A part of a message that is text."""

    text: str = field(repr=False)
    #: What it is, if `shaping` wrote it: what a bot is taught, or what came of a tool.
    kind: Literal["", "instruction", "result"] = field(default="", compare=False)


@value()
class ImagePart:
    """An image: an https URL or a data URI."""

    url: str = field(repr=False)
    detail: str | None = None
    #: The client's own path to it, which errors about it name.
    path: str = field(default="messages", compare=False)


@value()
class FilePart:
    """A file of any kind: an https URL or a data URI, and a name to show."""

    data: str = field(repr=False)
    filename: str | None = None
    #: As for an image.
    path: str = field(default="messages", compare=False)


ContentPart: TypeAlias = TextPart | ImagePart | FilePart


@value()
class ToolCall:
    """One call that the bot made earlier in the conversation."""

    id: str
    name: str
    #: A JSON text, as the bot wrote it.
    arguments: str = field(repr=False)
    #: Further fields of the call, such as Gemini's `extra_content`; sent back unchanged.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@value(kw_only=True)
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


@value(kw_only=True)
class Tool:
    """A tool that the bot may call."""

    name: str
    #: None where the client gave none.
    description: str | None = field(default=None, repr=False)
    #: The JSON schema of its arguments; None where the client gave none.
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    #: The client's path to the schema, such as `tools[0].function.parameters`.
    path: str = field(default="tools", compare=False)
    #: Further fields of the definition, such as `strict`; sent to Poe unchanged.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Fields beside the definition, such as `cache_control`; the same.
    beside: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Whether it takes a text in place of arguments. To the bot it is a function all the same,
    #: whose one argument `input` is that text.
    is_custom: bool = False

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as a JSON object in the form that bots know."""
        given = {"name": self.name, "description": self.description, "parameters": self.schema}
        return {**{name: one for name, one in given.items() if one is not None}, **self.extra}


@value(kw_only=True)
class ToolChoice:
    """Whether the bot may, must or must not call a tool."""

    mode: Literal["auto", "none", "required"]
    #: The one tool that must be called; only with `required`.
    name: str | None = None
    #: The client's field, such as `tool_choice`.
    path: str = field(default="tool_choice", compare=False)


@value(kw_only=True)
class JsonWanted:
    """The client wants JSON: any object, or a value that fits a schema."""

    #: None: any object will do.
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    #: What the answer is, in the client's words.
    description: str | None = field(default=None, repr=False)
    #: The client's field, such as `response_format`.
    path: str = field(default="response_format", compare=False)
    #: The client's path to the schema, such as `response_format.json_schema.schema`.
    schema_path: str = field(default="response_format", compare=False)
    #: Further fields beside the schema, such as `name` and `strict`; sent to Poe unchanged.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Fields beside the form, where other vendors have the schema; the same.
    beside: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Kept:
    """What is made of a request once for all its tries, and freed with it."""

    def __init__(self) -> None:
        self._by_class: dict[type, object] = {}

    def get(self, kind: type[T]) -> T:
        """Return the request's own object of the class *kind*, made at the first call."""
        found = self._by_class.get(kind)
        if found is None:
            found = self._by_class.setdefault(kind, kind())
        return cast("T", found)


class Charges:
    """The points that Poe says a request has taken: it may say so after the reply has ended."""

    __slots__ = ("_by_job",)

    def __init__(self) -> None:
        self._by_job: dict[object, int | None] = {}

    def expect(self, job: object) -> None:
        """Note that Poe takes something for *job*, one of the replies to the request or whatever
        stands for it: unless it says how much, the sum is not known."""
        self._by_job.setdefault(job, None)

    def forget(self, job: object) -> None:
        """Note that Poe takes nothing for *job*."""
        self._by_job.pop(job, None)

    def note(self, job: int, points: int) -> None:
        """Note what Poe takes for one of the replies to the request; its last word counts."""
        self._by_job[job] = points

    @property
    def points(self) -> int | None:
        """What Poe has taken for all replies; None if it has not said so of each."""
        costs = [*self._by_job.values()]
        known = [one for one in costs if one is not None]
        return sum(known) if known and len(known) == len(costs) else None


@value()
class FileWanted:
    """The client wants the file that the bot makes: the last one that its answer has a link to."""

    kind: Literal["image", "audio"]
    #: Whether it is fetched, or the link will do.
    is_fetched: bool = True


@value(kw_only=True)
class ChatRequest:
    """What a client asks for, checked, and in the same shape for every API.

    How the answer is dressed belongs to the API's `Call`.
    """

    #: The name as the client wrote it; answers carry it back.
    model: str
    messages: tuple[Message, ...] = field(repr=False)
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    #: Whether the client wants to know which stop word it was. Poe does not tell, so such words are
    #: not sent there: the reply is searched for them here, and its bot stopped.
    names_stop_word: bool = False
    tools: tuple[Tool, ...] = field(default=(), repr=False)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    json: JsonWanted | None = None
    reasoning_effort: str | None = None
    #: The most tokens that the bot may think, 0 for not at all, where the client gave a figure.
    thinking_budget: int | None = None
    #: Whether the bot shall look something up, if it can do so by itself.
    web_search: bool = False
    #: Whether the messages teach tools, or tell of past calls, as text: a bot that cannot tell its
    #: own words from results is lost, so wherever they become one text, roles are told.
    is_taught: bool = False
    #: None: the answer is what the bot says.
    file: FileWanted | None = None
    #: The bot's own parameters, which it declares, as an API has put them in the bot's words.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: All other fields as they came, a bot's own parameters included.
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: The same request as JSON of Anthropic's Messages API, where the client speaks that one: an
    #: upstream that speaks it too may pass it on.
    as_messages: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    #: What it may still cost; the same for all copies of the request.
    budget: Budget = field(default_factory=Budget, compare=False, repr=False)
    #: What upstreams make of it; the same for all copies, too.
    kept: Kept = field(default_factory=Kept, compare=False, repr=False)
    #: Who the reply is for; the same for all copies, too.
    listener: Listener = field(default_factory=Listener, compare=False, repr=False)


# ---- the reply


@value()
class Waiting:
    """Still in line for a token. Comes from the gateway, never from an upstream, as soon as there
    is a line; any other event ends it."""

    #: Whether Poe may have been asked before, with another token.
    was_asked: bool = False


@value()
class Idle:
    """Nothing new. Comes after each wait in which there was nothing to say: after
    `Listener.patience` seconds at most, and as soon as the client has hung up."""


@value()
class Text:
    """More of the answer: append it."""

    text: str = field(repr=False)


@value()
class Replaced:
    """The bot rewrote its answer: `text` is all of it so far, and replaces what came before."""

    text: str = field(repr=False)


@value()
class Reasoning:
    """More of what the bot thinks before it answers: append it."""

    text: str = field(repr=False)


@value()
class Refusal:
    """More of the words with which the bot refuses to answer: append it. It is no answer, so nobody
    looks for calls or JSON in it, or asks again because of what is missing."""

    text: str = field(repr=False)


@value()
class ToolCallPart:
    """More of one tool call. The first part of a call has `id` and `name`."""

    index: int
    id: str | None = None
    name: str | None = None
    #: A piece of a JSON text; the whole is all pieces with the same index, joined.
    arguments: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@value()
class Verbatim:
    """What Poe has said in the API that the client speaks, passed on as it is: one event of a
    stream, or the whole answer."""

    said: Mapping[str, Any] = field(repr=False)
    #: Its size in bytes, as it came.
    size: int = 0


@value()
class Usage:
    """How many tokens were read and written. Of several in a reply the last one counts."""

    prompt_tokens: int
    completion_tokens: int
    #: `prompt_tokens_details` and `completion_tokens_details`, if Poe gives them.
    details: Mapping[str, Any] = field(default_factory=dict)
    #: Poe's own total, which may be more than the sum; None if it gives none.
    total_tokens: int | None = None

    @property
    def total(self) -> int:
        """All tokens: Poe's own total, or the sum."""
        if self.total_tokens is not None:
            return self.total_tokens
        return self.prompt_tokens + self.completion_tokens


@value()
class File:
    """The file that the request wants (`ChatRequest.file`)."""

    url: str = field(repr=False)
    #: Its media type without parameters, and its bytes; empty where the link was enough.
    content_type: str = ""
    data: bytes = field(default=b"", repr=False)


@value()
class Done:
    """The reply ended as it should; the last event."""

    finish_reason: FinishReason = "stop"
    #: The stop word that ended it, where that is known.
    stop_word: str | None = field(default=None, repr=False)


ReplyEvent: TypeAlias = (
    Waiting
    | Idle
    | Text
    | Replaced
    | Reasoning
    | Refusal
    | ToolCallPart
    | Verbatim
    | Usage
    | File
    | Done
)
#: What an API dresses for its client. `Idle` is only a sign to keep the connection alive:
#: `delivery` lets one through after each long silence.
Said: TypeAlias = (
    Idle | Text | Replaced | Reasoning | Refusal | ToolCallPart | Verbatim | Usage | File | Done
)
