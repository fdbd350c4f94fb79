"""As many tools as Open WebUI brings by default, in the shape in which it sends them.

There a tool is a Python function: `backend/open_webui/tools/builtin.py` of open-webui has them, and
`utils/tools.py` makes schemas of signatures and docstrings. So a description has several lines, an
optional parameter is `anyOf` with null and has a default, and `required` is left out where there is
nothing. The words are our own.
"""

from __future__ import annotations

from typing import Any

#: The types of parameters: a `?` makes one optional, a `=` gives it a default.
_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "integer"},
    "flag": {"type": "boolean"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "objects": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
}
_PAGE = ("count: number=10", "skip: number=0")
_SPAN = ("start_timestamp: number?", "end_timestamp: number?")
_MOMENT = ("start: text", "end: text?", "is_all_day: flag=False", "location: text?")

#: What is kept for a user, the verbs for it, and what it is made of.
_KEPT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("memory", ("content: text", "path: text?")),
    ("note", ("title: text", "content: text", "is_pinned: flag=False")),
    ("task", ("tasks: objects", "status: text=pending")),
    ("automation", ("name: text", "prompt: text", "schedule: text", "is_active: flag=True")),
    ("calendar_event", ("title: text", *_MOMENT, "description: text?")),
)
_FOUND: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("chat", _SPAN),
    ("channel_message", _SPAN),
    ("knowledge_base", ()),
    ("knowledge_file", ("knowledge_id: text?",)),
)
_OTHERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("get_current_timestamp", "Tell the time now, in seconds and for the user's own clock.", ()),
    (
        "calculate_timestamp",
        "Tell the time some days, weeks, months or years ago, for a search within dates.",
        (
            "days_ago: number=0",
            "weeks_ago: number=0",
            "months_ago: number=0",
            "years_ago: number=0",
        ),
    ),
    ("search_web", "Look for pages in the public web.", ("query: text", "count: number?")),
    ("fetch_url", "Read the text of a page.", ("url: text",)),
    ("generate_image", "Draw a picture after a description.", ("prompt: text",)),
    ("edit_image", "Change pictures as described.", ("prompt: text", "image_urls: texts")),
    ("execute_code", "Run Python code in a sandbox, and tell what it printed.", ("code: text",)),
    ("query_knowledge", "Find passages by their meaning.", ("query: text", "ids: texts?", *_PAGE)),
)


def _schema(parameter: str) -> tuple[str, dict[str, Any], bool]:
    """Name and schema of *parameter*, and whether it must be given."""
    name, _, kind = parameter.partition(": ")
    about = {"description": f"The {name.replace('_', ' ')} that is meant, as the user has put it."}
    if kind.endswith("?"):
        either = [_TYPES[kind.removesuffix("?")], {"type": "null"}]
        return name, {"anyOf": either, "default": None, **about}, False
    kind, has_default, default = kind.partition("=")
    if not has_default:
        return name, {**_TYPES[kind], **about}, True
    value = {"number": int, "flag": "True".__eq__}.get(kind, str)(default)
    return name, {**_TYPES[kind], "default": value, **about}, False


def _tool(name: str, about: str, parameters: tuple[str, ...]) -> dict[str, Any]:
    schemas = [_schema(one) for one in parameters]
    fields: dict[str, Any] = {
        "type": "object",
        "properties": {name: schema for name, schema, _ in schemas},
    }
    if required := [name for name, _, is_needed in schemas if is_needed]:
        fields["required"] = required
    lines = (
        about,
        "Use it only if the answer needs what it tells, and never more than once for the same.",
        'What it gives back is JSON; a failure is {"error": "why"} and no reason to try again.',
    )
    description = "\n".join(lines)
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": fields},
    }


def _of_kept(thing: str, parts: tuple[str, ...]) -> list[dict[str, Any]]:
    what, key = thing.replace("_", " "), f"{thing}_id: text"
    optional = tuple(f"{part.partition('=')[0].removesuffix('?')}?" for part in parts)
    return [
        _tool(f"search_{thing}", f"Find each {what} of the user.", ("query: text", *_PAGE)),
        _tool(f"create_{thing}", f"Keep a {what} for the user.", parts),
        _tool(f"update_{thing}", f"Change a {what} that is kept.", (key, *optional)),
        _tool(f"delete_{thing}", f"Forget a {what}, for good.", (key,)),
    ]


def _of_found(thing: str, narrower: tuple[str, ...]) -> list[dict[str, Any]]:
    what, key = thing.replace("_", " "), f"{thing}_id: text"
    search = ("query: text", *_PAGE, *narrower)
    return [
        _tool(f"search_{thing}", f"Find each {what} that the user may see.", search),
        _tool(f"view_{thing}", f"Read a {what} as a whole.", (key, "max_chars: number=10000")),
    ]


TOOLS = [
    *(_tool(*other) for other in _OTHERS),
    *(tool for thing, parts in _KEPT for tool in _of_kept(thing, parts)),
    *(tool for thing, narrower in _FOUND for tool in _of_found(thing, narrower)),
]
