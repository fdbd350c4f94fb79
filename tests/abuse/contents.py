"""Abuse by what a request says: many small things, deep things, schemas and numbers."""

from __future__ import annotations

import json
from typing import Any, Final

from ..with_sim.official import PIXEL
from .bodies import Bit, Body, chat, escaped, many, numbered, spoken
from .kinds import REFUSED, UNUSABLE, kind
from .readers import BOTS
from .wire import Client

#: A bot by key that takes no tools: they are taught.
TAUGHT: Final = "taught"
#: A bot by key that Anthropic's API is passed on to.
CLAUDE: Final = "claude"
_TOOL: Final = '{"type":"function","function":{"name":"f%s","parameters":{"type":"object"}}}'


# ---- many of something


@kind(*REFUSED, small=0.2)
async def tiny_parts(client: Client) -> str:
    """A message of 20 MB in parts of a letter."""
    part, last = (f'{{"type":"text","text":"{text}"}}' for text in ("x", client.mark("never")))
    return await client.post(
        _messages('{"role":"user","content":[', (f"{part},", client.times(700_000)), last, "]}")
    )


@kind(*REFUSED, small=0.2)
async def tiny_messages(client: Client) -> str:
    """20 MB of messages of a letter."""
    one, last = (f'{{"role":"user","content":"{text}"}}' for text in ("x", client.mark("never")))
    return await client.post(_messages((f"{one},", client.times(600_000)), last))


@kind(*REFUSED, small=0.2)
async def empty_messages(client: Client) -> str:
    """20 MB of messages and parts that say nothing at all."""
    one = '{"role":"user","content":[]}'
    return await client.post(_messages((f"{one},", client.times(600_000)), one))


@kind(*REFUSED, small=0.2)
async def tiny_calls(client: Client) -> str:
    """20 MB of calls in one message of the past."""
    call = '{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}'
    return await client.post(
        _messages(
            '{"role":"user","content":"x"},{"role":"assistant","tool_calls":[',
            (f"{call},", client.times(250_000)),
            f'{call}]}},{{"role":"user","content":"{client.mark("never")}"}}',
            model=client.choice(BOTS),
        )
    )


@kind(*REFUSED, small=0.2)
async def tiny_tools(client: Client) -> str:
    """20 MB of tools."""
    body = chat(client.mark("never"), *many("tools", _TOOL % "", client.times(250_000)))
    return await client.post(body)


@kind(*REFUSED, small=0.2)
async def older_functions(client: Client) -> str:
    """20 MB of functions, the older form of tools."""
    one = '{"name":"f","parameters":{}}'
    return await client.post(
        chat(client.mark("never"), *many("functions", one, client.times(600_000)))
    )


@kind(*REFUSED, small=1)
async def stop_words(client: Client) -> str:
    """A million stop words."""
    return await client.post(chat(client.mark("never"), *many("stop", '"x"', 1_000_000)))


@kind("200", *REFUSED, "404 *", small=0.3)
async def unknown_fields(client: Client) -> str:
    """Hundreds of thousands of fields that nobody knows."""
    fields = numbered(b'"x%d":0,', client.times(800_000))
    body = chat(client.mark("may"), fields, '"x":1', model=client.choice(BOTS))
    return await client.post(body)


@kind("200", *REFUSED, "404 *", small=0.3)
async def the_same_field_over_and_over(client: Client) -> str:
    """A field that comes a million times."""
    return await client.post(
        chat(client.mark("may"), ('"metadata":{"x":[1]},', client.times(800_000)), '"x":1')
    )


@kind("200", *REFUSED, "404 *", small=0.3)
async def lists_in_a_parameter(client: Client) -> str:
    """A parameter of the bot's with millions of small values."""
    return await client.post(
        chat(
            client.mark("may"),
            '"metadata":{"x":[',
            ("[],{},0,", client.times(2_000_000)),
            "0]}",
            model=client.choice(BOTS),
        )
    )


# ---- deep


@kind(*REFUSED, small=1)
async def brackets(client: Client) -> str:
    """Nothing but brackets."""
    one = client.choice(["[", '{"a":', '{"messages":[', '[{"a":['])
    return await client.post(Body.of((one, 3_000_000 // len(one))))


@kind("200", *REFUSED, "404 *", small=1)
async def deep_field(client: Client) -> str:
    """A field that is nested deeply, and closed again."""
    depth = client.choice([100, 250, 900, 100_000])
    name = client.choice(["metadata", "x", "prediction", "stop"])
    body = chat(client.mark("may"), f'"{name}":', ('{"a":', depth), "1", ("}", depth))
    return await client.post(body)


@kind("200", *REFUSED, "502 invalid_json_answer", small=1)
async def deep_schema(client: Client) -> str:
    """A schema that is nested deeply."""
    depth = client.choice([90, 240])
    schema: Any = {"type": "object"}
    for _ in range(depth):
        schema = {client.choice(["items", "not", "additionalProperties"]): schema}
    return await client.post(
        chat(f"{client.mark('may')} !echo " + "[" * 100 + "]" * 100, **_json(schema))
    )


@kind("200", *REFUSED, *UNUSABLE, small=1)
async def deep_arguments(client: Client) -> str:
    """A call of the past whose arguments are nested deeply."""
    depth = client.choice([200, 900, 100_000])
    return await client.post(_past(client, '{"a":' * depth + "1" + "}" * depth))


@kind("200", *REFUSED, *UNUSABLE, small=1)
async def arguments_of_quotes(client: Client) -> str:
    """A call of the past whose arguments are a quote and then escaped ones, 20,000 or more."""
    return await client.post(
        _past(client, '"' + '\\"' * client.choice([20_000, 100_000, 2_000_000]))
    )


@kind("200", *REFUSED, *UNUSABLE, small=1)
async def arguments_of_commas(client: Client) -> str:
    """Arguments of commas and white space, which a lenient reader looks behind."""
    text = client.choice(
        [", " * 100_000, "," + " " * 300_000, "[" + ",\n" * 200_000, "\\'" * 100_000]
    )
    return await client.post(_past(client, text))


# ---- schemas


@kind("200", *REFUSED, *UNUSABLE, small=1)
async def tools_of_many_rules(client: Client) -> str:
    """80 tools, each with a schema of its own of 2,500 rules."""
    rules = '"allOf":[' + "{}," * 2499 + "{}]"
    tools = ",".join(
        f'{{"type":"function","function":{{"name":"f{n}","parameters":{{"title":"{n}",{rules}}}}}}}'
        for n in range(80)
    )
    model = client.choice([TAUGHT, "by-cookie"])
    return await client.post(chat(client.mark("may"), f'"tools":[{tools}]', model=model))


@kind("200", *REFUSED, "502 invalid_json_answer", small=1)
async def references_that_double(client: Client) -> str:
    """A schema whose references double sixty times."""
    doubled = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**doubled, "a60": {}}}
    return await client.post(chat(f'{client.mark("may")} !echo {{"a":1}}', **_json(schema)))


@kind("200", *REFUSED, "502 invalid_json_answer", small=0.3)
async def unique_items(client: Client) -> str:
    """An answer of ten thousand objects that shall all differ, and do."""
    schema = {"type": "array", "uniqueItems": True}
    items = ",".join(f'{{"a":[{n}]}}' for n in range(client.times(20_000)))
    return await client.post(
        chat(f"{client.mark('may')} !echo !chunks=1 [{items}]", **_json(schema))
    )


@kind("200", *REFUSED, "502 invalid_json_answer", small=0.1)
async def large_enum(client: Client) -> str:
    """A million values to choose from, and an answer of thousands that may be any of them."""
    values = numbered(b"%d,", client.times(1_000_000))
    return await client.post(
        chat(
            f"{client.mark('may')} !echo [{'-1,' * 2000}0]",
            '"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":',
            '{"type":"array","items":{"enum":[',
            values,
            "-1]}}}}",
        )
    )


@kind("200", *REFUSED, "502 invalid_json_answer", small=0.2)
async def long_description(client: Client) -> str:
    """A schema with a description of 19 MB, another one each time."""
    nonce = client.rng.randrange(10**9)
    return await client.post(
        chat(
            f'{client.mark("may")} !echo {{"a":1}}',
            '"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":',
            f'{{"description":"{nonce} ',
            ("x" * 1000, client.times(18_900)),
            '"}}}',
        )
    )


@kind("200", *REFUSED, *UNUSABLE, small=0.2)
async def long_tool(client: Client) -> str:
    """A tool with a description, or a schema, of 19 MB, another one each time."""
    nonce = client.rng.randrange(10**9)
    where = client.choice(['"description":"', '"parameters":{"title":"'])
    end = '"}' if where.startswith('"d') else '"}}'
    return await client.post(
        chat(
            client.mark("may"),
            f'"tools":[{{"type":"function","function":{{"name":"f",{where}{nonce} ',
            ("x" * 1000, client.times(18_900)),
            f"{end}}}]",
            model=client.choice([TAUGHT, *BOTS]),
        )
    )


@kind("200", *REFUSED, "502 invalid_json_answer", small=0.1)
async def searching_pattern(client: Client) -> str:
    """A pattern that searches for ever in most regular expression engines."""
    pattern = client.choice(["^(a+)+$", "^(a|aa)+$", "(.*.*.*.*.*)*b", "^(([a-z])+.)+[A-Z]$"])
    rule: Any = {"properties": {"a": {"type": "string", "pattern": pattern}}, "required": ["a"]}
    if client.choice((True, False)):
        rule = {"patternProperties": {pattern: {"type": "null"}}, "additionalProperties": False}
    answer = json.dumps({"a": "a" * client.times(50_000) + "!", "a" * client.times(5000) + "!": 1})
    return await client.post(chat(f"{client.mark('may')} !echo {answer}", **_json(rule)))


@kind("200", *REFUSED, *UNUSABLE, small=1)
async def impossible_repeat(client: Client) -> str:
    """A pattern that counts further than any engine can."""
    pattern = client.choice(
        ["a{1,99999999999999}", "(?:(?:a{1,1000}){1,1000}){1,1000}", "(" * 2000 + ")" * 2000,
         "a{4294967295}", "(?<=a{9999})b", "[" + "\\w" * 10_000 + "]"]
    )  # fmt: skip
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    if client.choice((True, False)):
        return await client.post(chat(f'{client.mark("may")} !echo {{"a":"a"}}', **_json(schema)))
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return await client.post(chat(client.mark("may"), tools=[tool], model=TAUGHT))


# ---- numbers, names, letters


@kind("200", *REFUSED, "404 *", small=1)
async def numbers(client: Client) -> str:
    """Numbers that are none, or of thousands of digits."""
    number = client.choice(
        ["1e400", "-1e400", "9" * 5000, "-0.0", "1" + "0" * 400 + ".5", "1e-400"]
    )
    name = client.choice(["temperature", "max_tokens", "seed", "x", "top_p", "top_logprobs", "n"])
    value = client.choice([number, f"[{number}]", f'{{"a":[{",".join([number] * 100)}]}}'])
    return await client.post(chat(client.mark("may"), f'"{name}":{value}'))


@kind("200", *REFUSED, *UNUSABLE, small=1)
async def numbers_of_a_schema(client: Client) -> str:
    """Numbers of thousands of digits in a schema, and in the answer to it."""
    digits = "9" * client.choice([400, 4000, 5000])
    schema = f'{{"multipleOf":1e-300,"maximum":{client.choice(["1e308", "9" * 300])}}}'
    return await client.post(
        chat(
            f"{client.mark('may')} !echo {digits}",
            f'"response_format":{{"type":"json_schema","json_schema":{{"schema":{schema}}}}}',
        )
    )


@kind("404 *", *REFUSED, small=0.2)
async def huge_name_of_a_model(client: Client) -> str:
    """A model whose name has 10 MB."""
    return await client.post(
        Body.of('{"messages":[{"role":"user","content":"', client.mark("never"), '"}],"model":"',
                (client.choice(["x", "x/", " ", "\\n", "İ"]) * 100, client.times(50_000)), '"}')
    )  # fmt: skip


@kind("200", *REFUSED, *UNUSABLE, small=0.3)
async def huge_name_of_a_tool(client: Client) -> str:
    """A tool whose name has 5 MB, and a choice of it."""
    name = "x" * client.times(5_000_000)
    tool = {"type": "function", "function": {"name": name}}
    return await client.post(
        chat(
            client.mark("may"),
            model=client.choice([TAUGHT, *BOTS]),
            tools=[tool],
            tool_choice={"type": "function", "function": {"name": name}},
        )
    )


@kind(*REFUSED, small=0.3)
async def half_letters(client: Client) -> str:
    """Megabytes of escapes that are halves of letters."""
    return await client.post(
        _messages('{"role":"user","content":"', ("\\ud800", client.times(3_000_000)), '"}')
    )


@kind("200", *REFUSED, "502 *", small=0.1)
async def text_that_is_hard_to_count(client: Client) -> str:
    """Megabytes of one letter, blanks or rare ones, for a bot whose words we count ourselves."""
    letter = client.choice(["a", " ", "\n", "ab", "𒐫", "\u0301", "-"])
    return await client.post(
        spoken(f"{client.mark('may')} !echo !chunks=2", (letter, client.times(5_000_000)),
               model="by-cookie", stream=True, stream_options={"include_usage": True},
               max_tokens=100_000_000)
    )  # fmt: skip


# ---- files


@kind("200", *REFUSED, small=0.3)
async def file_of_escapes(client: Client) -> str:
    """A file of 9 MB in which every letter is escaped."""
    return await client.post(_file(client, "data:text/plain,", ("%41", client.times(3_000_000))))


@kind("200", *REFUSED, small=0.3)
async def file_in_base64(client: Client) -> str:
    """A file of 19 MB, its base64 broken into lines or escaped."""
    line = client.choice(["A" * 76 + "\\n", "A", "%41", "A ", "A\\t\\r\\n"])
    times = client.times(18_000_000) // len(line) // 4 * 4
    return await client.post(_file(client, "data:image/png;base64,", (line, times)))


@kind("200", *REFUSED, small=0.2)
async def many_files(client: Client) -> str:
    """Thousands of small files in one request."""
    one = f'{{"type":"image_url","image_url":{{"url":"{PIXEL}"}}}}'
    return await client.post(
        _messages('{"role":"user","content":[', (f"{one},", client.times(100_000)), f"{one}]}}",
                  model=client.choice(BOTS))
    )  # fmt: skip


@kind("200", *REFUSED, small=0.2)
async def heads_of_files(client: Client) -> str:
    """A data URI with nothing but options in front of its comma."""
    return await client.post(
        _file(client, "data:image/png", (";a=b", client.times(2_000_000)), ",")
    )


# ---- what they are made of


def _json(schema: Any) -> dict[str, Any]:
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    }


def _messages(*bits: Bit, model: str = "by-key") -> Body:
    return Body.of(f'{{"model":"{model}","messages":[', *bits, "]}")


def _past(client: Client, arguments: str) -> Body:
    """A conversation with a call in its past, for a bot that is taught what calls are."""
    called = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
        {"role": "user", "content": f"{client.mark('may')} Hello"},
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    model = client.choice([TAUGHT, *BOTS])
    return chat(messages, model=model, tools=[tool])


def _file(client: Client, *uri: Bit) -> Body:
    model = client.choice(BOTS)
    kind = client.choice(["image", "file"])
    before, behind = {
        "image": ('{"type":"image_url","image_url":{"url":"', '"}}'),
        "file": ('{"type":"file","file":{"filename":"a.txt","file_data":"', '"}}'),
    }[kind]
    words = escaped(client.mark("may"))
    return _messages(
        f'{{"role":"user","content":[{{"type":"text","text":"{words}"}},',
        before, *uri, behind, "]}", model=model,
    )  # fmt: skip
