"""What a call says: name and arguments, under whatever keys a bot puts them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from poe_proxy.shaping.loose_json import read
from poe_proxy.shaping.tool_calls.base import RawCall
from poe_proxy.shaping.tool_calls.names import known, resolve

#: The keys of the name, and those of the arguments; the last of each are of LangChain's agents.
NAME_KEYS: Final = ("name", "tool_name", "function_name", "tool", "function", "action")
ARGUMENT_KEYS: Final = (
    "arguments", "parameters", "input", "args", "params", "tool_input", "tool_arguments",
    "action_input",
)  # fmt: skip
#: What APIs say of a call besides; anything else beside the name is an argument.
CALL_TYPES: Final = ("function", "function_call", "tool_call", "tool_use")
#: What shows that an object describes a tool, and does not call it.
_OF_A_DEFINITION: Final = ("description", "input_schema", "inputSchema")


def name_and_arguments(raw: RawCall, names: Collection[str]) -> tuple[str, dict[str, Any]]:
    """Return the name in a call and its arguments; the name is one of *names* if it means one.

    Raises `ValueError` for what is no call, with what is wrong about it in words for a bot, and
    `OutOfBudget` for a call that is too long to be read.
    """
    call = read(raw.text, loosely=True)[0]
    if not isinstance(call, dict):
        raise ValueError("it is not a JSON object")
    if isinstance(call.get("function"), dict):  # the shape of OpenAI's API
        call = call["function"]
    key = _key_of_name(call, names)
    if key is not None:
        return resolve(call[key], names), _arguments(call, key)
    if len(call) == 1:
        (name, given), *_ = call.items()
        if known(name, names):
            return resolve(name, names), _object(given)
    raise ValueError('the key "name" is missing')


def _key_of_name(call: Mapping[str, Any], names: Collection[str]) -> str | None:
    """Return the key of the tool's name: rather one that names a tool."""
    there = [key for key in NAME_KEYS if isinstance(call.get(key), str)]
    return next((key for key in there if known(call[key], names)), there[0] if there else None)


def _arguments(call: Mapping[str, Any], key_of_name: str) -> dict[str, Any]:
    key = next((key for key in ARGUMENT_KEYS if key in call), None)
    if key is None:
        return _flat(call, key_of_name)
    try:
        return _object(call[key])
    except ValueError:
        if key == "arguments":
            raise
        # Such as {"name": "search", "input": "Paris"}: an argument of this name.
        return _flat(call, key_of_name)


def _flat(call: Mapping[str, Any], key_of_name: str) -> dict[str, Any]:
    """Return what stands beside the name, without what an API says of a call."""
    beside = {key: value for key, value in call.items() if key != key_of_name}
    if beside.get("type") in CALL_TYPES:
        del beside["type"]
    is_id = list(beside) == ["id"] or str(beside.get("id")).startswith(("call_", "toolu_"))
    return {key: value for key, value in beside.items() if key != "id" or not is_id}


def _object(given: Any) -> dict[str, Any]:
    if isinstance(given, str) and given.strip():
        given = read(given, loosely=True)[0]
    if given is None or given == "":
        return {}
    if not isinstance(given, dict):
        raise ValueError('"arguments" is not an object')
    return given


def looks_like_call(value: Any, names: Collection[str]) -> bool:
    """Whether a JSON value without any tag is a call, rather than some other object.

    It names a tool letter by letter, gives arguments, and does not describe the tool.
    """
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("function"), dict):
        value = value["function"]
    if len(value) == 1:
        (name, given), *_ = value.items()
        if names_a_tool(name, names):
            return isinstance(given, dict)
    key = next(
        (one for one in NAME_KEYS if isinstance(value.get(one), str)
         and names_a_tool(value[one], names)),
        None,
    )  # fmt: skip
    if key is None or any(one in value for one in _OF_A_DEFINITION):
        return False
    given = next((value[one] for one in ARGUMENT_KEYS if one in value), None)
    if isinstance(given, dict) and given.get("type") == "object" and "properties" in given:
        return False
    return key != "name" or len(value) > 1


def names_a_tool(name: str, names: Collection[str]) -> bool:
    """Whether *name* is one of *names* letter by letter, but for the namespace before it."""
    return name in names or (known(name, names) and name.endswith(resolve(name, names)))
