"""Tools and the choice among them, in every form in which clients write them.

Functions of OpenAI's chat completions (`function` beside `type`) and of its Responses API (flat),
its `custom` tools in both forms, and the tools of Anthropic's Messages API (`input_schema`). A tool
of another type is one that its maker's servers carry out, such as `web_search`: nobody here can.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from poe_proxy.apis.fields import field, limit_items, limit_length, limit_number, refusal
from poe_proxy.budget import Budget
from poe_proxy.chat import Tool, ToolChoice

log = logging.getLogger(__name__)

#: The most tools of a request, and characters in the name of one.
MAX_TOOLS: Final = 1_000
MAX_NAME: Final = 300
#: The most characters of the grammar of a custom tool; a longer one is not told to the bot.
MAX_GRAMMAR: Final = 20_000

#: What of a flat tool goes on beside its definition. The rest steers servers of its maker.
_BESIDE: Final = ("cache_control",)
#: The arguments of a custom tool, as bots see them. Its client sees the text alone.
_CUSTOM: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def tools(
    lists: Iterable[tuple[str, list[Any]]], budget: Budget, *, strict: bool = False
) -> tuple[Tool, ...]:
    """Return the tools of all *lists*, each with its path. Those that nobody here can carry out are
    left out, or refused if *strict*; one that is incomplete is refused by its path."""
    found: list[Tool] = []
    left_out: list[str] = []
    for path, given in lists:
        limit_items(given, MAX_TOOLS, path)
        for place, one in enumerate(given):
            budget.breathe()
            read = tool(one, f"{path}[{place}]")
            if isinstance(read, Tool):
                found.append(read)
            elif strict:
                what = f"Nobody here can carry out a {read[:40]!r} tool."
                raise refusal(f"{path}[{place}]", what)
            else:
                left_out.append(read)
            limit_number(len(found) + len(left_out), MAX_TOOLS, "tools")
    note_left_out(left_out)
    return tuple(found)


def note_left_out(kinds: Sequence[str], level: int = logging.INFO) -> None:
    """Log, in one line, of which *kinds* the tools were that nobody here can carry out."""
    if kinds:
        shown = ", ".join(dict.fromkeys(kind[:40] for kind in kinds[:10]))
        log.log(level, "left out %d tools that nobody here can carry out: %s", len(kinds), shown)


def tool(given: Any, path: str) -> Tool | str:
    """Return the tool at *path*, or the type of one that nobody here can carry out; refuse one that
    is incomplete."""
    match given:
        case {"function": dict(function)} if given.get("type") in (None, "function"):
            beside = {key: one for key, one in given.items() if key not in ("type", "function")}
            return function_tool(function, f"{path}.function", beside)
        case {"type": "custom", "custom": dict(custom)}:
            return _custom(custom, f"{path}.custom")
        case {"name": str(), "input_schema": _} if given.get("type") in (None, "custom"):
            return _flat(given, "input_schema", path)
        case {"type": "custom", "name": str()}:
            return _custom(given, path)
        case {"type": "function", "name": _}:
            return _flat(given, "parameters", path)
        case {"name": str()} if given.get("type") is None:
            return _flat(given, "parameters", path)
        case {"type": str(kind)} if kind not in ("", "function", "custom"):
            return kind
    raise refusal(path, f'{path} must be {{"type": "function", "function": {{...}}}}.')


def function_tool(
    given: Mapping[str, Any], path: str, beside: Mapping[str, Any] | None = None
) -> Tool:
    """Return the tool of a function's definition; what has no name here is kept as it came."""
    extra = {
        key: value
        for key, value in given.items()
        if key not in ("name", "description", "parameters")
    }
    return _defined(given, "parameters", path, extra, beside or {})


def _flat(given: Mapping[str, Any], schema: str, path: str) -> Tool:
    strict = {"strict": given["strict"]} if given.get("strict") is not None else {}
    beside = {name: given[name] for name in _BESIDE if given.get(name) is not None}
    return _defined(given, schema, path, strict, beside)


def _defined(
    given: Mapping[str, Any],
    schema_name: str,
    path: str,
    extra: Mapping[str, Any],
    beside: Mapping[str, Any],
) -> Tool:
    schema = given.get(schema_name)
    if not isinstance(schema or {}, dict):
        raise refusal(f"{path}.{schema_name}", f"{path}.{schema_name} must be a JSON schema.")
    return Tool(
        name=_name(given, path),
        description=field(given, "description", str, f"{path}."),
        schema=schema if isinstance(schema, dict) else None,
        path=f"{path}.{schema_name}",
        extra=extra,
        beside=beside,
    )


def _name(given: Mapping[str, Any], path: str) -> str:
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise refusal(f"{path}.name", f"{path}.name must be a string.")
    limit_length(name, MAX_NAME, f"{path}.name")
    return name


# ---- custom tools: bots know functions, so each is a function with one argument


def _custom(given: Mapping[str, Any], path: str) -> Tool:
    description = field(given, "description", str, f"{path}.")
    lines = [description] if description else []
    match given.get("format"):
        case {"type": "grammar", "grammar": {"syntax": syntax, "definition": str(grammar)}}:
            lines.append(_told(syntax, grammar))
        case {"type": "grammar", "syntax": syntax, "definition": str(grammar)}:
            lines.append(_told(syntax, grammar))
        case _:
            lines.append("The argument `input` is free text.")
    return Tool(
        name=_name(given, path),
        description="\n\n".join(lines),
        schema=_CUSTOM,
        path=path,
        is_custom=True,
    )


def _told(syntax: Any, grammar: str) -> str:
    kind = "regular expression" if syntax == "regex" else "Lark grammar"
    if len(grammar) > MAX_GRAMMAR:
        return f"The argument `input` is text in the form of a {kind}, too long to be shown."
    return f"The argument `input` is text that fits this {kind}:\n\n{grammar}"


# ---- the choice


def choice(given: Any, known: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """Return which of the tools *known* may be called, and whether one must be.

    Raises `InvalidRequest` for a choice that cannot be kept.
    """
    match given:
        case None:
            return known, None
        case "none" | "auto":
            return known, ToolChoice(mode=given)
        case "required" | "any":
            if not known:
                raise refusal(
                    "tool_choice", "tool_choice requires a call, but there is no tool to call."
                )
            return known, ToolChoice(mode="required")
        case {"type": "none" | "auto" | "required" | "any" as mode}:
            return choice(mode, known)
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*allowed]},
        } | {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": [*allowed]}:
            # Few bots know this form; the other forms can say the same.
            return choice(mode, _named(allowed, known))
        case {"type": "function" | "custom" | "tool"}:
            (one,) = _named([given], known)
            return known, ToolChoice(mode="required", name=one.name)
    raise refusal(
        "tool_choice",
        'tool_choice must be "none", "auto", "required" or '
        '{"type": "function", "function": {"name": "..."}}.',
    )


def allows_several(given: Any, otherwise: bool | None) -> bool | None:
    """Return whether several calls may be made: False where the choice forbids it, as Anthropic's
    can, and else what was said *otherwise*."""
    match given:
        case {"disable_parallel_tool_use": True}:
            return False
    return otherwise


def _named(chosen: Iterable[Any], known: Sequence[Tool]) -> tuple[Tool, ...]:
    """Return those tools *known* that *chosen* names."""
    names = {one.name for one in known}
    found = set()
    for one in chosen:
        match one:
            case (
                {"type": "function", "function": {"name": str(name)}}
                | {"type": "custom", "custom": {"name": str(name)}}
                | {"type": "function" | "custom" | "tool", "name": str(name)}
            ) if name in names:
                found.add(name)
            case _:
                raise refusal("tool_choice", "tool_choice names a function that is not in tools.")
    # Of two with the same name the later one counts.
    return tuple({one.name: one for one in known if one.name in found}.values())
