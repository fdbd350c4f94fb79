"""The messages of a chat completions request, as `Message` values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from poe_proxy.apis.fields import address, field, limit_items, refusal, too_many
from poe_proxy.chat import (
    ContentPart,
    FilePart,
    ImagePart,
    Message,
    Role,
    TextPart,
    ToolCall,
)

#: The most messages of a request, and parts and tool calls in all of them.
MAX_MESSAGES: Final = 10_000
MAX_PARTS: Final = 10_000
MAX_CALLS: Final = 10_000

_ROLES: Final = get_args(Role)


def messages(data: Mapping[str, Any]) -> tuple[Message, ...]:
    """Return the messages of the request *data*; raises `InvalidRequest`."""
    given = field(data, "messages", list)
    if not given:
        raise refusal(
            "messages",
            'messages must hold at least one message: [{"role": "user", "content": "..."}].',
            missing=given is None,
        )
    limit_items(given, MAX_MESSAGES, "messages")
    _limit_sum(given, "content", MAX_PARTS, "parts")
    _limit_sum(given, "tool_calls", MAX_CALLS, "tool calls")
    found = tuple(_message(one, place) for place, one in enumerate(given))
    if not any(one.content or one.tool_calls for one in found):
        raise refusal("messages", "messages must hold something to say: every content is empty.")
    return found


def _limit_sum(given: list[Any], name: str, most: int, of: str) -> None:
    """Refuse messages whose lists of this *name* have more than *most* items together."""
    total = 0
    for place, one in enumerate(given):
        items = one.get(name) if isinstance(one, dict) else None
        total += len(items) if isinstance(items, list) else 0
        if total > most:
            raise too_many(
                f"messages[{place}].{name}",
                f"The messages of a request may have {most:,} {of} at most.",
            )


def _message(given: Any, place: int) -> Message:
    path = f"messages[{place}]"
    if not isinstance(given, dict):
        raise refusal(path, f"{path} must be an object with a role and a content.")
    role = field(given, "role", str, f"{path}.")
    if role not in _ROLES:
        raise refusal(f"{path}.role", f"{path}.role must be one of {', '.join(_ROLES)}.")
    calls = field(given, "tool_calls", list, f"{path}.") or []
    return Message(
        role=cast("Role", role),
        content=_content(given.get("content"), f"{path}.content"),
        name=field(given, "name", str, f"{path}."),
        tool_calls=(
            *(_tool_call(call, f"{path}.tool_calls[{place}]") for place, call in enumerate(calls)),
            *_function_call(given.get("function_call"), place),
        ),
        tool_call_id=field(given, "tool_call_id", str, f"{path}."),
    )


def _tool_call(given: Any, path: str) -> ToolCall:
    match given:
        case {"id": str(id), "function": {"name": str(name), "arguments": str(arguments)}}:
            extra = {
                key: value for key, value in given.items() if key not in {"id", "type", "function"}
            }
            return ToolCall(id, name, arguments, extra)
    raise refusal(
        path,
        f'{path} must be {{"id": "...", "type": "function", '
        '"function": {"name": "...", "arguments": "a JSON text"}}.',
    )


def _function_call(given: Any, place: int) -> tuple[ToolCall, ...]:
    """Return the call of a message in the older form. It has no id, so its place serves as one."""
    match given:
        case None:
            return ()
        case {"name": str(name), "arguments": str(arguments)}:
            return (ToolCall(f"call_{place}", name, arguments),)
    raise refusal(
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
    raise refusal(path, f"{path} must be a string or a list of parts.")


def _part(given: Any, path: str) -> ContentPart:
    match given:
        case str():
            return TextPart(given)
        case {"type": "text" | "input_text" | "output_text", "text": str(text)}:
            return TextPart(text)
        case {"type": "refusal", "refusal": str(text)}:
            return TextPart(text)
        case {"type": "image_url", "image_url": str(url)}:
            return ImagePart(address(url, f"{path}.image_url"), path=path)
        case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
            detail = rest.get("detail")
            return ImagePart(
                address(url, f"{path}.image_url.url"),
                detail if isinstance(detail, str) else None,
                path,
            )
        case {"type": "file", "file": {"file_data": str(data), **rest}}:
            name = rest.get("filename")
            return FilePart(
                address(data, f"{path}.file.file_data"),
                name if isinstance(name, str) else None,
                path,
            )
        case {"type": "file", "file": {"file_id": _}}:
            raise refusal(
                f"{path}.file.file_id", "This server keeps no files; send file.file_data."
            )
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(kind)}}:
            return FilePart(f"data:audio/{kind};base64,{data}", f"audio.{kind}", path)
        case {"type": str(kind)}:
            raise refusal(
                path,
                f"{path} is of a type that is not served, or is incomplete: {kind[:40]!r}. "
                "Parts are text, image_url, file and input_audio.",
            )
    raise refusal(path, f'{path} must be a part such as {{"type": "text", "text": "..."}}.')
