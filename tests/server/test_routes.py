"""The routes: keys, bodies, answers, errors, and what goes around them."""

from __future__ import annotations

import gzip
import io
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from werkzeug.test import TestResponse

from poe_proxy.apis.chat_completions import rendering
from poe_proxy.app import _tidy_paths
from poe_proxy.chat import Done, Idle, Reasoning, Text
from poe_proxy.errors import (
    BotNotFound,
    PromptTooLong,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from poe_proxy.gateway import Gateway
from poe_proxy.models import Models, Route
from poe_proxy.pool.balances import Balance
from poe_proxy.pool.rotator import Token, TokenRotator
from poe_proxy.server import routes
from poe_proxy.upstreams.base import Upstream

from ..fakes import ANSWER, FakeUpstream, Step, log_lines

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
        models: Models | None = None,
        patience: float = 0.0,
        errors_as_text: bool = False,
    ) -> None:
        self.upstream = FakeUpstream(script or ANSWER)
        self.tokens: TokenRotator[Upstream] = TokenRotator(
            [Token("cookie-1", self.upstream)], patience=patience
        )
        app = Flask("poe_proxy")
        app.extensions["poe_proxy"] = routes.Services(
            gateway=Gateway(self.tokens, models or Models.load()),
            balance=Balance(self.tokens),
            auth_keys=keys,
            max_body=max_body,
            errors_as_text=errors_as_text,
        )
        routes.register(app)
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
        return self.tokens.census() == {
            "free": 1, "in_use": 0, "resting": 0, "retired": 0, "waiting": 0,
        }  # fmt: skip


@pytest.fixture
def site() -> Site:
    return Site()


def error(answer: TestResponse) -> dict[str, Any]:
    """The error object of an answer that is one, and nothing else."""
    assert "application/json" == answer.content_type
    body = orjson.loads(answer.data)
    assert ["error"] == list(body)
    assert {"message", "type", "param", "code"} == body["error"].keys()
    return body["error"]


def lines(answer: TestResponse) -> list[str]:
    """The data of a stream, and its comments with their colon."""
    frames = answer.get_data(as_text=True).split("\n\n")
    assert "" == frames.pop()
    return [frame.removeprefix("data: ") for frame in frames]


def text(answer: TestResponse) -> str:
    """The text of a stream."""
    chunks = [ChatCompletionChunk.model_validate_json(one) for one in lines(answer)[:-1]]
    return "".join(one.choices[0].delta.content or "" for one in chunks)


# ---- answers


@pytest.mark.parametrize("path", ["/chat/completions", COMPLETIONS])
def test_a_whole_answer(site: Site, path: str) -> None:
    """A chat request is answered with a completion that OpenAI's own type accepts."""
    answer = site.post(orjson.dumps(HELLO), path)

    completion = ChatCompletion.model_validate_json(answer.data, strict=True)
    assert (200, "application/json") == (answer.status_code, answer.content_type)
    assert "Hello there" == completion.choices[0].message.content
    assert completion.usage is not None
    assert site.is_all_free()


def test_a_streamed_answer(site: Site) -> None:
    """A stream has the headers that keep proxies from holding it back, and ends with [DONE]."""
    answer = site.ask(stream=True)

    assert (200, "text/event-stream; charset=utf-8", "no-cache", "no") == (
        answer.status_code,
        answer.content_type,
        answer.headers["Cache-Control"],
        answer.headers["X-Accel-Buffering"],
    )
    assert "[DONE]" == lines(answer)[-1]
    assert "Hello there" == text(answer)
    answer.close()
    assert site.is_all_free()


def test_a_body_needs_no_content_type(site: Site) -> None:
    """JSON is read as JSON, whatever the client calls it."""
    for kind in (None, "text/plain", "application/x-www-form-urlencoded"):
        assert 200 == site.post(orjson.dumps(HELLO), content_type=kind).status_code


def test_a_stream_is_not_collected() -> None:
    """The first text is out before the upstream works on the next one."""
    log: list[str] = []
    site = Site(Text("one"), lambda: log.append("working on two"), Text("two"), Done())

    for frame in site.ask(stream=True).response:
        log.extend(word for word in ("one", "two") if word.encode() in frame)  # type: ignore

    assert ["one", "working on two", "two"] == log


# ---- failures of an answer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (BotNotFound("No bot.", param="model"), 404, "model_not_found"),
        (PromptTooLong("Too long."), 400, "context_length_exceeded"),
        (TokenRejected("Logged out."), 502, "upstream_auth"),
        (TokenLimited("Slow down.", retry_after=40), 429, "rate_limit_exceeded"),
        (TokenExhausted("Empty."), 429, "insufficient_quota"),
        (UpstreamUnreachable("Away."), 502, "upstream_unreachable"),
        (UpstreamOverloaded("Busy."), 503, "upstream_overloaded"),
        (UpstreamTimeout("Silence."), 504, "upstream_timeout"),
    ],
)
def test_a_failure_before_the_first_word_is_a_status(
    failure: Exception, status: int, code: str, stream: bool
) -> None:
    """Streamed or whole, what fails early is told with a real status and an error object."""
    answer = Site(Idle(), failure).ask(stream=stream)

    assert (status, code) == (answer.status_code, error(answer)["code"])


def test_a_failure_within_a_stream_is_its_last_frame() -> None:
    """Once words are out the failure is an error object in the stream; no [DONE] follows."""
    site = Site(Text("Hel"), UpstreamTimeout("Silence."))

    answer = site.ask(stream=True)

    *chunks, last = lines(answer)
    assert 200 == answer.status_code
    assert "Hel" in chunks[-1]
    assert "upstream_timeout" == orjson.loads(last)["error"]["code"]
    answer.close()
    assert site.is_all_free()


def test_a_failure_within_a_whole_answer_is_a_status() -> None:
    """A whole answer is all or nothing."""
    answer = Site(Text("Hel"), UpstreamTimeout("Silence.")).ask()

    assert (504, "upstream_timeout") == (answer.status_code, error(answer)["code"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_of_our_own_is_told_without_its_details(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is a 500 that names the request; the log has the rest."""
    site = Site(ZeroDivisionError("secret"))

    answer = site.ask(stream=stream)

    assert (500, "internal_error") == (answer.status_code, error(answer)["code"])
    assert answer.headers["x-request-id"] in error(answer)["message"]
    assert b"secret" not in answer.data
    assert "ZeroDivisionError" in caplog.text
    assert site.is_all_free()


def test_a_fault_of_our_own_within_a_stream_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in mid-stream is an error object as well, not a connection that just breaks."""
    site = Site(Text("Hel"), ZeroDivisionError("secret"))

    answer = site.ask(stream=True)

    last = orjson.loads(lines(answer)[-1])["error"]
    assert "internal_error" == last["code"]
    assert answer.headers["x-request-id"] in last["message"]
    assert b"secret" not in answer.data
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "failure", [ZeroDivisionError("secret"), UpstreamTimeout("Silence.")], ids=["ours", "Poe's"]
)
def test_any_failure_within_a_stream_may_be_told_in_the_answer_too(failure: Exception) -> None:
    """With ERRORS_AS_TEXT its message is the last text, and the error object still follows."""
    answer = Site(Text("Hel"), failure, errors_as_text=True).ask(stream=True)

    message = orjson.loads(lines(answer)[-1])["error"]["message"]
    assert f"Hel\n\nError: {message}" == text(answer)
    assert "secret" not in message


@pytest.mark.parametrize("stream", [False, True])
def test_a_status_needs_no_text(stream: bool) -> None:
    """ERRORS_AS_TEXT makes no answer of a failure that has a status."""
    answer = Site(UpstreamTimeout("Silence."), errors_as_text=True).ask(stream=stream)

    assert (504, "Silence.") == (answer.status_code, error(answer)["message"])


def test_a_limit_says_when_to_come_back() -> None:
    """Retry-After is in whole seconds, never more than the openai packages are ready to wait;
    a client that has to wait for points need not retry."""
    limited = Site(TokenLimited("Slow down.", retry_after=39.2)).ask()
    empty = Site(TokenExhausted("Empty.", retry_after=500)).ask()

    assert "40" == limited.headers["Retry-After"]
    assert "x-should-retry" not in limited.headers
    assert "false" == empty.headers["x-should-retry"]
    for seconds, header in ((2.5, "3"), (0.2, "1"), (7, "7"), (3600, "60")):
        busy = Site(UpstreamOverloaded("Busy.", retry_after=seconds)).ask()
        assert header == busy.headers["Retry-After"]
    assert "Retry-After" not in Site(UpstreamTimeout("Silence.")).ask().headers


def test_an_unknown_name_is_not_asked_for() -> None:
    """A model that can be no bot is 404 under OpenAI's code, naming it."""
    site = Site()

    answer = site.ask(model="no such bot")

    assert (404, "model_not_found", "model") == (
        answer.status_code,
        error(answer)["code"],
        error(answer)["param"],
    )
    assert "no such bot" in error(answer)["message"]
    assert [] == site.upstream.asked


def test_no_free_token_is_429() -> None:
    """While the only token is in use, a second request hears so once its time in line is over."""
    site = Site(*repeat(Text("on and on"), 5))
    first = site.ask(stream=True)
    next(iter(first.response))

    second = site.ask(stream=True)

    assert (429, "1") == (second.status_code, second.headers["Retry-After"])
    first.close()
    assert site.is_all_free()


# ---- silence


def test_long_silence_opens_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """After KEEP_ALIVE seconds without a word the stream opens all the same, with a comment."""
    monkeypatch.setattr(rendering, "KEEP_ALIVE", 0.0)
    site = Site(Idle(), UpstreamTimeout("Silence."))

    answer = site.ask(stream=True)

    first, *_, last = lines(answer)
    assert (200, ": keep-alive") == (answer.status_code, first)
    assert "upstream_timeout" == orjson.loads(last)["error"]["code"]


def test_short_silence_keeps_the_status_open() -> None:
    """Until then silence decides nothing: a failure still is a status."""
    assert 504 == Site(*repeat(Idle(), 50), UpstreamTimeout("x")).ask(stream=True).status_code


def test_a_thought_opens_the_stream() -> None:
    """Reasoning is a word too."""
    site = Site(Reasoning("Hm."), UpstreamTimeout("Silence."))

    answer = site.ask(stream=True)

    assert 200 == answer.status_code
    assert '"reasoning_content":"Hm."' in lines(answer)[1]


# ---- hanging up


@pytest.fixture
def gone() -> Iterator[socket.socket]:
    """Our end of a connection that the client has closed."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        yield ours


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_in_silence_is_noticed(gone: socket.socket, stream: bool) -> None:
    """While the bot thinks, a hang-up stops it and frees the token."""
    site = Site(*repeat(Idle(), 1000))

    answer = site.post(
        orjson.dumps({**HELLO, "stream": stream}), environ_overrides={"gunicorn.socket": gone}
    )

    assert 499 == answer.status_code
    assert (1, 0) == (site.upstream.hung_up, site.upstream.open)
    assert site.is_all_free()


def test_a_client_that_leaves_while_the_bot_talks_is_noticed(
    gone: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole answer is given up too, although the bot never pauses."""
    monkeypatch.setattr(routes, "LOOK_EVERY", 0.0)
    site = Site(*repeat(Text("on and "), 100), Done())

    answer = site.post(orjson.dumps(HELLO), environ_overrides={"gunicorn.socket": gone})

    assert 499 == answer.status_code
    assert (1, 0) == (site.upstream.hung_up, site.upstream.open)
    assert site.is_all_free()


def test_a_client_that_leaves_within_the_stream_is_noticed(
    gone: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    """A hang-up in mid-stream ends it without a word, and is no fault in the log."""
    site = Site(Text("Hel"), *repeat(Idle(), 1000))

    answer = site.post(
        orjson.dumps({**HELLO, "stream": True}), environ_overrides={"gunicorn.socket": gone}
    )

    assert 2 == len(lines(answer))
    answer.close()
    assert site.upstream.hung_up == 1
    assert site.is_all_free()
    assert "Traceback" not in caplog.text


class Killed(BaseException):
    """What the server raises in a request that it no longer waits for."""


def test_a_stream_that_the_server_ends_says_so() -> None:
    """The client of a server that stops gets an error event; the bot and the token are free."""
    site = Site(Text("Hel"), Killed())

    frames = iter(site.ask(stream=True).response)
    said = [next(frames) for _ in range(3)]
    with pytest.raises(Killed):
        next(frames)

    assert "upstream_interrupted" == orjson.loads(said[-1].removeprefix(b"data: "))["error"]["code"]
    assert site.is_all_free()


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_stops_reading_is_given_up(stream: bool) -> None:
    """The server's writes to a client have a limit, or an account would be lent for ever."""
    site = Site(Text("Hello"), Done())
    with socket.socket() as ours:
        site.post(
            orjson.dumps({**HELLO, "stream": stream}), environ_overrides={"gunicorn.socket": ours}
        )

        limit = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert 1000 * routes.WRITE_TIMEOUT == limit


def test_a_stream_that_the_server_closes_is_hung_up() -> None:
    """Closing the response, begun or not, stops the bot and frees the token."""
    for read in (0, 1, 3):
        site = Site(Text("One"), *repeat(Text("more"), 1000))
        answer = site.ask(stream=True)
        frames = iter(answer.response)
        for _ in range(read):
            next(frames)

        answer.close()

        assert (1, 0) == (site.upstream.hung_up, site.upstream.open)
        assert site.is_all_free()


# ---- bodies


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"model":"gpt-4"}', "messages"),
        (b'{"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"gpt-4","messages":[{"role":"robot"}]}', "messages[0].role"),
    ],
    ids=["empty", "cut", "list", "no messages", "no model", "role"],
)
def test_a_bad_body_is_400_with_its_field(site: Site, body: bytes, param: str) -> None:
    """What is wrong with a body is named by `param`, and no token is used."""
    answer = site.post(body)

    assert (400, "invalid_request_error", param) == (
        answer.status_code,
        error(answer)["type"],
        error(answer)["param"],
    )
    assert [] == site.upstream.asked


def test_a_body_up_to_the_limit_is_read() -> None:
    """MAX_BODY_MB is the largest body, not the smallest that is refused."""
    body = orjson.dumps(HELLO)

    assert 200 == Site(max_body=len(body)).post(body).status_code
    assert 413 == Site(max_body=len(body) - 1).post(body).status_code


def test_a_body_over_the_limit_is_413(site: Site) -> None:
    """A large body is refused by its length, before any of it is read."""

    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("read from it")

    answer = site.post(b"", environ_overrides={"wsgi.input": Unread(), "CONTENT_LENGTH": "10001"})

    assert (413, "request_too_large", "body") == (
        answer.status_code,
        error(answer)["code"],
        error(answer)["param"],
    )
    assert "0.01 MB" in error(answer)["message"]


def chunked(site: Site, stream: io.IOBase, **environ: Any) -> TestResponse:
    """Send a body without a length, as gunicorn hands it over."""
    as_gunicorn_does = {"wsgi.input": stream, "wsgi.input_terminated": True}
    return site.post(
        b"",
        headers={"Authorization": f"Bearer {KEY}", "Transfer-Encoding": "chunked"},
        environ_overrides={**as_gunicorn_does, **environ},
    )


def test_a_body_in_chunks_is_read(site: Site) -> None:
    """A body that does not say its length is read to its end."""
    assert 200 == chunked(site, io.BytesIO(orjson.dumps(HELLO))).status_code


def test_an_endless_body_is_413(site: Site) -> None:
    """Of a body that does not say its length no more than the limit is read."""
    body = io.BytesIO(b"x" * 50_000)

    answer = chunked(site, body)

    assert 413 == answer.status_code
    assert body.tell() == 10_001


def test_what_is_left_of_a_large_body_is_not_read(site: Site) -> None:
    """The connection is shut once the answer is out, so that nobody has to read the rest."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        answer = chunked(site, io.BytesIO(b"x" * 50_000), **{"gunicorn.socket": ours})
        assert "close" == answer.headers["Connection"]
        theirs.setblocking(False)
        answer.close()
        assert b"" == theirs.recv(1)


@pytest.mark.parametrize("is_told", [False, True], ids=["werkzeug", "gunicorn"])
def test_a_body_that_is_shorter_than_it_says_is_400(site: Site, is_told: bool) -> None:
    """A body that ends too early is not taken for a whole one."""
    body = orjson.dumps(HELLO)
    environ = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body) + 1)}

    answer = site.post(
        b"", environ_overrides={**environ, **({"wsgi.input_terminated": True} if is_told else {})}
    )

    assert 400 == answer.status_code
    assert "invalid_request_error" == error(answer)["type"]
    assert [] == site.upstream.asked


def test_a_body_that_breaks_off_is_a_hang_up(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that breaks, or is cut for being slow, is no fault of ours."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError

    assert 499 == chunked(site, Broken()).status_code
    assert "Traceback" not in caplog.text


def test_a_slow_body_is_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not send its body in time loses its connection."""
    monkeypatch.setattr(routes, "BODY_TIMEOUT", 0.02)
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        theirs.sendall(b'{"model":')
        answer = chunked(site, stream, **{"gunicorn.socket": ours})

    assert answer.status_code in (400, 499)
    assert [] == site.upstream.asked


def test_a_compressed_body_is_not_json(site: Site) -> None:
    """Nothing is unpacked here, so that nothing small becomes large."""
    answer = site.post(
        gzip.compress(orjson.dumps(HELLO)),
        headers={"Authorization": f"Bearer {KEY}", "Content-Encoding": "gzip"},
    )

    assert (400, "body") == (answer.status_code, error(answer)["param"])


# ---- keys


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer sk-test"}, id="bearer"),
        pytest.param({"Authorization": "bearer  sk-test "}, id="bearer in small letters"),
        pytest.param({"x-api-key": "sk-test"}, id="x-api-key"),
        pytest.param({"api-key": "sk-test"}, id="api-key"),
        pytest.param({"Authorization": "Bearer wrong", "api-key": "sk-test"}, id="one of two"),
        pytest.param({"Authorization": "Bearer sk-other"}, id="the second key"),
        pytest.param({"X-API-KEY": "sk-other"}, id="the second key in x-api-key"),
        pytest.param(
            {"x-api-key": "schlüssel".encode().decode("latin-1")}, id="a key beyond ASCII"
        ),
    ],
)
def test_a_key_opens_in_each_header(headers: dict[str, str]) -> None:
    """Any of the keys will do, in any of the headers that clients use."""
    site = Site(keys=("sk-test", "sk-other", "schlüssel"))

    assert 200 == site.get("/v1/models", headers=headers).status_code


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": ""}, id="empty"),
        pytest.param({"Authorization": "Bearer "}, id="empty bearer"),
        pytest.param({"Authorization": "Bearer"}, id="only the word"),
        pytest.param({"Authorization": "sk-test"}, id="bare"),
        pytest.param({"Authorization": "Basic sk-test"}, id="basic"),
        pytest.param({"Authorization": "Bearer sk-tes"}, id="too short"),
        pytest.param({"Authorization": "Bearer sk-testt"}, id="too long"),
        pytest.param({"Authorization": "Bearer SK-TEST"}, id="in capitals"),
        pytest.param({"Authorization": "Bearer sk-test,sk-other"}, id="two at once"),
        pytest.param({"x-api-key": "Bearer sk-test"}, id="bearer in x-api-key"),
        pytest.param({"api-key": "wrong"}, id="wrong"),
        pytest.param({"api-key": "\xff\xfe"}, id="no text"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/models"), ("GET", "/models/gpt-4"), ("POST", "/chat/completions"),
     ("POST", COMPLETIONS)],
)  # fmt: skip
def test_without_a_key_nothing_is_served(method: str, path: str, headers: dict[str, str]) -> None:
    """A missing or wrong key is 401 on every route that uses an account or names one."""
    site = Site(keys=("sk-test", "sk-other"))

    answer = site.open(path, method=method, headers=headers)

    assert (401, "authentication_error", "invalid_api_key") == (
        answer.status_code,
        error(answer)["type"],
        error(answer)["code"],
    )
    assert "sk-" not in error(answer)["message"]
    assert [] == site.upstream.asked


def test_the_key_is_looked_at_before_the_body(site: Site) -> None:
    """A stranger hears nothing about bodies."""
    assert 401 == site.post(b"x" * 20_000, headers={}).status_code


# ---- models


@pytest.mark.parametrize("path", ["/models", "/v1/models"])
def test_the_models_are_listed(site: Site, path: str) -> None:
    """The list has OpenAI's shape, and each entry passes OpenAI's own type."""
    body = orjson.loads(site.get(path).data)

    assert "list" == body["object"]
    assert "gpt-4" in [Model.model_validate(one, strict=True).id for one in body["data"]]


@pytest.mark.parametrize("path", ["/models/gpt-4", "/v1/models/gpt-4", "/v1/models/GPT-4"])
def test_one_model_is_shown(site: Site, path: str) -> None:
    """A model of the list is shown under its name, in any case."""
    assert "gpt-4" == Model.model_validate_json(site.get(path).data, strict=True).id


def test_a_name_may_hold_slashes() -> None:
    """Names such as openai/gpt-4o are found by the path that clients make of them."""
    site = Site(models=Models(names={"openai/gpt-4o": Route("GPT-4o")}))

    for path in ("/v1/models/openai/gpt-4o", "/v1/models/openai%2Fgpt-4o"):
        assert "openai/gpt-4o" == orjson.loads(site.get(path).data)["id"]


@pytest.mark.parametrize("name", ["none", "a/b", "a%0Ab", "%0A", "%00", "%ff"])
def test_a_model_that_is_not_listed_is_404(site: Site, name: str) -> None:
    """An unknown name is OpenAI's model_not_found, whatever is in it."""
    answer = site.get(f"/v1/models/{name}")

    assert (404, "model_not_found") == (answer.status_code, error(answer)["code"])


# ---- what is there, what is not


def test_health_needs_no_key(site: Site) -> None:
    """Whoever watches the process has no key."""
    answer = site.get("/health", headers={})

    assert (200, {"status": "ok"}) == (answer.status_code, orjson.loads(answer.data))


def test_the_front_page_says_what_this_is(site: Site) -> None:
    """A browser at the address sees a page with the base URL to use, and no key of ours."""
    answer = site.get("/", headers={}, base_url="https://chat.example.org")

    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.content_type)
    assert "https://chat.example.org/v1" in answer.text
    assert KEY not in answer.text


def test_a_host_header_is_not_put_on_the_page_as_it_is(site: Site) -> None:
    """What a client calls this host cannot become a script of the page."""
    answer = site.get("/", headers={"Host": "<script>alert(1)</script>"})

    assert b"<script" not in answer.data


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/models/gpt-4"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    """HEAD answers as GET does, without the body."""
    answer = site.open(path, method="HEAD")

    assert (200, b"") == (answer.status_code, answer.data)
    assert site.get(path).headers["Content-Type"] == answer.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/v2/models", "/v1/responses", "/.env", "/v1/embeddings"])
def test_an_unknown_path_is_404(site: Site, path: str) -> None:
    """A path that leads nowhere says so in OpenAI's shape, with the paths that do."""
    answer = site.post(b"{}", path)

    assert (404, "invalid_request_error", "not_found") == (
        answer.status_code,
        error(answer)["type"],
        error(answer)["code"],
    )
    assert path in error(answer)["message"]
    assert COMPLETIONS in error(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", COMPLETIONS, "OPTIONS, POST"),
        ("PUT", "/chat/completions", "OPTIONS, POST"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/models/gpt-4", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405(site: Site, method: str, path: str, allowed: str) -> None:
    """A method that a path does not take says so in OpenAI's shape, and names those it takes."""
    answer = site.open(path, method=method)

    assert (405, "method_not_allowed", allowed) == (
        answer.status_code,
        error(answer)["code"],
        answer.headers["Allow"],
    )


# ---- around every answer


EVERY_KIND: list[tuple[str, Callable[[], TestResponse]]] = [
    ("200", lambda: Site().get("/v1/models")),
    ("200 stream", lambda: Site().ask(stream=True)),
    ("204", lambda: Site().open("/v1/models", method="OPTIONS", headers={})),
    ("400", lambda: Site().post(b"")),
    ("401", lambda: Site().get("/v1/models", headers={})),
    ("404", lambda: Site().get("/none")),
    ("404 model", lambda: Site(BotNotFound("No bot.")).ask()),
    ("405", lambda: Site().get(COMPLETIONS)),
    ("413", lambda: Site(max_body=1).ask()),
    ("429", lambda: Site(TokenLimited("Slow down.")).ask()),
    ("500", lambda: Site(ZeroDivisionError()).ask()),
    ("502", lambda: Site(UpstreamUnreachable("Away.")).ask()),
]


@pytest.mark.parametrize(
    ("status", "make"), [pytest.param(status[:3], make, id=status) for status, make in EVERY_KIND]
)
def test_every_answer_can_be_read_by_browsers_and_found_in_logs(
    status: str, make: Callable[[], TestResponse]
) -> None:
    """CORS headers and a request id are on each answer, errors too; the log has the same id."""
    with log_lines() as lines:
        answer = make()

    assert int(status) == answer.status_code
    assert "*" == answer.headers["Access-Control-Allow-Origin"]
    assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"]
    assert "retry-after" in answer.headers["Access-Control-Expose-Headers"]
    assert "x-ratelimit-remaining-requests" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-request-id"] in lines.getvalue()


def test_each_request_has_an_id_of_its_own(site: Site) -> None:
    """No two answers share an id, and a client cannot choose it."""
    headers = {"x-request-id": "mine"}

    ids = {site.get("/health", headers=headers).headers["x-request-id"] for _ in range(20)}

    assert 20 == len(ids)
    assert "mine" not in ids


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/models", "/v1/models", "/v1/models/gpt-4", "/chat/completions", COMPLETIONS],
)
def test_a_preflight_needs_no_key(site: Site, path: str) -> None:
    """Browsers ask first, without a key: they may send what they name, and remember it."""
    answer = site.open(
        path,
        method="OPTIONS",
        headers={
            "Origin": "https://chat.example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os",
        },
    )

    assert (204, b"") == (answer.status_code, answer.data)
    assert "Content-Type" not in answer.headers
    assert (
        "authorization, content-type, x-stainless-os"
        == (answer.headers["Access-Control-Allow-Headers"])
    )
    assert {"GET", "POST", "OPTIONS"} <= set(
        answer.headers["Access-Control-Allow-Methods"].split(", ")
    )
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize(
    "wanted", ["", "a\x01b", "a;b", "<b>", "ü", "x" * 5000], ids=["no", "1", ";", "<", "ü", "long"]
)
def test_a_preflight_repeats_only_names_of_headers(site: Site, wanted: str) -> None:
    """What can be no list of header names does not come back in a header."""
    answer = site.open(
        "/v1/models", method="OPTIONS", headers={"Access-Control-Request-Headers": wanted}
    )

    assert "Authorization, Content-Type" == answer.headers["Access-Control-Allow-Headers"]


def test_a_log_line_stays_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """What a client sends cannot write lines of its own into the log, nor flood it."""
    with caplog.at_level(logging.INFO):
        Site().get("/v1/models/a%0Ainjected%1b[31m")
        Site().ask(model="evil\ninjected\x1b" + "x" * 5000)

    assert 2 == len(caplog.messages)
    for message in caplog.messages:
        assert "\n" not in message
        assert "\x1b" not in message
        assert len(message) < 400


def test_a_log_line_names_the_model_and_nothing_of_the_conversation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line tells request, path, status and model; neither key nor text is in it."""
    with caplog.at_level(logging.DEBUG):
        Site().ask(messages=[{"role": "user", "content": "secret words"}])

    assert "model=gpt-4" in caplog.text
    assert f"POST {COMPLETIONS} 200" in caplog.text
    assert "secret" not in caplog.text
    assert KEY not in caplog.text


# ---- paths


@pytest.mark.parametrize(
    ("path", "tidy"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
        ("//v1//models", "/v1/models"),
        ("/v1/chat/completions///", "/v1/chat/completions"),
        ("/", "/"),
        ("//", "/"),
        ("///", "/"),
        ("", ""),
        ("/v1/models/a/b", "/v1/models/a/b"),
    ],
)
def test_paths_are_tidied(path: str, tidy: str) -> None:
    """Clients join their base URL in many ways; each leads to the route that was meant."""
    seen = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        return [b"answer"]

    assert [b"answer"] == _tidy_paths(app)({"PATH_INFO": path}, None)
    assert [tidy] == seen


# ---- billing


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_the_balance_is_shown_as_a_subscription_of_which_nothing_is_used(prefix: str) -> None:
    """What clients show as money left is what Poe's points are worth."""
    site = Site()
    site.upstream.points = 1_000_000

    subscription = orjson.loads(site.get(f"{prefix}/dashboard/billing/subscription").data)
    usage = orjson.loads(site.get(f"{prefix}/dashboard/billing/usage?start_date=x").data)

    assert 30 == pytest.approx(subscription["hard_limit_usd"])
    assert {"object": "list", "total_usage": 0} == usage
    assert 401 == site.get(f"{prefix}/dashboard/billing/subscription", headers={}).status_code


def test_a_name_that_is_far_too_long_is_not_repeated() -> None:
    """What is wrong is said in a few words."""
    answer = Site().ask(model="x" * 5000)

    assert (404, "model_not_found") == (answer.status_code, error(answer)["code"])
    assert len(error(answer)["message"]) < 200
