"""What a browser or a monitor opens."""

from __future__ import annotations

import orjson

from .site import KEY, Site


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
