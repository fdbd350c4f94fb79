"""The tools of a chat completions request, in today's form and in the older one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from poe_proxy.apis.fields import field, limit_items, limit_length, refusal
from poe_proxy.chat import Tool, ToolChoice

#: The most tools of a request, and characters in the name of one.
MAX_TOOLS: Final = 1_000
MAX_NAME: Final = 300


def tools_and_choice(data: Mapping[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """Return the tools of *data* that may be called, and whether one must be."""
    return _choice(data.get("tool_choice"), _tools(data))


def functions_and_choice(data: Mapping[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """Return the same of the older form: `functions` and `function_call`."""
    functions = _functions(data)
    return functions, _function_choice(data.get("function_call"), functions)


def _tools(data: Mapping[str, Any]) -> tuple[Tool, ...]:
    tools = field(data, "tools", list) or []
    limit_items(tools, MAX_TOOLS, "tools")
    return tuple(_tool(tool, f"tools[{place}]") for place, tool in enumerate(tools))


def _tool(given: Any, path: str) -> Tool:
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict) or given.get("type", "function") != "function":
        raise refusal(path, f'{path} must be {{"type": "function", "function": {{...}}}}.')
    beside = {name: value for name, value in given.items() if name not in ("type", "function")}
    return _function(function, f"{path}.function", beside)


def _functions(data: Mapping[str, Any]) -> tuple[Tool, ...]:
    functions = field(data, "functions", list) or []
    if functions and data.get("tools"):
        raise refusal("functions", "functions is the older form of tools; send only one of them.")
    limit_items(functions, MAX_TOOLS, "functions")
    for place, function in enumerate(functions):
        if not isinstance(function, dict):
            raise refusal(
                f"functions[{place}]", f"functions[{place}] must be an object with a name."
            )
    return tuple(
        _function(function, f"functions[{place}]") for place, function in enumerate(functions)
    )


def _function(given: Mapping[str, Any], path: str, beside: Mapping[str, Any] | None = None) -> Tool:
    name, schema = given.get("name"), given.get("parameters")
    if not isinstance(name, str) or not name:
        raise refusal(f"{path}.name", f"{path}.name must be a string.")
    limit_length(name, MAX_NAME, f"{path}.name")
    if not isinstance(schema or {}, dict):
        raise refusal(f"{path}.parameters", f"{path}.parameters must be a JSON schema.")
    return Tool(
        name=name,
        description=given.get("description"),
        schema=schema if isinstance(schema, dict) else None,
        path=f"{path}.parameters",
        extra={
            key: value
            for key, value in given.items()
            if key not in ("name", "description", "parameters")
        },
        beside=beside or {},
    )


def _function_choice(choice: Any, functions: Sequence[Tool]) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "none" | "auto":
            return ToolChoice(mode=choice, path="function_call")
        case {"name": str(name)}:
            if all(name != function.name for function in functions):
                raise refusal(
                    "function_call", "function_call names a function that is not in functions."
                )
            return ToolChoice(mode="required", name=name, path="function_call")
    raise refusal("function_call", 'function_call must be "none", "auto" or {"name": "..."}.')


def _choice(choice: Any, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    match choice:
        case None:
            return tools, None
        case "none" | "auto":
            return tools, ToolChoice(mode=choice)
        case "required":
            if not tools:
                raise refusal(
                    "tool_choice", "tool_choice requires a call, but there is no tool to call."
                )
            return tools, ToolChoice(mode="required")
        case {"type": "function", "function": {"name": str(name)}}:
            _named([choice], tools)
            return tools, ToolChoice(mode="required", name=name)
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*allowed]},
        }:
            # Few bots know this form; the other forms can say the same.
            return _choice(mode, _named(allowed, tools))
        case {"type": str(kind)} if kind != "function":
            return tools, ToolChoice(mode="other", other=choice)
    raise refusal(
        "tool_choice",
        'tool_choice must be "none", "auto", "required" or '
        '{"type": "function", "function": {"name": "..."}}.',
    )


def _named(chosen: Iterable[Any], tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """Return those of *tools* that *chosen* names."""
    names = {tool.name for tool in tools}
    found = set()
    for one in chosen:
        match one:
            case {"type": "function", "function": {"name": str(name)}} if name in names:
                found.add(name)
            case _:
                raise refusal("tool_choice", "tool_choice names a function that is not in tools.")
    # Of two with the same name the later one counts.
    return tuple({tool.name: tool for tool in tools if tool.name in found}.values())
