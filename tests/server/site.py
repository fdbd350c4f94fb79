"""The whole app over one token whose upstream follows a script, and a client of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from flask.testing import FlaskClient
from openai.types.chat import ChatCompletionChunk
from werkzeug.test import TestResponse

from poe_proxy.app import create_app
from poe_proxy.pool.rotator import Token
from poe_proxy.server.services import Services
from poe_proxy.settings import Settings

from ..fakes import ANSWER, FakeUpstream, Step

KEY = "sk-test"
HELLO = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hello!"}]}
COMPLETIONS = "/v1/chat/completions"


class Site:
    """A client of an app over one token, whose upstream follows a script."""

    def __init__(
        self,
        *script: Step,
        keys: tuple[str, ...] = (KEY,),
        max_body: int = 10_000,
        max_work: float = 60.0,
        max_reply: int = 1_000_000,
        models: Path | None = None,
        patience: float = 0.0,
        errors_as_text: bool = False,
        max_bodies: float = 200.0,
        max_streams: int = 2000,
        clients: Path | None = None,
        **more: Any,
    ) -> None:
        """*more* are further settings."""
        self.upstream = FakeUpstream(script or ANSWER)
        settings = Settings(
            auth_keys=keys,
            max_body_mb=max_body / 1_000_000,
            max_work=max_work,
            max_reply_mb=max_reply / 1_000_000,
            queue_timeout=patience,
            errors_as_text=errors_as_text,
            models=models,
            max_bodies_mb=max_bodies,
            max_streams=max_streams,
            clients=clients,
            **more,
        )
        app = create_app(settings, upstreams=[Token("cookie-1", self.upstream)])
        services: Services = app.extensions["poe_proxy"]
        self.close = services.close
        self.tokens = services.gateway.tokens
        self.client: FlaskClient = app.test_client()

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, **options)

    def ask(self, **fields: Any) -> TestResponse:
        """Send a chat request; *fields* are added to a complete one."""
        return self.post(orjson.dumps({**HELLO, **fields}))

    def post(self, body: bytes, path: str = COMPLETIONS, **options: Any) -> TestResponse:
        return self.open(path, method="POST", data=body, **options)

    def open(self, path: str, **options: Any) -> TestResponse:
        headers = options.pop("headers", {"Authorization": f"Bearer {KEY}"})
        return self.client.open(path, headers=headers, **options)

    def is_all_free(self) -> bool:
        """Whether the token is free, and no request is in line."""
        return {"free": 1} == {name: count for name, count in self.tokens.census().items() if count}


def error(answer: TestResponse) -> dict[str, Any]:
    """The error object of an answer that is one, and nothing else."""
    assert "application/json" == answer.content_type
    body: dict[str, Any] = orjson.loads(answer.data)
    assert ["error"] == list(body)
    assert {"message", "type", "param", "code"} == body["error"].keys()
    found: dict[str, Any] = body["error"]
    return found


def lines(answer: TestResponse) -> list[str]:
    """The data of a stream, in which nothing but data stands."""
    frames = answer.get_data(as_text=True).split("\n\n")
    assert "" == frames.pop()
    assert all(frame.startswith("data: ") for frame in frames)
    return [frame.removeprefix("data: ") for frame in frames]


def text(answer: TestResponse) -> str:
    """The text of a stream."""
    chunks = [ChatCompletionChunk.model_validate_json(one) for one in lines(answer)[:-1]]
    return "".join(one.choices[0].delta.content or "" for one in chunks)
