"""The older form of tools in a chat completions request: `functions` and `function_call`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from poe_proxy.apis.fields import field, limit_items, refusal
from poe_proxy.apis.tools import MAX_TOOLS, function_tool
from poe_proxy.chat import Tool, ToolChoice


def functions_and_choice(data: Mapping[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """Return the functions of *data*, and whether one must be called; raises `InvalidRequest`."""
    functions = _functions(data)
    return functions, _choice(data.get("function_call"), functions)


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
        function_tool(function, f"functions[{place}]") for place, function in enumerate(functions)
    )


def _choice(choice: Any, functions: Sequence[Tool]) -> ToolChoice | None:
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
