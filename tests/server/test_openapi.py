"""openapi.json says what the routes do: no more, no less."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from werkzeug.test import TestResponse

from poe_proxy import errors
from poe_proxy.apis.chat_completions.parsing import chat_request
from poe_proxy.apis.responses.parsing import request as response_request
from poe_proxy.chat import Done, Reasoning, Refusal, Text, ToolCallPart, Usage
from poe_proxy.errors import NoPointsLeft, PoeProxyError, TokenLimited
from poe_proxy.server import routes
from poe_proxy.server.failures import error_response
from poe_proxy.server.hooks import OWN

from ..apis.chat_completions.test_parsing import WRONG
from ..fakes import Step
from .site import COMPLETIONS, HELLO, Site, lines

PACKAGE = Path(routes.__file__).parents[1]
DOCUMENT: dict[str, Any] = orjson.loads((PACKAGE / "server/pages/openapi.json").read_bytes())
COMPONENTS: dict[str, Any] = DOCUMENT["components"]
REGISTRY = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(DOCUMENT))


def at(pointer: str) -> Draft202012Validator:
    """What checks values against the schema at this place of the document."""
    return Draft202012Validator({"$ref": f"urn:openapi#{pointer}"}, registry=REGISTRY)


def resolved(given: dict[str, Any]) -> dict[str, Any]:
    """What a component's reference stands for."""
    while "$ref" in given:
        _, _, kind, name = given["$ref"].split("/")
        given = COMPONENTS[kind][name]
    return given


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of all that is described."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in resolved(item).items():
            if method != "parameters":
                yield method.upper(), path, operation


def failures(base: type[PoeProxyError]) -> Iterator[type[PoeProxyError]]:
    """The failures of errors.py that are raised."""
    for failure in base.__subclasses__():
        if failure.__module__ == errors.__name__:
            yield failure
            yield from failures(failure)


# ---- the document


def test_it_is_openapi() -> None:
    """The document is an OpenAPI 3.1 description by the specification's own schema."""
    assert [] == list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())
    for schema in COMPONENTS["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_is_served_as_it_is() -> None:
    """GET /openapi.json needs no key, can be read by any page, and is the document."""
    answer = Site().get("/openapi.json", headers={})

    assert (200, "application/json") == (answer.status_code, answer.content_type)
    assert "*" == answer.headers["Access-Control-Allow-Origin"]
    assert DOCUMENT == answer.get_json()


def test_it_is_of_this_version() -> None:
    """The description has the version of the package."""
    pyproject = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))

    assert pyproject["project"]["version"] == DOCUMENT["info"]["version"]


# ---- routes

#: What is for whoever runs the server, and no part of the API.
FOR_THE_OWNER = {"/metrics"}


def test_every_route_is_described_and_no_other() -> None:
    """Paths and methods are those of the app, one for one."""
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in Site().client.application.url_map.iter_rules()
        if not rule.endpoint.startswith(("static", OWN)) and rule.rule not in FOR_THE_OWNER
        for method in rule.methods or ()
    }

    assert served == {(method, path) for method, path, _ in operations()}


def test_what_needs_a_key_is_told() -> None:
    """Exactly the operations that answer 401 without a key are described to need one."""
    for method, path, operation in operations():
        status = Site().open(path, method=method, headers={}).status_code

        assert (status == 401) == ("401" in operation["responses"])
        assert (status == 401) == (operation.get("security") != [])


@pytest.mark.parametrize("scheme", DOCUMENT["security"], ids=str)
def test_each_way_to_send_the_key_works(scheme: dict[str, list[str]]) -> None:
    """A key in the place that a security scheme names opens the door."""
    (name,) = scheme
    match COMPONENTS["securitySchemes"][name]:
        case {"type": "http", "scheme": "bearer"}:
            headers = {"Authorization": "Bearer sk-test"}
        case {"type": "apiKey", "in": "header", "name": header}:
            headers = {header: "sk-test"}

    assert 200 == Site().get("/v1/models", headers=headers).status_code


# ---- errors


def told_in(response: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The types and codes of a response that is an error, both empty for another one."""
    match response:
        case {"content": {"application/json": {"schema": {"properties": {"error": error}}}}}:
            of_type, of_code = error["properties"]["type"], error["properties"]["code"]
            return of_type.get("enum") or [of_type["const"]], of_code["enum"]
    return [], []


def described_errors() -> set[tuple[str, str, str]]:
    """Status, type and code of each error of the document, as far as they belong together."""
    statuses = {"RouteNotFound": "404", "MethodNotAllowed": "405"}  # of no described operation
    for _, _, operation in operations():
        statuses |= {
            response["$ref"].rpartition("/")[2]: status
            for status, response in operation["responses"].items()
            if "$ref" in response
        }
    return {
        (status, type, code)
        for name, status in statuses.items()
        for types, codes in [told_in(COMPONENTS["responses"][name])]
        for type in types
        for code in codes
    }


def test_every_error_is_described_and_no_other() -> None:
    """Each status with its type and code that a client can meet is told, and none besides."""
    raised = {
        (str(one.status), one.type, str(one.code))
        for one in failures(PoeProxyError)
        if one is not errors.UpstreamError
    }
    written = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    # Anthropic's API has this one alone, in its own form.
    thread = COMPONENTS["schemas"]["AnthropicError"]["properties"]["error"]["properties"]["details"]
    by_hand = set(re.findall(r'code="(\w+)"', written)) - {
        thread["properties"]["error_code"]["const"]
    }
    told = described_errors()

    assert set() == raised - told
    assert {code for _, _, code in told} == by_hand | {
        "missing_required_parameter",
        *(code for _, _, code in raised),
    }
    assert {status for status, _, _ in told} == {status for status, _, _ in raised}


@pytest.mark.parametrize(
    "failure",
    [one for one in failures(PoeProxyError) if one is not errors.UpstreamError],
    ids=lambda one: one.__name__,
)
def test_every_failure_is_rendered_as_described(failure: type[PoeProxyError]) -> None:
    """The error object of each failure fits the response that is described for its status."""
    (described,) = (
        name for name, one in COMPONENTS["responses"].items() if failure.code in told_in(one)[1]
    )
    with Site().client.application.test_request_context():
        body = orjson.loads(error_response(failure("It failed.")).data)

    at(f"/components/responses/{described}/content/application~1json/schema").validate(body)


# ---- requests


def _names(node: ast.AST) -> Iterator[str]:
    for below in ast.walk(node):
        match below:
            case ast.Call(
                func=ast.Name(id="field" | "flag" | "number" | "whole"),
                args=[ast.Name(id="data"), ast.Constant(value=str(name)), *_],
            ):
                yield name
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="data"), attr="get"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def test_the_fields_that_the_parser_knows_are_described() -> None:
    """Each field that the room looks at is in the schema, and the schema has no other."""
    room = PACKAGE / "apis/chat_completions"
    source = ast.parse((room / "parsing.py").read_text("utf-8"))
    (named,) = (
        ast.literal_eval(node.value.args[0])
        for node in source.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "_NAMED"
        and isinstance(node.value, ast.Call)
    )
    looked_at = {
        *(
            name
            for file in room.glob("*.py")
            for name in _names(ast.parse(file.read_text("utf-8")))
        ),
        "max_tokens",
        "max_completion_tokens",
    }

    assert looked_at <= named
    assert named == COMPONENTS["schemas"]["ChatRequest"]["properties"].keys()


USER = HELLO["messages"][0]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM = {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}}
ALLOWED: dict[str, Any] = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
}
BASE64 = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
PIXEL = "data:image/png;base64,AAAA"


def parts(*given: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(given)}]}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"anything": {"else": [1, None]}},
        dict.fromkeys(
            (
                "stream", "stream_options", "n", "temperature", "top_p", "max_tokens",
                "max_completion_tokens", "stop", "tools", "tool_choice", "parallel_tool_calls",
                "response_format", "reasoning_effort", "logprobs", "top_logprobs", "functions",
                "function_call",
            )
        ),
        {"n": 1, "logprobs": False, "top_logprobs": 0, "functions": []},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"temperature": 2, "top_p": 0.5, "max_tokens": 1, "max_completion_tokens": 9},
        {"stop": "x"},
        {"stop": ["x", "y"]},
        {"tools": [TOOL, {"function": {"name": "g"}}], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [TOOL], "tool_choice": "any"},
        {"tools": [TOOL], "tool_choice": ALLOWED},
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", **ALLOWED["allowed_tools"]}},
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
        {"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tools": [{"name": "f", "description": "x", "input_schema": {"type": "object"}}]},
        {"tools": [{"type": "custom", "name": "f", "input_schema": {}}]},
        {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": None}]},
        {"tools": [{"type": "custom", "custom": {"name": "f", "format": {"type": "text"}}}]},
        {
            "tools": [{"type": "custom", "custom": {"name": "f"}}],
            "tool_choice": {"type": "custom", "custom": {"name": "f"}},
        },
        {"tools": [{"type": "web_search"}, {"type": "mcp", "server_url": "x"}]},
        {"logprobs": True, "top_logprobs": 3, "modalities": ["text", "audio"]},
        {"max_tokens": -1, "max_completion_tokens": 0},
        {"system": "x"},
        {"system": [{"type": "text", "text": "x"}]},
        {"functions": [TOOL["function"], {"name": "g"}], "function_call": "auto"},
        {"functions": [TOOL["function"]], "function_call": {"name": "f"}, "tools": []},
        {"function_call": "none"},
        {"messages": [USER, {"role": "assistant", "function_call": CALL["function"]}]},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {"response_format": {"type": "json_schema", "name": "x", "schema": {}, "strict": True}},
        {"response_format": "json_object"},
        {"messages": [{"role": "human", "content": "x"}, {"role": "model", "content": "y"}]},
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [{"function": CALL["function"]}, CUSTOM]},
                {"role": "tool", "content": "x"},
            ]
        },
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]},
            ]
        },
        {"messages": [{"role": "system"}, {"role": "developer", "content": None}, USER]},
        {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}]},
        {"messages": [USER, {"role": "tool", "tool_call_id": "c", "content": "x", "name": "f"}]},
        parts("x", {"type": "text", "text": "x"}, {"type": "refusal", "refusal": "no"}),
        parts({"type": "image_url", "image_url": PIXEL}),
        parts({"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}),
        parts({"type": "file", "file": {"file_data": PIXEL, "filename": "x.png"}}),
        parts({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
        parts({"type": "input_image", "image_url": PIXEL}),
        parts({"type": "input_file", "file_data": PIXEL, "filename": "x.png"}),
        parts({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}),
        parts("x", {"type": "thinking", "thinking": "x", "signature": "y"}),
        parts({"type": "image", "source": {"type": "url", "url": PIXEL}}),
        parts({"type": "document", "source": BASE64, "title": "x"}),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_taken_is_described(fields: dict[str, Any]) -> None:
    """A request that the parser takes fits the schema."""
    request = {**HELLO, **fields}
    chat_request(orjson.dumps(request))

    at("/components/schemas/ChatRequest").validate(request)


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "x"},
        {"input": [USER], "messages": []},
        {"input": [{"type": "message", **USER}], "instructions": "x", "max_output_tokens": 1},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]},
        {
            "input": [
                USER,
                {"type": "reasoning", "id": "r", "summary": []},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
                {"type": "custom_tool_call_output", "call_id": "d", "output": "x"},
            ],
            "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}},
            "reasoning": {"effort": "low"},
        },
    ],
    ids=str,
)
def test_a_request_by_items_is_described(fields: dict[str, Any]) -> None:
    """The other form of a request that the parser takes fits a schema of its own."""
    request = {"model": "gpt-4", **fields}
    chat_request(orjson.dumps(request))

    at("/components/schemas/InputRequest").validate(request)


def test_what_is_refused_is_not_described() -> None:
    """A request that the parser refuses for its form does not fit the schema.

    What does is what no schema can say: fields that do not go together, messages without a word,
    results without a call, and stop words that are too long together.
    """
    schema = at("/components/schemas/ChatRequest")
    fitting = Counter(param for param, fields in WRONG if schema.is_valid({**HELLO, **fields}))

    assert {
        "messages": 2, "stop": 1, "tool_choice": 6, "functions": 1, "function_call": 2,
        "messages[0].tool_call_id": 1, "messages[1].tool_call_id": 1,
    } == fitting  # fmt: skip
    for incomplete in ({"model": None}, {"model": " \n"}, {"messages": None}):
        assert not schema.is_valid({**HELLO, **incomplete})


FLAT = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}
PATCH = {"type": "custom", "name": "g", "format": {"type": "text"}}
AGENTS = {"type": "namespace", "name": "a", "tools": [{**FLAT, "name": "h"}]}


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "x"},
        {"instructions": "x"},
        {"input": [USER, {"type": "message", "role": "assistant", "content": "x"}]},
        {"input": "x", "max_output_tokens": -1, "temperature": 2, "top_p": 0.5, "stream": True},
        {"input": "x", "text": {"format": {"type": "text"}, "verbosity": "low"}},
        {"input": "x", "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}},
        {"input": "x", "reasoning": {"effort": "low", "summary": "auto"}, "metadata": {"a": "b"}},
        {"input": "x", "tools": [FLAT, PATCH, AGENTS, {"type": "web_search"}]},
        {"input": "x", "tools": [FLAT], "tool_choice": {"type": "function", "name": "f"}},
        {"input": "x", "tools": [{"type": "tool_search", "execution": "client"}]},
        {"input": "x", "previous_response_id": None, "background": False, "top_logprobs": 0},
        {"input": "x", "anything": {"else": [1, None]}},
        {
            "input": [
                {"type": "additional_tools", "role": "developer", "tools": [AGENTS]},
                {"type": "tool_search_call", "arguments": {}},
                {"type": "tool_search_output", "tools": [FLAT]},
                {"type": "compaction"},
                {"type": "function_call", "call_id": "c", "name": "h", "namespace": "a",
                 "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
            ]
        },
    ],
    ids=str,
)  # fmt: skip
def test_a_request_of_the_responses_api_is_described(fields: dict[str, Any]) -> None:
    """What the parser takes fits the schema."""
    request = {"model": "m", **fields}
    response_request(orjson.dumps(request))

    at("/components/schemas/ResponsesRequest").validate(request)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": None},
        {"input": "x", "model": None},
        {"input": "x", "max_output_tokens": -2},
        {"input": "x", "previous_response_id": "resp_1"},
        {"input": "x", "background": True},
        {"input": "x", "conversation": "c"},
        {"input": "x", "prompt": {"id": "p"}},
        {"input": "x", "top_logprobs": 2},
        {"input": "x", "tools": [{"type": "mcp"}]},
        {"input": "x", "tools": [{"type": "namespace"}]},
        {"input": [{"type": "item_reference", "id": "x"}]},
    ],
    ids=str,
)
def test_what_the_responses_api_refuses_is_not_described(fields: dict[str, Any]) -> None:
    """Nothing that would need something kept, or someone to carry it out."""
    request = {"model": "m", **fields}

    with pytest.raises(errors.InvalidRequest):
        response_request(orjson.dumps(request))
    assert not at("/components/schemas/ResponsesRequest").is_valid(request)


# ---- answers


def check(answer: TestResponse, method: str, path: str) -> None:
    """An answer is one that the document has for this operation."""
    operation = next(one for *route, one in operations() if route == [method, path])
    response = resolved(operation["responses"][str(answer.status_code)])
    for name, header in response["headers"].items():
        header = resolved(header)
        given = answer.headers.get(name)
        if given is None:
            assert not header.get("required")
        else:
            value = int(given) if header["schema"].get("type") == "integer" else given
            Draft202012Validator(header["schema"]).validate(value)
    if "content" not in response:
        assert b"" == answer.data
        return
    described = response["content"][answer.mimetype]["schema"]
    if answer.mimetype == "application/json":
        Draft202012Validator(
            {"$id": "urn:openapi-answer", **described, "components": COMPONENTS}
        ).validate(answer.get_json())


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [(method, path, "GPT-5.1") for method, path, _ in operations() if method != "POST"]
    + [(method, path, "nobody") for method, path, _ in operations() if "{name}" in path],
)
@pytest.mark.parametrize("headers", [{"x-api-key": "sk-test"}, {}], ids=["key", "no key"])
def test_answers_are_as_described(
    method: str, path: str, name: str, headers: dict[str, str]
) -> None:
    """Status, headers and body are those of the document, for a key and without one."""
    answer = Site().open(path.format(name=name), method=method, headers=headers)

    check(answer, method, path)


#: What a bot does of which an answer tells.
DOINGS: dict[str, tuple[Step, ...]] = {
    "text": (),
    "thought": (Reasoning("Hm."), Text("Hi"), Usage(1, 2, {"x": {}}), Done("length")),
    "tool call": (
        ToolCallPart(0, "c", "f"), ToolCallPart(0, arguments="{}"), Done("tool_calls")
    ),
    "limited": (TokenLimited("Too fast.", retry_after=3.5),),
    "no points": (NoPointsLeft("No points."),),
    "bug": (ZeroDivisionError(),),
}  # fmt: skip


@pytest.mark.parametrize("steps", DOINGS.values(), ids=DOINGS)
def test_completions_are_as_described(steps: tuple[Step, ...]) -> None:
    """A whole answer, and an error in its place, fits the document."""
    check(Site(*steps).post(orjson.dumps(HELLO)), "POST", COMPLETIONS)


@pytest.mark.parametrize("usage", [True, False])
def test_chunks_are_as_described(usage: bool) -> None:
    """The data of each event of a stream is a chunk, and a failure the error object."""
    site = Site(
        Reasoning("Hm."),
        Text("Hi"),
        ToolCallPart(0, "c", "f"),
        ToolCallPart(0, arguments="{}"),
        Usage(1, 2),
        Done("tool_calls"),
    )
    *chunks, end = lines(site.ask(stream=True, stream_options={"include_usage": usage}))
    *_, failure = lines(Site(Text("Hi"), TokenLimited("Too fast.")).ask(stream=True))

    assert "[DONE]" == end
    for chunk in chunks:
        at("/components/schemas/ChatCompletionChunk").validate(orjson.loads(chunk))
    at("/components/schemas/Error").validate(orjson.loads(failure))


RESPONSES = "/v1/responses"


@pytest.mark.parametrize(
    "script",
    [
        (Reasoning("Hm."), Text("Hi"), Usage(1, 2, {"x": {}}), Done("length")),
        (Text("Hi"), Refusal("No."), Done()),
        (ToolCallPart(0, "c", "f", "{}"), ToolCallPart(1, "d", "g", "x"), Done("tool_calls")),
        (TokenLimited("Too fast.", retry_after=3.5),),
        (ZeroDivisionError(),),
    ],
    ids=["text", "refusal", "calls", "limited", "bug"],
)
def test_responses_are_as_described(script: tuple[Step, ...]) -> None:
    """A whole answer, an error in its place, and each event of a stream."""
    body = {"model": "gpt-4", "input": "Hello!", "tools": [FLAT, PATCH]}
    check(Site(*script).post(orjson.dumps(body), RESPONSES), "POST", RESPONSES)

    streamed = Site(*script).post(orjson.dumps({**body, "stream": True}), RESPONSES)
    if streamed.mimetype != "text/event-stream":
        check(streamed, "POST", RESPONSES)
        return
    *frames, end = streamed.data.split(b"\n\n")
    assert b"" == end
    for frame in frames:
        data = frame.partition(b"\ndata: ")[2]
        at("/components/schemas/ResponseEventData").validate(orjson.loads(data))


def test_a_count_is_as_described() -> None:
    """And the refusal in its place."""
    route = "/v1/responses/input_tokens"
    for fields in ({"input": "Hello!"}, {}):
        check(Site().post(orjson.dumps({"model": "gpt-4", **fields}), route), "POST", route)
