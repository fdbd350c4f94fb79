"""What it costs to read a form: in proportion to its length."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from poe_proxy.budget import Budget, Processor
from poe_proxy.errors import InvalidRequest

from ..steps import Counted, grows_linearly

#: The decoder is Werkzeug's, and is given a bounded piece at a time.
COUNTED = Counted("poe_proxy.shaping.files", "poe_proxy.server.forms")

HEAD = b'--b\r\nContent-Disposition: form-data; name="x"'
FORMS: dict[str, Callable[[int], bytes]] = {
    "a field": lambda n: HEAD + b"\r\n\r\n" + b"a" * n + b"\r\n--b--",
    "a file": lambda n: HEAD + b'; filename="y"\r\n\r\n' + b"a" * n + b"\r\n--b--",
    "lines": lambda n: HEAD + b"\r\n\r\n" + b"\r\n" * n + b"\r\n--b--",
    "half boundaries": lambda n: HEAD + b"\r\n\r\n" + b"\r\n--" * n + b"\r\n--b--",
    "boundaries in lines": lambda n: HEAD + b"\r\n\r\n" + b"--b" * n + b"\r\n--b--",
    "boundaries that go on": lambda n: HEAD + b"\r\n\r\n" + b"\r\n--bx" * n + b"\r\n--b--",
    "spaces behind a boundary": lambda n: HEAD + b"\r\n\r\nx\r\n--b" + b" " * n,
    "a header": lambda n: HEAD + b"\r\nX: " + b"a" * n,
    "headers": lambda n: HEAD + b"\r\nX: y" * n,
    "what stands in front": lambda n: b"\r\n" * n,
    "what stands behind": lambda n: HEAD + b"\r\n\r\nx\r\n--b--" + b"\r\n" * n,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_form_costs_what_it_is_long(form: Callable[[int], bytes]) -> None:
    """Whatever it is made of, whether it is one or not."""

    def read(number: int) -> None:
        budget = Budget(float("inf"), processor=Processor(clock=lambda: 0.0))
        with suppress(InvalidRequest):
            COUNTED["forms"].as_json(form(number), "b", budget)

    assert grows_linearly(lambda n: COUNTED.of(lambda: read(n)), 100_000) is None
