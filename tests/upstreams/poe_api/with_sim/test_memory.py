"""A request's memory is given back when it is over, however it ended, and not some time later."""

from __future__ import annotations

import threading

import pytest

from poe_proxy.app import create_app
from poe_proxy.pool.rotator import Token
from poe_proxy.settings import Settings
from poe_proxy.upstreams.poe_api import PoeApi
from tests.garbage import left_behind
from tests.with_sim.servers import until

from .asking import BOT

SCHEMA = {"name": "a", "schema": {"type": "object", "required": ["a"]}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        ("!echo Hello", {}),
        ("!http=500 !times=1 x", {}),
        ("!http=429 x", {}),
        ("!http=400 x", {}),
        ("!reset x", {}),
        ("!cut x", {}),
        ("!error=x y", {}),
        ("!echo no JSON", {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}),
    ],
)
def test_a_request_leaves_nothing_to_the_garbage_collector(
    api: PoeApi, prompt: str, options: dict[str, object], stream: bool
) -> None:
    """Nothing that it held refers to itself: a collection would find it only when many new objects
    have been made, and stops everybody for as long as it takes."""
    settings = Settings(auth_keys=("sk-test",), queue_timeout=1)
    app = create_app(settings, upstreams=[Token("key-1", api)])
    client = app.test_client()

    def ask(prompt: str = prompt) -> None:
        messages = [{"role": "user", "content": prompt}]
        body = {"model": BOT, "messages": messages, "stream": stream, **options}
        answer = client.post("/v1/chat/completions", json=body, headers={"x-api-key": "sk-test"})
        assert answer.data
        assert 401 != answer.status_code
        answer.close()
        until(lambda: not [one for one in threading.enumerate() if one.name == "transfer"])

    ask("!echo first")  # what is made once, at first, may know itself

    assert set() == left_behind(ask)
    app.extensions["poe_proxy"].close()
