"""The requests, by what they are about."""

from __future__ import annotations

from typing import Any

from ..promises.asking import BOT, PIXEL, WEATHER, WORDS
from ..servers import KEY
from .playing import Scene

# ---- words for requests and replies


def user(prompt: Any, **fields: Any) -> dict[str, Any]:
    """A chat request with one message."""
    return {"model": BOT, "messages": [{"role": "user", "content": prompt}], **fields}


#: By cookie each item holds all of the text so far, and one that has not been read yet gives way to
#: the next. Only with the title between them do two pieces always stay two. Each scene by cookie
#: says so, or `!chunks=1`: how a stream is cut must not depend on how busy the machine is.
TWO = "!title=middle !chunks=2"
GO = f"{TWO} Go."


def taught(*cities: str, text: str = "", name: str = "get_weather", key: str = "city") -> str:
    """The line in which a bot calls a tool as it was taught."""
    return text + "\n".join(
        f'<tool_call>\n{{"name": "{name}", "arguments": {{"{key}": "{city}"}}}}\n</tool_call>'
        for city in cities
    )


def native(*cities: str, text: str = "", name: str = "get_weather") -> dict[str, Any]:
    """The line in which a bot calls a tool of its own."""
    return {"text": text, "calls": [{"name": name, "arguments": {"city": one}} for one in cities]}


def both(line: Any) -> dict[str, list[Any]]:
    """The same lines by either way."""
    lines = line if isinstance(line, list) else [line]
    return {"cookies": lines, "keys": lines}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def called(number: int, city: str) -> dict[str, Any]:
    arguments = f'{{"city":"{city}"}}'
    call = {"name": "get_weather", "arguments": arguments}
    return {"id": f"call_{number}", "type": "function", "function": call}


FIND = {
    "type": "function",
    "function": {
        "name": "find_places",
        "description": 'Finds places.\nOf all kinds, "quoted" too.',
        "parameters": {
            "type": "object",
            "properties": {
                "near": {"type": "string"},
                "kinds": {"type": "array", "items": {"enum": ["inn", "café"]}},
                "most": {"type": "integer", "minimum": 1},
            },
            "required": ["near"],
            "additionalProperties": False,
        },
    },
}
AFTER_CALLS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Paris and Rome?"},
    {"role": "assistant", "content": "Let me see.", "tool_calls": [
        called(1, "Paris"), called(2, "Rome"),
    ]},
    {"role": "tool", "tool_call_id": "call_2", "content": "It rains in Rome. </tool_result>"},
    {"role": "tool", "tool_call_id": "call_1", "content": "It snows in Paris."},
    {"role": "user", "content": f"{TWO} So?"},
]  # fmt: skip
EVERY_ROLE = [
    {"role": "system", "content": "system words"},
    {"role": "developer", "content": [{"type": "text", "text": "developer words"}]},
    {"role": "user", "content": "user words", "name": "someone"},
    {"role": "assistant", "content": "assistant words"},
    {"role": "user", "content": None},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": [
        {"type": "text", "text": "part one"},
        {"type": "text", "text": "part two", "cache_control": {"type": "ephemeral"}},
    ]},
]  # fmt: skip
PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
    "additionalProperties": False,
}
OBJECT = {"type": "json_object"}
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
PROSE = 'Here you are:\n```json\n{"age": 7}\n```\nAnything else?'
MEDIA = {
    "picture": {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    "file": {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
    },
    "sound": {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
}
#: Accounts are tried once, and not waited for.
IMPATIENT = {"QUEUE_TIMEOUT": "1"}
AS_TEXT = {"ERRORS_AS_TEXT": "1"}
KEYS: tuple[str, ...] = ("keys",)
COOKIES: tuple[str, ...] = ("cookies",)

TEXT = [
    Scene(name="text", body=user(f"{TWO} !echo Hello there, all of you")),
    Scene(
        name="text-with-usage",
        body=user(f"{TWO} !echo Hello there", stream_options={"include_usage": True}),
    ),
    Scene(name="text-of-many-scripts", body=user(GO), says=both(WORDS)),
    Scene(name="text-that-is-empty", body=user("!empty Go.")),
    Scene(name="text-by-an-openai-name", body=user("!chunks=1 !echo Hello", model="gpt-4")),
    Scene(name="text-in-pieces", body=user("!chunks=7 !echo one two three four five six"),
          ways=KEYS),
    Scene(name="text-rewritten", body=user("!title=middle !chunks=1 !rewrite !echo the last word"),
          ways=COOKIES),
    Scene(name="text-of-several-messages", body=user("!messages=2 !chunks=1 !echo word"),
          ways=COOKIES),
    Scene(name="text-filtered", body=user("!finish=content_filter !echo one two"), ways=KEYS),
    Scene(name="text-with-a-picture", body=user("a cat", model="Imagen-4", aspect_ratio="16:9"),
          ways=KEYS),
    # Its drafts may outdate one another; of them a whole answer shows nothing.
    Scene(name="text-with-a-picture-by-cookie", body=user("a cat", model="Imagen-4"),
          ways=COOKIES, streams=(False,)),
    Scene(name="roles", body={"model": BOT, "messages": EVERY_ROLE}, says=both("Hello")),
    Scene(name="roles-1", body={"model": BOT, "messages": EVERY_ROLE}, says=both("Hello"),
          ways=COOKIES, streams=(False,), settings={"SIMULATE_ROLES": "1"}),
    Scene(name="roles-2", body={"model": BOT, "messages": EVERY_ROLE}, says=both("Hello"),
          ways=COOKIES, streams=(False,), settings={"SIMULATE_ROLES": "2"}),
]  # fmt: skip

REASONING = [
    Scene(name="reasoning-replaced",
          body=user("!thinking=1 !title=middle !chunks=1 Tell me a poem.")),
    Scene(name="reasoning-quoted",
          body=user("!quoted-thinking !title=middle !chunks=1 Tell me a poem.")),
    Scene(name="reasoning-starred", body=user("!thinking=star Tell me a poem."), ways=KEYS),
    Scene(name="reasoning-field",
          body=user("!reason !chunks=2 !echo Hello", stream_options={"include_usage": True}),
          ways=KEYS),
    Scene(name="reasoning-always",
          body=user("!thinking=1 !title=middle !chunks=1 Tell me a poem.", model="DeepSeek-R1")),
    Scene(name="reasoning-effort", body=user("!say-params", reasoning_effort="high"), ways=KEYS),
    Scene(name="progress", body=user("!pacarana !chunks=1 !echo found it"), ways=COOKIES),
]  # fmt: skip

TOOLS = [
    Scene(name="tool-call", body=user(GO, tools=[WEATHER, FIND]),
          says={"cookies": [taught("Paris")], "keys": [native("Paris")]}),
    Scene(name="tool-call-after-words",
          body=user(GO, tools=[WEATHER], stream_options={"include_usage": True}),
          says={"cookies": [taught("Paris", text="Let me look.\n")],
                "keys": [native("Paris", text="Let me look.")]}),
    Scene(name="tool-calls", body=user(GO, tools=[WEATHER]),
          says={"cookies": [taught("Paris", "Rom", "北京")],
                "keys": [native("Paris", "Rom", "北京")]}),
    Scene(name="tool-calls-but-one", body=user(GO, tools=[WEATHER], parallel_tool_calls=False),
          says={"cookies": [taught("Paris", "Rom")], "keys": [native("Paris", "Rom")]}),
    Scene(name="tool-call-corrected", body=user(GO, tools=[WEATHER, FIND]),
          says={"cookies": [taught("Paris", key="place"), taught("Paris")],
                "keys": [{"calls": [{"name": "get_weather", "arguments": '{"place": 1}'}]}]}),
    Scene(name="tool-call-unreadable",
          body=user(GO, tools=[WEATHER, FIND]),
          says={"cookies": ["<tool_call>\n{\"name\": get_weather}\n</tool_call>", "Never mind."],
                "keys": [{"calls": [{"name": "get_weather", "arguments": '{"city": Par'}]}]}),
    Scene(name="tool-call-wrong-twice", body=user(GO, tools=[WEATHER]),
          says={"cookies": [taught("Paris", name="look"), taught("7", key="place")],
                "keys": [native("Paris", name="look")]}),
    Scene(name="tool-choice-none", body=user(f"{TWO} weather in Paris", tools=[WEATHER],
                                             tool_choice="none"),
          says={"cookies": ["No need to."]}),
    Scene(name="tool-choice-required",
          body=user(f"{TWO} weather in Paris", tools=[WEATHER, FIND], tool_choice="required"),
          says={"cookies": ["I had rather not.", taught("Paris")]}),
    Scene(name="tool-choice-named",
          body=user(f"{TWO} weather in Paris", tools=[WEATHER, FIND],
                    tool_choice=function("get_weather")),
          says={"cookies": ["I had rather not.", taught("Paris")]}),
    Scene(name="tool-choice-not-heeded",
          body=user(GO, model="GPT-5.1", tools=[WEATHER], tool_choice="required"),
          says={"cookies": ["I had rather not.", "And still not."],
                "keys": ["I had rather not.", taught("Paris")]}),
    Scene(name="tool-results", body={"model": BOT, "messages": AFTER_CALLS, "tools": [WEATHER]},
          says=both("Take a coat.")),
    Scene(name="tool-results-without-tools", body={"model": BOT, "messages": AFTER_CALLS},
          says=both("Take a coat.")),
    Scene(name="tool-call-and-stop-word", body=user(GO, tools=[WEATHER], stop=['": "P']),
          says={"cookies": [taught("Paris", text="Let me see.\n")],
                "keys": [native("Paris", text="Let me see.")]}),
    # Whether a bot takes tools is learned, so each of these has a bot of its own.
    Scene(name="tools-refused-by-404", body=user(GO, model="GPT-4o-Search", tools=[WEATHER]),
          says={"keys": [taught("Paris")]}, ways=KEYS),
    Scene(name="tools-refused-by-400",
          body=user(GO, model="GPT-3.5-Turbo-Instruct", tools=[WEATHER], tool_choice="required"),
          says={"keys": ["Why?", taught("Paris")]}, ways=KEYS),
    Scene(name="functions", body=user(GO, functions=[WEATHER["function"], FIND["function"]]),
          says={"cookies": [taught("Paris", "Rom")], "keys": [native("Paris", "Rom")]}),
    Scene(name="functions-named",
          body=user(f"{TWO} weather in Paris", functions=[WEATHER["function"]],
                    function_call={"name": "get_weather"}),
          says={"cookies": ["I had rather not.", taught("Paris")]}),
    Scene(name="functions-results", says=both("Take a coat."),
          body={"model": BOT, "functions": [WEATHER["function"]], "messages": [
              {"role": "user", "content": f"{TWO} Go."},
              {"role": "assistant", "content": None,
               "function_call": {"name": "get_weather", "arguments": '{"city": "Paris"}'}},
              {"role": "function", "name": "get_weather", "content": "It snows in Paris."},
          ]}),
]  # fmt: skip

JSON = [
    Scene(name="json-object", body=user(GO, response_format=OBJECT),
          says=both('{"age": 7, "name": "Zoë"}')),
    Scene(name="json-in-prose", body=user(GO, response_format=OBJECT), says=both(PROSE)),
    Scene(name="json-by-schema",
          body=user(GO, response_format=BY_SCHEMA, stream_options={"include_usage": True}),
          says=both(PROSE)),
    Scene(name="json-corrected", body=user(GO, response_format=BY_SCHEMA),
          says=both(['{"age": "seven"}', '{"age": 7}'])),
    Scene(name="json-wrong-twice", body=user(GO, response_format=BY_SCHEMA),
          says=both(['{"age": "seven"}', "I do not know."])),
    Scene(name="json-or-tool", body=user(GO, tools=[WEATHER], response_format=BY_SCHEMA),
          says={"cookies": [taught("Paris")], "keys": [native("Paris")]}),
    Scene(name="json-with-a-schema-that-is-none",
          body=user("hi", response_format={"type": "json_schema", "json_schema": {
              "name": "x", "schema": {"type": "nonsense"}}})),
]  # fmt: skip

ENDS = [
    Scene(name="stop-word", body=user(GO, stop=["never", "€uro", "two END of", "x", "y"]),
          says=both("One two END of it.")),
    Scene(name="stop-word-of-poe", body=user(GO, stop="END"), says=both("One two END of it."),
          ways=KEYS),
    Scene(name="length", body=user("!chunks=1 Go.", max_tokens=3, temperature=0.5, top_p=0.9,
                                   stream_options={"include_usage": True}),
          says=both("one two three four five six seven eight nine ten")),
    Scene(name="length-that-fits", body=user("!chunks=1 Go.", max_completion_tokens=100),
          says=both("one two three")),
]  # fmt: skip

CONTENTS = [
    *(
        Scene(name=name, body=user([{"type": "text", "text": "!chunks=1 What is it?"}, part]))
        for name, part in MEDIA.items()
    ),
    Scene(name="file-by-id",
          body=user([{"type": "file", "file": {"file_id": "file-1"}}])),
    Scene(name="part-of-an-unknown-type",
          body=user([{"type": "text", "text": "hi"}, {"type": "hologram", "hologram": "x"}])),
]  # fmt: skip

PARAMETERS = [
    Scene(name="parameters", body=user(
        "!chunks=1 !say-params", temperature=0, top_p=1, seed=7, user="u", store=False,
        metadata={"a": "b"}, presence_penalty=0.5, logit_bias={"50256": -100}, verbosity="low",
        thinking_budget=1000, n=1, logprobs=False, modalities=["text"], some_field=[1, {"x": None}],
    )),
    # What a bot refuses is learned, so this one is no other scene's.
    Scene(name="parameter-refused",
          body=user("!chunks=1 !say-params", model="Claude-Haiku-4.5", some_field=1, other="x"),
          control={"keys": {"strict": True}}, ways=KEYS),
    Scene(name="parameter-with-a-wrong-value", body=user("hi", thinking_budget="a lot"), ways=KEYS),
]  # fmt: skip

REFUSED = [
    Scene(name="wrong-key", body=user("hi"), headers={"Authorization": "Bearer nonsense"},
          ways=KEYS),
    Scene(name="no-key", method="GET", path="/v1/models", headers={}, ways=KEYS),
    Scene(name="unknown-path", path="/v1/nothing/here", body=b"{}", ways=KEYS),
    Scene(name="another-api", path="/v1/realtime", body=b"{}", ways=KEYS),
    Scene(name="wrong-method", method="DELETE", ways=KEYS),
    Scene(name="not-json", body=b'{"model": "gpt-4", ', ways=KEYS),
    Scene(name="not-an-object", body=b"[1]", ways=KEYS),
    Scene(name="no-model", body={"messages": []}, ways=KEYS),
    Scene(name="no-messages", body={"model": BOT}, ways=KEYS),
    Scene(name="request-of-the-responses-api", body={"model": BOT, "input": "hi"}, ways=KEYS),
    Scene(name="message-without-a-role", body={"model": BOT, "messages": [{"content": "hi"}]},
          ways=KEYS),
    Scene(name="several-answers", body=user("hi", n=2), ways=KEYS),
    Scene(name="probabilities", body=user("hi", logprobs=True), ways=KEYS),
    Scene(name="temperature-too-high", body=user("hi", temperature=3), ways=KEYS),
    Scene(name="tools-that-are-none", body=user("hi", tools=[{"type": "function"}]), ways=KEYS),
    Scene(name="tool-with-a-wrong-schema",
          body=user(GO, tools=[WEATHER, {"type": "function", "function": {
              "name": "f", "parameters": {"type": "nonsense"}}}]),
          says=both("Hello. There.")),
    Scene(name="function-with-a-wrong-schema",
          body=user(GO, functions=[{"name": "f", "parameters": {"type": "nonsense"}}]),
          says=both("Hello. There.")),
    Scene(name="tool-choice-of-an-unknown-tool",
          body=user("hi", tools=[WEATHER], tool_choice=function("other")), streams=(False,)),
    Scene(name="tool-choice-without-tools", body=user("hi", tool_choice="required"),
          streams=(False,)),
]  # fmt: skip

FAILURES = [
    Scene(name="unknown-bot", body=user("hi", model="No-Such-Bot-At-All")),
    Scene(name="too-long", body=user("word " * 600, model="Sim-Short-Memory"), ways=KEYS),
    Scene(name="too-long-without-files", body=user("word " * 600, model="Sim-Short-Text-Only"),
          ways=COOKIES),
    Scene(name="too-long-as-a-file", body=user("word " * 600, model="Sim-Short-Memory"),
          ways=COOKIES, says=both("Hello")),
    Scene(name="moderated", body=user("!http=403 hi"), ways=KEYS),
    Scene(name="not-allowed", body=user("hi", model="Sim-Private")),
    Scene(name="refused", body=user("!status=some_refusal !status-text=Not_today. hi"),
          ways=COOKIES),
    Scene(name="vendor-failed", body=user("!http=500 !nested-error hi"), ways=KEYS),
    Scene(name="failed-at-once",
          body=user("!state=error_of_some_kind !state-text=It_broke. !empty hi"), ways=COOKIES),
    Scene(name="overloaded", body=user("!http=529 !retry-after=7 hi"),
          instead={"cookies": user("!status=bot_unavailable hi")}),
    Scene(name="failed-in-the-middle",
          body=user("!chunks=5 !error-after=3 !echo some words before the end"),
          instead={"cookies": user("!state=error_of_some_kind !chunks=1 !echo some words")}),
    Scene(name="failed-in-the-middle-as-text",
          body=user("!chunks=5 !error-after=3 !echo some words before the end"),
          instead={"cookies": user("!state=error_of_some_kind !chunks=1 !echo some words")},
          settings=AS_TEXT),
    Scene(name="silent-in-the-middle",
          body=user("!hang !chunks=2 !echo some words and then no more"), streams=(True,),
          # Its message names the seconds; no other scene is to end because of them.
          settings={**AS_TEXT, "TIMEOUT": "4"}),
    Scene(name="cancelled-by-poe", body=user(f"{TWO} !cancelled !echo some words"), ways=COOKIES),
    Scene(name="cut-off", body=user("!chunks=5 !cut=3 !echo some words before the end"), ways=KEYS),
    Scene(name="ended-without-an-end",
          body=user("!chunks=5 !silent-end=3 !echo some words before the end"), ways=KEYS),
    Scene(name="broken-json", body=user("!chunks=5 !broken-json=3 !echo some words before the end"),
          ways=KEYS),
    Scene(name="page-instead-of-an-answer", body=user("!html-502 hi"), ways=KEYS),
    # A second one would be told of the rest that is left.
    Scene(name="challenge", body=user("!challenge hi"), alone=True, ways=COOKIES, streams=(False,),
          settings=IMPATIENT),
    Scene(name="no-points", body=user("!http=402 hi"), alone=True, settings=IMPATIENT,
          instead={"cookies": user("!status=reached_limit hi")}),
    Scene(name="limited", body=user("!http=429 !retry-after=3600 hi"), alone=True,
          settings=IMPATIENT),
    Scene(name="login-refused", body=user("hi"), alone=True, settings=IMPATIENT,
          control={"cookies": {"log_out": True}, "keys": {"keys_rejected": ["key-1"]}}),
    Scene(name="unreachable", body=user("hi"),
          settings={**IMPATIENT, "POE_WEB_URL": "http://127.0.0.1:9",
                    "POE_API_URL": "http://127.0.0.1:9"}),
]  # fmt: skip

RESPONSE = "/v1/responses"
FLAT = {"type": "function", **WEATHER["function"]}
CLOSE = {"type": "namespace", "name": "agents", "tools": [{**FLAT, "name": "close"}]}
PATCH = {"type": "custom", "name": "patch", "description": "Edits.", "format": {"type": "text"}}


def item(prompt: str, *items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request of the Responses API that ends with this prompt."""
    return {"model": BOT, "input": [*items, {"role": "user", "content": prompt}], **fields}


RESPONSES = [
    Scene(name="response", path=RESPONSE, says=both(WORDS),
          body=item(GO, instructions="Be brief.", metadata={"a": "b"})),
    Scene(name="response-after-calls", path=RESPONSE,
          body=item(GO, {"type": "reasoning", "id": "r", "summary": []},
                    {"type": "function_call", "call_id": "call_1", "name": "close",
                     "namespace": "agents", "arguments": '{"city": "Rome"}'},
                    {"type": "custom_tool_call", "call_id": "call_2", "name": "patch",
                     "input": "+x"},
                    {"type": "custom_tool_call_output", "call_id": "call_2", "output": "ok"},
                    {"type": "function_call_output", "call_id": "call_1", "output": "closed"},
                    tools=[CLOSE, PATCH, {"type": "web_search"}]),
          says={"cookies": [taught("Rome", name="agents__close", text="I close it.\n")],
                "keys": [native("Rome", name="agents__close", text="I close it.")]}),
    Scene(name="response-that-calls-by-a-text", path=RESPONSE, body=item(GO, tools=[PATCH]),
          says={"cookies": [taught("+x", name="patch", key="input")],
                "keys": [{"calls": [{"name": "patch", "arguments": {"input": "+x"}}]}]}),
    Scene(name="response-that-breaks-off", path=RESPONSE,
          body=item("!error-after=2 !echo one two three four"),
          instead={"cookies": item("!state=error_x !chunks=1 !echo one two")}),
    Scene(name="response-that-is-refused", path=RESPONSE, ways=KEYS, streams=(False,),
          body=item("hi", tools=[{"type": "mcp"}])),
]  # fmt: skip

OTHER_ROUTES = [
    Scene(name="models", method="GET", path="/v1/models"),
    Scene(name="model", method="GET", path="/v1/models/claude-sonnet-4.5"),
    Scene(name="model-that-is-not-listed", method="GET", path="/v1/models/No-Such-Bot"),
    Scene(name="subscription", method="GET", path="/v1/dashboard/billing/subscription",
          ways=("both",), alone=True,
          control={"cookies": {"points": {"cookie-1": 4200}},
                   "keys": {"points": {"key-1": 55000}}}),
    Scene(name="billing-usage", method="GET", path="/dashboard/billing/usage/", ways=KEYS),
    Scene(name="health", method="GET", path="/health", headers={}, ways=KEYS),
    # What is on the page changes with each word of it, and has tests of its own.
    Scene(name="hello", method="HEAD", path="/", headers={}, ways=KEYS),
    Scene(name="preflight", method="OPTIONS", ways=KEYS, headers={
        "Origin": "https://chat.test", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os"}),
    Scene(name="preflight-of-nothing", method="OPTIONS", path="/v1/nothing", ways=KEYS,
          headers={"Access-Control-Request-Headers": "a\"b", "x-api-key": KEY}),
]  # fmt: skip

SCENES = [
    *TEXT, *REASONING, *TOOLS, *JSON, *ENDS, *CONTENTS, *PARAMETERS, *REFUSED, *FAILURES,
    *RESPONSES, *OTHER_ROUTES,
]  # fmt: skip
