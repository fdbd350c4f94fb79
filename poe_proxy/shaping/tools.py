"""Teaches a bot that knows no tools to call them, and reads its calls from the stream.

A call is a tag with one JSON object in it:

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

Why this form: open models of several houses were trained on exactly it, and all others
write JSON well and keep a short tag; it comes on lines of its own, so it can be seen coming;
and ordinary text hardly has it. Its end is where the JSON object ends, whatever stands in the
strings, so arguments may hold anything, the tag itself too, and a forgotten closing tag or
fence does no harm. In a text the tag is only a tag where a line begins with it, or where an
object follows it; in backticks (`<tool_call>`) it never is. No notice is taken of whether
a fence is open further up: a call lost to a miscounted fence would be worse than an example
taken for a call. A call that is open where the text ends was cut off, unless all that it lacks
is its own last brace: nothing more is made up.

Results go back as `<tool_result>` blocks in a user message. A call that names no tool or
does not fit the tool's schema is sent back to the bot once, with what is wrong about it.

The whole exchange is the bot's own text to the upstream. Together with `response_format`,
`jsonspeak` stands outside of this.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Final

from poe_proxy.chat import (
    ChatRequest,
    ContentPart,
    Done,
    Idle,
    Message,
    Reasoning,
    Replaced,
    ReplyEvent,
    Text,
    TextPart,
    ToolCall,
    ToolCallPart,
    Usage,
    Waiting,
)
from poe_proxy.errors import AnswerUnusable, InvalidRequest
from poe_proxy.shaping.json_answers import (
    Ask,
    Bill,
    Nesting,
    Schema,
    corrected,
    instructed,
    let_end,
    read,
    write,
)

log = logging.getLogger(__name__)


def reply(ask: Ask, chat: ChatRequest) -> Generator[ReplyEvent, None, None]:
    """Yield the reply to *chat*, the calls in the bot's text as `ToolCallPart`, one each.

    A call is passed on as soon as it is complete and checked. Stop words are left to who reads
    the reply: within a call they mean nothing. Closing the generator closes the one that *ask*
    gave.

    Raises `InvalidRequest` for a tool or a choice that makes no sense, and `AnswerUnusable`
    with the code `tool_call_invalid` for a bot that twice does not call as it should.
    """
    rules = _Rules.of(chat)
    taught = replace(chat, tools=(), tool_choice=None, parallel_tool_calls=None)
    if not rules.tools and not _has_calls(chat.messages):
        yield from ask(taught)
        return
    messages = instructed(tuple(_as_text(chat.messages)), rules.instruction())
    taught = replace(taught, messages=messages, stop=())
    turn = _Turn(rules)
    first = yield from turn.listen(ask(taught))
    if first is None:
        return
    log.info("the bot's tool call does not do (%s); asking once more", first.place)
    correction = rules.correction(first.told, accepted=bool(turn.calls))
    again = replace(taught, messages=corrected(messages, first.text, correction))
    second = yield from turn.listen(ask(again))
    if second is not None:
        raise AnswerUnusable(
            f"The model did not call a tool as it should, also at the second try: {second.place}.",
            code="tool_call_invalid",
        )


def native(
    events: Generator[ReplyEvent, None, None], chat: ChatRequest
) -> Generator[ReplyEvent, None, bool]:
    """Pass on the reply of a bot that has tools of its own; return whether it heeds `tool_choice`.

    Where a call is demanded, text waits for it: of a bot that makes none, or another one, nothing
    is said, so that it can be taught instead.
    """
    match chat.tool_choice:
        case "required":
            wanted = None
        case {"type": "function", "function": {"name": wanted}}:
            pass
        case _:
            yield from events
            return True
    heeds = False
    held: list[ReplyEvent] = []
    with closing(events):
        for event in events:
            match event:
                case Text() | Replaced() | Usage() if not heeds:
                    held.append(event)
                    yield Idle()  # who holds back must still let others look around
                    continue
                case ToolCallPart(name=name) if not heeds and wanted not in (None, name):
                    return False
                case Done("stop" | "tool_calls") if not heeds:
                    let_end(events)
                    return False
                case ToolCallPart() | Done() if not heeds:
                    heeds = True
                    yield from held
            yield event
    return True


# ---- what the client wants


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that is as it should be."""

    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Why an answer does not do."""

    #: For the bot, with the words that are wrong.
    told: str = field(repr=False)
    #: For the client: nothing in it comes from the conversation.
    place: str
    #: What the bot had said when it became clear.
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Rules:
    """The tools of a request, and how they may be called."""

    #: Those that may be called, as the client defines them.
    tools: tuple[Mapping[str, Any], ...]
    schemas: Mapping[str, Schema]
    #: There must be a call.
    required: bool
    #: There may be no more than one.
    single: bool

    @classmethod
    def of(cls, chat: ChatRequest) -> _Rules:
        """Read them from *chat*. Raises `InvalidRequest`."""
        path = (
            "functions[{}].parameters" if chat.legacy_functions else "tools[{}].function.parameters"
        )
        schemas = {
            tool["function"]["name"]: Schema.of(
                tool["function"].get("parameters") or {}, path.format(place)
            )
            for place, tool in enumerate(chat.tools)
        }
        names, required = _chosen(chat.tool_choice, list(schemas))
        return cls(
            tools=tuple(
                tool["function"] for tool in chat.tools if tool["function"]["name"] in names
            ),
            schemas={name: schemas[name] for name in names},
            required=required,
            single=chat.parallel_tool_calls is False,
        )

    def instruction(self) -> str:
        """What is added to the system message."""
        if not self.tools:
            return _NO_TOOLS
        definitions = "\n".join(
            write(
                {
                    "name": tool["name"],
                    "description": tool.get("description") or "",
                    "parameters": tool.get("parameters") or {"type": "object", "properties": {}},
                }
            )
            for tool in self.tools
        )
        return "\n".join(
            [_TOOLS.format(definitions=definitions), self._how_many(), self._whether(), _LAST_RULES]
        )

    def _how_many(self) -> str:
        if self.single:
            return "- Make one call at most in an answer."
        return "- For several calls write several blocks, one after the other, one object in each."

    def _whether(self) -> str:
        if not self.required:
            return "- Call a tool only where it helps; else answer in plain text, without a block."
        if len(self.tools) == 1:
            return f'- This time you must call the tool "{self.tools[0]["name"]}".'
        return "- This time you must call a tool; an answer without a call is not accepted."

    def correction(self, told: str, *, accepted: bool) -> str:
        """What the bot is told about an answer that does not do."""
        lines = [told]
        if accepted:
            lines.append("The calls before it have been accepted; do not repeat them.")
        if not self.tools:
            lines.append("Answer in plain text.")
            return "\n".join(lines)
        lines += ["Write the call now as it should be, in this form and with nothing else:", _FORM]
        if not self.required:
            lines.append("If no tool is needed after all, answer in plain text instead.")
        return "\n".join(lines)

    def check(self, written: str) -> _Call | _Wrong:
        """Read the JSON text of a call."""
        if not written.strip():
            return _Wrong(
                "There was no JSON object between the tags of that call.",
                "a call that could not be read",
            )
        try:
            name, arguments = _name_and_arguments(read(written)[0])
            if name not in self.schemas:
                known = ", ".join(self.schemas) or "none"
                return _Wrong(
                    f'There is no tool "{name[:100]}" to call now. The tools are: {known}.',
                    "it called a tool that is not there",
                )
            call = _Call(name, write(arguments))
        except ValueError as bad:
            return _Wrong(
                f"That call could not be read: {bad}. In JSON strings, quotes, backslashes and "
                "newlines are escaped.",
                "a call that could not be read",
            )
        misfit = self.schemas[name].misfit(arguments)
        if misfit is None:
            return call
        return _Wrong(
            f'The arguments of that call to "{name}" do not fit its schema: {misfit.told}',
            f"in the arguments for {name}, {misfit.place}",
        )


def _chosen(choice: str | Mapping[str, Any] | None, names: list[str]) -> tuple[list[str], bool]:
    """The tools that may be called, and whether one must be."""
    match choice:
        case "none":
            return [], False
        case None | "auto":
            return names, False
        case "required":
            return names, True
        case {"type": "function", "function": {"name": name}} if name in names:
            return [name], True
    raise InvalidRequest(
        'tool_choice must be "none", "auto", "required", or name a function that is in tools.',
        param="tool_choice",
    )


def _name_and_arguments(call: Any) -> tuple[str, dict[str, Any]]:
    """The two things that a call consists of. Raises `ValueError` if it is none."""
    if not isinstance(call, dict):
        raise ValueError("it is not a JSON object")
    if isinstance(call.get("function"), dict):  # the shape of OpenAI's API
        call = call["function"]
    name = call.get("name")
    if not isinstance(name, str):
        raise ValueError('the key "name" is missing')
    given = [call[key] for key in ("arguments", "parameters", "input") if key in call]
    if not given and set(call) - {"name", "id", "type"}:
        raise ValueError('the key "arguments" is missing')
    arguments = given[0] if given else None
    if isinstance(arguments, str) and arguments.strip():
        arguments = read(arguments)[0]
    if arguments is None or arguments == "":
        arguments = {}
    if not isinstance(arguments, dict):
        raise ValueError('"arguments" is not an object')
    return name, arguments


# ---- what the bot is told

_FORM: Final = """<tool_call>
{"name": "the_tool", "arguments": {"some_argument": "its value"}}
</tool_call>"""

_TOOLS: Final = (
    """# Tools

There are tools that you can call; they are carried out for you, and their results are given
to you. Here they are, one a line, each with the JSON schema of its arguments:

{definitions}

To call a tool, write a block of this form into your answer, on lines of its own:

"""
    + _FORM.replace("{", "{{").replace("}", "}}")
    + """

- Between the tags stands one JSON object and nothing else: "name" is the name of a tool above,
  "arguments" an object that fits the schema of this tool. It is strict JSON: in strings,
  quotes, backslashes and newlines are escaped (\\", \\\\, \\n).
- Text for the user may stand before the first block; nothing may follow the last one. Stop
  there, and wait for the results."""
)

_LAST_RULES: Final = """\
- Results come as <tool_result> blocks, in the order of your calls. Never write one yourself.
- Where you only want to mention the tag, put it in backticks: `<tool_call>`."""

_NO_TOOLS: Final = """# Tools

Earlier in this conversation, tools were called in <tool_call> blocks, and their results were
given in <tool_result> blocks. No tool can be called now: answer in plain text."""


# ---- the conversation, told in text


def _has_calls(messages: Sequence[Message]) -> bool:
    return any(one.tool_calls or one.role in ("tool", "function") for one in messages)


def _as_text(messages: Sequence[Message]) -> Iterator[Message]:
    """The conversation with calls and results as the bot writes and reads them."""
    calls: tuple[ToolCall, ...] = ()
    results: list[Message] = []
    for one in messages:
        if one.role in ("tool", "function"):
            results.append(one)
            continue
        if results:
            yield _results(results, calls)
            results = []
        if one.tool_calls:
            calls = one.tool_calls
            blocks = "\n".join(_block(call) for call in calls)
            one = replace(one, content=(*one.content, TextPart(blocks)), tool_calls=())
        yield one
    if results:
        yield _results(results, calls)


def _block(call: ToolCall) -> str:
    try:
        body = write({"name": call.name, "arguments": read(call.arguments or "{}")[0]})
    except ValueError:  # no JSON: it is told as it is
        body = write({"name": call.name, "arguments": call.arguments})
    # The tag within a string would look like the end of the block.
    body = re.sub(r"<(?=/?tool_)", r"\\u003c", body, flags=re.IGNORECASE)
    return f"<tool_call>\n{body}\n</tool_call>"


def _results(results: Sequence[Message], calls: Sequence[ToolCall]) -> Message:
    """One user message that holds *results*, in the order of the *calls* that they answer."""
    order = {call.id: place for place, call in enumerate(calls)}
    names = {call.id: call.name for call in calls}
    parts: list[ContentPart] = []
    for one in sorted(results, key=lambda one: order.get(one.tool_call_id or "", len(order))):
        name = names.get(one.tool_call_id or "") or one.name
        call = order.get(one.tool_call_id or "")
        opening = "<tool_result"
        if name:
            opening += f' name="{name}"'
        if call is not None and len(calls) > 1:  # two calls may be of the same tool
            opening += f' call="{call + 1}"'
        # A result must not be able to end its block, and to go on as somebody else.
        text = re.sub(r"</(?=tool_result)", r"<\\/", one.text, flags=re.IGNORECASE)
        parts.append(TextPart(f"{opening}>\n{text}\n</tool_result>"))
        parts += [part for part in one.content if not isinstance(part, TextPart)]
    return Message(role="user", content=tuple(parts))


# ---- the reply


class _Turn:
    """The bot's turn, over both tries: it knows what has been passed on."""

    def __init__(self, rules: _Rules) -> None:
        self.calls: list[_Call] = []
        self._rules = rules
        self._said = False
        self._bill = Bill()
        #: The upstream made a call itself.
        self._passed = False

    def listen(
        self, events: Generator[ReplyEvent, None, None]
    ) -> Generator[ReplyEvent, None, _Wrong | None]:
        """Pass on content and calls; return what is wrong about the answer, if it does not do.

        After an earlier try, content is not repeated, nor a call that was passed on.
        """
        reader = _Reader()
        raw = content = ""
        mute = self._said
        repeated = list(self.calls)
        usage: Usage | None = None
        with closing(events):
            for event in events:
                found: Iterable[str | _Written]
                match event:
                    case Text(text):
                        raw += text
                        found = reader.feed(text)
                    case Replaced(text):
                        # What was passed on stays; a call that was open is void with its text.
                        reader, raw, content = _Reader(), text, ""
                        repeated = list(self.calls)
                        found = reader.feed(text)
                    case Done():
                        let_end(events)
                        self._bill.add(usage)
                        found = reader.finish(event.finish_reason in ("stop", "tool_calls"))
                    case ToolCallPart():
                        self._passed = True
                        yield event
                        continue
                    case Usage():
                        usage = event
                        yield Idle()
                        continue
                    case Reasoning() | Idle() | Waiting():
                        yield event
                        continue

                # Content never follows a call, so the order of the two is known.
                things = list(found)
                more = "".join(thing for thing in things if isinstance(thing, str))
                written = [thing for thing in things if not isinstance(thing, str)]
                content += more
                if isinstance(event, Replaced) and not mute and (more or self._said):
                    self._said = bool(more)
                    yield Replaced(more)
                elif more and not mute:
                    self._said = True
                    yield Text(more)
                elif not written and not isinstance(event, Done):
                    yield Idle()  # who holds back must still let others look around

                for one in written:
                    call = self._rules.check(one.text)
                    if isinstance(call, _Wrong):
                        return replace(call, text=raw)
                    if call in repeated:
                        repeated.remove(call)
                        continue
                    yield self._part(call)
                    if self._rules.single:
                        yield from self._bill.ending(Done("tool_calls"))
                        return None

                if reader.over:
                    yield from self._bill.ending(Done("tool_calls"))
                    return None
                if isinstance(event, Done):
                    wrong = self._missing_call(event, raw)
                    if wrong is None:
                        if mute and content and not self.calls:
                            # It calls nothing after all: this is another answer, not the same.
                            yield Replaced(content)
                        yield from self._bill.ending(self._end(event, cut=reader.open))
                    return wrong
        return None

    def _part(self, call: _Call) -> ToolCallPart:
        self.calls.append(call)
        return ToolCallPart(
            index=len(self.calls) - 1,
            id=f"call_{secrets.token_hex(12)}",
            name=call.name,
            arguments=call.arguments,
        )

    def _missing_call(self, done: Done, raw: str) -> _Wrong | None:
        called = self.calls or self._passed
        if called or not self._rules.required or done.finish_reason not in ("stop", "tool_calls"):
            return None
        return _Wrong(
            "A tool must be called now, and there was no call in that answer.",
            "there was no call, and tool_choice wants one",
            raw,
        )

    def _end(self, done: Done, *, cut: bool) -> Done:
        """How the reply ends. Cut off within a call, it ends as the upstream says."""
        if (self.calls or self._passed) and not cut:
            return Done("tool_calls")
        return Done("stop") if done.finish_reason == "tool_calls" else done


@dataclass(frozen=True, slots=True)
class _Written:
    """The JSON text of a call, as the bot wrote it, not read yet."""

    text: str = field(repr=False)


class _Reader:
    """Parts a bot's text into content and calls, while it comes.

    Held back are an open call and what may become one: white space, the beginning of
    a fence, the beginning of a tag. Content ends where the first call begins.
    """

    #: What may stand directly before a call and belongs to it.
    _LEAD: Final = re.compile(r"\s*+(?:```([\w-]{0,40}+)\s*+)?+")
    #: Attributes are not in the form that is told, yet bots write some, such as the tool's name.
    _TAG: Final = re.compile(
        r"<tool_calls?(?: [^<>\n]{0,100}+)?+>"
        r"\s*+(?:```[\w-]{0,40}+\s*+)?+(?:\[\s*+)?+(?=(.?))",
        re.IGNORECASE,
    )
    _OPEN_TAG: Final = re.compile(r"<tool_calls?(?: [^<>\n]{0,100}+)?+", re.IGNORECASE)
    _START: Final = re.compile(r"[\s`<]")
    #: Between two objects in one tag.
    _BETWEEN: Final = re.compile(r"[\s,}\]]*+")
    _TAGS: Final = ("<tool_call>", "<tool_calls>")
    _RESULT: Final = "<tool_result"

    def __init__(self) -> None:
        #: The bot went on to invent the results: nothing after it counts.
        self.over = False
        self._held = ""
        #: White space that came after what is held and changes nothing about it.
        self._blanks: list[str] = []
        #: The last character of the content, and how many backticks its last line has: by these
        #: a quoted tag is known.
        self._last = ""
        self._ticks = 0
        #: How many fences the content has; after an odd number a code block is open.
        self._fences = 0
        self._call: Nesting | None = None
        self._called = False
        self._after_object = False

    @property
    def open(self) -> bool:
        """Whether the text ends within a call."""
        return self._call is not None

    def feed(self, text: str) -> Iterator[str | _Written]:
        """Take more of the text; yield what is certain now."""
        if text.isspace() and self._is_in_gap():
            # To read all of a long gap anew at each line of it would take for ever.
            self._blanks.append(text)
            return
        self._gather(text)
        while self._held and not self.over:
            if self._call is None:
                before, broken = self._next_call()
                if before and not self._called:
                    yield before
                if broken:
                    yield _Written("")
                    return
                if self._call is None:
                    return
            end = self._call.end(self._held)
            if end is None:
                return
            yield self._close(end)

    def finish(self, whole: bool) -> Iterator[str | _Written]:
        """The text is at its end; if it is not *whole*, a call that has begun is dropped."""
        self._gather()
        if self._call is not None:
            if whole:
                # What is open further in was cut off, whatever the bot says of its end.
                only_brace = self._call.missing == "}" and self._held.rstrip().endswith("}")
                yield self._close(len(self._held), mend=only_brace)
        elif not self._called and self._held:
            lead = self._LEAD.match(self._held)
            assert lead is not None
            tag = self._TAG.match(self._held, lead.end())
            if whole and tag and self._begins_line(lead):
                yield _Written("")
            elif whole or not (tag or self._ends_in_tag(lead)):
                yield self._held
            else:
                yield self._held[: self._end_of_content(lead)]

    def _ends_in_tag(self, lead: re.Match[str]) -> bool:
        """Whether what is held ends within a tag; a mere `<` is one where a line begins."""
        rest = self._held[lead.end() :].lower()
        if rest in ("", "<"):
            return rest == "<" and self._begins_line(lead)
        return self._TAGS[-1].startswith(rest) or bool(self._OPEN_TAG.fullmatch(rest))

    def _is_in_gap(self) -> bool:
        """Whether more white space changes nothing: some ends what is held, outside of a tag."""
        return bool(self._blanks) or (
            self._call is None
            and self._held[-1:].isspace()
            and "<" not in self._held[self._held.rfind(">") + 1 :]
        )

    def _gather(self, text: str = "") -> None:
        if self._blanks:
            text = "".join((*self._blanks, text))
            self._blanks.clear()
        self._held += text

    def _close(self, end: int, *, mend: bool = True) -> _Written:
        assert self._call is not None
        written = self._held[:end]
        if mend and not self._call.in_string:
            written += self._call.missing
        self._last, self._ticks, self._held = "}", 0, self._held[end:]
        self._call = None
        self._called = self._after_object = True
        return _Written(written)

    def _next_call(self) -> tuple[str, bool]:
        """Go to the next call, or to what may become one; return the text before it, and
        whether it is one that cannot be read."""
        if self._after_object and (between := self._BETWEEN.match(self._held)):
            if between.end() == len(self._held):
                return self._skip(between.end()), False
            self._after_object = False
            if self._held[between.end()] == "{":
                return self._begin(0, between.end()), False
        at = counted = 0
        ticks = self._ticks
        while start := self._START.search(self._held, at):
            lead = self._LEAD.match(self._held, start.start())
            assert lead is not None
            at = lead.end()
            if not lead[0] and start[0] == "<" and self._before(lead) == "`":
                ticks = _ticks(ticks, self._held[counted:at])
                counted = at
                # After an even number the code before it is closed, and this is not quoted.
                if ticks % 2:
                    at += 1
                    continue
            if self._may_become_call(at):
                return self._skip(lead.start()), False
            tag = self._TAG.match(self._held, at)
            if tag and tag[1] == "{":
                return self._begin(self._end_of_content(lead), tag.end()), False
            if tag and self._begins_line(lead) and not self._called:
                return self._skip(self._end_of_content(lead)), True
            if (lead[1] or "").lower() in ("tool_call", "tool_calls") and self._held[at] == "{":
                return self._begin(lead.start(), at), False
            if self._called and self._held[at : at + len(self._RESULT)].lower() == self._RESULT:
                self.over = True
                return "", False
            # Another fence may follow this one, and the space between is that one's.
            at = lead.end(1) if lead[1] is not None else at + (not lead[0])
        return self._skip(len(self._held)), False

    def _may_become_call(self, at: int) -> bool:
        """Whether all that is held from *at* on is the beginning of a call, or nothing."""
        # A slice of bounded length: this is asked at every word of a long text.
        rest = self._held[at : at + len(self._RESULT) + 1].lower()
        if rest in ("", "`", "``"):
            return True
        if rest[0] != "<":
            return False
        tags = (*self._TAGS, self._RESULT) if self._called else self._TAGS
        if any(len(rest) < len(tag) and tag.startswith(rest) for tag in tags):
            return True
        if self._OPEN_TAG.fullmatch(self._held, at):
            return True
        tag = self._TAG.match(self._held, at)
        return tag is not None and (
            tag.end() == len(self._held)
            or (len(self._held) - tag.end() < 3 and self._held[tag.end() :] in ("`", "``"))
        )

    def _before(self, lead: re.Match[str]) -> str:
        return self._held[lead.start() - 1] if lead.start() else self._last

    def _begins_line(self, lead: re.Match[str]) -> bool:
        return "\n" in lead[0] or "`" in lead[0] or self._before(lead) in ("", "\n")

    def _end_of_content(self, lead: re.Match[str]) -> int:
        """Where the content ends: before the fence of a call, behind that of a code block."""
        fences = self._fences + self._held.count("```", 0, lead.start())
        closes = lead[1] == "" and fences % 2 == 1
        return lead.end(1) if closes else lead.start()

    def _begin(self, end_of_content: int, start: int) -> str:
        content = self._held[:end_of_content]
        self._held = self._held[start:]
        self._call = Nesting()
        return content

    def _skip(self, end: int) -> str:
        content, self._held = self._held[:end], self._held[end:]
        self._last = content[-1:] or self._last
        self._ticks = _ticks(self._ticks, content)
        self._fences += content.count("```")
        return content


def _ticks(before: int, text: str) -> int:
    """How many backticks the last line of *text* has; a first line had some *before*."""
    newline = text.rfind("\n")
    return text.count("`", newline + 1) + (before if newline < 0 else 0)
