"""The tools of a request, and the choice among them: what of Anthropic's tools a bot can be given.

Types of tools: https://docs.anthropic.com/en/docs/agents-and-tools, and the types of the package
`anthropic` 2.14, as of November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from poe_proxy.apis.fields import field, limit_items, refusal
from poe_proxy.apis.tools import MAX_TOOLS, allows_several, choice, note_left_out, tool
from poe_proxy.budget import Budget
from poe_proxy.chat import Tool, ToolChoice

#: What of a tool a bot is told. The rest steers Anthropic's servers.
_TOLD: Final = ("name", "description", "strict")
#: Tools that servers carry out and that look something up: an answer without them is one, too.
_LOOKS_UP: Final = re.compile(r"web_(?:search|fetch)_\w{1,50}")
#: Tools that find other tools: here all tools are offered at once.
_FINDS: Final = re.compile(r"tool_search_tool_\w{1,50}")
#: Tools without which the answer is not what was asked for: servers carry them out, or Claude
#: knows their schemas by heart.
_REFUSED: Final = re.compile(
    r"(?:code_execution|computer|browser|bash|text_editor|memory|mcp_toolset)(?:_\w{1,50})?"
)
#: A tool that stands for those which Claude Code does not send yet.
_PLACEHOLDER: Final = "DeferredToolPlaceholder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tooling:
    """What the bot may call."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice | None = None
    #: False where it may make one call at most.
    several: bool | None = None
    #: Whether the only tools are those that look something up.
    web_search: bool = False


_NONE: Final = Tooling()


def tooling(data: Mapping[str, Any], budget: Budget) -> Tooling:
    """Return the tools of the request *data*; refuse those that it cannot do without."""
    if "tools" not in data and "tool_choice" not in data:
        return _NONE
    given = field(data, "tools", list) or []
    limit_items(given, MAX_TOOLS, "tools")
    found: list[Tool] = []
    looks_up = False
    left_out: set[str] = set()
    unknown: list[str] = []
    for place, one in enumerate(given):
        budget.breathe()
        path = f"tools[{place}]"
        kind = one.get("type") if isinstance(one, dict) else None
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(kind, str) or kind in ("custom", "function"):
            if name != _PLACEHOLDER:
                found.append(_function(one, path))
                continue
        elif _REFUSED.fullmatch(kind):
            raise refusal(path, f"{path}: nobody here can carry out a {kind[:40]!r} tool.")
        elif _LOOKS_UP.fullmatch(kind):
            looks_up = True
        elif not _FINDS.fullmatch(kind):
            unknown.append(kind)
        if isinstance(name, str):
            left_out.add(name)
    note_left_out(unknown)
    wanted = data.get("tool_choice")
    several = allows_several(wanted, otherwise=None)
    left, chosen = choice(_without(wanted, left_out, any_left=bool(found)), tuple(found))
    return Tooling(tools=left, choice=chosen, several=several, web_search=looks_up and not found)


def _function(given: Any, path: str) -> Tool:
    if isinstance(given, dict) and "input_schema" not in given and "name" not in given:
        # In OpenAI's form, as programs send it that know both APIs.
        return _certain(given, path)
    if not isinstance(given, dict):
        raise refusal(path, f'{path} must be {{"name": "...", "input_schema": {{...}}}}.')
    told = {name: given[name] for name in _TOLD if given.get(name) is not None}
    schema = given.get("input_schema", given.get("parameters"))
    if isinstance(schema, dict):
        # Not all bots take a schema that says which draft it is of.
        schema = {name: one for name, one in schema.items() if name != "$schema"}
    return _certain({**told, "input_schema": schema}, path)


def _certain(given: dict[str, Any], path: str) -> Tool:
    found = tool(given, path)
    if not isinstance(found, Tool):
        raise refusal(path, f'{path} must be {{"name": "...", "input_schema": {{...}}}}.')
    return found


def _without(wanted: Any, left_out: set[str], *, any_left: bool) -> Any:
    """Return the choice *wanted*, "auto" for one that has become impossible."""
    match wanted:
        case {"type": "tool", "name": str(name)} if name in left_out:
            return "auto"
        case {"type": "any"} if left_out and not any_left:
            return "auto"
    return wanted
