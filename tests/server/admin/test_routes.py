"""The status page and its buttons, as a browser and as a program use them."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

import orjson
import pytest
from werkzeug.test import TestResponse

from poe_proxy.errors import TokenRejected, UpstreamBlocked, UpstreamTimeout
from poe_proxy.overview import Overview
from poe_proxy.pool import asking
from poe_proxy.pool.known import Funds
from poe_proxy.server.admin import sessions
from poe_proxy.server.admin.words import Words

from ...fakes import log_lines, site_told
from ..site import HELLO, error
from .owner import ACCOUNT, ADMIN_KEY, BEARER, KEY, Owner

ROUTES = [
    ("GET", "/status"),
    ("GET", "/status.json"),
    ("POST", "/status/login"),
    ("POST", "/status/logout"),
    ("GET", "/admin/clients"),
    ("POST", "/admin/reload"),
    ("POST", "/admin/discover"),
    ("POST", f"{ACCOUNT}/rest"),
    ("POST", f"{ACCOUNT}/revive"),
    ("POST", f"{ACCOUNT}/check"),
]
#: Those that a key or a cookie is needed for.
GUARDED = ROUTES[1:2] + ROUTES[4:]


# ---- who may


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_key_for_it_there_is_nothing(method: str, path: str) -> None:
    """It is answered as any unknown path is, in the form of the API."""
    owner = Owner(admin_key=None)
    answer = owner.open(path, method=method, headers=BEARER)

    assert (404, "not_found") == (answer.status_code, error(answer)["code"])
    owner.close()


@pytest.mark.parametrize("path", [*dict.fromkeys(path for _, path in ROUTES), "/metrics"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("end", ["", "/"])
def test_nor_is_there_by_another_method(method: str, path: str, end: str) -> None:
    """Nothing tells that there could be a route."""
    owner = Owner(admin_key=None)
    answer = owner.open(path + end, method=method, headers=BEARER)

    assert 404 == answer.status_code
    assert "Allow" not in answer.headers
    owner.close()


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("key", ["", "sk-wrong-for-sure", KEY, f"{ADMIN_KEY}x"])
def test_another_key_is_refused(owner: Owner, method: str, path: str, key: str) -> None:
    """A client's, too; and it says what to send."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = owner.open(path, method=method, headers=headers)

    assert (401, "invalid_api_key") == (answer.status_code, error(answer)["code"])
    assert "ADMIN_KEY" in error(answer)["message"]
    assert "fit" == owner.standing()


def test_keys_are_not_looked_at_without_end(owner: Owner) -> None:
    """After ten wrong ones the right one waits too, at the form as well."""
    for _ in range(10):
        owner.open("/status.json", headers={"x-api-key": "sk-wrong-for-sure"})

    for answer in (owner.open("/status.json", headers=BEARER), owner.log_in()):
        assert (429, "rate_limit_exceeded") == (answer.status_code, error(answer)["code"])
        assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_a_browser_logs_in_and_out(owner: Owner) -> None:
    """It is asked for the key, gets a cookie that no script reads, and may look."""
    assert 'type="password"' in owner.page()
    answer = owner.log_in()

    assert (303, "../status") == (answer.status_code, answer.headers["Location"])
    cookie = answer.headers["Set-Cookie"]
    assert re.fullmatch(
        r"poe_proxy_admin=\S+; Expires=[^;]+; Max-Age=43200; HttpOnly; Path=/; SameSite=Strict",
        cookie,
    )
    assert ADMIN_KEY not in cookie
    assert "cookie-1" in owner.page()
    assert 200 == owner.open("/status.json").status_code
    assert 303 == owner.open("/status/logout", method="POST").status_code
    assert 'type="password"' in owner.page()


@pytest.mark.parametrize("path", ["/status/", "/status//", "/status/?lang=zh"])
def test_a_slash_behind_the_address_leads_to_the_page(owner: Owner, path: str) -> None:
    """Its form would lead elsewhere from there."""
    answer = owner.open(path)

    assert (303, "../status") == (answer.status_code, answer.headers["Location"])


def test_the_address_of_the_form_leads_to_the_page(owner: Owner) -> None:
    """A browser shows it after a wrong key, and may load it again."""
    owner.log_in()
    answer = owner.open("/status/login")

    assert (303, "../status") == (answer.status_code, answer.headers["Location"])
    assert "cookie-1" in owner.page()


def test_the_cookie_goes_by_https_alone_where_there_is_https(owner: Owner) -> None:
    """As behind nginx."""
    assert "; Secure;" in owner.log_in(base_url="https://poe.test").headers["Set-Cookie"]


def test_a_wrong_key_is_told_and_noted(owner: Owner) -> None:
    """401, the form again, a line in the audit log; and nothing of what was typed."""
    with log_lines() as lines:
        answer = owner.log_in("sk-wrong-for-sure")

    assert 401 == answer.status_code
    assert "That is not the key." in answer.get_data(as_text=True)
    assert "Set-Cookie" not in answer.headers
    assert "a wrong key at /status" in lines.getvalue()
    assert "sk-wrong" not in lines.getvalue() + answer.get_data(as_text=True)


# ---- the page


def test_a_page_may_do_nothing_but_what_it_brings(owner: Owner) -> None:
    """No script, style or address but its own; not in a frame, not in a cache, not by CORS."""
    owner.log_in()
    for path in ("/status", "/status.json"):
        answer = owner.open(path, headers={"Origin": "https://evil.test"})
        assert "no-store" == answer.headers["Cache-Control"]
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
    policy = owner.open("/status").headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    addresses = re.findall(r'(?:src|href|action|formaction)="([^"]+)"', owner.page())
    assert {"status?lang=zh", "admin/reload", "status/logout"} < set(addresses)
    assert not [one for one in addresses if one.startswith(("/", "http"))]


WIDE = {"plain": "word ", "accents": "é", "Chinese": "汉", "quotes": "'<&", "invisible": "\u202e"}


def crowded(told: dict[str, Any], text: str, *, accounts: int) -> dict[str, Any]:
    """The numbers *told* of a server on which everything is full, of texts such as this one."""
    one = {
        **told["accounts"][0], "state": "suspended", "reason": text * 800, "until": told["now"],
        "points": 3_000_000, "points_at": told["since"], "succeeded_at": told["since"],
        "next_grant_at": "2027-01-01T00:00:00Z", "next_grant_points": 1_000_000,
        "failed_at": told["since"], "failure": "upstream_conversation", "first_text_seconds": 1.5,
    }  # fmt: skip
    failure = {
        "at": "2026-01-01T00:00:00Z", "request": "req_1fb5b7a5de4fb6d2b29fb3c0",
        "client": "alice", "model": text * 100, "account": "cookie-1",
        "code": "rate_limit_exceeded", "message": text * 200, "times": 12,
    }  # fmt: skip
    model = {
        "name": text * 100, "bot": "A-bot-with-a-long-name", "requests": 123_456, "failures": 9,
        "first_text_seconds": 1.5,
    }  # fmt: skip
    minutes = [[99_999 * (n % 2), 500 * (n % 3)] for n in range(60)]
    return {
        **told,
        "line": {**told["line"], "minutes": minutes},
        "accounts": [{**one, "label": f"account-of-somebody-{n}"} for n in range(accounts)],
        "clients": [{**told["clients"][0], "name": f"client-{n}"} for n in range(40)],
        "models": [model] * 200,
        "failures": [{**failure, "account": f"cookie-{n}"} for n in range(50)],
        "site": searched(text),
        "settings": [{**one, "value": one["value"] + text} for one in told["settings"]],
    }


def searched(text: str) -> dict[str, Any]:
    """What is told of the site after a search that has found very much, and says it."""
    long = text * 800
    differs = [
        {"name": f"operations.{n}{text * 20}", "before": long, "after": "0" * 64} for n in range(80)
    ]
    return {
        **site_told(
            outcome="unusable", at="2026-01-01T00:00:00Z", said=long, differs=differs,
            missing=[text * 20] * 40, notes=[text * 100] * 9, written=f"/{long}",
        ),
        "file": f"/{long}",
    }  # fmt: skip


def shared(told: dict[str, Any], text: str, *, workers: int) -> dict[str, Any]:
    """The numbers *told* of so many workers on two hosts."""
    worker = {
        "version": "0.1.0", "since": told["since"], "under_way": 123, "homes": 12,
    }  # fmt: skip
    processes = [
        {**worker, "host": f"host-{n % 2}{text * 20}", "pid": 10_000 + n} for n in range(workers)
    ]
    store = {"kind": "redis", "up": True, "trouble": None}
    return {**told, "store": store, "workers": workers, "hosts": 2, "processes": processes}


def show(owner: Owner, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any]) -> None:
    monkeypatch.setattr(Overview, "numbers", lambda self: told)
    owner.log_in()


@pytest.mark.parametrize("workers", [0, 40])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("text", WIDE.values(), ids=WIDE)
def test_a_page_is_small(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, text: str, language: str, workers: int
) -> None:
    """Under 60 KB with twenty accounts, however much has happened: each of them is there, of the
    tables as much as fits, and it says how much more there is."""
    told = crowded(owner.ask("/status.json"), text, accounts=20)
    Search(owner, MENDED)
    show(owner, monkeypatch, shared(told, text, workers=workers) if workers else told)
    owner.problems = {"COOL_DOWN": [text * 800]}
    owner.press("/admin/reload")
    page = owner.page(query_string={"lang": language})

    assert "first word after 1.5 s</span>" in page or "首字 1.5 秒</span>" in page
    assert 60_000 > len(page.encode())
    assert 20 == page.count('class="label"')
    rows = {
        name: body.count("<tr>")
        for name, body in re.findall(r'<table id="(\w+)">.*?<tbody[^>]*>(.*?)</tbody>', page, re.S)
    }
    assert len(owner.ask("/status.json")["settings"]) == rows["settings"]
    others = [("workers", workers)] if workers else []
    others.append(("differs", 80))
    for name, there in (*others, ("clients", 40), ("models", 200), ("failures", 50)):
        assert 5 <= rows[name] < there
        more = re.search(rf'data-cell="more {name}">([^<]*)<', page)
        assert more
        assert Words(language)("more", n=there - rows[name]) == more[1]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            ("4 workers, 2 hosts", "Redis answers", "<h2>Workers</h2>", "Redis is away: It froze."),
        ),
        ("zh", ("4 个进程，2 台主机", "Redis 正常", "<h2>进程</h2>", "Redis 不可用：It froze。")),
    ],
)
def test_the_workers_of_a_shared_pool_are_on_the_page(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, language: str, words: Sequence[str]
) -> None:
    """Each with its host and process; and whether Redis answers."""
    told = shared(owner.ask("/status.json"), "", workers=4)
    show(owner, monkeypatch, told)
    page = owner.page(query_string={"lang": language})
    for one in words[:3]:
        assert one in page
    assert "<td>host-1</td><td>10003</td><td>0.1.0</td>" in page
    assert 4 == len(owner.ask(f"/status.json?page={language}")["tables"]["workers"])

    store = {"kind": "redis", "up": False, "trouble": "It froze"}
    fact = {"level": "bad", "fact": "redis_away", "why": "It froze"}
    show(owner, monkeypatch, {**told, "store": store, "facts": [fact]})
    assert words[3] in owner.page(query_string={"lang": language})


def test_a_page_shows_all_fifty_failures_where_they_fit(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all clients; with three accounts, and messages of the length of a sentence."""
    told = crowded(owner.ask("/status.json"), "", accounts=3)
    failures = [{**one, "message": "Nothing came in time. " * 4} for one in told["failures"]]
    show(owner, monkeypatch, {**told, "failures": failures})
    page = owner.page()

    assert 50 == page.count("Nothing came in time. " * 4)
    assert 40 == page.count("<td>client-")
    assert 'data-cell="more failures"></p>' in page


def test_of_very_many_accounts_the_page_shows_those_that_fail(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred; the others are in the numbers for programs."""
    told = crowded(owner.ask("/status.json"), "", accounts=300)
    for one in told["accounts"][:250]:
        one["state"] = "free"
    show(owner, monkeypatch, told)
    page = owner.page()

    assert 100 == page.count('class="label"')
    assert 50 == page.count(">suspended</span>")
    assert "The other 200 are in status.json." in page


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"headers": {"Accept-Language": "de, en;q=0.8"}}, "All well."),
        ({"headers": {"Accept-Language": "zh-CN,zh;q=0.9"}}, "一切正常。"),
        ({"query_string": {"lang": "zh"}}, "一切正常。"),
        ({}, "All well."),
    ],
    ids=["German", "Chinese", "chosen", "nothing"],
)
def test_a_page_speaks_the_language_of_the_browser(
    owner: Owner, wanted: dict[str, Any], said: str
) -> None:
    """Or the one that was chosen on it, from then on."""
    owner.log_in()

    assert said in owner.page(**wanted)
    if "query_string" in wanted:
        assert said in owner.page()


def test_looking_wakes_no_account(owner: Owner) -> None:
    """No login, no balance; the pool is asked once a second at most."""
    owner.log_in()
    for _ in range(20):
        owner.page()
        owner.open("/status.json")

    assert 0 == owner.account.asked_for_points
    assert [] == owner.account.asked


def test_what_the_scripts_of_poe_have_is_text(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from outside: shown as it is, and never markup."""
    evil = "<script>alert(1)</script>\u202e\"'><img src=x>"
    differs = [{"name": evil, "before": evil, "after": evil}]
    found = site_told(
        outcome="same", at="2026-11-30T12:00:00Z", said=evil, differs=differs, missing=[evil],
        notes=[evil], written=evil,
    )  # fmt: skip
    told = {**owner.ask("/status.json"), "site": {**found, "file": evil}}
    show(owner, monkeypatch, told)
    page = owner.page()

    assert 1 == page.count("<script>")
    assert "<img" not in page
    assert "\u202e" not in page
    assert 8 == page.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u202e")


def test_what_clients_and_poe_write_is_text(owner: Owner) -> None:
    """A model's name, an account's reason: shown as it is, and never markup."""
    evil = "<script>alert(1)</script>\u202e\"'><img src=x>"
    owner.open(
        "/v1/chat/completions",
        method="POST",
        json={**HELLO, "model": evil},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    owner.tokens.suspend(owner.token, TokenRejected(evil))
    owner.log_in()
    page = owner.page()

    assert 1 == page.count("<script>")
    assert "<img" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in page


# ---- the numbers


def test_the_numbers_are_those_of_the_page(owner: Owner) -> None:
    """For programs as numbers; for the page's script as its texts."""
    owner.account.points = 0  # Poe is asked as soon as an account is out of points
    owner.tokens.exhaust(owner.token, "You have no points.")
    told = owner.ask("/status.json")

    assert {
        "sentence", "facts", "version", "now", "since", "workers", "hosts", "processes", "store",
        "reload", "line", "accounts", "clients", "models", "failures", "site", "settings",
    } == told.keys()  # fmt: skip
    assert "1 of 2 accounts is out of points." == told["sentence"]
    shown = owner.ask("/status.json?page=en")
    assert {"cells", "levels", "tables", "curve", "accounts"} == shown.keys()
    assert told["sentence"] == shown["cells"]["sentence"]
    owner.log_in()
    page = owner.page()
    again = "until it has points again; Poe is asked every 5 min"
    for text in ("out of points", again, "You have no points.", told["sentence"]):
        assert text in page
        assert text in shown["cells"].values()


def test_an_account_is_told_as_it_is(owner: Owner) -> None:
    """What it is, how it stands, until when and why, and what it was used for."""
    owner.tokens.pause(owner.others[0], 600.0)
    owner.open(
        "/v1/chat/completions", method="POST", json=HELLO, headers={"x-api-key": KEY}
    ).close()
    owner.tokens.suspend(owner.token, UpstreamBlocked("Are you human?"))
    owner.tokens.points.note("cookie-1", Funds(7))
    cookie, key = owner.ask("/status.json")["accounts"]

    assert ("cookie-1", "cookie", "suspended", "Are you human?", "upstream_blocked") == (
        cookie["label"],
        cookie["kind"],
        cookie["state"],
        cookie["reason"],
        cookie["code"],
    )
    assert cookie["until"]
    assert 7 == cookie["points"]
    assert [(20, 60.0), (100, 86400.0)] == [
        (one["limit"], one["seconds"]) for one in cookie["windows"]
    ]
    assert cookie["succeeded_at"]
    assert cookie["first_text_seconds"] is not None
    assert ("key-1", "paused", None, None) == (
        key["label"],
        key["state"],
        key["points"],
        key["succeeded_at"],
    )


# ---- buttons


def test_the_operator_lets_an_account_rest_and_brings_it_back(owner: Owner) -> None:
    """With JavaScript the page hears what was done; the audit log has it and from where."""
    owner.log_in()
    with log_lines() as lines:
        told = orjson.loads(
            owner.press(
                f"{ACCOUNT}/rest", seconds="600", headers={"Accept": "application/json"}
            ).data
        )
        assert ("cookie-1", "resting", "paused") == (
            told["account"],
            told["outcome"],
            owner.standing(),
        )
        assert re.fullmatch(r"cookie-1 rests, until \d\d:\d\d UTC, in 10 min\.", told["said"])
        owner.press(f"{ACCOUNT}/rest", seconds="")
        assert "until you bring it back" in owner.page()
        owner.press(f"{ACCOUNT}/revive")

    assert "fit" == owner.standing()
    noted = re.findall(r"cookie-1 .* asked for from 127\.0\.0\.1", lines.getvalue())
    assert 3 == len(noted)


def test_the_audit_log_has_each_button_and_each_login(owner: Owner) -> None:
    """What was done, and from where."""
    with log_lines() as lines:
        owner.log_in()
        owner.press(f"{ACCOUNT}/rest", seconds="")
        owner.press(f"{ACCOUNT}/revive")
        owner.press(f"{ACCOUNT}/check")
        owner.press("/admin/reload")

    assert [
        "logged in at /status, from 127.0.0.1",
        "cookie-1 rests until it is brought back: asked for from 127.0.0.1",
        "cookie-1 is brought back: asked for from 127.0.0.1",
        "Poe is asked about cookie-1: asked for from 127.0.0.1",
        "reload, asked for from 127.0.0.1",
    ] == [
        re.split(" +", line, maxsplit=4)[4]
        for line in lines.getvalue().splitlines()
        if line.endswith("from 127.0.0.1")
    ]


def test_a_reload_is_for_all_workers_if_it_is_for_this_one(owner: Owner) -> None:
    """They are told once this one has read its settings, and found nothing wrong with them."""
    told: list[None] = []
    extensions = owner.client.application.extensions

    def ask() -> str:
        extensions["poe_proxy"] = replace(
            extensions["poe_proxy"], reload_others=lambda: told.append(None)
        )
        return str(owner.ask("/admin/reload", "POST")["outcome"])

    owner.problems = {"COOL_DOWN": ["Must be a number."]}
    assert ("not reloaded", []) == (ask(), told)
    owner.problems = {}
    assert ("reloaded", [None]) == (ask(), told)


def test_without_javascript_a_button_leads_back_to_the_page(owner: Owner) -> None:
    """Which says what was done, from beneath whatever path nginx has it."""
    owner.log_in()
    answer = owner.press(f"{ACCOUNT}/rest", seconds="3600")

    assert 303 == answer.status_code
    beneath = "https://nas.test/poe"
    assert f"{beneath}/status" == urljoin(f"{beneath}{ACCOUNT}/rest", answer.headers["Location"])
    assert "cookie-1 rests, until" in owner.page()


@pytest.mark.parametrize(
    ("points", "failure", "told", "standing"),
    [
        (5, None, {"outcome": "accepted", "points": 5}, "fit"),
        (0, None, {"outcome": "accepted", "points": 0}, "out_of_points"),
        (
            5,
            TokenRejected("Log in."),
            {"outcome": "failed", "code": "upstream_auth", "reason": "Log in.", "points": None},
            "suspended",
        ),
        (
            5,
            UpstreamTimeout("Nothing came."),
            {"outcome": "failed", "code": "upstream_timeout", "points": None},
            "fit",
        ),
    ],
    ids=["accepted", "empty", "refused", "no answer"],
)
def test_poe_is_asked_on_demand(
    owner: Owner, points: int, failure: Any, told: dict[str, Any], standing: str
) -> None:
    """What it says is shown, and decides whether the account is lent; no bot is asked."""
    owner.account.points, owner.account.failure = points, failure
    answer = owner.ask(f"{ACCOUNT}/check", "POST")

    assert told.items() <= answer.items()
    assert (standing, 1, []) == (
        owner.standing(),
        owner.account.asked_for_points,
        owner.account.asked,
    )


def test_an_account_that_is_accepted_again_is_back(owner: Owner) -> None:
    """Suspended before, or out of points."""
    for verb in (
        lambda: owner.tokens.suspend(owner.token, TokenRejected("Log in.")),
        lambda: owner.tokens.exhaust(owner.token, "Empty."),
    ):
        verb()
        owner.ask(f"{ACCOUNT}/check", "POST")
        assert "fit" == owner.standing()


def test_a_reload_tells_how_it_ended(owner: Owner) -> None:
    """A mistake by the name of its setting; the page shows the last one."""
    assert {"outcome": "reloaded", "problems": {}} == {
        name: one for name, one in owner.ask("/admin/reload", "POST").items() if name != "said"
    }
    owner.problems = {"COOL_DOWN": ["Must be a number."]}
    told = owner.ask("/admin/reload", "POST")
    assert ("not reloaded", owner.problems) == (told["outcome"], told["problems"])
    owner.log_in()
    assert "The last reload was refused" in owner.page()
    answer = owner.press("/admin/reload")
    assert "../status" == answer.headers["Location"]
    assert "COOL_DOWN: Must be a number." in owner.page()


def test_a_program_says_how_long_in_json(owner: Owner) -> None:
    """A number of seconds, or none: until it is brought back."""
    assert owner.ask(f"{ACCOUNT}/rest", "POST", json={"seconds": 60})["until"]
    assert owner.ask(f"{ACCOUNT}/rest", "POST")["until"] is None
    for wrong in ({"seconds": -1}, {"seconds": "nan"}, {"seconds": 1e300}, [1]):
        answer = owner.open(f"{ACCOUNT}/rest", method="POST", json=wrong, headers=BEARER)
        assert (400, "invalid_value") == (answer.status_code, error(answer)["code"])


MENDED = {
    **site_told(
        outcome="mended",
        at="2026-11-30T12:00:00Z",
        said="One value was found anew.",
        differs=[{"name": "tag.salt", "before": "a", "after": "b"}],
        missing=["chatDeleted"],
        notes=["The backup is beside it."],
        written="/data/site.toml",
    )["discovery"],
    "file": "/data/site.toml",
}


class Search:
    """In place of the search for what is new on Poe's site."""

    def __init__(self, owner: Owner, found: dict[str, Any] | None) -> None:
        self.found, self.waits = found, list[float]()
        extensions = owner.client.application.extensions
        extensions["poe_proxy"] = replace(extensions["poe_proxy"], discover=self.discover)
        self.overview: Overview = extensions["poe_proxy"].overview
        #: What was told while it was under way.
        self.before: Any = None

    def discover(self, seconds: float) -> dict[str, Any] | None:
        self.waits.append(seconds)
        self.before = self.overview.numbers()
        return self.found


def test_what_is_new_is_looked_for_on_demand(owner: Owner) -> None:
    """A program is told all that came of it, and the next who looks; the audit log has who wanted
    it."""
    search = Search(owner, MENDED)
    with log_lines() as lines:
        told = owner.ask("/admin/discover", "POST")

    wanted = ("outcome", "said", "differs", "missing", "notes", "file")
    assert {name: MENDED[name] for name in wanted} == told
    assert [12.0] == search.waits
    assert search.overview.numbers() is not search.before
    noted = "a look for what is new on Poe's site: asked for from 127.0.0.1"
    assert noted in lines.getvalue()


def test_a_search_that_goes_on_is_told_as_such(owner: Owner) -> None:
    """What comes of it is on the page later."""
    Search(owner, None)
    told = owner.ask("/admin/discover", "POST")

    assert ("running", [], None) == (told["outcome"], told["differs"], told["file"])
    assert "will be shown here" in told["said"]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "One value was found anew."),
        ("zh", "已找到并启用。 One value was found anew."),
    ],
)
def test_its_button_leads_back_to_the_page(owner: Owner, language: str, said: str) -> None:
    """Which says what came of it."""
    Search(owner, MENDED)
    owner.log_in()
    owner.page(query_string={"lang": language})
    answer = owner.press("/admin/discover")

    assert (303, "../status") == (answer.status_code, answer.headers["Location"])
    assert f'role="status">{said}</p>' in owner.page()


def test_without_a_cookie_there_is_no_site_to_look_at(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No section, and the route says why."""
    told = owner.ask("/status.json")
    extensions = owner.client.application.extensions
    extensions["poe_proxy"] = replace(extensions["poe_proxy"], discover=None)
    answer = owner.open("/admin/discover", method="POST", headers=BEARER)

    assert 404 == answer.status_code
    assert "no account by cookie" in error(answer)["message"]
    show(owner, monkeypatch, {**told, "site": site_told()})
    assert "admin/discover" not in owner.page()
    show(owner, monkeypatch, {**told, "site": None})
    page = owner.page()
    assert "admin/discover" not in page
    assert "Poe's site" not in page.replace("&#39;", "'")
    assert "differs" not in owner.ask("/status.json?page=en")["tables"]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            (
                "Poe's site",
                "/data/site.toml on top of what came with poe-proxy; entries of it in use: 3",
                "newest evidence 2026-03-12, 263 days old",
                "it was found, and is in use. Written to /data/site.toml.",
                "Not in the page, nor in its scripts: chatDeleted.",
                ">Look for what is new</button>",
            ),
        ),
        (
            "zh",
            (
                "Poe 网站",
                "/data/site.toml 覆盖于 poe-proxy 自带的之上，其中生效 3 项",
                "最新依据 2026-03-12，距今 263 天",
                "已找到并启用。 已写入 /data/site.toml。",
                "页面及其脚本中没有：chatDeleted。",
                ">查找新值</button>",
            ),
        ),
    ],
)
def test_the_site_is_on_the_page(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, language: str, words: Sequence[str]
) -> None:
    """What is known of it, how old that is, what came of the last search; and a button."""
    Search(owner, MENDED)
    found = {**site_told(**MENDED), "file": "/data/site.toml", "own_entries": 3}
    show(owner, monkeypatch, {**owner.ask("/status.json"), "site": found})
    page = owner.page(query_string={"lang": language}).replace("&#39;", "'")

    for one in (*words, "One value was found anew.", "The backup is beside it."):
        assert one in page
    assert "<td>tag.salt</td><td>a</td><td>b</td>" in page
    assert [["tag.salt", "a", "b"]] == owner.ask("/status.json?page=en")["tables"]["differs"]


def test_an_account_that_is_not_there_is_not_found(owner: Owner) -> None:
    """Its name is not repeated."""
    answer = owner.open("/admin/accounts/nobody/rest", method="POST", headers=BEARER)

    assert 404 == answer.status_code
    assert "nobody" not in error(answer)["message"]


def refused(answer: TestResponse, owner: Owner) -> bool:
    assert "fit" == owner.standing()
    return (answer.status_code, error(answer)["code"]) == (403, "forbidden")


def test_a_button_needs_the_token_of_its_page(owner: Owner) -> None:
    """Not that of another session, nor none."""
    owner.log_in()
    for form in ({}, {"csrf": ""}, {"csrf": sessions.token_of("another", ADMIN_KEY)}):
        assert refused(owner.open(f"{ACCOUNT}/rest", method="POST", data=form), owner)


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"}, False),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://evil.test"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_a_button_of_another_site_does_nothing(
    owner: Owner, headers: dict[str, str], is_ours: bool
) -> None:
    """Although it had the token."""
    owner.log_in()
    answer = owner.press(f"{ACCOUNT}/revive", headers=headers)

    assert is_ours or refused(answer, owner)
    assert is_ours == (answer.status_code == 303)


def test_a_large_form_is_refused(owner: Owner) -> None:
    """Nobody fills the memory at the door."""
    answer = owner.log_in("x" * 5000)
    assert (413, "A form has at most 4,096 bytes.") == (
        answer.status_code,
        error(answer)["message"],
    )


def test_the_clients_are_shown(owner: Owner) -> None:
    """As the page has them, and more."""
    (client,) = owner.ask("/admin/clients")["clients"]

    assert "key-1" == client["name"]


def test_points_that_poe_told_of_are_shown_apart_from_estimates(owner: Owner) -> None:
    """Of each client, as numbers and on the page."""
    owner.account.charges = 1200
    key = {"Authorization": f"Bearer {KEY}"}
    assert owner.open(
        "/v1/chat/completions", method="POST", json=HELLO, headers=key, buffered=True
    ).data
    (client,) = owner.ask("/status.json")["clients"]
    told = client["points"]

    assert (1200, 1200, 0) == (told["today"], told["exact"], told["estimated"])
    owner.log_in()
    assert "1,200 (1,200 exact, 0 estimated)" in owner.page()


def test_who_asks_twice_gets_one_answer(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poe is asked about an account once at a time."""
    begun, goes_on, waiting = threading.Event(), threading.Event(), threading.Semaphore(0)

    class Answered(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waiting.release()
            return super().wait(timeout)

    class Question(asking._Question):
        def __init__(self) -> None:
            super().__init__()
            self.is_over = Answered()

    def wait() -> None:
        begun.set()
        assert goes_on.wait(60)

    monkeypatch.setattr(asking, "_Question", Question)
    owner.account.points, owner.account.before = 7, wait
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(owner.ask(f"{ACCOUNT}/check", "POST")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
        # The second one begins while the first one waits for Poe.
        assert begun.wait(60)
        assert waiting.acquire(timeout=60)
    goes_on.set()
    for thread in threads:
        thread.join(60)

    assert [7, 7] == [one["points"] for one in answers]
    assert 1 == owner.account.asked_for_points


def test_no_secret_is_on_the_page(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are shown with where each came from, and secrets as set."""
    monkeypatch.setenv("TOKENS", "a-cookie-of-poe")
    monkeypatch.setenv("ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setenv("COOL_DOWN", "3.5")
    owner.ask("/admin/reload", "POST")
    told = owner.ask("/status.json")
    owner.log_in()

    by_name = {one["name"]: (one["value"], one["from"]) for one in told["settings"]}
    assert ("set", "environment") == by_name["TOKENS"] == by_name["ADMIN_KEY"]
    assert ("3.5", "environment") == by_name["COOL_DOWN"]
    assert "default" == by_name["QUEUE_SIZE"][1]
    for text in (owner.page(), orjson.dumps(told).decode()):
        assert not [one for one in ("a-cookie-of-poe", ADMIN_KEY, KEY + '"') if one in text]
