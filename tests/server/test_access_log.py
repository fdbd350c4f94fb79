"""The line of the log for each request."""

from __future__ import annotations

import io
import logging
import re

import orjson
import pytest

from poe_proxy import logs
from poe_proxy.chat import Usage
from poe_proxy.record import Record
from poe_proxy.server import access_log

from .site import COMPLETIONS, Site


def record(**fields: object) -> Record:
    """A request that was answered; *fields* are others than usual."""
    made = Record("req_1", now=100.0, at=1_785_542_400.0)
    usual: dict[str, object] = {
        "method": "POST", "path": COMPLETIONS, "route": COMPLETIONS, "peer": "192.0.2.1",
        "client": "alice", "model": "gpt-4", "bot": "GPT-4o", "account": "key-1", "kind": "key",
        "streams": True, "status": 200, "joined": 100.001, "queued": 1.5, "first_text": 102.0,
        "done": 104.0, "ended": 104.25, "pieces": 48,
    }  # fmt: skip
    for name, value in {**usual, **fields}.items():
        setattr(made, name, value)
    return made


def written(told: Record, form: str = "text") -> str:
    """What is written of it."""
    package, lines = logging.getLogger("poe_proxy"), io.StringIO()
    handler = logs.handler(lines, form)
    before = package.level
    package.addHandler(handler)
    package.setLevel("INFO")
    # What pytest captures as well it hands to another process, which takes no lone surrogate.
    package.propagate = False
    try:
        access_log.tell(told)
    finally:
        package.propagate = True
        package.removeHandler(handler)
        package.setLevel(before)
    return lines.getvalue().removesuffix("\n")


ASKED = "POST /v1/chat/completions alice 192.0.2.1 req_1"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        pytest.param(
            {},
            "200 gpt-4 → GPT-4o key-1: waited 1.50 s, first word 2.00 s, total 4.25 s, 48 pieces"
            f"  {ASKED}",
            id="a stream",
        ),
        pytest.param(
            {"bot": "gpt-4", "streams": False, "queued": 0.0, "their_id": "mine-7"},
            f"200 gpt-4 key-1: waited 0.00 s, first word 2.00 s, total 4.25 s  {ASKED} mine-7",
            id="whole",
        ),
        pytest.param(
            {"moves": ("upstream_rate_limited",), "code": "upstream_interrupted"},
            "200 (upstream_interrupted) gpt-4 → GPT-4o key-1 after upstream_rate_limited: "
            f"waited 1.50 s, first word 2.00 s, total 4.25 s, 48 pieces  {ASKED}",
            id="it broke off",
        ),
        pytest.param(
            {"status": 429, "code": "no_token_free", "account": "", "first_text": 0.0},
            f"429 (no_token_free) gpt-4: waited 1.50 s, total 4.25 s  {ASKED}",
            id="in line for nothing",
        ),
        pytest.param(
            {"status": 404, "code": "model_not_found", "account": "", "queued": 0.0,
             "first_text": 0.0},
            f"404 (model_not_found) gpt-4: total 4.25 s  {ASKED}",
            id="no bot",
        ),
        pytest.param(
            {"model": "", "method": "GET", "path": "/health", "client": ""},
            "GET /health 200 4250 ms  192.0.2.1 req_1",
            id="short",
        ),
        pytest.param(
            {"model": "", "status": 401, "code": "invalid_api_key", "client": ""},
            f"POST {COMPLETIONS} 401 (invalid_api_key) 4250 ms  192.0.2.1 req_1",
            id="refused",
        ),
    ],
)  # fmt: skip
def test_the_line_is_for_people(fields: dict[str, object], line: str) -> None:
    """How it ended, who answered, how long each part took; the ids are last."""
    _, _, said = written(record(**fields)).partition(" INFO    ")

    assert line == said


def test_a_name_that_a_client_chose_is_one_word() -> None:
    """It cannot pass for what comes behind it."""
    line = written(record(model="x → GPT-4 key-9: waited", bot="y z"))

    assert "200 x_→_GPT-4_key-9:_waited → y_z key-1: waited 1.50 s" in line

    line = written(record(model="", path="/a 200 3 ms  key-9 1.2.3.4", status=404))
    assert "POST /a_200_3_ms__key-9_1.2.3.4 404 " in line


def test_for_programs_it_is_an_object() -> None:
    """With all that is known, by the same names for all requests."""
    told = record(
        usage=Usage(10, 20), their_id="mine-7", trace_id="ab" * 16, moves=("rate_limit_exceeded",)
    )
    entry = orjson.loads(written(told, "json"))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert {
        "level": "INFO", "logger": "server.access_log", "message": f"POST {COMPLETIONS} 200",
        "request_id": "req_1", "client_request_id": "mine-7", "trace_id": "ab" * 16,
        "client": "alice", "route": COMPLETIONS, "status": 200, "code": None, "ms": 4250.0,
        "queue_ms": 1500.0, "first_text_ms": 2000.0, "model": "gpt-4", "bot": "GPT-4o",
        "account": "key-1", "kind": "key", "moves": ["rate_limit_exceeded"], "tokens_in": 10,
        "tokens_out": 20,
    } == entry  # fmt: skip


def test_an_object_of_what_clients_wrote_is_one_line_of_json() -> None:
    """Whatever it was: a lone surrogate, line ends, ten thousand characters."""
    line = written(record(model="a\ud800\n\u2028" + "x" * 10_000, path="/\ud800\x1b"), "json")

    assert line.isprintable()
    assert len(line) < 1000
    assert orjson.loads(line)["model"].startswith(r"a\ud800\n\u2028xxx")


def test_a_short_one_has_no_words_about_models() -> None:
    """A monitor asks for /health all day."""
    entry = orjson.loads(written(record(model=""), "json"))

    assert entry["status"] == 200
    assert set() == {"model", "bot", "tokens_in", "queue_ms"} & entry.keys()


@pytest.mark.parametrize(
    ("header", "kept"),
    [("ab-1.2:c/d=@+", True), ("x" * 100, True), ("x" * 101, False), ("a b", False), ("ü", False),
     ("a\x1b[2J", False), ("", False)],
)  # fmt: skip
def test_what_a_client_calls_its_request_is_kept_if_it_is_an_id(header: str, kept: bool) -> None:
    """Ours stays ours."""
    answer, entry = asked({"x-request-id": header})

    assert (header if kept else None) == entry["client_request_id"]
    assert answer == entry["request_id"] != header


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (f"00-{'ab' * 16}-{'cd' * 8}-01", "ab" * 16),
        (f"00-{'AB' * 16}-{'cd' * 8}-01", None),
        ("00-ab-cd-01", None),
    ],
)
def test_the_trace_is_kept(header: str, kept: str | None) -> None:
    """For whoever joins logs by it."""
    assert kept == asked({"traceparent": header})[1]["trace_id"]


def asked(headers: dict[str, str]) -> tuple[str, dict[str, object]]:
    """The id of a request with these *headers*, and its object in the log."""
    package, lines = logging.getLogger("poe_proxy"), io.StringIO()
    site, handler = Site(), logs.handler(lines, "json")
    before = package.level
    package.setLevel("INFO")
    package.addHandler(handler)
    try:
        sent = {name: one.encode().decode("latin-1") for name, one in headers.items()}
        answer = site.get("/health", headers=sent)
        answer.close()
    finally:
        package.removeHandler(handler)
        package.setLevel(before)
    return answer.headers["x-request-id"], orjson.loads(lines.getvalue())
