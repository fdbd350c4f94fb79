from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from .api_support import Api, events, fresh, said, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Api]:
    with serving() as one:
        yield one


@pytest.fixture
def api(server: Api) -> Api:
    return fresh(server)


def raw(api: Api, prompt: str, *, stream: bool = True) -> socket.socket:
    """Send a request and return the socket."""
    parts = urlsplit(api.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=60)
    message = {"role": "user", "content": prompt}
    body = json.dumps({"model": "GPT-5.1", "stream": stream, "messages": [message]}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: sim\r\nAuthorization: Bearer k1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def test_a_stream_begins_with_the_role_and_ends_with_done(api: Api) -> None:
    """A stream has role, content, finish, `[DONE]`, one id, and no usage unasked."""
    answer = api.chat("!echo One two", stream=True)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["openai-version"]
    chunks = api.chunks("!echo One two")
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-2]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert chunks[-1] == "[DONE]"
    assert said(chunks) == "One two"
    assert len({chunk["id"] for chunk in chunks[:-1]}) == 1
    for chunk in chunks[:-1]:
        assert list(chunk) == ["id", "object", "created", "model", "choices"]
        assert chunk["object"] == "chat.completion.chunk"


def test_usage_is_a_chunk_without_choices(api: Api) -> None:
    """`include_usage` or a word brings usage in a chunk without choices."""
    for chunks in (
        api.chunks("hi", stream_options={"include_usage": True}),
        api.chunks("hi !usage-empty-choices"),
    ):
        assert chunks[-2]["choices"] == []
        assert chunks[-2]["usage"]["completion_tokens"] > 0
    chunks = api.chunks("hi", stream_options={"include_usage": False})
    assert all("usage" not in chunk for chunk in chunks[:-1])


def test_reasoning_is_streamed_before_the_text(api: Api) -> None:
    """Reasoning comes before the text, under both names."""
    chunks = api.chunks("!echo hello !reason")
    assert said(chunks, "reasoning_content") == said(chunks, "reasoning") != ""
    kinds = ["content" in chunk["choices"][0]["delta"] for chunk in chunks[1:-2]]
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(("words", "count"), [("!chunks=3", 3), ("!size=5", 5), ("!chunks=99", 22)])
def test_the_number_of_chunks_can_be_chosen(api: Api, words: str, count: int) -> None:
    """A prompt chooses number or size of the chunks; many of them are cut inside words."""
    chunks = api.chunks(f"!echo {words} a text in several bits")
    assert said(chunks) == "a text in several bits"
    # Besides them: the role, the finish and `[DONE]`.
    assert len(chunks) == count + 3


def test_a_stamp_is_the_time_of_sending(api: Api) -> None:
    """`!stamp=N` is N chunks, each with the time at which it was sent."""
    before = time.monotonic()
    chunks = api.chunks("!stamp=3 !delay=0.02")
    stamps = [float(stamp) for stamp in said(chunks).split()]
    assert len(stamps) == 3
    assert len(chunks) == 3 + 3
    assert before <= stamps[0] < stamps[1] < stamps[2] <= time.monotonic()


@pytest.mark.parametrize("words", ["!crlf", "!no-space", "!pings", "!split-utf8"])
def test_the_wire_may_look_different_and_mean_the_same(api: Api, words: str) -> None:
    """Other line ends, missing spaces, comments and split characters mean the same."""
    plain = api.chat("!echo ärger 世界 🌍", stream=True).content
    other = api.chat(f"!echo ärger 世界 🌍 {words}", stream=True).content
    assert said(api.chunks(f"!echo ärger 世界 🌍 {words}")) == "ärger 世界 🌍"
    assert len(events(other)) == len(events(plain))
    if words == "!crlf":
        assert b"\n" not in other.replace(b"\r\n", b"")
    if words == "!no-space":
        assert b"data: " not in other
    if words == "!pings":
        assert other.count(b": ping\n\n") == len(events(plain)) - 3


def test_a_character_is_split_between_two_writes(api: Api) -> None:
    """A client that decodes each read by itself fails: one write ends inside a character."""
    connection = raw(api, "!echo !split-utf8 🌍🌍🌍")
    answer = b""
    while not answer.endswith(b"0\r\n\r\n"):
        answer += connection.recv(65536)
    connection.close()
    # Each write is a chunk of HTTP: its size, and so many bytes.
    rest = answer.partition(b"\r\n\r\n")[2]
    broken = 0
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        try:
            rest[: int(size, 16)].decode()
        except UnicodeDecodeError:
            broken += 1
        rest = rest[int(size, 16) + 2 :]
    assert broken == 2 * 3


def test_first_deltas_may_differ(api: Api) -> None:
    """The first delta may lack its role, or have null as content."""
    assert api.chunks("hi !no-role")[0]["choices"][0]["delta"] == {"content": ""}
    assert api.chunks("hi !null-content")[0]["choices"][0]["delta"]["content"] is None


def test_an_end_may_be_missing(api: Api) -> None:
    """A stream may end without finish reason, without `[DONE]`, or without both."""
    assert api.chunks("!echo hi !no-done")[-1]["choices"][0]["finish_reason"] == "stop"
    chunks = api.chunks("!echo hi !no-finish")
    assert chunks[-1] == "[DONE]"
    assert chunks[-2]["choices"][0]["finish_reason"] is None
    chunks = api.chunks("!echo one two three !silent-end=2")
    assert said(chunks) == "one two"
    assert chunks[-1]["choices"][0]["finish_reason"] is None


def test_an_error_may_come_in_the_middle(api: Api) -> None:
    """After so many chunks of a 200 an error may be the last event."""
    chunks = api.chunks("!echo one two three !error-after=2")
    assert said(chunks[:-1]) == "one two"
    assert chunks[-1]["error"]["type"] == "provider_error"
    assert api.chunks("!echo one !error-after=99")[-1]["error"]
    assert "error" in api.chunks("!echo one !error-after=0")[1]


def test_a_chunk_may_be_broken(api: Api) -> None:
    """A stream goes on behind a broken chunk."""
    body = api.chat("!echo one two three !broken-json=1", stream=True).content
    data = [data for _, data in events(body)]
    broken = [each for each in data if each != "[DONE]" and not each.endswith("}")]
    assert len(broken) == 1
    assert data[-1] == "[DONE]"


def test_a_connection_may_be_cut(api: Api) -> None:
    """A connection is cut after so many chunks, or before the first byte."""
    answer = api.chat("!echo one two three !cut=2", stream=True)
    got: list[bytes] = []
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        got.extend(answer.iter_content(None))
    data = [json.loads(data) for _, data in events(b"".join(got))]
    texts = [each["choices"][0]["delta"]["content"] for each in data]
    assert "".join(texts) == "one two"
    with pytest.raises(requests.exceptions.ConnectionError):
        api.chat("!reset hi", stream=True)
    answer = api.chat("!cut hi")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        answer.json()


def test_pace_is_seconds_between_chunks(api: Api) -> None:
    """Control or word set the pace, and the word counts; `!first` waits before the status line."""
    api.control(pace=0.03)
    started = time.monotonic()
    api.chunks("!echo a b c d e")
    assert 0.12 < time.monotonic() - started
    api.control(pace=3600)
    started = time.monotonic()
    api.chunks("!echo a b c d e !first=0 !delay=0.03")
    assert 0.12 < time.monotonic() - started
    started = time.monotonic()
    assert api.chat("hi !first=0.2 !delay=0", stream=True).status_code == 200
    assert 0.2 <= time.monotonic() - started


def test_the_socket_stays_open_without_a_byte(api: Api) -> None:
    """The socket is silent until the first byte is due."""
    connection = raw(api, "!echo hi !first=3600")
    connection.settimeout(0.15)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.close()
    started = time.monotonic()
    connection = raw(api, "!echo hi !first=0.3")
    assert connection.recv(5) == b"HTTP/"
    assert 0.3 <= time.monotonic() - started
    connection.close()


def test_silence_may_fall_after_the_head(api: Api) -> None:
    """The headers may come long before the text, or a pause in the middle."""
    answer = api.chat("!echo hi !first-chunk=3600", stream=True)
    assert answer.status_code == 200
    answer.close()
    started = time.monotonic()
    answer = api.chat("!echo hi !first-chunk=0.4", stream=True)
    assert b"[DONE]" in answer.content
    assert time.monotonic() - started >= 0.4
    started = time.monotonic()
    api.chunks("!echo a b c !silence=0.2")
    assert 0.2 <= time.monotonic() - started


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("words", ["!first=3600", "!hang", "!delay=3600"])
def test_a_client_that_hangs_up_is_noticed(api: Api, words: str, stream: bool) -> None:
    """A hang-up is noticed before the first byte as well as in the middle."""
    connection = raw(api, f"!echo a b c {words}", stream=stream)
    api.wait_for("reply-start")
    assert api.control()["active"]["key-1"] == 1
    connection.close()
    event = api.wait_for("reply-aborted")
    assert event["key"] == "key-1"
    assert api.control()["active"]["key-1"] == 0
    assert api.events("reply-end") == []


STATUSES: dict[int, str | None] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "moderation_error",
    404: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "provider_error",
    502: "upstream_error",
    503: None,
    529: "overloaded_error",
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
@pytest.mark.parametrize("stream", [True, False])
def test_any_status_can_be_had(api: Api, status: int, kind: str | None, stream: bool) -> None:
    """A word or the model's name brings any status, with its body, before a stream begins."""
    for error in (
        api.error(f"!http={status}", status, stream=stream),
        api.error("hi", status, stream=stream, model=f"Sim-Http-{status}"),
    ):
        assert error.get("type") == kind
        assert error["message"]
    assert api.events("reply-start") == []


def test_the_bodies_are_those_that_were_seen(api: Api) -> None:
    """Error bodies are those of official API sheet §9.3, in each envelope of §9.2."""
    assert api.error("!http=401", 401) == {
        "message": "Incorrect API key provided. You can find your API key at "
        "https://poe.com/api/keys.",
        "type": "authentication_error",
        "code": "invalid_api_key",
    }
    assert api.error("!http=402", 402) == {
        "message": "You've used up your points! Visit https://poe.com/api/keys to get more.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    assert api.error("!http=500", 500)["message"].startswith("Error from OpenAI:")
    assert "code" not in api.error("!http=429", 429)
    assert api.error("!http=502", 502)["code"] == 502
    assert api.error("!http=502", 502)["metadata"] == {}


def test_retry_after_is_sent(api: Api) -> None:
    """A 429 says one second unless a word says otherwise."""
    assert api.chat("!http=429").headers["retry-after"] == "1"
    assert api.chat("!http=503 !retry-after=7").headers["retry-after"] == "7"
    assert "retry-after" not in api.chat("!http=429 !retry-after=none").headers


def test_an_answer_can_be_no_json(api: Api) -> None:
    """An answer may be a page of the proxy in front, or empty."""
    answer = api.chat("!html-502")
    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert "<html>" in answer.text
    answer = api.chat("!empty-200")
    assert (answer.status_code, answer.content) == (200, b"")


def test_trouble_ends_after_so_many_times(api: Api) -> None:
    """After so many times the same prompt succeeds."""
    statuses = [api.chat("!http=500 !times=2 hi").status_code for _ in range(4)]
    assert statuses == [500, 500, 200, 200]
    assert api.text("!echo !error-after=1 !times=0 hi") == "hi"


def test_trouble_can_be_meant_for_one_key(api: Api) -> None:
    """A word or the control makes trouble for one key only."""
    other = Api(api.url, key="k2")
    assert api.chat("!http=500 !only=key-2 hi").status_code == 200
    assert other.chat("!http=500 !only=key-2 hi").status_code == 500
    api.control(faults={"key-1": "!http=429 !retry-after=3"})
    answer = api.chat("hi")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert other.chat("hi").status_code == 200
    api.control(faults={"*": "!http=503"})
    assert {one.chat("hi").status_code for one in (api, other)} == {503}


@pytest.mark.parametrize(("down", "status"), [(True, 503), ("html", 502)])
def test_the_host_can_be_down(api: Api, down: Any, status: int) -> None:
    """A host that is down fails on all paths alike."""
    api.control(down=down)
    assert api.chat("hi").status_code == status
    assert api.request("GET", "/v1/models").status_code == status


def test_the_host_can_close_connections(api: Api) -> None:
    """The connection is closed without a byte."""
    api.control(down="refuse")
    with pytest.raises(requests.exceptions.ConnectionError):
        api.chat("hi")


def test_the_journal_has_requests_and_replies(api: Api) -> None:
    """Entries have labels and names, but no key and no word of the conversation."""
    api.chunks("!echo sesame", temperature=0.5)
    request, start, end = api.journal()
    assert (request["method"], request["path"]) == ("POST", "/v1/chat/completions")
    assert (request["key"], request["model"]) == ("key-1", "GPT-5.1")
    assert (request["status"], request["verdict"], request["stream"]) == (200, "ok", True)
    assert request["fields"] == ["model", "messages", "stream", "temperature"]
    assert "127.0.0.1" == request["peer"]
    assert "Authorization" in request["headers"]
    assert (start["event"], end["event"]) == ("reply-start", "reply-end")
    assert start["request"] == end["request"] == request["n"]
    assert start["t"] <= end["t"]
    text = json.dumps(api.journal())
    assert "k1" not in text
    assert "sesame" not in text


def test_the_journal_has_reasons(api: Api) -> None:
    """Refusals, faults and cut connections have their verdicts."""
    api.chat("!http=503")
    api.chat("hi", n=2)
    Api(api.url, key="nobody").chat("hi")
    assert b"[DONE]" not in api.chat("!silent-end hi", stream=True).content
    verdicts = [entry["verdict"] for entry in api.journal() if "method" in entry]
    expected = ["fault http=503", "refused 400", "refused 401", "fault silent-end"]
    assert verdicts == expected
    assert [entry["key"] for entry in api.journal() if "method" in entry][2] == "bad"


def test_a_text_is_repeated(api: Api) -> None:
    """`!repeat=N` is the prompt N times, in the pieces that were asked for."""
    chunks = api.chunks("!repeat=1000 !size=1000 abc")

    assert "abc" * 1000 == said(chunks)


def test_thoughts_are_as_long_as_asked_for(api: Api) -> None:
    """`!reason=N !chunks=1` is so many characters of reasoning in one event."""
    chunks = api.chunks("!reason=5000 !chunks=1 !echo Hi")
    thoughts = [one["choices"][0]["delta"].get("reasoning") for one in chunks[:-1]]

    assert [5000] == [len(thought) for thought in thoughts if thought]


def test_a_line_without_an_end(api: Api) -> None:
    """`!endless-line=N` is so many megabytes of one line, and the end."""
    content = api.chat("!endless-line=2 !echo Hi there", stream=True).content

    assert 2_000_000 == len(content.rpartition(b"data: ")[2])


def test_a_failure_has_the_words_that_were_asked_for(api: Api) -> None:
    """`!message` is what a failure says, before the answer and within it."""
    chunks = api.chunks("!error-after=1 !message=a_b%0Ac !echo Hi there")

    assert "a b\nc" == api.error("!http=400 !message=a_b%0Ac x")["message"]
    assert "a b\nc" == chunks[-1]["error"]["message"]
