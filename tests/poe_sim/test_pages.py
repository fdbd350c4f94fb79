from __future__ import annotations

import pytest
import requests

from poe_sim.app import Running

from .browser import AGENT, PRELUDE, Browser
from .conftest import Start


def visit(sim: Running, path: str, cookie: str, **headers: str) -> requests.Response:
    return requests.get(
        sim.url + path,
        headers={"User-Agent": AGENT, "Cookie": cookie, **headers},
        allow_redirects=False,
        timeout=60,
    )


@pytest.mark.parametrize("path", ["/", "/Claude-Opus-4.5", "/chat/abc"])
@pytest.mark.parametrize("cookie", ["", "p-b=wrong", "p-lat=a"])
def test_strangers_go_to_the_login_page(sim: Running, path: str, cookie: str) -> None:
    """Without a known cookie every page redirects to the login page."""
    answer = visit(sim, path, cookie)

    assert 307 == answer.status_code
    assert "/login?redirect_url=%2F" == answer.headers["Location"]
    assert answer.headers["Set-Cookie"].startswith("p-b=")
    assert 200 == visit(sim, "/login", cookie).status_code


@pytest.mark.parametrize("cookie", ["p-b=a", "p-b=old; p-lat=x; p-b=a", "x=1;p-b=a"])
def test_every_cookie_counts(sim: Running, cookie: str) -> None:
    """A known `p-b` is found among others, and set again."""
    answer = visit(sim, "/", cookie)

    assert 200 == answer.status_code
    assert "p-b=a; Path=/; HttpOnly; Max-Age=63072000" == answer.headers["Set-Cookie"]


def test_page_yields_all_a_browser_needs(sim: Running) -> None:
    """Form key, revision, channel and all hashes can be read from page and scripts."""
    with Browser(sim.url, "b") as browser:
        browser.read_page()

        assert sim.world.accounts[1].formkey == browser.formkey
        assert sim.world.build.revision == browser.revision
        assert sim.world.hashes | sim.world.subscriptions == browser.hashes
        assert sim.url == f"http://{browser.channel['baseHost']}"


@pytest.mark.parametrize(
    "prelude",
    [
        PRELUDE.replace("document:{hack:1},", ""),
        PRELUDE.replace("Mozilla", "Googlebot"),
        PRELUDE + "var process={};",
        PRELUDE + "var QuickJS={};",
    ],
)
def test_decoder_yields_a_wrong_key_elsewhere(sim: Running, prelude: str) -> None:
    """In strange surroundings, or without the secret, the key is wrong without an error."""
    with Browser(sim.url, "a") as browser:
        html = browser.read_page()
        app = "".join(
            requests.get(u, headers={"User-Agent": AGENT}, timeout=60).text
            for u in browser.script_urls(html)
        )

        keys = {
            browser.decode_formkey(html, app, prelude),
            browser.decode_formkey(html, app.replace("window._", "window.no_")),
        }
        assert 1 == len(keys)
        assert browser.formkey not in keys
        assert browser.formkey == browser.decode_formkey(html, app)


def test_keys_belong_to_accounts(sim: Running) -> None:
    """Two accounts have different form keys, and each page has a fresh channel."""
    with Browser(sim.url, "a") as one, Browser(sim.url, "b") as other:
        one.read_page()
        first = one.channel["channel"]
        one.read_page("/GPT-4o")
        other.read_page()

        assert one.formkey != other.formkey
        assert first != one.channel["channel"]


@pytest.mark.parametrize("agent", ["", "python-requests/2.32", "python-httpx/0.28", "curl/8.1"])
def test_libraries_meet_the_challenge(sim: Running, agent: str) -> None:
    """HTTP libraries get the challenge page."""
    answer = visit(sim, "/", "p-b=a", **{"User-Agent": agent})

    assert 403 == answer.status_code
    assert "challenge" == answer.headers["cf-mitigated"]
    assert "Just a moment..." in answer.text


def test_lenient_mode_spares_scripts(start: Start) -> None:
    """In lenient mode HTTP libraries may fetch scripts."""
    for mode, status in (("strict", 403), ("lenient", 200)):
        sim = start(mode=mode)
        path = f"/_next/static/{sim.world.release().named[0]}"

        assert status == visit(sim, path, "", **{"User-Agent": "python-httpx/0.28"}).status_code


def test_channel_data_without_a_page(sim: Running) -> None:
    """`/api/settings` has a new channel, for anonymous visitors as well."""
    for cookie in ("p-b=a", ""):
        data = visit(sim, "/api/settings", cookie).json()["tchannelData"]

        assert {
            "minSeq",
            "channel",
            "channelHash",
            "boxName",
            "baseHost",
            "targetUrl",
            "enableWebsocket",
        } == data.keys()
        assert isinstance(data["minSeq"], str)
        assert len("poe-chan42-8888-") + 20 == len(data["channel"])
    sim.world.switches.settings_need_login = True
    assert 307 == visit(sim, "/api/settings", "").status_code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/ping", 200),
        ("GET", "/api/nothing", 404),
        ("GET", "/_next/static/nothing.js", 404),
        ("POST", "/", 405),
        ("POST", "/GPT-4o", 405),
        ("GET", "/api/gql_POST", 405),
    ],
)
def test_other_paths(sim: Running, method: str, path: str, status: int) -> None:
    """An unknown path is 404, a POST to a page is 405."""
    answer = requests.request(
        method, sim.url + path, headers={"User-Agent": AGENT, "Cookie": "p-b=a"}, timeout=60
    )

    assert status == answer.status_code


@pytest.mark.parametrize(("how", "count"), [("same", 1), ("twice", 2), ("none", 0), ("new", 1)])
def test_cookie_is_renewed(start: Start, how: str, count: int) -> None:
    """Answers set the cookie again: the same, twice, not at all, or a new one that works."""
    sim = start(set_cookie=how)
    answer = visit(sim, "/", "p-b=a")
    cookies = answer.raw.headers.getlist("Set-Cookie")

    assert count == len(cookies)
    if how == "new":
        renewed = cookies[0].split(";")[0]
        assert "p-b=a" != renewed
        assert 200 == visit(sim, "/", renewed).status_code
        assert 200 == visit(sim, "/", "p-b=a").status_code


def test_new_build(browser: Browser, sim: Running) -> None:
    """A new build has other names, and its scripts do not hide those of the old one."""
    before = (browser.formkey, browser.revision)
    old_scripts = browser.script_urls(browser.get("/").text)
    sim.world.new_build()
    browser.read_page()

    assert before[0] != browser.formkey
    assert before[1] != browser.revision
    assert all(requests.get(u, headers={"User-Agent": AGENT}, timeout=60).ok for u in old_scripts)


def test_a_script_that_never_ends(sim: Running) -> None:
    """The control makes the next page of an account one whose own script loops."""
    fault = {"path": "/", "account": "cookie-1", "with": {"script-loops": 1}}
    requests.post(f"{sim.url}/__control", json={"fail": fault}, timeout=60)
    with Browser(sim.url, "a") as browser:
        pages = [browser.get("/").text for _ in range(2)]

    assert [True, False] == ["for(;;);" in page for page in pages]


def test_page_without_channel(start: Start) -> None:
    """A page may lack the channel data; `/api/settings` has it then."""
    sim = start(page_without_channel=True)

    assert "tchannelData" not in visit(sim, "/", "p-b=a").text
    assert "tchannelData" in visit(sim, "/api/settings", "p-b=a").json()


def test_tags_without_an_end(sim: Running) -> None:
    """The control makes the next page one with opening tags that never end."""
    fault = {"path": "/", "account": "cookie-1", "with": {"unclosed-scripts": 3000}}
    requests.post(f"{sim.url}/__control", json={"fail": fault}, timeout=60)
    with Browser(sim.url, "a") as browser:
        pages = [browser.get("/").text for _ in range(2)]

    assert [3000, 0] == [page.count("<script a") for page in pages]


def test_a_page_that_drips(sim: Running) -> None:
    """The control makes the next page one that comes a few bytes at a time, and is whole."""
    fault = {"path": "/", "account": "cookie-1", "with": {"drip": 0}}
    requests.post(f"{sim.url}/__control", json={"fail": fault}, timeout=60)
    with Browser(sim.url, "a") as browser:
        page = browser.get("/")

    assert page.text.endswith("</html>")
    assert str(len(page.content)) == page.headers["Content-Length"]
