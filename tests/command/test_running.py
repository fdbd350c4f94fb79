"""A server that runs, before it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from poe_proxy.command import asking
from poe_proxy.command.asking import Trouble
from poe_proxy.command.running import Running

#: Where nobody listens.
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("key", ["sk-a\nsk-b", "sk-\x1b[2J", "sk-schlüssel"])
def test_a_key_that_no_header_can_have_is_refused_and_not_repeated(key: str) -> None:
    """A traceback would have it."""
    with pytest.raises(Trouble) as raised:
        Running(NOWHERE, key)

    assert "printable ASCII" in raised.value.message
    assert "sk-" not in raised.value.message


def test_a_line_end_behind_a_key_is_none_of_it() -> None:
    """As a file has one."""
    assert "sk-right" == Running(NOWHERE, "sk-right\r\n")._key


def test_a_name_that_is_none_is_no_server() -> None:
    """Python says so in a way of its own."""
    running = Running("http://a..b", None)

    assert not running.answers()
    with pytest.raises(Trouble, match="cannot be asked"):
        running.request("GET", "/health")


def test_a_key_of_another_program_goes_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks a server at an address has not said that it may have OpenAI's."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    asked = asking.someone(NOWHERE, None)

    assert isinstance(asked, Running)
    assert asked._key is None
