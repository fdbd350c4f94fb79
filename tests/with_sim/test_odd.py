"""What users come upon now and then, from end to end: odd input, and what the log says of it."""

from __future__ import annotations

import re

import pytest

from .servers import Proxy, ask, until


@pytest.mark.parametrize(
    ("words", "code"),
    [("!http=500", "upstream_uncertain"), ("!status=odd", "upstream_refused")],
)
def test_a_failure_has_its_reason_in_the_log(proxy: Proxy, words: str, code: str) -> None:
    """The line of the request names the code that the client got."""
    answer = proxy.post(ask(f"{words} hello"))
    line = f"{answer.headers['x-request-id']} .* {answer.status_code} .* code={code}$"

    assert code == answer.json()["error"]["code"]
    until(lambda: re.search(line, proxy.output(), re.MULTILINE))


def test_a_stream_that_breaks_off_is_in_the_log(proxy: Proxy) -> None:
    """Its request was logged with a 200, so that the failure has a line of its own."""
    answer = proxy.post(ask("!state=error_x !long=2000 hello", stream=True))

    assert 200 == answer.status_code
    assert '"code":"bot_failed"' in answer.text
    until(lambda: f"{answer.headers['x-request-id']} broke off: bot_failed" in proxy.output())
