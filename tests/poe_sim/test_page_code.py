"""The page's own code gives the form key, and the tag that is accepted, however it is written."""

from __future__ import annotations

import hashlib
from itertools import permutations

import pytest
import quickjs

from poe_sim.app import Running
from poe_sim.journal import Journal
from poe_sim.web import World, page_code
from poe_sim.web.checks import tag_of

from .browser import PRELUDE, Browser
from .conftest import Change
from .window import Reader, Window, fetch

FORMKEY = "3f9a1c0d5e7b2846a0c4e8f1b7d3952e"
ORDERS = [" ".join(order) for order in permutations(("body", "formkey", "salt"))]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("function", ["md5", "nonce", "hidden"])
@pytest.mark.parametrize("mode", ["plain", "swapped"])
def test_tag_of_texts_of_any_length(function: str, mode: str, order: str) -> None:
    """The page's function agrees with the check, whatever fills the last block of its MD5."""
    world = World(tokens=[], journal=Journal(), seed=1)
    switches = world.switches
    switches.tag_function, switches.tag_mode, switches.tag_order = function, mode, order
    engine = quickjs.Context()
    engine.add_callable("hexmd5", lambda text: hashlib.md5(text.encode()).hexdigest())
    engine.eval("var window={};" + page_code.tag_function(world.build, switches.look()))
    for length in range(70):
        body = ("aé語👩" * 20)[:length]
        engine.set("body", body)
        tag = engine.eval(f'window.{world.build.signer}(hexmd5,"{FORMKEY}",body)')

        assert tag == tag_of(body.encode(), FORMKEY, swapped=mode == "swapped", order=order)


@pytest.mark.parametrize(
    ("function", "first"),
    [("md5", "md5hex"), ("nonce", "'k3J9xQ2mA7pL5tRw'"), ("nonce", "md5hex"), ("hidden", "'x'")],
)
@pytest.mark.parametrize(
    ("mode", "form"), [("plain", "plain"), ("swapped", "swapped"), ("either", "plain")]
)
def test_the_page_s_function_gives_the_tag_that_is_accepted(
    sim: Running, change: Change, function: str, first: str, mode: str, form: str
) -> None:
    """In any order of its parts, with any salt, and for any text."""
    with Browser(sim.url, "a") as browser:
        browser.read_page()
        for number, order in enumerate(ORDERS):
            salt = f"Salt{number}WpuLMiXEKKE"[:17]
            change(tag_function=function, tag_mode=mode, tag_order=order, salt=salt)
            window = Window(sim)
            assert ("hidden" == function) == (salt not in window.html)
            for handle in ("é", "日本語 👩‍👩‍👧", "x" * (40 + number)):
                body = browser.envelope("HandleBotLandingPageQuery", {"botHandle": handle})
                tag = window.tag(first, browser.formkey, body.decode())
                headers = {"poe-tag-id": tag, "poe-queryname": "HandleBotLandingPageQuery"}
                answer = browser.post("/api/gql_POST", body, **headers)

                assert 200 == answer.status_code
                assert form == sim.world.journal.entries[-1]["tagForm"]
                other = browser.post("/api/gql_POST", body, **{**headers, "poe-tag-id": "0" * 32})
                assert 400 == other.status_code


def test_a_page_may_have_no_function_for_the_tag(sim: Running, change: Change) -> None:
    """Neither page nor scripts have it, or its name."""
    before = Window(sim)
    change(tag_function="none")
    window = Window(sim)

    assert sim.world.build.signer in before.html
    assert sim.world.build.signer not in window.html + window.chunks
    assert "getAPISig" in before.chunks
    assert "getAPISig" not in window.chunks


@pytest.mark.parametrize("place", ["inline", "script"])
@pytest.mark.parametrize("shape", ["function", "arrow", "bracket", "defined"])
def test_every_getter_gives_the_form_key(
    sim: Running, change: Change, shape: str, place: str
) -> None:
    """In the page or in a script of its own; each account's page has its own."""
    change(getter_shape=shape, getter_in=place)

    for account in sim.world.accounts:
        window = Window(sim, f"p-b={account.tokens[0]}")
        assert account.formkey == window.formkey()
        assert (place == "inline") == (sim.world.build.getter in window.html)
        assert ['(function(){document.documentElement.className="js"})();'] == window.failed


def test_the_getter_s_name_changes_alone(sim: Running, change: Change) -> None:
    """With the build and its key as before."""
    before, build = Window(sim), sim.world.build
    state = change(rotate_getter=True)
    after = Window(sim)

    assert state["getter"] == sim.world.build.getter != build.getter
    assert (build.build_id, build.revision) == (state["build_id"], state["revision"])
    assert before.formkey() == after.formkey()
    change(getter_named=False)
    assert "setClientFormkey" not in Window(sim).chunks


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("getter-loops", "for(;;);for(var i=ok"),
        ("tag-loops", "=function(e,t,n){for(;;);}"),
        ("hoards", "for(;;)a.push("),
    ],
)
def test_a_page_whose_code_is_hostile(sim: Running, change: Change, word: str, part: str) -> None:
    """Its engine must end it; the next page is as before."""
    change(fail={"path": "/", "with": {word: 1}})
    pages = [fetch(f"{sim.url}/", Cookie="p-b=a") for _ in range(2)]
    assert [True, False] == [part in page for page in pages]
    blocks = Reader(pages[0]).blocks[1:]
    engine = quickjs.Context()
    engine.set_time_limit(0.2)
    engine.set_memory_limit(4_000_000)
    build = sim.world.build
    with pytest.raises(quickjs.JSException, match="InternalError"):
        engine.eval(PRELUDE + "".join(blocks) + f"window.{build.getter}();window.{build.signer}()")
