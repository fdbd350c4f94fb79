"""Abuse by way of the APIs that agents speak: what is costly to read or to tell only there."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from .bodies import Bit, Body, escaped, many, numbered
from .contents import CLAUDE, TAUGHT
from .kinds import REFUSED, UNUSABLE, kind
from .readers import BOTS
from .wire import Client

_RESPONSES: Final = "/v1/responses"
_MESSAGES: Final = "/v1/messages"
_COUNTS: Final = ("/v1/messages/count_tokens", "/v1/responses/input_tokens")
#: Anthropic's API calls what is not of the form that was asked for a failure like any other.
_NO_ANSWER: Final = (*UNUSABLE, "502 api_error")
_PATCH: Final = {"type": "custom", "name": "patch"}


# ---- the Responses API


@kind(*REFUSED, small=0.2)
async def tiny_items(client: Client) -> str:
    """20 MB of items: messages of a letter, thoughts, or tools that are none."""
    one = client.choice(
        [
            '{"role":"user","content":"x"}',
            '{"type":"reasoning","summary":[]}',
            '{"type":"additional_tools","tools":[]}',
            '{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}',
        ]
    )
    return await _respond(client, "never", (f"{one},", client.times(20_000_000 // len(one))))


@kind(*REFUSED, small=0.2)
async def tiny_outputs(client: Client) -> str:
    """The results of a call in 20 MB of parts of a letter, or in as many results."""
    call = '{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},'
    part = '{"type":"input_text","text":"x"},'
    one = '{"type":"function_call_output","call_id":"c","output":"x"},'
    bits: tuple[Bit, ...] = client.choice(
        [
            (
                '{"type":"function_call_output","call_id":"c","output":[',
                (part, client.times(600_000)),
                f"{part[:-1]}]}},",
            ),
            ((one, client.times(350_000)),),
        ]
    )
    return await _respond(client, "never", call, *bits)


@kind(*REFUSED, small=1)
async def deep_namespaces(client: Client) -> str:
    """Namespaces that stand in namespaces."""
    depth = client.choice([50, 900, 100_000])
    tools = (
        '"tools":[',
        ('{"type":"namespace","name":"n","tools":[', depth),
        (("]}", depth)),
        "]",
    )
    return await _respond(client, "never", fields=tools)


@kind("200", *REFUSED, *_NO_ANSWER, small=0.3)
async def many_namespaces(client: Client) -> str:
    """Tools of the same name in hundreds of thousands of namespaces, or with names that differ only
    behind what any bot can know."""
    form = client.choice(
        [
            b'{"type":"namespace","name":"n%d","tools":[{"type":"function","name":"f"}]},',
            b'{"type":"namespace","name":"' + b"n" * 80 + b'%d","tools":[%%s]},',
        ]
    ).replace(b"%%s", b'{"type":"custom","name":"f"}')
    times = client.choice([120, client.times(250_000)])
    tools = ('"tools":[', numbered(form, times), json.dumps(_PATCH), "]")
    return await _respond(client, "may", fields=tools, model=client.choice([TAUGHT, *BOTS]))


@kind("200", *REFUSED, *_NO_ANSWER, small=0.2)
async def huge_grammar(client: Client) -> str:
    """A custom tool with a grammar, or a description, of 19 MB, another one each time."""
    nonce = client.rng.randrange(10**9)
    before, behind = client.choice(
        [
            ('"format":{"type":"grammar","syntax":"lark","definition":"', '"}'),
            ('"description":"', '"'),
        ]
    )
    tools = (
        f'"tools":[{{"type":"custom","name":"f",{before}{nonce} ',
        ("start: x\\n" * 100, client.times(19_000)),
        f"{behind}}}]",
    )
    return await _respond(client, "may", fields=tools, model=client.choice([TAUGHT, *BOTS]))


@kind("200*", *_NO_ANSWER, small=0.05)
async def input_of_escapes(client: Client) -> str:
    """A call of a custom tool whose text is megabytes of escapes, or that has another form."""
    before, over, behind = client.choice(
        [
            ('{"input":"', "\\n", '"}'),
            ('{"input":"', "\\ud83d", '"}'),
            ('{ "input" :', " ", '"x"}'),
            ('{"a":1,"input":"', '\\"', '"}'),
            ('{"input":["', "x", '"]}'),
        ]
    )
    words = f"{client.mark('may')} !echo !chunks={client.choice([1, 200])} "
    return await client.post(
        Body.of(
            f'{{"model":"{TAUGHT}","stream":true,"tools":[{json.dumps(_PATCH)}],"input":"{words}',
            escaped(f'<tool_call>{{"name":"patch","arguments":{before}'),
            (escaped(over), client.times(1_000_000)),
            escaped(f"{behind}}}</tool_call>"),
            '"}',
        ),
        path=_RESPONSES,
    )


# ---- Anthropic's API


@kind(*REFUSED, small=0.2)
async def tiny_blocks(client: Client) -> str:
    """20 MB of blocks: of a message, of the instructions, of a result, of a document; or of
    results."""
    text = '{"type":"text","text":"x"}'
    one, before, behind = client.choice(
        [
            (text, "", ""),
            (text, '{"type":"tool_result","tool_use_id":"t","content":[', "]}"),
            (text, '{"type":"document","source":{"type":"content","content":[', "]}}"),
            ('{"type":"tool_result","tool_use_id":"t"}', "", ""),
            (
                '{"type":"tool_reference","tool_name":"f"}',
                '{"type":"tool_result","tool_use_id":"t","content":[',
                "]}",
            ),
        ]
    )
    blocks = (before, (f"{one},", client.times(20_000_000 // len(one))), f"{one}{behind},")
    where = client.choice(["content", "system"])
    model = client.choice([CLAUDE, *BOTS])
    if where == "system":
        return await _message(client, "never", fields=('"system":[', *blocks, f"{text}]"))
    return await _message(client, "never", *blocks, model=model)


@kind("200", *REFUSED, "404 *", small=1)
async def deep_results(client: Client) -> str:
    """A result within a result, and so on; or the input of a call that is nested as deeply."""
    depth = client.choice([20, 100, 900, 100_000])
    before, inner, behind = client.choice(
        [
            ('{"type":"tool_result","tool_use_id":"t","content":[', '{"type":"text"}', "]}"),
            ('{"type":"tool_use","id":"t","name":"f","input":{"a":', '{"a":1}', "}}"),
        ]
    )
    model = client.choice([CLAUDE, *BOTS])
    return await _message(client, "may", (before, depth), inner, (behind, depth), ",", model=model)


@kind(*REFUSED, small=0.2)
async def tiny_tools_of_claude_s(client: Client) -> str:
    """20 MB of tools, or of blocks marked for the cache."""
    one = client.choice(
        [
            '{"name":"f","input_schema":{"type":"object"}}',
            '{"type":"web_search_20250305","name":"w"}',
            '{"name":"f","input_schema":{},"cache_control":{"type":"ephemeral"}}',
        ]
    )
    tools = many("tools", one, client.times(20_000_000 // len(one)))
    return await _message(client, "never", fields=tools, model=client.choice([CLAUDE, *BOTS]))


@kind("200 200", "200 429 *", "200 503 *", "200 529 *", small=0.1)
async def counts_at_once(client: Client) -> str:
    """Two hundred prompts to be counted, with their tools, all at once."""
    tool = {"name": "f", "description": "x " * 500, "input_schema": {"type": "object"}}
    body = _anthropic(
        f'{{"role":"user","content":"{"a word and another, " * 3000}"}}', tools=[tool] * 30
    )
    asked = (client.post(body, path=_COUNTS[0]) for _ in range(client.times(200)))
    outcomes = sorted(set(await asyncio.gather(*asked)))
    # Not all of them may have been turned away; of what went wrong the first kind is told.
    return f"{outcomes[0]} {outcomes[-1]}"


@kind("200", *REFUSED, small=0.02)
async def count_that_is_hard(client: Client) -> str:
    """Megabytes to be counted: of one letter, blanks or rare ones, or of tiny parts."""
    path = client.choice(_COUNTS)
    letter = client.choice(["a", " ", "ab", "𒐫", "-"])
    said: tuple[Bit, ...] = (
        '{"role":"user","content":"',
        (escaped(letter), client.times(5_000_000)),
        '"}',
    )
    body = _items(*said) if path == _COUNTS[1] else _anthropic(*said)
    return await client.post(body, path=path)


@kind(*REFUSED, small=0.2)
async def count_of_tiny_parts(client: Client) -> str:
    """20 MB of parts of a letter to be counted."""
    path = client.choice(_COUNTS)
    part = '{"type":"text","text":"x"}'
    bits = ('{"role":"user","content":[', (f"{part},", client.times(700_000)), f"{part}]}}")
    body = _items(*bits) if path == _COUNTS[1] else _anthropic(*bits)
    return await client.post(body, path=path)


# ---- what bots say, told in both


@kind("200*", "5* *", small=0.005)
async def many_calls_told(client: Client) -> str:
    """Tens of thousands of calls in one answer, each an item or a block of its own."""
    words = f"!calls={client.times(20_000)}{client.choice(['', ' !no-index'])}"
    return await _told(client, words, model="by-key", has_tool=True)


@kind("200*", "5* *", small=0.02)
async def long_answer_told(client: Client) -> str:
    """An answer of 30 MB, which a response has once more at its end; or one that Poe's own Messages
    API gives."""
    words = f"!repeat={client.times(30_000)} !size={client.choice([4_000, 60_000])}"
    return await _told(client, words, "x" * 999, model=client.choice(["by-key", CLAUDE]))


@kind("200*", "5* *", small=0.3)
async def drafts_told(client: Client) -> str:
    """A text of 200 KB that is replaced a hundred times, though a stream can only go on."""
    words = f"!redraft={client.times(50)} !chunks=1 !echo"
    return await _told(client, words, ("word ", client.times(40_000)), model="by-cookie")


@kind("200*", "5* *", small=0.02)
async def thoughts_told(client: Client) -> str:
    """Megabytes of thoughts, an item or a block of their own."""
    words = f"!reason={client.times(900_000)} !chunks={client.choice([1, 400])} !echo"
    return await _told(client, words, "Hello", model=client.choice(["by-key", CLAUDE]))


# ---- what they are made of


def _items(*items: Bit, model: str = "by-key", **fields: Any) -> Body:
    plain = json.dumps({"model": model, **fields})
    return Body.of(f'{plain[:-1]},"input":[', *items, "]}")


def _anthropic(*messages: Bit, model: str = "by-key", **fields: Any) -> Body:
    plain = json.dumps({"model": model, "max_tokens": 60_000, **fields})
    return Body.of(f'{plain[:-1]},"messages":[', *messages, "]}")


async def _respond(
    client: Client, fate: str, *items: Bit, fields: tuple[Bit, ...] = (), model: str = "by-key"
) -> str:
    """Send these *items*, each with a comma behind it, before one that says the mark."""
    last = f'{{"role":"user","content":"{client.mark(fate)} !echo Hello"}}]'
    beside = (",", *fields) if fields else ()
    body = Body.of(f'{{"model":"{model}","input":[', *items, last, *beside, "}")
    return await client.post(body, path=_RESPONSES)


async def _message(
    client: Client, fate: str, *blocks: Bit, fields: tuple[Bit, ...] = (), model: str = "by-key"
) -> str:
    """Send these *blocks*, each with a comma behind it, before one that says the mark."""
    last = f'{{"type":"text","text":"{client.mark(fate)} !echo Hello"}}]}}]'
    before = f'{{"model":"{model}","max_tokens":60000,"messages":[{{"role":"user","content":['
    beside = (",", *fields) if fields else ()
    return await client.post(Body.of(before, *blocks, last, *beside, "}"), path=_MESSAGES)


async def _told(client: Client, words: str, *text: Bit, model: str, has_tool: bool = False) -> str:
    """Ask for an answer in either API, whole or streamed."""
    path = client.choice([_RESPONSES, _MESSAGES])
    tool = {"name": "f", "input_schema": {"type": "object"}}
    if path == _RESPONSES:
        tool = {"name": "f", "type": "function", "parameters": {"type": "object"}}
    fields = {"stream": client.choice((True, False)), **({"tools": [tool]} if has_tool else {})}
    said = (
        f'{{"role":"user","content":"{client.mark("may")} {words} ',
        *((escaped(bit[0]), bit[1]) if isinstance(bit, tuple) else escaped(bit) for bit in text),
        '"}',
    )
    make = _items if path == _RESPONSES else _anthropic
    return await client.post(make(*said, model=model, **fields), path=path)
