"""The content blocks of Anthropic's Messages API, which stand in requests of other APIs, too.

Form of the blocks: https://docs.anthropic.com/en/api/messages, as of November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import orjson

from poe_proxy.apis.addresses import address, data_uri
from poe_proxy.apis.conversation import Call, Result
from poe_proxy.apis.fields import refusal
from poe_proxy.apis.reading import Reading
from poe_proxy.chat import ContentPart, FilePart, ImagePart, TextPart

#: What a block is: parts of the message, a call, a result.
Block: TypeAlias = ContentPart | Call | Result

#: Blocks that only the model or the server that wrote them can read: they are passed over.
_PASSED_OVER: Final = frozenset(
    {
        "thinking", "redacted_thinking", "reasoning", "server_tool_use", "container_upload",
        "mcp_tool_use", "compaction", "fallback", "web_search_tool_result",
        "web_fetch_tool_result", "code_execution_tool_result", "mcp_tool_result",
        "bash_code_execution_tool_result", "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
    }
)  # fmt: skip
_ERROR: Final = "Error: "


def blocks(given: Any, path: str, reading: Reading) -> list[Block] | None:
    """Return what a block of Anthropic's says, None if it is none of these; refuse one that is
    incomplete by its *path*."""
    match given:
        case {"type": str(kind)} if kind in _PASSED_OVER:
            return []
        case {"type": "tool_use", "name": str(name)} if name:
            return [_call(name, given, path)]
        case {"type": "tool_result"}:
            return [_result(given, path, reading)]
        case {"type": "image", "source": source}:
            return [ImagePart(_source(source, f"{path}.source", reading), path=path)]
        case {"type": "document", "source": source}:
            return [*_document(given, source, path, reading)]
        case {"type": "search_result", "content": list(content)}:
            about = [one for name in ("title", "source") if isinstance(one := given.get(name), str)]
            found = _texts(content, f"{path}.content", reading)
            return [TextPart("\n".join([*about, *found]))]
        case {"type": "tool_reference", "tool_name": str(name)}:
            return [TextPart(f"The tool {name} can be called now.")]
    return None


def _call(name: str, given: Mapping[str, Any], path: str) -> Call:
    id, arguments = given.get("id"), given.get("input")
    if not isinstance(arguments or {}, dict):
        raise refusal(f"{path}.input", f"{path}.input must be an object.")
    return Call(
        id if isinstance(id, str) and id else None, name, orjson.dumps(arguments or {}).decode()
    )


def _result(given: Mapping[str, Any], path: str, reading: Reading) -> Result:
    id, content = given.get("tool_use_id"), given.get("content")
    if not isinstance(id or "", str):
        raise refusal(f"{path}.tool_use_id", f"{path}.tool_use_id must be a string.")
    parts: list[ContentPart] = []
    match content:
        case None:
            pass
        case str():
            parts.append(TextPart(content))
        case list():
            reading.count_parts(content, f"{path}.content")
            for place, one in enumerate(content):
                parts += _within(one, f"{path}.content[{place}]", reading)
        case _:
            raise refusal(
                f"{path}.content", f"{path}.content must be a string or a list of blocks."
            )
    if given.get("is_error") is True:
        first = parts[0] if parts else None
        if not isinstance(first, TextPart):
            parts.insert(0, TextPart(_ERROR.strip()))
        elif not first.text.lower().startswith("error"):
            parts[0] = TextPart(_ERROR + first.text)
    said = tuple(one for one in parts if not isinstance(one, TextPart) or one.text)
    return Result(id or None, said, f"{path}.tool_use_id")


def _within(given: Any, path: str, reading: Reading) -> list[ContentPart]:
    """Return the parts of a block that stands within another one."""
    reading.budget.breathe()
    match given:
        case str():
            return [TextPart(given)]
        case {"type": "text", "text": str(text)}:
            return [TextPart(text)]
        case {"type": "tool_result"}:
            found = None
        case _:
            found = blocks(given, path, reading)
    if found is None or any(isinstance(one, Call | Result) for one in found):
        raise refusal(path, f"{path} must be a block of text, an image or a document.")
    return [one for one in found if not isinstance(one, Call | Result)]


def _document(
    given: Mapping[str, Any], source: Any, path: str, reading: Reading
) -> list[ContentPart]:
    title = given.get("title")
    name = title if isinstance(title, str) and title else None
    match source:
        case {"type": "text", "data": str(text)}:
            return [TextPart(f"{name}\n{text}" if name else text)]
        case {"type": "content", "content": str(text)}:
            return [TextPart(f"{name}\n{text}" if name else text)]
        case {"type": "content", "content": list(content)}:
            inner = f"{path}.source.content"
            reading.count_parts(content, inner)
            parts: list[ContentPart] = [TextPart(name)] if name else []
            for place, one in enumerate(content):
                parts += _within(one, f"{inner}[{place}]", reading)
            return parts
    return [FilePart(_source(source, f"{path}.source", reading), name, path)]


def _texts(content: list[Any], path: str, reading: Reading) -> list[str]:
    reading.count_parts(content, path)
    return [one["text"] for one in content if isinstance(one, dict) and _is_text(one)]


def _is_text(block: Mapping[str, Any]) -> bool:
    return block.get("type") == "text" and isinstance(block.get("text"), str)


def _source(source: Any, path: str, reading: Reading) -> str:
    match source:
        case {"type": "base64", "data": str(data), **rest}:
            kind = rest.get("media_type")
            if not isinstance(kind, str) or not kind or len(kind) > 100 or "," in kind:
                raise refusal(f"{path}.media_type", f"{path}.media_type must be a media type.")
            return data_uri(kind, data, f"{path}.data", reading.budget)
        case {"type": "url", "url": str(url)}:
            return address(url, f"{path}.url", reading.budget)
        case {"type": "file"}:
            raise refusal(f"{path}.file_id", "This server keeps no files; send base64.")
    raise refusal(path, f'{path} must be {{"type": "base64"}} or {{"type": "url"}} with its data.')
