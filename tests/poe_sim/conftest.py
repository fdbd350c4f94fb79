from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from poe_sim.app import Running, build_app, running
from poe_sim.web import Switches

from .browser import Browser

Start = Callable[..., Running]
Change = Callable[..., Any]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start stand-ins, as fast as possible, that end with the test."""
    with ExitStack() as stack:

        def start_one(tokens: tuple[str, ...] = ("a", "b"), **switches: Any) -> Running:
            app = build_app(
                tokens=tokens, api_keys=["k"], switches=Switches(**{"pace": 0, **switches})
            )
            return stack.enter_context(running(app))

        yield start_one


@pytest.fixture
def sim(start: Start) -> Running:
    """A stand-in in strict mode with the accounts `a` and `b`."""
    return start()


@pytest.fixture
def browser(sim: Running) -> Iterator[Browser]:
    """A browser of account `a` that is logged in and listens."""
    with Browser(sim.url, "a") as one:
        one.open()
        yield one


@pytest.fixture
def change(sim: Running) -> Change:
    """Change the stand-in by its control, and return its state."""

    def post(**body: Any) -> Any:
        answer = requests.post(f"{sim.url}/__control", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post
