"""A Poe that changes: what its page and scripts say is what is accepted, however they say it."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest
import requests

from poe_sim.app import Running

from .browser import AGENT, Browser, chunk_paths
from .conftest import Change
from .window import Reader, Window, fetch


@pytest.mark.parametrize("markup", ["next", "flight", "attributes"])
@pytest.mark.parametrize("names", ["next", "opaque"])
def test_a_browser_reads_every_page(sim: Running, change: Change, markup: str, names: str) -> None:
    """However its HTML is written, and whatever its scripts are called."""
    change(markup=markup, chunk_names=names)
    window = Window(sim)
    build_id = sim.world.build.build_id

    assert sim.world.accounts[0].formkey == window.formkey()
    assert (markup == "flight") == ("" == window.page.data)
    assert (markup == "flight") == (build_id not in window.html.replace(f"/{build_id}/", ""))
    assert (markup == "flight") == (r"{\"tchannelData\":{\"minSeq\":\"" in window.html)
    assert (names == "opaque") == ("_app" not in "".join(window.urls))
    assert 9 == len(window.urls)


def test_the_markup_with_attributes_is_hard_to_read(sim: Running, change: Change) -> None:
    """No tag of it is as it was, and its blocks need each other."""
    change(markup="attributes")
    html = fetch(f"{sim.url}/", Cookie="p-b=a")

    assert "<script" not in html
    assert 'src="' not in html
    assert html.index(" type='application/json'") < html.index(" id='__NEXT_DATA__'")
    step = re.search(r"let (\w+)=function", html)
    assert step is not None
    assert f"i+={step[1]}()" in html


_HASH, _CACHE = r'id:"([0-9a-f]{64})"', r'cacheID:"[0-9a-f]{32}"'
_NAME = r'name:"(\w+)",operationKind:"\w+",text:null'
_METADATA = r'metadata:\{connection:\[\{count:null,path:\["x"\]\}\]\}'


def found_in(text: str, form: str) -> dict[str, str]:
    """Names and hashes of all artefacts in a script's text."""
    if form == "poe":
        pairs = re.findall(rf"params:\{{{_HASH},metadata:\{{\}},{_NAME}\}}", text)
        return {name: value for value, name in pairs}
    first = re.findall(rf"params:\{{{_CACHE},{_HASH},{_METADATA},{_NAME}\}}", text)
    last = re.findall(rf"params:\{{{_CACHE},{_METADATA},{_NAME},{_HASH}\}}", text)
    return {name: value for value, name in first} | dict(last)


@pytest.mark.parametrize(
    ("form", "manifest", "names"),
    list(product(["poe", "relay"], ["object", "function"], ["next", "opaque"])),
)
def test_all_hashes_are_in_the_scripts(
    sim: Running, change: Change, form: str, manifest: str, names: str
) -> None:
    """Some in those that the page names, some in its manifest's, some in webpack's alone."""
    change(artefact_form=form, manifest_form=manifest, chunk_names=names)
    state = change(retire_hash=True, retire_subscription="all")
    window = Window(sim)
    found = found_in(window.chunks, form)
    subscriptions = {
        f"subscriptions_{name}_Subscription": value
        for name, value in state["subscriptions"].items()
    }

    assert state["hashes"] | subscriptions == found
    assert "sendMessageMutation" in found_in(window.named, form)
    by_manifest, by_runtime = (
        next(
            path
            for text in map(fetch, window.page.sources)
            if mark in text
            for path in [chunk_paths(text)]
        )
        for mark in ("__BUILD_MANIFEST", "r.u=")
    )
    assert not {*by_manifest} & {*by_runtime}
    assert 3 == len(by_runtime)
    for paths in ({*by_manifest}, {*by_runtime}):
        only = "".join(
            fetch(url)
            for url in window.urls
            if url not in window.page.sources and url.partition("/_next/")[2] in paths
        )
        assert found_in(only, form)
    assert (manifest == "function") == (r"static\u002Fchunks" in window.named)


def test_a_retired_hash_is_refused_until_it_is_read_again(sim: Running, change: Change) -> None:
    """One hash, then all of them."""
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        change(retire_hash="settingsPageQuery")
        assert browser.query("settingsPageQuery").json()["data"] is None
        browser.read_page()
        assert browser.query("settingsPageQuery").json()["data"]
        change(retire_hash="all")
        assert browser.query("settingsPageQuery").json()["data"] is None
        browser.read_page()
        assert browser.query("settingsPageQuery").json()["data"]


def test_an_artefact_that_is_gone_is_still_accepted(sim: Running, change: Change) -> None:
    """The scripts have it no more; who knows its hash may use it."""
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        known = browser.hashes["settingsPageQuery"]
        state = change(drop_artefact=["settingsPageQuery", "messageAdded"])
        browser.read_page()

        assert ["messageAdded", "settingsPageQuery"] == state["dropped"]
        assert not {"messageAdded", "settingsPageQuery"} & browser.hashes.keys()
        browser.hashes["settingsPageQuery"] = known
        assert browser.query("settingsPageQuery").json()["data"]
        change(reset=True)
        browser.read_page()
        assert {"messageAdded", "settingsPageQuery"} <= browser.hashes.keys()


def test_a_stale_subscription_is_not_pushed(browser: Browser, sim: Running, change: Change) -> None:
    """Nobody says so; with the switch, subscribing is refused as a whole."""
    change(retire_subscription="messageAdded")
    browser.subscribe()
    browser.say("!echo Hello")
    pushed = [scope.partition(":")[0] for scope, _ in browser.items()]

    assert "messageAdded" not in pushed
    assert "jobUpdated" in pushed
    subscribing = [one for one in sim.world.journal.entries if "skipped" in one]
    assert [["messageAdded"]] == [one["skipped"] for one in subscribing]
    change(stale_subscription="error")
    with pytest.raises(AssertionError, match="Server Error"):
        browser.subscribe()


def test_a_revision_of_its_own(sim: Running, change: Change) -> None:
    """It changes alone, and counts; it may be in another script than before."""
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        before = sim.world.build
        state = change(check_revision=True, rotate_revision=True, revision_in="chunk")
        assert 400 == browser.query("settingsPageQuery").status_code
        browser.read_page()
        assert 200 == browser.query("settingsPageQuery").status_code

    assert state["revision"] == browser.revision != before.revision
    assert (before.build_id, before.getter) == (state["build_id"], state["getter"])
    holders = [url for url in Window(sim).urls if browser.revision in fetch(url)]
    assert [True] == ["index" in url for url in holders]


def test_settings_without_channel(sim: Running, change: Change) -> None:
    """They are an object without it."""
    change(settings_without_channel=True)

    assert (
        {}
        == requests.get(f"{sim.url}/api/settings", headers={"User-Agent": AGENT}, timeout=60).json()
    )


def test_scripts_at_another_host(sim: Running, change: Change) -> None:
    """Their addresses lead there; what should not be sent there is noted, and answered."""
    host = sim.url.replace("127.0.0.1", "localhost")
    change(script_host=host)
    window = Window(sim)
    assert all(url.startswith(host + "/_next/static/") for url in window.urls)
    assert f'r.p="{host}/_next/"' in window.chunks
    for extra in ({}, {"Cookie": "p-b=a"}, {"Poe-Formkey": "x"}, {"poe-tag-id": "x"}):
        assert "r.u=" in fetch(window.page.sources[0], **extra)
    last = sim.world.journal.entries[-4:]

    bad = "cookie at the scripts' host"
    assert ["ok", bad, bad, bad] == [one["verdict"] for one in last]
    assert {host.removeprefix("http://")} == {one["host"] for one in last}
    assert [False, True, False, False] == ["cookie" in one["headers"] for one in last]


def test_scripts_of_earlier_pages_stay(sim: Running, change: Change) -> None:
    """A script's name changes with what is in it, so none is changed under its name."""
    before = {url: fetch(url) for url in Window(sim).urls}
    change(retire_hash=True, rotate_revision=True, rotate_getter=True)
    after = {url: fetch(url) for url in Window(sim).urls}
    manifest = {url for url in before if url.endswith("_buildManifest.js")}

    assert manifest == before.keys() & after.keys()
    assert before.keys() - manifest == {
        url for url, text in before.items() if fetch(url) == text and url not in manifest
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"retire_hash": "noSuchMutation"}, "unknown operation noSuchMutation"),
        ({"retire_hash": ["settingsPageQuery", 1]}, "unknown operation 1"),
        ({"retire_subscription": "x"}, "unknown subscription x"),
        ({"drop_artefact": "x"}, "unknown operation or subscription x"),
        ({"rotate_getter": "yes"}, "rotate_getter takes true or false"),
        ({"rotate_revision": 1}, "rotate_revision takes true or false"),
        ({"tag_order": "body salt"}, "tag_order is one of body formkey salt, "),
        ({"tag_function": "sha"}, "tag_function is one of md5, "),
        ({"salt": 'a"b'}, "salt must match "),
        ({"salt": ""}, "salt must match "),
        ({"script_host": "localhost"}, "script_host must match "),
        ({"getter_named": "no"}, "getter_named takes a bool"),
        ({"markup": "html"}, "markup is one of next, "),
    ],
)
def test_control_refuses_what_it_does_not_know(
    sim: Running, body: dict[str, Any], words: str
) -> None:
    """In words, and nothing is changed."""
    before = requests.get(f"{sim.url}/__control", timeout=60).json()
    answer = requests.post(f"{sim.url}/__control", json=body, timeout=60)

    assert 400 == answer.status_code
    assert answer.json()["error"].startswith(words)
    assert before == requests.get(f"{sim.url}/__control", timeout=60).json()


def test_reset_puts_all_back(sim: Running, change: Change) -> None:
    """Switches, hashes, and what the scripts have."""
    before = change()
    change(
        retire_hash=True,
        retire_subscription=True,
        drop_artefact="settingsPageQuery",
        salt="abc",
        tag_order="salt body formkey",
        markup="flight",
    )

    assert before == change(reset=True)


def test_a_page_and_a_manifest_with_endless_scripts(sim: Running, change: Change) -> None:
    """Each of them is there."""
    change(
        fail=[
            {"path": "/", "with": {"endless-scripts": 300}},
            {"path": "/_next/static/*/_buildManifest.js", "with": {"endless-manifest": 400}},
        ]
    )
    page = Reader(fetch(f"{sim.url}/", Cookie="p-b=a"))
    manifest = next(url for url in page.sources if "_buildManifest" in url)
    listed = chunk_paths(fetch(manifest))

    assert (304, 400) == (len(page.sources), len(listed))
    assert "webpackChunk" in fetch(page.sources[299])
    assert "webpackChunk" in fetch(f"{sim.url}/_next/{listed[399]}")
    assert "endless" not in fetch(manifest)


def test_scripts_that_are_huge_or_slow(sim: Running, change: Change) -> None:
    """Once, and then as they are."""
    url = Reader(fetch(f"{sim.url}/", Cookie="p-b=a")).sources[1]
    whole = fetch(url)
    change(fail={"path": "/_next/static/*", "with": {"huge-script": 3}})
    assert 3_000_000 == len(fetch(url))
    change(fail={"path": "/_next/static/*", "with": {"drip": 0}})

    assert whole == fetch(url)
    assert whole == fetch(url)
