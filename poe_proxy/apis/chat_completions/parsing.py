"""What a client sends as a `ChatRequest`, or an `InvalidRequest` that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeVar, cast, get_args

import orjson

from poe_proxy.chat import (
    ChatRequest,
    ContentPart,
    FilePart,
    ImagePart,
    Message,
    Role,
    TextPart,
    ToolCall,
)
from poe_proxy.errors import InvalidRequest

_ROLES: Final = get_args(Role)

#: Fields that end up in a `ChatRequest`, or mean nothing once they are checked.
_NAMED: Final = frozenset(
    {
        "model", "messages", "stream", "stream_options", "n", "temperature", "top_p",
        "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice",
        "parallel_tool_calls", "response_format", "reasoning_effort", "logprobs", "top_logprobs",
        "modalities", "functions", "function_call",
    }
)  # fmt: skip

#: Brackets with which a JSON text can be deeper than orjson writes.
_MAY_BE_TOO_DEEP: Final = 200

#: Stop words, and characters in all of them: each is looked for at each word of the answer.
_STOPS_AT_MOST: Final = 64
_STOP_LENGTH_AT_MOST: Final = 1000

T = TypeVar("T")


def chat_request(body: bytes) -> ChatRequest:
    """Return the request that *body*, a chat-completions JSON text, asks for.

    Fields that are unknown here are kept in `extra`: they may be parameters of the bot.

    Raises `InvalidRequest`, its `param` the path of the field.
    """
    data = _json_object(body)
    model = _field(data, "model", str)
    if model is None or not model.strip():
        _refuse("model", 'Name the model to ask, for example "Claude-Sonnet-4.5".', missing=True)
    if "messages" not in data and "input" in data:
        _refuse(
            "messages",
            "This looks like a request of the Responses API (it has 'input'). "
            'Chat completions take \'messages\': [{"role": "user", "content": "..."}].',
            missing=True,
        )
    messages = _messages(data)
    _refuse_what_would_be_a_lie(data)
    options = _field(data, "stream_options", dict) or {}
    functions = _functions(data)
    function_choice = _function_choice(data, functions)
    tools, tool_choice = (
        (functions, function_choice)
        if functions
        else _tool_choice(data.get("tool_choice"), _tools(data))
    )
    return ChatRequest(
        model=model.strip(),
        messages=messages,
        stream=_field(data, "stream", bool) or False,
        include_usage=_field(options, "include_usage", bool, "stream_options.") or False,
        temperature=_number(data, "temperature", 0, 2),
        top_p=_number(data, "top_p", 0, 1),
        max_tokens=_max_tokens(data),
        stop=_stop(data),
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=False if functions else _field(data, "parallel_tool_calls", bool),
        legacy_functions=bool(functions),
        response_format=_response_format(data),
        reasoning_effort=_field(data, "reasoning_effort", str),
        extra={
            name: value for name, value in data.items() if name not in _NAMED and value is not None
        },
    )


def _refuse(param: str, message: str, *, missing: bool = False) -> NoReturn:
    raise InvalidRequest(
        message, param=param, code="missing_required_parameter" if missing else None
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as bad:
        where = f"line {bad.lineno}, column {bad.colno}" if body else "the body is empty"
        _refuse("body", f"The body is not JSON ({where}).")
    if not isinstance(data, dict):
        _refuse("body", "The body must be a JSON object.")
    if body.count(b"[") + body.count(b"{") > _MAY_BE_TOO_DEEP:
        try:
            # It reads deeper than it writes, and much of this is written again for Poe.
            orjson.dumps(data)
        except TypeError:
            _refuse("body", "The body is nested too deeply.")
    return data


_KIND_NAMES: Final[Mapping[type, str]] = {
    str: "a string", bool: "true or false", int: "an integer", dict: "an object", list: "a list",
}  # fmt: skip


def _field(data: Mapping[str, Any], name: str, kind: type[T], path: str = "") -> T | None:
    """Return the value of *name*, None where it is absent or null; refuse another type."""
    value = data.get(name)
    if value is None:
        return None
    # To Python true is an integer; to a client it is a mistake.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        _refuse(path + name, f"{path}{name} must be {_KIND_NAMES[kind]}.")
    return value


def _number(data: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        _refuse(name, f"{name} must be a number from {low} to {high}.")
    return value


def _max_tokens(data: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = _field(data, name, int)
        if value is not None:
            if value < 1:
                _refuse(name, f"{name} must be at least 1.")
            return value
    return None


def _stop(data: Mapping[str, Any]) -> tuple[str, ...]:
    value = data.get("stop")
    words = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        _refuse("stop", "stop must be a string or a list of strings.")
    if len(words) > _STOPS_AT_MOST or sum(map(len, words)) > _STOP_LENGTH_AT_MOST:
        _refuse(
            "stop",
            f"stop must be {_STOPS_AT_MOST} strings at most, "
            f"of {_STOP_LENGTH_AT_MOST} characters together.",
        )
    return tuple(word for word in words if word)


def _refuse_what_would_be_a_lie(data: Mapping[str, Any]) -> None:
    n = _field(data, "n", int)
    if n not in (None, 1):
        _refuse("n", "n must be 1: Poe gives one answer to a request.")
    if _field(data, "logprobs", bool) or data.get("top_logprobs"):
        name = "logprobs" if data.get("logprobs") else "top_logprobs"
        _refuse(name, "Poe gives no log probabilities.")
    if "audio" in (_field(data, "modalities", list) or ()):
        _refuse("modalities", "Poe gives no sound within an answer; voice bots answer with a link.")


def _tools(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    tools = _field(data, "tools", list) or []
    for place, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type", "function") != "function":
            _refuse(
                f"tools[{place}]",
                f'tools[{place}] must be {{"type": "function", "function": {{...}}}}.',
            )
        _check_function(function, f"tools[{place}].function")
    return tuple(tools)


def _check_function(function: Mapping[str, Any], path: str) -> None:
    if not isinstance(function.get("name"), str) or not function["name"]:
        _refuse(f"{path}.name", f"{path}.name must be a string.")
    if not isinstance(function.get("parameters") or {}, dict):
        _refuse(f"{path}.parameters", f"{path}.parameters must be a JSON schema.")


def _functions(data: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The form that `tools` had before, as tools."""
    functions = _field(data, "functions", list) or []
    if functions and data.get("tools"):
        _refuse("functions", "functions is the older form of tools; send only one of them.")
    for place, function in enumerate(functions):
        if not isinstance(function, dict):
            _refuse(f"functions[{place}]", f"functions[{place}] must be an object with a name.")
        _check_function(function, f"functions[{place}]")
    return tuple({"type": "function", "function": function} for function in functions)


def _function_choice(
    data: Mapping[str, Any], functions: tuple[Mapping[str, Any], ...]
) -> str | Mapping[str, Any] | None:
    choice = data.get("function_call")
    match choice:
        case None | "none" | "auto":
            return choice
        case {"name": str(name)}:
            if name not in [tool["function"]["name"] for tool in functions]:
                _refuse("function_call", "function_call names a function that is not in functions.")
            return {"type": "function", "function": {"name": name}}
    _refuse("function_call", 'function_call must be "none", "auto" or {"name": "..."}.')


def _tool_choice(
    choice: Any, tools: tuple[Mapping[str, Any], ...]
) -> tuple[tuple[Mapping[str, Any], ...], str | Mapping[str, Any] | None]:
    """Return those of *tools* that may be called, and whether one must be."""
    match choice:
        case None | "none" | "auto":
            return tools, choice
        case "required":
            if not tools:
                _refuse("tool_choice", "tool_choice wants a call, and there is no tool to call.")
            return tools, choice
        case {"type": "function", "function": {"name": str()}}:
            _named([choice], tools)
            return tools, cast("Mapping[str, Any]", choice)
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*allowed]},
        }:
            # Few bots know this form. To say it in the others comes to the same.
            return _tool_choice(mode, _named(allowed, tools))
        case {"type": str(kind)} if kind != "function":
            return tools, cast("Mapping[str, Any]", choice)
    _refuse(
        "tool_choice",
        'tool_choice must be "none", "auto", "required" or '
        '{"type": "function", "function": {"name": "..."}}.',
    )


def _named(
    chosen: list[Any], tools: tuple[Mapping[str, Any], ...]
) -> tuple[Mapping[str, Any], ...]:
    """Those of *tools* that *chosen* names."""
    named = {tool["function"]["name"]: tool for tool in tools}
    found = []
    for one in chosen:
        match one:
            case {"type": "function", "function": {"name": str(name)}} if name in named:
                found.append(name)
            case _:
                _refuse("tool_choice", "tool_choice names a function that is not in tools.")
    return tuple(tool for name, tool in named.items() if name in found)


def _response_format(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = _field(data, "response_format", dict)
    match wanted:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"} | {"type": "json_schema", "json_schema": {"schema": {}}}:
            return wanted
        case {"type": "json_schema"}:
            _refuse(
                "response_format.json_schema",
                "response_format.json_schema must be an object with a schema.",
            )
    _refuse(
        "response_format.type",
        'response_format.type must be "text", "json_object" or "json_schema".',
    )


def _messages(data: Mapping[str, Any]) -> tuple[Message, ...]:
    given = _field(data, "messages", list)
    if not given:
        _refuse(
            "messages",
            'messages must hold at least one message: [{"role": "user", "content": "..."}].',
            missing=given is None,
        )
    messages = tuple(_message(one, place) for place, one in enumerate(given))
    if not any(one.content or one.tool_calls for one in messages):
        _refuse("messages", "messages must hold something to say: every content is empty.")
    return messages


def _message(given: Any, place: int) -> Message:
    path = f"messages[{place}]"
    if not isinstance(given, dict):
        _refuse(path, f"{path} must be an object with a role and a content.")
    role = _field(given, "role", str, f"{path}.")
    if role not in _ROLES:
        _refuse(f"{path}.role", f"{path}.role must be one of {', '.join(_ROLES)}.")
    calls = _field(given, "tool_calls", list, f"{path}.") or []
    return Message(
        role=cast("Role", role),
        content=_content(given.get("content"), f"{path}.content"),
        name=_field(given, "name", str, f"{path}."),
        tool_calls=(
            *(_tool_call(call, f"{path}.tool_calls[{place}]") for place, call in enumerate(calls)),
            *_function_call(given.get("function_call"), place),
        ),
        tool_call_id=_field(given, "tool_call_id", str, f"{path}."),
    )


def _tool_call(given: Any, path: str) -> ToolCall:
    match given:
        case {"id": str(id), "function": {"name": str(name), "arguments": str(arguments)}}:
            extra = {
                key: value for key, value in given.items() if key not in {"id", "type", "function"}
            }
            return ToolCall(id, name, arguments, extra)
    _refuse(
        path,
        f'{path} must be {{"id": "...", "type": "function", '
        '"function": {"name": "...", "arguments": "a JSON text"}}.',
    )


def _function_call(given: Any, place: int) -> tuple[ToolCall, ...]:
    """The call of a message in the older form. It has no id, so its place serves as one."""
    match given:
        case None:
            return ()
        case {"name": str(name), "arguments": str(arguments)}:
            return (ToolCall(f"call_{place}", name, arguments),)
    _refuse(
        f"messages[{place}].function_call",
        f'messages[{place}].function_call must be {{"name": "...", "arguments": "a JSON text"}}.',
    )


def _content(given: Any, path: str) -> tuple[ContentPart, ...]:
    match given:
        case None | "":
            return ()
        case str():
            return (TextPart(given),)
        case list():
            return tuple(_part(part, f"{path}[{place}]") for place, part in enumerate(given))
    _refuse(path, f"{path} must be a string or a list of parts.")


def _part(given: Any, path: str) -> ContentPart:
    match given:
        case str():
            return TextPart(given)
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return TextPart(text)
        case {"type": "refusal", "refusal": str(text)}:
            return TextPart(text)
        case {"type": "image_url", "image_url": str(url)}:
            return ImagePart(_address(url, f"{path}.image_url"), path=path)
        case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
            detail = rest.get("detail")
            return ImagePart(
                _address(url, f"{path}.image_url.url"),
                detail if isinstance(detail, str) else None,
                path,
            )
        case {"type": "file", "file": {"file_data": str(data), **rest}}:
            name = rest.get("filename")
            return FilePart(
                _address(data, f"{path}.file.file_data"),
                name if isinstance(name, str) else None,
                path,
            )
        case {"type": "file", "file": {"file_id": _}}:
            _refuse(f"{path}.file.file_id", "Files are kept nowhere here; send file.file_data.")
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(kind)}}:
            return FilePart(f"data:audio/{kind};base64,{data}", f"audio.{kind}", path)
        case {"type": str(kind)}:
            _refuse(
                path,
                f"{path} is of a type that is not served, or is incomplete: {kind[:40]!r}. "
                "Parts are text, image_url, file and input_audio.",
            )
    _refuse(path, f'{path} must be a part such as {{"type": "text", "text": "..."}}.')


def _address(url: str, path: str) -> str:
    # Schemes are case-insensitive (RFC 3986, 3.1); not all who read them afterwards know that.
    scheme, _, rest = url.partition(":")
    address = f"{scheme.lower()}:{rest}"
    if not address.startswith(("https://", "http://", "data:")):
        _refuse(path, f"{path} must be an https URL or a data URI.")
    return address
