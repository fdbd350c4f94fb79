"""What goes around each request: ids, CORS, the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from poe_proxy.chat import Text
from poe_proxy.errors import (
    BotFailed,
    BotNotFound,
    TokenExhausted,
    TokenLimited,
    TokenRejected,
    UpstreamOverloaded,
    UpstreamUncertain,
    UpstreamUnreachable,
)
from poe_proxy.logs import CONTINUED

from ..fakes import log_lines
from .site import COMPLETIONS, KEY, Site

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
    ("503", lambda: Site(UpstreamOverloaded("Busy.")).ask()),
    ("200 whole", lambda: Site().ask()),
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
        answer.close()

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
    ["/", "/health", "/models", "/v1/models", "/v1/models/gpt-4", "/chat/completions", COMPLETIONS,
     "/openapi.json", "/v1/dashboard/billing/subscription", "/v1/dashboard/billing/usage",
     "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/v1/completions",
     "/v1/embeddings", "/v1/images/generations", "/v1/nothing", f"{COMPLETIONS}/", "//v1/models"],
)  # fmt: skip
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


FORGED = "\r\n2026-01-01 ERROR forged\x1b[31m\x9b2J\u2028\u202e"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda site: site.get(f"/v1/models/{quote(FORGED)}"), id="path"),
        pytest.param(lambda site: site.get("/v1/models/" + "x" * 5000), id="long path"),
        pytest.param(lambda site: site.ask(model=f"gpt-4{FORGED}"), id="model"),
        pytest.param(lambda site: site.ask(model="x" * 5000), id="long model"),
        pytest.param(
            lambda site: site.open("/v1/models", method="GET\x1b[31m" + "X" * 5000), id="method"
        ),
        pytest.param(
            lambda site: site.get("/health", environ_overrides={"REMOTE_ADDR": FORGED}),
            id="address",
        ),
    ],
)
def test_a_log_line_stays_one_line(make: Callable[[Site], TestResponse]) -> None:
    """What a client sends cannot write lines of its own into the log, nor flood it, nor push out
    the status."""
    site = Site()
    with log_lines() as lines:
        answer = make(site)
        answer.close()
    written = lines.getvalue()

    assert 1 == written.count("\n")
    assert written.removesuffix("\n").isprintable()
    assert f" {answer.status_code} " in written
    assert len(written) < 500


@pytest.mark.parametrize(
    "failure",
    [
        TokenLimited(f"Slow down.{FORGED}"),
        TokenExhausted(f"No points.{FORGED}"),
        TokenRejected(f"Logged out.{FORGED}"),
        BotFailed(f"The bot broke.{FORGED}"),
        UpstreamUncertain(f"Who knows.{FORGED}" + "x" * 50_000),
        ZeroDivisionError(f"Bug.{FORGED}" + "\nx" * 50_000),
    ],
    ids=lambda failure: type(failure).__name__,
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_message_from_outside_writes_no_lines(failure: Exception, stream: bool) -> None:
    """Neither Poe nor a bot's maker can forge a line of the log, whatever line it is told in."""
    with log_lines() as lines:
        Site(failure).ask(stream=stream)
        Site(Text("Hel"), failure).ask(stream=stream)
    written = lines.getvalue().splitlines()

    assert all(line.isprintable() for line in written)
    assert [] == [line for line in written if not re.match(f"[0-9-]+ [0-9:,]+ |{CONTINUED}", line)]
    assert [] == [line for line in written if re.match("2026-01-01 ERROR", line)]
    assert max(map(len, written)) < 2500
    assert len(written) < 300


def test_a_log_line_names_the_model_and_nothing_of_the_conversation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line tells request, path, status and model; neither key nor text is in it."""
    with caplog.at_level(logging.DEBUG):
        Site().ask(messages=[{"role": "user", "content": "secret words"}]).close()

    assert " 200 gpt-4 → GPT-4 cookie-1: " in caplog.text
    assert f"  POST {COMPLETIONS} " in caplog.text
    assert "secret" not in caplog.text
    assert KEY not in caplog.text
