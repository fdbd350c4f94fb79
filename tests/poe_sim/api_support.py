"""A stand-in of the official API, and a plain client for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from poe_sim.app import build_app, running
from poe_sim.web import Switches

from ..fakes import until

Event = tuple[str | None, str]


@dataclass
class Api:
    """A client of the stand-in, by default with the key `k1`."""

    url: str
    key: str = "k1"
    session: requests.Session = field(default_factory=requests.Session)

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request."""
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        return self.session.request(method, self.url + path, headers=headers, timeout=60, **more)

    def get(self, path: str, **more: Any) -> Any:
        """Return the JSON behind a path."""
        answer = self.request("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, **more: Any) -> requests.Response:
        """Post a JSON body."""
        return self.request("POST", path, json=body, **more)

    def chat(self, prompt: Any, *, headers: Any = None, **fields: Any) -> requests.Response:
        """Send one user message, or a list of messages, to chat completions."""
        messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        body = {"model": "GPT-5.1", "messages": messages, **fields}
        return self.post("/v1/chat/completions", body, headers=headers or {}, stream=True)

    def whole(self, prompt: Any, **fields: Any) -> Any:
        """Return the body of a whole answer."""
        answer = self.chat(prompt, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def text(self, prompt: Any, **fields: Any) -> Any:
        """Return the text of a whole answer."""
        return self.whole(prompt, **fields)["choices"][0]["message"]["content"]

    def error(self, prompt: Any, status: int = 400, **fields: Any) -> Any:
        """Return the error of a refused request."""
        answer = self.chat(prompt, **fields)
        assert answer.status_code == status, answer.text
        return answer.json()["error"]

    def chunks(self, prompt: Any, **fields: Any) -> list[Any]:
        """Return the chunks of a streamed answer, parsed but for ``[DONE]``."""
        answer = self.chat(prompt, stream=True, **fields)
        assert answer.status_code == 200, answer.text
        data = [data for _, data in events(answer.content)]
        return [each if each == "[DONE]" else json.loads(each) for each in data]

    def messages(self, body: Any, **headers: str) -> requests.Response:
        """Post to the Messages endpoint as Anthropic's clients do."""
        given = {"anthropic-version": "2023-06-01", "x-api-key": self.key, **headers}
        full = {"model": "claude-sonnet-4.5", "max_tokens": 200, **body}
        return self.session.post(f"{self.url}/v1/messages", json=full, headers=given, timeout=60)

    def control(self, **changes: Any) -> Any:
        """Turn switches."""
        answer = self.post("/__control_api", changes)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def balance(self) -> int:
        """Return the points of the key."""
        return int(self.get("/usage/current_balance")["current_point_balance"])

    def journal(self) -> list[dict[str, Any]]:
        """Return the journal entries of this face."""
        entries = requests.get(f"{self.url}/__journal", timeout=60).json()
        return [entry for entry in entries if entry.get("face") == "api"]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the journal's events of one name."""
        return [entry for entry in self.journal() if entry.get("event") == name]

    def wait_for(self, name: str) -> dict[str, Any]:
        """Return the first event of a name as soon as there is one."""
        until(lambda: self.events(name))
        return self.events(name)[0]


def events(body: bytes) -> list[Event]:
    """Return the server-sent events of a body."""
    found: list[Event] = []
    name: str | None = None
    data: list[str] = []
    for line in body.decode().splitlines():
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            found.append((name, "\n".join(data)))
            name, data = None, []
    return found


def said(chunks: list[Any], key: str = "content") -> str:
    """Return the text of streamed chunks."""
    return "".join(
        chunk["choices"][0]["delta"].get(key) or ""
        for chunk in chunks
        if chunk != "[DONE]" and chunk["choices"]
    )


@contextlib.contextmanager
def serving() -> Iterator[Api]:
    """Serve the keys `k1` and `k2` for a ``with`` block, as fast as possible."""
    app = build_app(tokens=["a"], api_keys=["k1", "k2"], switches=Switches(pace=0))
    with running(app) as sim, contextlib.closing(requests.Session()) as session:
        yield Api(sim.url, session=session)


def fresh(api: Api) -> Api:
    """Reset state and journal."""
    api.control(reset=True)
    requests.delete(f"{api.url}/__journal", timeout=60)
    return api
