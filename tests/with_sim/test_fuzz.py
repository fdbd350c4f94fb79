"""Whatever a client sends, the answer is one of those in openapi.json, and it comes soon."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from .fuzz_rules import BOT
from .servers import KEY, Proxy, Sim, ask
from .test_http import raw

HERE = Path(__file__).parent

#: Seconds in which any answer must have come, on a machine with other things to do.
PATIENCE = 20
#: Requests that schemathesis must have sent to each of the two upstreams.
CASES = 1000


@pytest.fixture(scope="module", params=["cookies", "keys"])
def fuzzed(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """A proxy with accounts of one kind, whose log must have no trouble in it at the end."""
    cookies, keys = (["a", "b"], []) if request.param == "cookies" else ([], ["k"])
    with Sim(cookies, keys, pace=0) as sim, Proxy(sim, LOG_LEVEL="INFO") as proxy:
        # A fast machine asks more than 500 times a minute, and the key would have to rest. What
        # bots make is fetched, but from here.
        switches = {"rate_limit": 0, "media_local": True}
        assert requests.post(f"{sim.url}/__control_api", json=switches, timeout=60).ok
        sim.control(media_host=sim.url)
        yield proxy
    assert "Traceback" not in proxy.output()
    assert "WORKER TIMEOUT" not in proxy.output()


# ---- by the description


def test_schemathesis_finds_nothing(fuzzed: Proxy, tmp_path: Path) -> None:
    """Requests that fit the description, and such as nearly do, are answered as it says."""
    report = tmp_path / "report.ndjson"
    ran = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run"),
            f"{fuzzed.url}/openapi.json",
            *("--header", f"x-api-key: {KEY}"),
            # Each of these is there with /v1 as well, and is the same view; and what is counted is
            # read as what is asked.
            "--exclude-path-regex="
            "^/(chat|responses|messages|completions|images|audio|models|dashboard)"
            "|/count_tokens$|/input_tokens$",
            "--checks=no_fault,status_code_conformance,content_type_conformance,"
            "response_headers_conformance,response_schema_conformance,"
            "unsupported_method,allow_header_conformance",
            "--phases=examples,coverage,fuzzing",
            *("--mode=all", "--max-examples=20", "--generation-deterministic"),
            *(f"--request-timeout={PATIENCE}", "--continue-on-failure", "--no-shrink"),
            *("--suppress-health-check=all", "--no-color", "--workers=1"),
            *("--report=ndjson", f"--report-ndjson-path={report}"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_rules", "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert 0 == ran.returncode, ran.stdout[-20_000:] + ran.stderr[-2000:]
    answers = Counter(
        (case["request"]["method"], case["response"]["status_code"])
        for line in report.read_text("utf-8").splitlines()
        if (scenario := json.loads(line).get("ScenarioFinished"))
        for case in scenario["recorder"].get("interactions", {}).values()
    )
    assert CASES <= answers.total()
    assert 100 <= answers["POST", 200]
    assert 100 <= answers["POST", 400]


# ---- by hand: what no description leads to


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def tools(parameters: Any, number: int = 1) -> dict[str, Any]:
    return {
        "tools": [
            {"type": "function", "function": {"name": f"f{place}", "parameters": parameters}}
            for place in range(number)
        ]
    }


def schema(given: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": given}}}


def text(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def written(fields: str) -> bytes:
    """A body with these fields as they are, whether they are JSON or not."""
    return b"%s,%s}" % (json.dumps(ask("hi", BOT)).encode()[:-1], fields.encode())


DOUBLED = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
SEARCHING = {"required": ["a"], "properties": {"a": {"pattern": "^(?:(?=a)(a|aa))+$"}}}
IN_CIRCLES = {
    "$ref": "#/$defs/a",
    "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 1_000_000, id="a million brackets"),
        pytest.param(written(f'"x": {"[" * 300}{"]" * 300}'), id="nested, unknown field"),
        pytest.param(ask("hi", BOT, **tools({"default": nested(300)})), id="nested, tool"),
        pytest.param(ask("hi", BOT, **schema(nested(300))), id="nested, schema"),
        pytest.param(written('"temperature": 1e999'), id="infinity"),
        pytest.param(written(f'"max_tokens": {"9" * 400}'), id="400 digits"),
        pytest.param(written('"x": "a\x00b"'), id="a raw NUL"),
        pytest.param(json.dumps(ask("hi", BOT)).encode("utf-16"), id="UTF-16"),
        pytest.param(ask("!echo 1", BOT, **schema({"$ref": "//["})), id="reference to nonsense"),
        pytest.param(ask("hi", BOT, stop=[f"x{n}" for n in range(10_000)]), id="stop words"),
        pytest.param(
            ask("hi", BOT, **text([{"type": "image_url", "image_url": "https://[::1"}])),
            id="no URL",
        ),
        pytest.param(
            ask("hi", BOT, **text([{"type": "image_url", "image_url": "data:a\r\nb: c,"}])),
            id="line breaks in a media type",
        ),
    ],
)
def test_what_makes_no_sense_is_a_400(fuzzed: Proxy, body: Any) -> None:
    """The client is told that it is at fault, in the usual form and in time."""
    answer = fuzzed.post(body, timeout=PATIENCE)

    assert (400, "application/json") == (answer.status_code, answer.headers["Content-Type"])
    assert "invalid_request_error" == answer.json()["error"]["type"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(written(r'"messages": [{"role": "user", "content": "\u0000"}]'), id="NUL"),
        pytest.param(written('"model": 1, "n": 2, "n": 1, "model": "gpt-5.1"'), id="doubled keys"),
        pytest.param(written(f'"max_tokens": {2**64 - 1}'), id="the largest integer"),
        pytest.param(ask("hi", BOT, **text("\uffff\u202e\u2028")), id="odd characters"),
        pytest.param(ask("hi", BOT, messages=[*text("hi")["messages"]] * 10_000), id="messages"),
        pytest.param(ask("hi", BOT, **text(["hi"] * 10_000)), id="parts"),
        pytest.param(ask("hi", BOT, stop=[f"x{n}" for n in range(64)]), id="stop words"),
        pytest.param(ask("hi", BOT, **tools({"type": "object"}, 1000)), id="tools"),
        pytest.param(ask("hi", BOT, **tools(IN_CIRCLES)), id="tool with references in circles"),
        pytest.param(ask("!echo 1", BOT, **schema({"$ref": "#"})), id="reference to itself"),
        pytest.param(ask("!echo 1", BOT, **schema(IN_CIRCLES)), id="references in circles"),
        pytest.param(ask("!echo 1", BOT, **schema({"$schema": 5})), id="a draft that is none"),
        pytest.param(ask("hi", BOT, **tools({"pattern": "^(a|aa)+$"})), id="tool with a pattern"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_is_only_odd_is_answered(fuzzed: Proxy, body: Any, stream: bool) -> None:
    """Thousands of messages, parts and tools, many stop words and odd characters are no trouble."""
    if stream:
        body = (body if isinstance(body, bytes) else json.dumps(body).encode())[:-1]
        body += b',"stream":true}'
    answer = fuzzed.post(body, timeout=PATIENCE)

    assert 200 == answer.status_code, answer.text
    assert answer.text.endswith("data: [DONE]\n\n") == stream


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            ask("!echo 1", BOT, **schema({"$ref": "#/$defs/a0", "$defs": {**DOUBLED, "a60": {}}})),
            id="references without end",
        ),
        pytest.param(
            ask('!echo {"a":"%s!"}' % ("a" * 60), BOT, **schema(SEARCHING)),
            id="regular expression without end",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_takes_too_long_to_check_is_answered_unchecked(
    fuzzed: Proxy, body: dict[str, Any], stream: bool
) -> None:
    """A header says so; it is no failure of the bot's, nor is the bot asked twice."""
    answer = fuzzed.post({**body, "stream": stream}, timeout=PATIENCE)

    assert (200, "response_format.json_schema.schema") == (
        answer.status_code,
        answer.headers["x-unchecked"],
    )
    assert answer.text.endswith("data: [DONE]\n\n") == stream


@pytest.mark.parametrize("model", ["no\0bot", "no\r\nbot", "...", "a/b", "\U0001f47b", "m" * 300])
def test_a_name_that_can_be_none_is_a_404(fuzzed: Proxy, model: str) -> None:
    """Whatever the name has in it, it is only not found."""
    asked = fuzzed.post(ask("hi", model), timeout=PATIENCE)
    path = f"{fuzzed.url}/v1/models/{requests.utils.quote(model, safe='')}"
    looked_up = requests.get(path, headers=fuzzed.headers, timeout=PATIENCE)

    for answer in (asked, looked_up):
        assert (404, "model_not_found") == (answer.status_code, answer.json()["error"]["code"])


@pytest.mark.parametrize(
    "fields",
    [
        tools({"$ref": "URL"}),
        tools({"$schema": "URL"}),
        tools({"$id": "URL", "$ref": "other.json"}),
        schema({"$ref": "URL"}),
        schema({"$schema": "URL", "$ref": "URL"}),
        schema({"$dynamicRef": "URL"}),
    ],
    ids=json.dumps,
)
def test_no_schema_is_ever_fetched(fuzzed: Proxy, fields: dict[str, Any]) -> None:
    """An address in a schema is a name and nothing else: nobody connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        named = json.loads(json.dumps(fields).replace("URL", url))
        fuzzed.post(ask("!echo 1", BOT, **named), timeout=PATIENCE)
        listener.setblocking(False)

        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("kind", ["text/plain", "text/html", "multipart/form-data", "\xff", "a;=;"])
def test_the_content_type_does_not_matter(fuzzed: Proxy, kind: str) -> None:
    """What is JSON is read as JSON, whatever it is said to be."""
    headers = {**fuzzed.headers, "Content-Type": kind}

    assert 200 == fuzzed.post(ask("hi", BOT), headers=headers, timeout=PATIENCE).status_code


# ---- beneath the app: what is no request at all


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v1/models/" + b"m" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /v1/models/\xe9 HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/models/a\x00b HTTP/1.1\r\n\r\n", 400),
        (b"GET v1/models HTTP/1.1\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"get /v1/models HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nx: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\n" + b"x: a\r\n" * 200 + b"\r\n", 431),
        (b"GET /health HTTP/1.1\r\nx y: a\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nExpect: nothing\r\n\r\n", 417),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else None,
)
def test_what_is_no_http_request_is_refused_in_json(
    proxy: Proxy, request_: bytes, status: int
) -> None:
    """Also what never gets to the app is answered with the OpenAI error object."""
    head, _, body = raw(proxy, request_).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/json" in head
    assert {"message", "type", "param", "code"} == json.loads(body)["error"].keys()


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "/", "/health", "/openapi.json", "/models", "/v1/models", "/v1/models/gpt-4",
        "/chat/completions", "/v1/chat/completions", "/v1/nothing", "/%00%0d%0a",
    ],
)  # fmt: skip
def test_these_methods_have_no_body_on_any_path(proxy: Proxy, method: str, path: str) -> None:
    """HEAD and OPTIONS are answered everywhere, and only the page at / is HTML."""
    answer = requests.request(method, proxy.url + path, headers=proxy.headers, timeout=PATIENCE)

    assert b"" == answer.content
    assert answer.status_code in ({204} if method == "OPTIONS" else {200, 404, 405})
    assert ("html" in answer.headers.get("Content-Type", "")) == ((method, path) == ("HEAD", "/"))
