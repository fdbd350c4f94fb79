"""Sound inputs, from which worse ones are made."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from typing import Any, Final

_WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "pattern": "^[A-Z]"},
                "days": {"type": "integer"},
            },
            "required": ["city"],
        },
        "strict": True,
    },
    "cache_control": {"type": "ephemeral"},
}
_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
        "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "uniqueItems": True},
        "kind": {"enum": ["a", "b", 1, None]},
        "any": {"anyOf": [{"type": "number", "multipleOf": 0.1}, {"const": {"x": [1]}}]},
    },
    "patternProperties": {"^x-": {"type": "null"}},
    "additionalProperties": False,
    "required": ["name"],
    "$defs": {
        "item": {"type": ["object", "string"], "properties": {"next": {"$ref": "#/$defs/item"}}}
    },
}
_ODD: Final = {
    "type": "OBJECT",
    "properties": {
        "pair": {"type": "list", "items": [{"type": "int"}, None], "additionalItems": False},
        "node": {"$ref": "#/definitions/node", "nullable": True},
        "file_name": {"type": ["str", None], "minLength": -1, "required": True},
        "kind": {"oneOf": [{"enum": ["a"]}, {"type": "any", "exclusiveMinimum": True}]},
        "flag": {"type": "boolean", "default": False, "$defs": {"node": {"not": {"type": 7}}}},
    },
    "required": ["pair", "pair", "ghost"],
    "dependencies": {"flag": ["kind"]},
    "additionalProperties": None,
}
_VALUE: Final = {"name": "abc", "list": [{"next": {"next": "x"}}, "b"], "kind": None, "any": 1.5}
_PIXEL: Final = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


def _json(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def _user(content: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "GPT-4o", "messages": [{"role": "user", "content": content}], **fields}


_CALL: Final = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris", "note": "\\"\\u00e9\\""}'},
    "extra_content": {"google": {"thought_signature": "x"}},
}
_TALK: Final = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Look"}, "here"], "name": "me"},
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "clear"}'},
    {"role": "assistant", "content": "Clear.", "reasoning_content": "I looked."},
    {"role": "user", "content": "And Rome?"},
]

#: Requests of OpenAI's smaller APIs: completions, images, edits, speech.
NEIGHBOURS: Final[Sequence[bytes]] = _json(
    {"model": "m", "prompt": ["Once"], "suffix": "end", "echo": True, "stream": True, "stop": "x"},
    {"model": "gpt-image-1", "prompt": "A fox", "size": "1536x1024", "quality": "hd", "n": 1},
    {"model": "m", "prompt": "A fox", "response_format": "url", "aspect": "1:1", "stream": False},
    {"model": "m", "prompt": "Snow", "image": [_PIXEL, {"image_url": {"url": _PIXEL}}]},
    {"model": "m", "input": "Hello", "voice": {"id": "Adam"}, "speed": 1, "response_format": "mp3"},
)

_PART: Final = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
_FILE: Final = b'; filename="a.png"\r\nContent-Type: image/png'
#: Forms, with the boundary "b".
FORMS: Final[Sequence[bytes]] = (
    _PART % (b"prompt", b"", b"Snow")
    + _PART % (b"model", b"", b"m")
    + _PART % (b"image[]", _FILE, b"\x89PNG\r\n\x1a\n--b")
    + b"--b--\r\n",
    _PART % (b"image", _FILE, b"GIF89a" * 50)
    + _PART % (b"model", b"", b"m")
    + _PART % (b"prompt", b"", b"Snow")
    + b"--b--",
)

_AT_POE: Final = "https://pfst.cf2.poecdn.net/base"
#: Answers of bots that draw or read aloud.
LINKS: Final[Sequence[bytes]] = (
    f"![a [fox].png]({_AT_POE}/image/0f?w=1&h=2)\n\n{_AT_POE}/image/0f?w=1&h=2".encode(),
    f"Here: {_AT_POE}/image/0a. Or `{_AT_POE}/audio/0b`, https://example.com/".encode(),
)

REQUESTS: Final[Sequence[bytes]] = _json(
    _user("Hello", stream=True, stream_options={"include_usage": True}),
    _user("Hello", max_tokens=20, stop=["END", "\n\n"], temperature=0.5, top_p=1, n=1, seed=7),
    {"model": "GPT-4o", "messages": _TALK, "tools": [_WEATHER], "tool_choice": "auto"},
    _user(
        "Hi",
        tools=[_WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=False,
    ),
    _user("Hi", functions=[_WEATHER["function"]], function_call={"name": "get_weather"}),
    _user("Hi", response_format={"type": "json_object"}, reasoning_effort="high"),
    _user(
        "Hi",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": _SCHEMA}},
    ),
    _user(
        "Hi",
        tools=[_WEATHER],
        response_format={"type": "json_schema", "json_schema": {"schema": _SCHEMA, "strict": True}},
    ),
    _user(
        [
            {"type": "image_url", "image_url": {"url": _PIXEL, "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:text/plain,abc", "filename": "a.txt"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ]
    ),
    _user(
        "Hi",
        metadata={"a": [1, {"b": None}]},
        thinking_budget=100,
        top_k=40,
        reasoning={"effort": "low"},
    ),
    {"model": "GPT-4o", "input": [{"role": "user", "content": "Hi"}], "instructions": "Be brief."},
    {
        "model": "GPT-4o",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                ],
            },
        ],
    },
    {
        "model": "GPT-4o",
        "stream": "true",
        "max_output_tokens": 20,
        "text": {"format": {"type": "json_schema", "name": "x", "schema": _SCHEMA}},
        "tools": [
            {"type": "function", "name": "f", "parameters": _SCHEMA},
            {
                "type": "custom",
                "name": "patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'},
            },
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "custom", "name": "patch"},
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Hi"},
                    {"type": "input_image", "image_url": _PIXEL},
                ],
            },
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "+x"},
            {
                "type": "function_call_output",
                "call_id": "a",
                "output": [{"type": "input_image", "image_url": _PIXEL}],
            },
            {"type": "custom_tool_call_output", "output": {"x": 1}},
        ],
    },
    {
        "model": "GPT-4o",
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [
            {"name": "f", "description": "x", "input_schema": _SCHEMA},
            {"type": "custom", "custom": {"name": "patch"}},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "messages": [
            {
                "role": "human",
                "content": [
                    {
                        "type": "image",
                        "source": {
                            "type": "base64",
                            "media_type": "image/png",
                            "data": "iVBORw0KGgoAAA-_",
                        },
                    },
                    {
                        "type": "document",
                        "title": "T",
                        "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
                    },
                    {
                        "type": "input_audio",
                        "input_audio": {"data": "data:;base64,UklGRg", "format": "wav"},
                    },
                ],
            },
            {
                "role": "model",
                "content": None,
                "tool_calls": [
                    {"type": "custom", "custom": {"name": "patch", "input": "+x"}},
                    {"function": {"name": "f", "arguments": {"q": 1}}},
                ],
            },
            {"role": "tool", "content": [{"a": 1}]},
            {"role": "tool", "name": "f", "content": 42},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [
                            {"type": "text", "text": "x"},
                            {"type": "search_result", "title": "T", "content": []},
                        ],
                        "is_error": True,
                    }
                ],
            },
        ],
    },
    {
        "model": "GPT-4o",
        "messages": [
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "x"},
        ],
    },
)

_AGENTS: Final = {
    "type": "namespace",
    "name": "agents",
    "tools": [{"type": "function", "name": "close", "parameters": _SCHEMA}],
}
#: Requests of the Responses API; the last one has the tools that bots call elsewhere here.
RESPONSES: Final[Sequence[bytes]] = _json(
    {
        "model": "GPT-4o",
        "tools": [
            {"type": "function", "name": "f", "parameters": _SCHEMA, "strict": True},
            {
                "type": "custom",
                "name": "patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'},
            },
            {
                "type": "namespace",
                "name": "far",
                "tools": [
                    {"type": "function", "name": "f", "parameters": {"type": "object"}},
                    {"type": "custom", "name": "patch"},
                ],
            },
            {"type": "web_search"},
        ],
        "tool_choice": {"type": "function", "name": "f", "namespace": "far"},
        "parallel_tool_calls": False,
        "input": [
            {"type": "message", "role": "developer", "content": "Be brief."},
            {
                "type": "additional_tools",
                "tools": [{"type": "function", "name": "g", "parameters": {}}],
            },
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Hi"},
                    {"type": "input_image", "image_url": _PIXEL},
                    {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain,a"},
                ],
            },
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Look", "annotations": []}],
            },
            {
                "type": "function_call",
                "call_id": "a",
                "name": "f",
                "namespace": "far",
                "arguments": "{}",
            },
            {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "+x"},
            {"type": "function_call_output", "call_id": "a", "output": "done"},
            {
                "type": "custom_tool_call_output",
                "call_id": "b",
                "output": [{"type": "input_text", "text": "x"}],
            },
        ],
    },
    {"model": "GPT-4o", "input": "Hi", "instructions": "Be brief.", "stream": True},
    {
        "model": "GPT-4o",
        "input": "Hi",
        "max_output_tokens": 20,
        "text": {"format": {"type": "json_schema", "name": "x", "schema": _SCHEMA}},
        "reasoning": {"effort": "low", "summary": None},
        "metadata": {"a": "b"},
        "include": ["reasoning.encrypted_content"],
    },
    {
        "model": "GPT-4o",
        "stream": True,
        "tools": [
            _AGENTS,
            {"type": "custom", "name": "patch", "format": {"type": "text"}},
            {"type": "tool_search", "execution": "client"},
        ],
        "tool_choice": {"type": "function", "name": "close", "namespace": "agents"},
        "parallel_tool_calls": False,
        "input": [
            {
                "type": "additional_tools",
                "role": "developer",
                "tools": [{**_AGENTS, "name": "functions"}],
            },
            {"role": "user", "content": [{"type": "input_image", "image_url": _PIXEL}]},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "x"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "refusal"}]},
            {
                "type": "function_call",
                "call_id": "a",
                "name": "close",
                "namespace": "agents",
                "arguments": '{"a": 1}',
            },
            {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "+x"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text"}]},
            {"type": "function_call_output", "call_id": "a", "output": "x"},
            {"type": "tool_search_output", "call_id": "s", "tools": [_AGENTS]},
        ],
    },
    {
        "model": "GPT-4o",
        "input": "Hi",
        "tools": [
            {"type": "function", **_WEATHER["function"]},
            {"type": "custom", "name": "f"},
        ],
    },
)

#: Requests of Anthropic's API.
MESSAGES: Final[Sequence[bytes]] = _json(
    {
        "model": "claude-sonnet-4-5",
        "max_tokens": 32_000,
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: a"},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop_sequences": ["END"],
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": _SCHEMA}},
        "tools": [
            {
                "name": "f",
                "description": "x",
                "input_schema": _SCHEMA,
                "cache_control": {"type": "ephemeral", "scope": "global", "ttl": "1h"},
            },
            {"name": "g", "input_schema": {"type": "object"}, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        ],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
                    {
                        "type": "image",
                        "source": {
                            "type": "base64",
                            "media_type": "image/gif",
                            "data": _PIXEL.partition(",")[2],
                        },
                    },
                    {
                        "type": "document",
                        "title": "T",
                        "source": {"type": "text", "media_type": "text/plain", "data": "abc"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {"name": "abc"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "x"},
                            {"type": "tool_reference", "tool_name": "g"},
                        ],
                    },
                    {"type": "text", "text": "And now?"},
                ],
            },
            {"role": "system", "content": "A word in between."},
        ],
    },
    {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: 1"},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "system", "content": "# Environment"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "is_error": True,
                        "content": [
                            {"type": "tool_reference", "tool_name": "g"},
                            {
                                "type": "image",
                                "source": {
                                    "type": "base64", "media_type": "image/png", "data": "AAAA",
                                },
                            },
                        ],
                    },
                    {"type": "text", "text": "Go on."},
                ],
            },
        ],
        "tools": [
            {"name": "f", "input_schema": {"$schema": "x", **_SCHEMA}, "defer_loading": True},
            {"type": "tool_search_tool_regex_20251119", "name": "s"},
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "metadata": {"user_id": "{}"},
    },
    {
        "model": "claude-sonnet-4-5[1m]",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The"}],
        "stop_sequences": ["END", "\n\n"],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
        "tool_choice": {"type": "tool", "name": "web_search"},
        "output_config": {
            "effort": "max", "format": {"type": "json_schema", "schema": _SCHEMA},
        },
        "thinking": {"type": "adaptive"},
    },
)  # fmt: skip

#: What bots say, by themselves and in the forms that they are taught.
TEXTS: Final[Sequence[bytes]] = [
    one.encode()
    for one in (
        "Hello there, how are you?\n\n- a list\n- `code` and *stars*\n",
        "*Thinking...*\n\n> The user greets me.\n> I shall greet back.\n\nHello!",
        "Thinking... (3s elapsed)\nThinking... (4s elapsed)\n\nHello!",
        "<think>\nThe user greets me.\n</think>\n\nHello!",
        "<think>\nI wonder.\n</think>\n\nHello!",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>',
        'Let me look.\n```json\n{"tool": "get_weather", "arguments": {"city": "Rome",}}\n```',
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>",
        '<function_calls><invoke name="get_weather"><parameter name="city">Rome</parameter>'
        "</invoke></function_calls>",
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}}]',
        "Look:\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>",
        '<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Rome"}'
        "<|tool_call_end|>[TOOL_CALLS]get_weather[ARGS]{}",
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{'city': None}\n```",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.get_weather <|constrain|>json<|message|>{"city": "Rome"}<|call|>',
        '<｜DSML｜invoke name="get_weather"><｜DSML｜parameter name="days" string="false">3'
        "</｜DSML｜parameter></｜DSML｜invoke>",
        '{"tool_calls": [{"id": "call_1", "function": {"name": "get_weather"}}]}',
        '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Rome\\"}"}</tool_call>\n'
        '<tool_call>{"name": "nothing", "arguments": {}}</tool_call>\n'
        "<tool_result>clear</tool_result>",
        f"Here it is:\n```json\n{json.dumps(_VALUE, indent=1)}\n```\nAnything else?",
        json.dumps(_VALUE),
        '{"name": "it\\\'s", "list": [1, 2,], }',
        'First {"a": 1}, then [1, [2]], then {"name": "x"} and `{}`. END',
        "\U0001f469\u200d\U0001f4bb \ud83d and \u2028 é".encode("utf-8", "replace").decode(),
    )
]


def _chunk(delta: dict[str, Any], **fields: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **fields}
    return f"data: {json.dumps({'id': 'x', 'choices': [choice], 'usage': None})}\n\n"


def _event(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


_USAGE: Final = {
    "prompt_tokens": 3,
    "completion_tokens": 5,
    "total_tokens": 9,
    "completion_tokens_details": {"reasoning_tokens": 2},
}
_PART: Final = {
    "index": 0,
    "id": "c1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"ci'},
}

#: Streams of api.poe.com.
STREAMS: Final[Sequence[bytes]] = [
    one.encode()
    for one in (
        _chunk({"role": "assistant", "content": ""})
        + _chunk({"content": "Hel"})
        + ": ping\n\n"
        + _chunk({"content": "lo"})
        + _chunk({}, finish_reason="stop")
        + _event({"choices": [], "usage": _USAGE})
        + "data: [DONE]\n\n",
        _chunk({"reasoning_content": "hm", "reasoning": "hm"})
        + _chunk({"content": "*Thinking...*\n\n> a\n\nb"})
        + _chunk({}, finish_reason="length"),
        _chunk({"tool_calls": [_PART]})
        + _chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'ty": "Rome"}'}}]})
        + _chunk(
            {
                "tool_calls": [
                    {**_PART, "index": None, "id": "c2"},
                    {"function": {"arguments": {"a": 1}}},
                ]
            }
        )
        + _chunk({}, finish_reason="tool_calls")
        + "data: [DONE]\r\n\r\n",
        _chunk({"content": "Hel"})
        + _event({"error": {"message": "no\nmore", "type": "provider_error", "code": 500}}),
        _chunk({"content": [{"type": "text", "text": "a"}], "refusal": "no"}) + "data: {broken\n\n",
        "\ufeffevent: x\nid: 1\nretry: 5\ndata:a\ndata\ndata: b\n\n:c\rdata: d\r\r",
    )
]

#: Whole answers of api.poe.com.
WHOLES: Final[Sequence[bytes]] = _json(
    {
        "choices": [
            {
                "message": {"role": "assistant", "content": "Hello", "reasoning": "hm"},
                "finish_reason": "stop",
            }
        ],
        "usage": _USAGE,
    },
    {
        "choices": [
            {
                "message": {"content": None, "tool_calls": [_CALL, _PART]},
                "finish_reason": "tool_calls",
            }
        ]
    },
    {
        "error": {
            "code": 429,
            "type": "rate_limit_error",
            "message": "Slow down",
            "metadata": {"a": [1]},
        }
    },
    {"message": "Not Found"},
    {"detail": [{"loc": ["body"], "msg": "x"}]},
    {
        "error": {
            "message": json.dumps({"type": "error", "error": {"message": "prompt is too long"}}),
            "param": "x",
        }
    },
    {
        "error": {
            "message": "Unknown parameter: 'top_k' is not declared by the model 'x'.",
            "param": "top_k",
        }
    },
    {"data": None, "errors": [{"message": "Server Error"}], "extensions": {"is_final": True}},
    {"data": {"messageEdgeCreate": {"status": "reached_limit", "statusMessage": "a\nb"}}},
)

#: Answers as they are on the wire.
WIRES: Final[Sequence[bytes]] = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n"
    b'Set-Cookie: a=b\r\nset-cookie: c=d; Path=/\r\n\r\n{"a": [1, 2]}',
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'd\r\ndata: {"a": 1\r\n004;a=b\r\n}\n\n\n\r\n0\r\nX: y\r\n\r\n',
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.0 404 \r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    b"HTTP/1.1 502 Bad Gateway\r\nRetry-After: 5\r\n\r\n<html>",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
    + gzip.compress(b"hello " * 20, mtime=0),
    b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
]

_CHANNEL: Final = {
    "minSeq": "4",
    "channel": "poe-x",
    "channelHash": "1",
    "boxName": "b",
    "baseHost": "poe.com",
}
_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>Poe</title><script>(function(){document.x=1})();</script>"
    "<script>(function(){window.QxYz=function(s){return s}})();</script>"
    '<script>window.AbCdEfGhIjKlMnOpQ=function(){return window.QxYz("abc")};</script>'
    '<script src="https://psc2.cf2.poecdn.net/x/_next/static/chunks/pages/'
    "_app-0123456789abcdef.js\" defer=''></script>"
    "<script src = /_next/static/abc/_buildManifest.js async></script></head><body>"
    '<script id="__NEXT_DATA__" type="application/json">'
    + json.dumps({"props": {"a": [{"tchannelData": _CHANNEL}]}, "buildId": "abc"})
    + "</script></body></html>"
)
_APP: Final = (
    'var a=1;window._QabcDEF="xyz";let b={revision:"0123456789abcdef0123456789abcdef01234567"};'
)
#: The marks between the page and its script.
APP_FOLLOWS: Final = b"\n--- app ---\n"
PAGES: Final[Sequence[bytes]] = [
    _PAGE.encode() + APP_FOLLOWS + _APP.encode(),
    b'<html>"tchannelData": ' + json.dumps(_CHANNEL).encode() + APP_FOLLOWS + b"",
]

SITE_SCRIPTS: Final[Sequence[bytes]] = [
    b'e.exports={fragment:{name:"sendMessageMutation"},params:{cacheID:"1",id:"' + b"a" * 64 + b'",'
    b'metadata:{c:[{p:["x"]}]},name:"sendMessageMutation",operationKind:"mutation",text:null}}',
    b'self.__BUILD_MANIFEST=function(a){return{"/":[a,"static/chunks/pages/index-1.js"]}}'
    b'("static\\u002Fchunks\\u002F77-2.js")',
    b'r.u=e=>1===e?"static/chunks/1-a.js":"static/chunks/"+(({12:"alias"})[e]||e)+"."+'
    b'({12:"b",1e3:"c"})[e]+".js",r.miniCssF=e=>"static/css/"+({1:"d"})[e]+".css"',
    b"t.getAPISig=(e,t)=>window.a(r.md5,t,e);window.a=function(m,k,b){return m(`${b}${k}`+'s')};"
    b'window["b"]=async e=>{/[}/]/.test(e)/2};self.c=()=>"\\"}" // x',
    b'{"withFunction":[{"seen":["x"],"result":"0"},{"seen":["x"],"result":"0"}],'
    b'"withNonce":[{"seen":[],"failed":"no"},{"seen":[]}],"literals":["s"]}',
]


def _frame(*items: tuple[str, Any, Any], **fields: Any) -> bytes:
    texts = [
        json.dumps(
            {
                "message_type": "subscriptionUpdate",
                "payload": {
                    "unique_id": name if scope is None else f"{name}:{scope}",
                    "subscription_name": name,
                    "data": {name: content},
                },
            },
            separators=(",", ":"),
        )
        for name, scope, content in items
    ]
    return json.dumps({"min_seq": 5, "messages": texts, **fields}).encode()


def _said(
    text: str, state: str = "incomplete", number: int = 11, author: str = "gpt4_o"
) -> tuple[str, Any, Any]:
    message = {
        "messageId": number,
        "author": author,
        "text": text,
        "state": state,
        "clientNonce": "nonce" if author == "human" else None,
        "messageStateText": None,
    }
    return "messageAdded", 7, message


#: The frames of a websocket, one to a line.
FRAMES: Final[Sequence[bytes]] = [
    b"\n".join(
        [
            _frame(("messageCreated", None, {"messageId": 10})),
            _frame(_said("Hi", "complete", 10, "human")),
            _frame(("chatAddedV2", None, {"chat": {"chatId": 7, "chatNonce": "nonce"}})),
            _frame(("jobStarted", 7, {"jobId": 1, "state": "running"})),
            _frame(_said("Thinking...")),
            _frame(_said("Hel"), _said("Hello")),
            _frame(_said("HELLO there")),
            _frame(_said("Hello there", "complete")),
            _frame(("jobUpdated", 7, {"jobId": 1, "state": "completed"})),
            _frame(("jobCostUpdated", 1, {"totalCostPoints": 15})),
        ]
    ),
    b"\n".join(
        [_frame(_said("a", number=12), _said("b", number=13)), _frame(_said("x", "error_x", 13))]
    ),
    b'{"error":"missed_messages"}\n{"min_seq":1}\n{"type":"ping"}\n{"messages":["{\\"message_type\\":'
    b' \\"refetchChannel\\"}"]}',
    b"\n".join(
        [
            _frame(_said("*Thinking...*\n\n> a\n> b")),
            _frame(_said("*Thinking...*\n\n> a\n> b\n\nc")),
            _frame(("messageCancelled", 7, {"messageId": 11})),
        ]
    ),
]

#: Files as clients send them, and tickets as Poe gives them.
FILES: Final[Sequence[bytes]] = [
    _PIXEL.encode(),
    b"data:text/plain;charset=utf-8,a%20b%FFc",
    b"data:;base64,AAAA\nAA==",
    b"DATA:image/svg+xml;a=b;BASE64,%50%44%46",
    b"data:,",
    b"https://example.com/a.png",
    b'{"data": {"fileHashJwt": "aa.bb.cc"}}',
    b'"aa.bb.cc"',
    b'{"a": [{"token": "aa.bb.cc", "x": "dd.ee.ff"}]}',
]

#: A schema, and an answer to it on the next line.
SCHEMAS: Final[Sequence[bytes]] = [
    json.dumps(schema).encode() + b"\n" + answer.encode()
    for schema, answer in (
        (_SCHEMA, json.dumps(_VALUE)),
        (
            _ODD,
            '{"pair": "[1]", "node": {"next": null}, "fileName": 5, "Kind": " A", "flag": "no"}',
        ),
        ({"type": "array", "uniqueItems": True, "items": {"enum": [1, 2]}}, "[1, 2]"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}] * 2}, "b": {}},
            },
            "x {} y",
        ),
        (
            {
                "patternProperties": {"^(a|b)+$": {"not": {}}},
                "propertyNames": {"maxLength": 3},
                "dependentSchemas": {"a": {}},
                "unevaluatedProperties": False,
            },
            '{"aaa": 1}',
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-04/schema#",
                "exclusiveMinimum": True,
                "minimum": 1,
                "items": [{}, {"type": "null"}],
                "additionalItems": False,
            },
            "7",
        ),
    )
]


def _named_event(kind: str, **members: Any) -> str:
    return f"event: {kind}\n{_event({'type': kind, **members})}"


_MESSAGE: Final = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 1, "output_tokens": 1},
}
#: Answers of Poe's own Messages API, streamed and whole.
NATIVES: Final[Sequence[bytes]] = [
    one.encode()
    for one in (
        _named_event("message_start", message=_MESSAGE)
        + _named_event("ping")
        + _named_event(
            "content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}
        )
        + _named_event(
            "content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s"}
        )
        + _named_event("content_block_stop", index=0)
        + _named_event(
            "content_block_start",
            index=1,
            content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}},
        )
        + _named_event(
            "content_block_delta",
            index=1,
            delta={"type": "input_json_delta", "partial_json": '{"a": 1}'},
        )
        + _named_event("content_block_stop", index=1)
        + _named_event(
            "message_delta",
            delta={"stop_reason": "tool_use", "stop_sequence": None},
            usage={"input_tokens": None, "output_tokens": 7},
        )
        + _named_event("message_stop"),
        _named_event("message_start", message=_MESSAGE)
        + _named_event(
            "error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="r"
        ),
        json.dumps(
            {
                **_MESSAGE,
                "content": [{"type": "text", "text": "Hello"}],
                "stop_reason": "end_turn",
            }
        ),
        json.dumps(
            {"type": "error", "error": {"type": "invalid_request_error", "message": "top_k: no"}}
        ),
    )
]
