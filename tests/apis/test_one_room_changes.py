"""Another API for clients is a room and a route: here is a toy, and nothing beneath knows of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from poe_proxy.apis.transcript import Transcript
from poe_proxy.budget import Budget
from poe_proxy.chat import ChatRequest, Done, Idle, Message, Said, Text, TextPart, ToolCallPart
from poe_proxy.errors import InvalidRequest, PoeProxyError, UpstreamTimeout, UpstreamUncertain
from poe_proxy.server.delivery import deliver

from ..fakes import Step
from ..server.site import KEY, Site

# ---- the room


@dataclass
class LinesCall:
    """A request: the model in the first line, the question in those below."""

    chat: ChatRequest
    streams: bool
    content_type: str = "text/plain"
    _said: Transcript = field(default_factory=Transcript)

    def body(self, events: Iterable[Said]) -> bytes:
        for event in events:
            self._said.add(event)
        tools = "".join(f"calls {call.name}\n" for call in self._said.calls)
        return f"{tools}{self._said.text}\n{self._said.usage(self.chat).prompt_tokens}\n".encode()

    def frame(self, event: Said) -> bytes:
        match self._said.add(event):
            case Text(text):
                return f"+{text}\n".encode()
            case Done(reason):
                return f"={reason}\n".encode()
            case Idle():
                return b".\n"
        return b""

    def failed(self, failure: PoeProxyError) -> bytes:
        return b"!" + Lines().failure(failure)

    def opens_for(self, failure: PoeProxyError) -> bool:
        return failure.code == "upstream_uncertain"


class Lines:
    """The API: lines of text both ways."""

    def call(self, body: bytes | bytearray, budget: Budget) -> LinesCall:
        model, _, question = body.decode().partition("\n")
        if not question:
            raise InvalidRequest("There is no second line.", param="line 2")
        message = Message(role="user", content=(TextPart(question),))
        chat = ChatRequest(model=model.removesuffix("*"), messages=(message,), budget=budget)
        return LinesCall(chat, model.endswith("*"))

    def failure(self, failure: PoeProxyError) -> bytes:
        return f"{failure.code}: {failure.message} ({failure.param})\n".encode()

    def status(self, failure: PoeProxyError) -> int:
        return 418 if failure.status == 400 else failure.status


# ---- and the route


def served(*script: Step, body: str) -> tuple[int, str]:
    """Status and body of the answer to *body* by an upstream that follows *script*."""
    site = Site(*script)
    site.client.application.add_url_rule(
        "/v1/lines", "lines", lambda: deliver(Lines()), methods=["POST"]
    )
    answer = site.post(body.encode(), "/v1/lines")
    text = answer.get_data(as_text=True)
    answer.close()
    assert site.is_all_free()
    return answer.status_code, text


def test_a_whole_answer() -> None:
    """Texts and calls of the bot, in the words of the toy."""
    assert (200, "calls f\nHello\n8\n") == served(
        Text("Hel"), ToolCallPart(0, "call_1", "f", "{}"), Text("lo"), Done(), body="m\nHello!"
    )


def test_a_stream() -> None:
    """First event, frames and end are decided where they are for all APIs."""
    assert (200, "+Hel\n+lo\n=stop\n") == served(
        Idle(), Text("Hel"), Text("lo"), Done(), body="m*\nHello!"
    )


def test_a_refusal_and_a_failure_in_its_own_form() -> None:
    """Bad requests, failures before the first event and behind it: all in the toy's words."""
    failure = UpstreamTimeout("Silence.")

    assert (418, "invalid_value: There is no second line. (line 2)\n") == served(body="m")
    assert (504, "upstream_timeout: Silence. (None)\n") == served(failure, body="m*\nHello!")
    assert (200, "+Hel\n!upstream_timeout: Silence. (None)\n") == served(
        Text("Hel"), failure, body="m*\nHello!"
    )


def test_a_stream_that_is_opened_for_a_failure() -> None:
    """What clients of the toy would ask again for ends a stream in place of a status; a whole
    answer has the status."""
    failure = UpstreamUncertain("Lost.")

    assert (200, "!upstream_uncertain: Lost. (None)\n") == served(failure, body="m*\nHello!")
    assert (502, "upstream_uncertain: Lost. (None)\n") == served(failure, body="m\nHello!")


def test_keys_and_sizes_hold_for_it_too() -> None:
    """What goes around a request goes around each API's."""
    site = Site(max_body=10)
    site.client.application.add_url_rule(
        "/v1/lines", "lines", lambda: deliver(Lines()), methods=["POST"]
    )

    assert 401 == site.post(b"m\nHello!", "/v1/lines", headers={"x-api-key": f"{KEY}x"}).status_code
    assert 413 == site.post(b"m\nHello, hello!", "/v1/lines").status_code
