"""Name and arguments, under whatever keys a bot puts them."""

from __future__ import annotations

import pytest

from poe_proxy.shaping.tool_calls import RawCall, name_and_arguments

NAMES = ("get_weather", "ping", "Ask-Bot")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "get_weather", "arguments": {"city": "Paris"}}',
        '{"tool": "get_weather", "args": {"city": "Paris"}}',
        '{"tool_name": "get_weather", "params": {"city": "Paris"}}',
        '{"tool": "get_weather", "tool_input": {"city": "Paris"}}',
        '{"name": "get_weather", "tool_arguments": {"city": "Paris"}}',
        '{"action": "get_weather", "action_input": {"city": "Paris"}}',
        '{"function_name": "get_weather", "input": {"city": "Paris"}}',
        '{"function": "get_weather", "parameters": {"city": "Paris"}}',
        '{"type": "function", "function": {"name": "get_weather", "arguments": "{\\"city\\": '
        '\\"Paris\\"}"}}',
        '{"name": "get_weather", "city": "Paris"}',
        '{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "city": "Paris"}',
        '{"get_weather": {"city": "Paris"}}',
        '{"name": "functions.get_weather:0", "arguments": {"city": "Paris"}}',
        '{"name": "tools.get_weather", "arguments": {"city": "Paris"}}',
        '{"name": "Get-Weather", "arguments": {"city": "Paris"}}',
        "{'name': 'get_weather', 'arguments': {city: 'Paris',},}",
    ],
)
def test_a_call_is_read_under_every_key(text: str) -> None:
    assert ("get_weather", {"city": "Paris"}) == name_and_arguments(RawCall(text), NAMES)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"name": "ping", "input": "Paris"}', {"input": "Paris"}),
        ('{"name": "ping", "args": ["-l"]}', {"args": ["-l"]}),
        ('{"tool": "ping", "name": "Paris"}', {"name": "Paris"}),
        ('{"name": "ping", "id": "7", "type": "circle"}', {"id": "7", "type": "circle"}),
        ('{"name": "ping", "id": "7"}', {}),
        ('{"name": "ping", "arguments": null}', {}),
        ('{"name": "ping", "arguments": ""}', {}),
    ],
)
def test_what_stands_beside_the_name_is_an_argument(text: str, arguments: object) -> None:
    """Unless it is what an API says of a call."""
    assert ("ping", arguments) == name_and_arguments(RawCall(text), NAMES)


@pytest.mark.parametrize("name", ["see", "functions.see:0", "pin"])
def test_a_name_that_means_no_tool_stays_as_it_is(name: str) -> None:
    """The bot is told of the name that it wrote."""
    raw = RawCall(f'{{"name": "{name}", "arguments": {{}}}}')

    assert (name, {}) == name_and_arguments(raw, NAMES)


def test_a_name_that_may_mean_two_tools_means_none() -> None:
    names = ("get-weather", "get_Weather")

    assert ("GET_WEATHER", {}) == name_and_arguments(RawCall('{"name": "GET_WEATHER"}'), names)
    assert ("get-weather", {}) == name_and_arguments(RawCall('{"name": "get-weather"}'), names)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"city": "Paris"}', '{"name": "ping", "arguments": [1]}', '{"name": 7}',
     '{"name": "ping", "arguments": "Paris"}', '{"see": {"a": 1}}'],
)  # fmt: skip
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        name_and_arguments(RawCall(text), NAMES)
