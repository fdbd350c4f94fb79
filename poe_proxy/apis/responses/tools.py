"""The tools of a request, those in namespaces included, and the choice among them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from poe_proxy.apis.fields import field, limit_items, limit_length, limit_number, refusal
from poe_proxy.apis.responses.namespaces import Names, own
from poe_proxy.apis.tools import MAX_NAME, MAX_TOOLS, choice, note_left_out, tool
from poe_proxy.budget import Budget
from poe_proxy.chat import Tool, ToolChoice
from poe_proxy.errors import InvalidRequest

#: Tools of OpenAI's servers without which an answer is as good: Codex sends them unasked.
_LEFT_OUT: Final = ("web_search", "tool_search")


def tools(lists: Iterable[tuple[str, list[Any]]], budget: Budget) -> tuple[tuple[Tool, ...], Names]:
    """Return the tools of all *lists*, each with its path, by names that bots can know.

    Of two with the same name the later one counts: it may be offered again in the conversation.
    Raises `InvalidRequest` for one that is incomplete, and for one that nobody here can carry out.
    """
    found: dict[tuple[str | None, str], Tool] = {}
    left_out: list[str] = []
    for path, given in lists:
        for namespace, read in _in_list(given, path, budget):
            if isinstance(read, Tool):
                found[own(namespace), read.name] = read
            else:
                left_out.append(read)
            limit_number(len(found) + len(left_out), MAX_TOOLS, "tools")
    # Codex sends some with each request, so it is nothing to be told of each time.
    note_left_out(left_out, logging.DEBUG)
    names = Names((name, namespace) for namespace, name in found)
    return (
        tuple(
            replace(read, name=names.of(name, namespace))
            for (namespace, name), read in found.items()
        ),
        names,
    )


def _in_list(
    given: list[Any], path: str, budget: Budget
) -> Iterable[tuple[str | None, Tool | str]]:
    """Yield the tools of a list, each with its namespace; the type of one that is left out."""
    limit_items(given, MAX_TOOLS, path)
    for place, one in enumerate(given):
        budget.breathe()
        inner = f"{path}[{place}]"
        match one:
            case {"type": "namespace", "name": str(name)} if name:
                limit_length(name, MAX_NAME, f"{inner}.name")
                within = field(one, "tools", list, f"{inner}.") or []
                for read in _plain(within, f"{inner}.tools"):
                    budget.breathe()
                    yield name, read
            case {"type": "namespace"}:
                raise refusal(f"{inner}.name", f"{inner}.name must be a string.")
            case _:
                for read in _plain([one], path, place):
                    yield None, read


def _plain(given: list[Any], path: str, first: int = 0) -> Iterable[Tool | str]:
    """Yield the same of a list in which no namespace may stand."""
    limit_items(given, MAX_TOOLS, path)
    for place, one in enumerate(given, first):
        read = tool(one, f"{path}[{place}]")
        if isinstance(read, Tool) or read.startswith(_LEFT_OUT):
            yield read
        else:
            raise InvalidRequest(
                f"{path}[{place}]: nobody here can carry out a {read[:40]!r} tool.",
                param=f"{path}[{place}]",
                code="unsupported_tool",
            )


def chosen(
    given: Any, known: tuple[Tool, ...], names: Names
) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """Return which of the tools *known* may be called, and whether one must be; the client's
    choice has the names that it has *given* itself. Raises `InvalidRequest`."""
    match given:
        case {"type": "allowed_tools", "tools": [*allowed]}:
            return choice({**given, "tools": [_named(one, known, names) for one in allowed]}, known)
        case {"type": "function" | "custom"}:
            return choice(_named(given, known, names), known)
    return choice(given, known)


def _named(one: Any, known: tuple[Tool, ...], names: Names) -> Any:
    """Return an entry of a choice with the name that the bot knows."""
    if not (isinstance(one, Mapping) and isinstance(name := one.get("name"), str)):
        return one
    namespace = one.get("namespace")
    return {**one, "name": names.of(name, namespace if isinstance(namespace, str) else None)}
