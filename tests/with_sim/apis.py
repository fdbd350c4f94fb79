"""The APIs that clients speak, as far as they differ in what surrounds an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from .servers import Proxy


@dataclass(frozen=True, slots=True)
class Api:
    """One of them."""

    path: str
    #: What a request has besides its model, for these words of the user.
    asking: Callable[[str], dict[str, Any]]
    #: The kind of failure that an error object tells; fails if it has not the API's own form.
    told: Callable[[Any], str]
    #: How this API calls a failure that OpenAI's calls by a code.
    names: Mapping[str, str]

    def ask(self, words: str, model: str = "gpt-4", **fields: Any) -> dict[str, Any]:
        """A request in which the user says these *words*."""
        return {"model": model, **self.asking(words), **fields}

    def post(self, proxy: Proxy, body: Any, **options: Any) -> requests.Response:
        """POST a request; a dict goes as JSON, bytes as they are."""
        data: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        return requests.post(
            f"{proxy.url}{self.path}",
            **{**data, "headers": proxy.headers, "timeout": 60, **options},
        )

    def failure(self, response: requests.Response) -> str:
        """The kind of failure that a whole answer is: in the API's own form, as JSON that a browser
        may read, with the id under which it stands in the log."""
        assert "application/json" == response.headers["content-type"]
        assert "*" == response.headers["Access-Control-Allow-Origin"]
        assert response.headers["x-request-id"].startswith("req_")
        body = response.json()
        if "request_id" in body:
            assert body["request_id"] == response.headers["x-request-id"]
            assert body["request_id"] == response.headers["request-id"]
        return self.told(body)

    def name(self, code: str) -> str:
        """What this API calls the failure of that *code*."""
        return self.names.get(code, code)

    def last(self, events: list[str]) -> str:
        """The kind of failure with which a stream ends; *events* are its lines."""
        found = [json.loads(one.removeprefix("data: ")) for one in events if one[:6] == "data: "]
        return self.told(found[-1])


def _openai(body: Any) -> str:
    (name, error), *others = body.items()
    assert ("error", []) == (name, others)
    assert {"message", "type", "param", "code"} == error.keys()
    assert error["message"]
    return str(error["code"])


def _responses(body: Any) -> str:
    if body.get("type") != "response.failed":
        return _openai(body)
    assert "failed" == body["response"]["status"]
    assert body["response"]["error"]["message"]
    return str(body["response"]["error"]["code"])


def _anthropic(body: Any) -> str:
    assert {"type", "error", "request_id"} == body.keys()
    assert "error" == body["type"]
    assert {"type", "message"} == body["error"].keys()
    assert body["error"]["message"]
    assert body["request_id"].startswith("req_")
    return str(body["error"]["type"])


APIS: Final[Mapping[str, Api]] = {
    "chat": Api(
        "/v1/chat/completions",
        lambda words: {"messages": [{"role": "user", "content": words}]},
        _openai,
        {},
    ),
    "completions": Api("/v1/completions", lambda words: {"prompt": words}, _openai, {}),
    "responses": Api("/v1/responses", lambda words: {"input": words}, _responses, {}),
    "messages": Api(
        "/v1/messages",
        lambda words: {"messages": [{"role": "user", "content": words}], "max_tokens": 10_000},
        _anthropic,
        {
            "invalid_api_key": "authentication_error",
            "invalid_value": "invalid_request_error",
            "method_not_allowed": "invalid_request_error",
            "rate_limit_exceeded": "rate_limit_error",
            "request_too_large": "request_too_large",
            "upstream_interrupted": "api_error",
        },
    ),
}
