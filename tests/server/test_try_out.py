"""The page at `/` as it is served; tests/clients/test_try_out.py has it in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from werkzeug.test import TestResponse

from .site import KEY, Site, error

ELSEWHERE = "https://chat.example.org"


def policy(answer: TestResponse) -> dict[str, str]:
    """What the browser is told to allow, by directive."""
    rules = answer.headers["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (rule.partition(" ") for rule in rules)}


class Reader(HTMLParser):
    """A page as a browser without JavaScript reads it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        #: What stands in each kind of element.
        self.inside: dict[str, list[str]] = {}
        #: The attributes of all elements, by name.
        self.attributes: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(tag)
        self.inside.setdefault(tag, []).append("")
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.inside[tag][-1] += data


def test_the_page_needs_no_key_and_holds_none(site: Site) -> None:
    """Whoever opens the address reads what this is."""
    answer = site.get("/", headers={})

    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.content_type)
    assert KEY not in answer.text
    assert 60_000 > len(answer.data)


def test_without_javascript_it_says_what_it_is_in_both_languages(site: Site) -> None:
    """The base URLs, and a line to paste, with the address that the browser asked for."""
    read = Reader(site.get("/", headers={}, base_url=ELSEWHERE).text)

    assert [f"{ELSEWHERE}/v1", ELSEWHERE] == [
        one for one in read.inside["code"] if one.startswith("http")
    ]
    (line,) = read.inside["pre"]
    assert line.startswith(f"curl -N {ELSEWHERE}/v1/chat/completions \\\n")
    english, chinese, *_ = read.inside["p"]
    assert "answers with Poe accounts" in english
    assert "由 Poe 账号来回答" in chinese
    assert "http://localhost" not in "".join(read.inside["body"])


def test_each_text_is_there_in_both_languages(site: Site) -> None:
    """An element in English has one in Chinese beside it."""
    read = Reader(site.get("/", headers={}).text)

    # Beside them: the language of the page itself.
    assert read.attributes["lang"].count("en") - 1 == read.attributes["lang"].count("zh-CN")
    assert len(read.attributes["data-en"]) == len(read.attributes["data-zh"])


def test_behind_nginx_the_address_is_that_of_nginx(site: Site) -> None:
    """Its scheme, its name and port, and the path under which it has the proxy."""
    answer = site.get("/", headers={}, base_url="https://chat.example.org:8443/poe")

    assert "https://chat.example.org:8443/poe/v1/chat/completions" in answer.text


def test_a_host_header_is_not_put_on_the_page_as_it_is(site: Site) -> None:
    """What a client calls this host cannot become a script of the page."""
    answer = site.get("/", headers={"Host": "<script>alert(1)</script>"})

    assert b"<script>alert" not in answer.data


def test_the_browser_runs_what_the_page_brings_and_nothing_else(site: Site) -> None:
    """Its script and its style are allowed by their hashes; all else is forbidden."""
    answer = site.get("/", headers={}, base_url=ELSEWHERE)
    read, rules = Reader(answer.text), policy(answer)

    for directive, element in (("script-src", "script"), ("style-src", "style")):
        (content,) = read.inside[element]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" == rules.pop(directive)
    assert {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    } == rules
    assert ("nosniff", "no-referrer") == (
        answer.headers["X-Content-Type-Options"],
        answer.headers["Referrer-Policy"],
    )


def test_the_page_asks_nobody_else(site: Site) -> None:
    """It names no resource of another host, and has no handler or style in an attribute, which the
    policy would forbid."""
    read = Reader(site.get("/", headers={}).text)

    assert ["data:"] == [one[:5] for one in read.attributes["href"] if one != "openapi.json"]
    assert [] == read.attributes.get("src", [])
    assert [] == [one for one in read.attributes if one == "style" or one.startswith("on")]


def test_a_page_that_is_known_is_not_sent_again(site: Site) -> None:
    """A browser keeps it, and asks each time; a cache for many does not, as it has an address."""
    first = site.get("/", headers={})
    known = {"If-None-Match": first.headers["ETag"]}

    assert "private, no-cache" == first.headers["Cache-Control"]
    again = site.get("/", headers=known)
    assert (304, b"") == (again.status_code, again.data)
    assert 200 == site.get("/", headers=known, base_url=ELSEWHERE).status_code


def test_head_has_the_same_headers(site: Site) -> None:
    """As tools that watch a page ask for it."""
    head, get = (site.open("/", method=method, headers={}) for method in ("HEAD", "GET"))

    assert (200, b"") == (head.status_code, head.data)
    assert get.headers["ETag"] == head.headers["ETag"]
    assert policy(get) == policy(head)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_root_page_0_leaves_it_out(site: Site, method: str) -> None:
    """Then `/` is a path like any other that is not there."""
    extensions = site.client.application.extensions
    extensions["poe_proxy"] = replace(extensions["poe_proxy"], root_page=False)
    answer = site.open("/", method=method, headers={})

    assert 404 == answer.status_code
    if method == "GET":
        assert re.match(r"There is no GET / here\.", error(answer)["message"])
    assert 200 == site.get("/health", headers={}).status_code
