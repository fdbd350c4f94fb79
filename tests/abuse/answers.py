"""Abuse by what a bot answers: its maker is a stranger too. The stand-in says what it is told."""

from __future__ import annotations

from typing import Any, Final

from .bodies import Bit, spoken
from .contents import TAUGHT
from .kinds import UNUSABLE, kind
from .readers import BOTS
from .wire import Client

_TOOL: Final = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}},
}
#: Beginnings, and what comes after them over and over.
_TEXTS: Final[tuple[tuple[str, str], ...]] = (
    ('{"a": "', '\\"'),
    ('"', '\\"'),
    ("", "["),
    ("", '{"a":'),
    ("", "[{"),
    ("", "{}"),
    ("", "{} x "),
    ("", '{"a":1} '),
    ("[", ",]"),
    ("{", ", \n"),
    ("```json\n", "```"),
    ("```json", "\n \t"),
    ("```json\n{", "}```\n```json\n{"),
    ("", "```json\n"),
    ('{"a":', "\\'"),
)
_CALLS: Final[tuple[tuple[str, str], ...]] = (
    ("", "<tool_call>"),
    ("", '<tool_call>{"name":"f","arguments":{}}</tool_call>\n'),
    ("", '<tool_call>{"name":"f"'),
    ("<tool_call>{", '\\"'),
    ("<tool_call>", "{"),
    ("", "<"),
    ("", "`<tool_call>"),
    ("", "```\n"),
    ("", "``` <tool_call "),
    ("\n", "\n"),
    ('<tool_call>{"name":"f","arguments":{}}', " \n"),
    ("", "tool_call\n```json\n"),
    ("", "<tool_call a"),
)
_THOUGHTS: Final[tuple[tuple[str, str], ...]] = (
    ("*Thinking...*\n\n", "> a\n"),
    ("*Thinking...*\n\n", ">\n"),
    ("Thinking...\n", "\n"),
    ("", "Thinking... (1s elapsed)\n"),
    ("*Thinking...*\n\n> ", "a"),
    ("<think>", "a\n"),
    ("", "<think>"),
    ("", " "),
    ("***", "_"),
)


@kind("200", "200 broke-off", *UNUSABLE, small=0.2)
async def answer_instead_of_json(client: Client) -> str:
    """An answer that looks like JSON at every letter, where JSON was asked for."""
    before, over = client.choice(_TEXTS)
    wanted: dict[str, Any] = {"response_format": {"type": "json_object"}}
    return await _said(client, before, (over, client.times(200_000)), **wanted)


@kind("200", "200 broke-off", *UNUSABLE, small=0.2)
async def answer_instead_of_calls(client: Client) -> str:
    """An answer that looks like a call at every letter, where tools were offered."""
    before, over = client.choice(_CALLS)
    return await _said(client, before, (over, client.times(200_000)), model=TAUGHT, tools=[_TOOL])


@kind("200", "200 broke-off", small=0.3)
async def thoughts(client: Client) -> str:
    """Megabytes of thoughts, at once or in pieces, in a form that may become another one."""
    before, over = client.choice(_THOUGHTS)
    return await _said(
        client, before, (over, client.times(225_000)), "\n\nHello", model=client.choice(BOTS)
    )


@kind("200", small=0.3)
async def thoughts_of_its_own(client: Client) -> str:
    """Megabytes of thoughts in the field that is for them."""
    length = client.times(900_000)
    return await client.post(
        spoken(f"{client.mark('may')} !reason={length} !chunks=1 !echo", "Hello",
               stream=client.choice((True, False)))
    )  # fmt: skip


@kind("200*", "502 *", small=0.02)
async def long_answer(client: Client) -> str:
    """An answer of 30 MB, whole or streamed."""
    size = client.choice([100, 60_000])
    words = f"{client.mark('may')} !repeat={client.times(30_000)} !size={size}"
    return await client.post(spoken(words, "x" * 999, stream=client.choice((True, False))))


@kind("200*", "502 *", small=0.2)
async def long_answer_by_cookie(client: Client) -> str:
    """An answer of megabytes whose every frame has all of it."""
    words = f"{client.mark('may')} !repeat={client.times(2000)} !chunks={client.choice([1, 30])}"
    return await client.post(
        spoken(words, "x" * 999, model="by-cookie", stream=client.choice((True, False)))
    )


@kind("200*", "502 *", small=0.3)
async def drafts(client: Client) -> str:
    """A text of 200 KB that is replaced a hundred times."""
    words = f"{client.mark('may')} !redraft={client.times(50)} !chunks=1 !echo"
    return await client.post(
        spoken(words, ("word ", client.times(40_000)), model="by-cookie", stream=True)
    )


@kind("200*", "502 *", small=0.05)
async def many_calls(client: Client) -> str:
    """Tens of thousands of calls in one answer."""
    words = f"{client.mark('may')} !calls={client.times(20_000)}"
    extra = client.choice(["", " !no-index", " !whole-args"])
    return await client.post(
        spoken(words + extra, tools=[_TOOL], stream=client.choice((True, False)))
    )


@kind("200*", small=0.3)
async def nearly_stop_words(client: Client) -> str:
    """An answer of a megabyte that nearly holds 64 stop words at every letter."""
    stop = ["a" * 14 + chr(ord("A") + n) for n in range(64)]
    return await _said(client, "b", ("a", client.times(1_000_000)), model="by-cookie", stop=stop)


@kind("200*", small=0.3)
async def length_of_a_long_answer(client: Client) -> str:
    """An answer of a megabyte whose length is counted as it comes."""
    return await _said(
        client, "", (client.choice(["a", "word ", "\n"]), client.times(500_000)),
        model="by-cookie", max_tokens=400_000,
    )  # fmt: skip


@kind("4* *", "5* *", "200 broke-off", small=1)
async def complaint_for_the_log(client: Client) -> str:
    """A failure whose words have line breaks and terminal codes."""
    forged = "a%0AFORGED%0D%0AFORGED%1B[31m%E2%80%A8FORGED%C2%85FORGED"
    words, model = client.choice(
        [
            (f"!http=400 !message={forged}", "by-key"),
            (f"!http=500 !message={forged}", "by-key"),
            (f"!http=403 !nested-error !message={forged}", "by-key"),
            (f"!error-after=1 !message={forged}", "by-key"),
            (f"!status=odd !status-text={forged}", "by-cookie"),
            (f"!state=error !state-text={forged}", "by-cookie"),
        ]
    )
    return await client.post(
        spoken(f"{client.mark('may')} {words} !echo", "one two three", model=model,
               stream=client.choice((True, False)))
    )  # fmt: skip


@kind("4* *", "5* *", "200 broke-off", small=0.3)
async def long_complaint(client: Client) -> str:
    """A failure that takes a megabyte to say so."""
    message = "x%0A" * client.times(300_000)
    words = client.choice([f"!http=400 !message={message}", f"!error-after=1 !message={message}"])
    return await client.post(
        spoken(f"{client.mark('may')} {words} !echo", "one two three", stream=True)
    )


@kind("200 broke-off", "502 *", small=0.1)
async def endless_line(client: Client) -> str:
    """A line of a stream that never ends."""
    words = f"{client.mark('may')} !endless-line={client.times(80)} !echo"
    return await client.post(spoken(words, "one two three", stream=True))


async def _said(client: Client, *text: Bit, model: str = "by-key", **fields: Any) -> str:
    """Ask for an answer of exactly this *text*, in one piece or in many."""
    many = "!chunks=20" if model == "by-cookie" else client.choice(["!size=20", "!size=1000"])
    pieces = client.choice(["!chunks=1", many])
    stream = client.choice((True, False))
    return await client.post(
        spoken(f"{client.mark('may')} !echo {pieces}", *text, model=model, stream=stream, **fields)
    )
