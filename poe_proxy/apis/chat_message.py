"""A message as OpenAI's chat completions have it, with what other APIs put into one.

Items of the Responses API may be such messages, too: Cursor sends both in one list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from poe_proxy.apis.contents import content, result
from poe_proxy.apis.conversation import Call, Conversation, Result, arguments_of, role_of
from poe_proxy.apis.custom_input import arguments_for
from poe_proxy.apis.fields import field, refusal
from poe_proxy.apis.reading import Reading
from poe_proxy.chat import Role, TextPart

#: Roles of messages that may be nothing but a text.
_PLAIN: Final[Mapping[str, Role]] = {
    "system": "system", "developer": "developer", "user": "user", "assistant": "assistant",
}  # fmt: skip
#: What a call has of its own; all else of it goes back to the bot as it came.
_OF_CALLS: Final = frozenset({"id", "type", "function", "custom"})


def add_message(given: Any, path: str, said: Conversation, reading: Reading) -> None:
    """Add the message at *path* to what was *said*; refuse what is wrong by its path."""
    if not isinstance(given, dict):
        raise refusal(path, f"{path} must be an object with a role and a content.")
    if len(given) == 2 and (plain := _plain(given)) is not None:
        reading.budget.breathe()
        said.say(*plain)
        return
    role = role_of(given, path)
    name = field(given, "name", str, f"{path}.")
    call_id = field(given, "tool_call_id", str, f"{path}.") or None
    calls = _calls(given, path, reading)
    if role in ("tool", "function") and not _has_results(given.get("content")):
        output = result(given.get("content"), f"{path}.content", reading)
        if role == "tool" or call_id:
            said.answer(Result(call_id, output, f"{path}.tool_call_id", name))
        else:
            said.say(role, output, name=name)
        return
    found = content(given.get("content"), f"{path}.content", reading)
    for one in found.results:
        said.answer(one, shows_elsewhere=True)
    if role in ("tool", "function"):
        role = "user"  # what stands beside the results
    elif not found.parts and isinstance(words := given.get("refusal"), str) and words:
        found.parts.append(TextPart(words))
    # Some programs send a call twice: as a block, and as OpenAI has it.
    known = {call.id for call in calls}
    calls += (call for call in found.calls if call.id is None or call.id not in known)
    said.say(role, found.parts, name=name, calls=calls)


def _plain(given: Mapping[str, Any]) -> tuple[Role, tuple[TextPart]] | None:
    """Return the message *given*, which has two fields, if they are a role and a text: most are
    like that, and take 1.2 µs; to look for all else takes 3.8."""
    role, text = given.get("role"), given.get("content")
    if not (isinstance(text, str) and text and isinstance(role, str)):
        return None
    known = _PLAIN.get(role)
    return None if known is None else (known, (TextPart(text),))


def _has_results(given: Any) -> bool:
    return isinstance(given, list) and any(
        isinstance(one, dict) and one.get("type") == "tool_result" for one in given
    )


def _calls(given: Mapping[str, Any], path: str, reading: Reading) -> list[Call]:
    calls = field(given, "tool_calls", list, f"{path}.") or []
    reading.count_calls(calls, f"{path}.tool_calls")
    found = []
    for place, one in enumerate(calls):
        reading.budget.breathe()
        found.append(_call(one, f"{path}.tool_calls[{place}]"))
    match given.get("function_call"):
        case None:
            pass
        case {"name": str(name)} as function if name:
            # The older form has no id.
            found.append(Call(None, name, arguments_of(function, f"{path}.function_call")))
        case _:
            raise refusal(
                f"{path}.function_call",
                f'{path}.function_call must be {{"name": "...", "arguments": "a JSON text"}}.',
            )
    return found


def _call(given: Any, path: str) -> Call:
    match given:
        case {"function": {"name": str(name)} as function} if name:
            arguments = arguments_of(function, f"{path}.function")
        case {"type": "custom", "custom": {"name": str(name), "input": str(text)}} if name:
            arguments = arguments_for(text)
        case _:
            raise refusal(
                path,
                f'{path} must be {{"id": "...", "type": "function", '
                '"function": {"name": "...", "arguments": "a JSON text"}}.',
            )
    id = field(given, "id", str, f"{path}.") or None
    extra = {key: value for key, value in given.items() if key not in _OF_CALLS}
    return Call(id, name, arguments, extra)
