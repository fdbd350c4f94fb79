"""What a bot reads when it is taught to call tools: instruction, past calls, results, correction.

Calls have the form that `tool_calls` parses. Why that form: open models of several makers were
trained on exactly this one, and all others write JSON well and keep to a short tag; the tag stands
on lines of its own, so it can be recognised early; and ordinary text hardly ever has it. Results
go back as `<tool_result>` blocks in a user message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Final

from poe_proxy.budget import OutOfBudget
from poe_proxy.chat import ContentPart, Message, TextPart, Tool, ToolCall
from poe_proxy.shaping.loose_json import read, write
from poe_proxy.shaping.signature_words import in_json
from poe_proxy.shaping.signatures import signature

# ---- the instruction

_FORM: Final = """<tool_call>
{"name": "the_tool", "arguments": {"some_argument": "its value"}}
</tool_call>"""

_TOOLS: Final = (
    """# Tools

There are tools that you can call; they are carried out for you, and their results are given
to you. Here they are, each with its arguments by name. Their types are written as in TypeScript,
with limits in parentheses; `?` marks what may be left out, `=` what holds then.

{definitions}

To call a tool, write a block of this form into your answer, on lines of its own:

"""
    + _FORM.replace("{", "{{").replace("}", "}}")
    + """

- Between the tags stands one JSON object and nothing else: "name" is the name of a tool above,
  "arguments" an object with the arguments of this tool, and no others. It is strict JSON: in
  strings, quotes, backslashes and newlines are escaped (\\", \\\\, \\n).
- Text for the user may stand before the first block; nothing may follow the last one. Stop
  there, and wait for the results."""
)

_LAST_RULES: Final = """\
- Results come as <tool_result> blocks, in the order of your calls. Never write one yourself.
- Where you only want to mention the tag, put it in backticks: `<tool_call>`."""

_NO_TOOLS: Final = """# Tools

Earlier in this conversation, tools were called in <tool_call> blocks, and their results were
given in <tool_result> blocks. No tool can be called now: answer in plain text."""


def instruction(
    tools: Sequence[Tool], *, required: bool, single: bool, breathe: Callable[[], None]
) -> str:
    """Return what is added to the system message.

    *required*: there must be a call. *single*: there may be no more than one. *breathe* is called
    between tools.
    """
    if not tools:
        return _NO_TOOLS
    definitions: list[str] = []
    for tool in tools:
        definitions.append(signature(tool, breathe))
        breathe()
    lines = [_TOOLS.format(definitions="\n".join(definitions))]
    if single:
        lines.append("- Make one call at most in an answer.")
    else:
        lines.append(
            "- For several calls write several blocks, one after the other, one object in each."
        )
    if not required:
        lines.append(
            "- Call a tool only where it helps; else answer in plain text, without a block."
        )
    elif len(tools) == 1:
        lines.append(f"- This time you must call the tool {in_json(write(tools[0].name))}.")
    else:
        lines.append("- This time you must call a tool; an answer without a call is not accepted.")
    lines.append(_LAST_RULES)
    return "\n".join(lines)


def correction(problem: str, tools: Sequence[Tool], *, required: bool, has_accepted: bool) -> str:
    """Return what the bot reads about an answer that cannot be used.

    *has_accepted*: calls before the wrong one were passed on.
    """
    lines = [problem]
    if has_accepted:
        lines.append("The calls before it have been accepted; do not repeat them.")
    if not tools:
        lines.append("Answer in plain text.")
        return "\n".join(lines)
    lines += ["Write the call now as it should be, in this form and with nothing else:", _FORM]
    if not required:
        lines.append("If no tool is needed after all, answer in plain text instead.")
    return "\n".join(lines)


# ---- the conversation


def has_calls(messages: Sequence[Message]) -> bool:
    """Whether tools were called in the conversation."""
    return any(one.tool_calls or one.role in ("tool", "function") for one in messages)


@dataclass(frozen=True, slots=True)
class _Called:
    """A call that results may answer."""

    #: Its place among the calls of its message.
    number: int
    name: str


def as_text(messages: Sequence[Message], breathe: Callable[[], None]) -> Iterator[Message]:
    """Yield the conversation with calls and results as the bot writes and reads them.

    *breathe* is called in between.
    """
    calls: Mapping[str, _Called] = {}
    results: list[Message] = []
    for one in messages:
        breathe()
        if one.role in ("tool", "function"):
            results.append(one)
            continue
        if results:
            yield _results(results, calls, breathe)
            results = []
        if one.tool_calls:
            numbered = enumerate(one.tool_calls, 1)
            calls = {call.id: _Called(number, call.name) for number, call in numbered}
            blocks = "\n".join(_told(call, breathe) for call in one.tool_calls)
            one = replace(one, content=(*one.content, TextPart(blocks)), tool_calls=())
        yield one
    if results:
        yield _results(results, calls, breathe)


def _told(call: ToolCall, breathe: Callable[[], None]) -> str:
    breathe()
    try:
        body = write({"name": call.name, "arguments": read(call.arguments or "{}")[0]})
    except (ValueError, OutOfBudget):  # not JSON, or too much of it: written as it is
        body = write({"name": call.name, "arguments": call.arguments})
    # The tag inside a string would look like the end of the block.
    return block(_without(_TAG, r"\\u003c", body, breathe))


def block(body: str) -> str:
    """Return a call with this JSON text."""
    return f"<tool_call>\n{body}\n</tool_call>"


_TAG: Final = re.compile(r"<(?=/?tool_)", re.IGNORECASE)
#: The tags of calls and results, also as they should not be written.
_LOOSE_TAG: Final = re.compile(r"<(?=\s{0,2}/?\s{0,2}tool_(?:call|result))", re.IGNORECASE)
#: The most characters in which tags are searched for at once, and those that a tag may have.
_SLICE: Final = 65_536
_LENGTH: Final = 20
#: The most characters of a tool's name in the tag of its result: it stands in the call as well.
_LONG_NAME: Final = 300


def _without(tag: re.Pattern[str], instead: str, text: str, breathe: Callable[[], None]) -> str:
    """Return *text* with *instead* for the beginning of each *tag*."""
    if "<" not in text:
        return text
    parts: list[str] = []
    at = 0
    while at < len(text):
        end = at + _SLICE
        if end < len(text) and (begun := text.rfind("<", end - _LENGTH, end)) >= 0:
            end = begun  # no tag is cut in two
        parts.append(tag.sub(instead, text[at:end]))
        breathe()
        at = end
    return "".join(parts)


def _results(
    results: Sequence[Message], calls: Mapping[str, _Called], breathe: Callable[[], None]
) -> Message:
    """Return one user message with the *results*, in the order of the *calls* that they answer."""
    known = [(calls.get(one.tool_call_id or ""), one) for one in results]
    known.sort(key=lambda both: both[0].number if both[0] else len(calls) + 1)
    parts: list[ContentPart] = []
    for call, one in known:
        name = (call and call.name) or one.name
        opening = "<tool_result"
        if name:
            opening += f' name="{_attribute(name)}"'
        if call is not None and len(calls) > 1:  # two calls may be of the same tool
            opening += f' call="{call.number}"'
        # A result must not be able to end its block and go on as another one, nor to call.
        text = _without(_LOOSE_TAG, r"<\\", one.text, breathe)
        parts.append(TextPart(f"{opening}>\n{text}\n</tool_result>", "result"))
        parts += [part for part in one.content if not isinstance(part, TextPart)]
    return Message(role="user", content=tuple(parts))


#: Characters of a result that stay where it is shortened.
KEPT: Final = 200


def shortened(result: str) -> str:
    """Return a *result*, as `as_text` writes it, with its beginning only, and a word that says so;
    as it is if that is no shorter."""
    opening, _, rest = result.partition("\n")
    text, _, closing = rest.rpartition("\n")
    note = f"[shortened by {len(text) - KEPT} characters; call the tool again if they are needed]"
    short = f"{opening}\n{text[:KEPT]}\n{note}\n{closing}"
    return short if len(short) < len(result) else result


def _attribute(name: str) -> str:
    """Return *name* as it can stand between quotation marks in a tag."""
    return escape(" ".join(name[:_LONG_NAME].split()))
