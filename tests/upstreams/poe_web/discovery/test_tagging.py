"""How the page makes the tag, found by the real engine."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from poe_proxy.upstreams.poe_web.discovery.tagging import (
    MAX_LITERALS,
    MAX_SALT,
    program,
    solve,
)
from poe_proxy.upstreams.poe_web.programs import MAX_VALUE, ProgramFailed, run
from poe_proxy.upstreams.poe_web.site import TAG_ORDERS, Tag, TagForm, TagOrder

SALT: Final = "4LxgHM6KpFqokX0Ox"
#: What reads the bytes of a text, in the ways of different pages.
READERS: Final = {
    "charCodeAt": "for(var b=[],i=0;i<s.length;i++)b.push(s.charCodeAt(i));",
    "UTF-8": "s=unescape(encodeURIComponent(s));for(var b=[],i=0;i<s.length;i++)"
    "b.push(s.charCodeAt(i));",
    "split": "var b=s.split('').map(function(c){return c.charCodeAt(0)});",
    "spread": "var b=[...s].map(c=>c.codePointAt(0));",
    "pieces": "for(var b=[],i=0;i<s.length;i+=64)s.substring(i,i+64).replace(/[^]/g,"
    "function(c){b.push(c.charCodeAt(0))});",
    "TextEncoder": "var b=Array.from(new TextEncoder().encode(s));",
    "index": "var t={};for(var i=0;i<128;i++)t[String.fromCharCode(i)]=i;"
    "for(var b=[],i=0;i<s.length;i++)b.push(t[s[i]]);",
}  # fmt: skip


def md5(reader: str = "charCodeAt") -> str:
    """An MD5 of a page's own."""
    return (
        "function md5(s){" + READERS[reader] + "var n=b.length,h=[1732584193,4023233417,2562383102,"
        "271733878],r=[7,12,17,22,5,9,14,20,4,11,16,23,6,10,15,21];b.push(128);"
        "while(b.length%64!=56)b.push(0);b.push(n*8&255,n>>5&255,n>>13&255,0,0,0,0,0);"
        "for(var o=0;o<b.length;o+=64){var a=h.slice();for(var j=0;j<64;j++){var q=j>>4,f,g;"
        "f=[a[1]&a[2]|~a[1]&a[3],a[3]&a[1]|~a[3]&a[2],a[1]^a[2]^a[3],a[2]^(a[1]|~a[3])][q];"
        "g=[j,5*j+1,3*j+5,7*j][q]%16;var w=0;for(var k=3;k>=0;k--)w=w<<8|b[o+4*g+k];"
        "f=f+a[0]+Math.floor(Math.abs(Math.sin(j+1))*4294967296)+w|0;var t=r[q*4+j%4];"
        "a=[a[3],a[1]+(f<<t|f>>>32-t)|0,a[1],a[2]]}h=h.map(function(v,z){return v+a[z]|0})}"
        "return h.map(function(v){for(var x='',z=0;z<4;z++)x+=('0'+(v>>>8*z&255).toString(16))"
        ".slice(-2);return x}).join('')}"
    )


SWAP: Final = "function swap(h){var a=h.split(''),x=a[20];a[20]=a[24];a[24]=x;return a.join('')}"


def solved(*blocks: str, functions: tuple[str, ...] = (), name: str = "tag") -> Tag | str:
    return solve(run(program(blocks, functions, name, "agent"), 5))


def words(*blocks: str) -> str:
    """Why it cannot be told."""
    found = solved(*blocks)
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("form", ["plain", "swapped"])
@pytest.mark.parametrize("order", TAG_ORDERS)
@pytest.mark.parametrize("first", ["function", "nonce"])
def test_salt_form_and_order_are_found(first: str, order: TagOrder, form: TagForm) -> None:
    """Whether the page calls its function with one of MD5, or with a nonce that is ignored."""
    names = {"body": "b", "formkey": "k", "salt": f'"{SALT}"'}
    joined = "+".join(names[part] for part in order)
    hashed = f"m({joined})" if first == "function" else f"md5({joined})"
    value = f"swap({hashed})" if form == "swapped" else hashed
    page = f"(function(){{{md5()}{SWAP}window.tag=function(m,k,b){{return {value}}}}})()"

    assert Tag(SALT, form, order) == solved(page)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("salt", [f'"{SALT}"', "'a b'", '"é\\u4e16"'])
def test_a_page_may_have_its_own_way_of_reading_texts(reader: str, salt: str) -> None:
    """What it reads is seen; where it is not, the strings of its function are tried."""
    if "u4e16" in salt and reader in ("charCodeAt", "split", "spread", "pieces", "index"):
        salt = '"x"'  # these read no more than ASCII
    page = f"{md5(reader)}window.tag=function(m,k,b){{return md5(b+k+{salt})}}"
    found = solved(page)

    assert isinstance(found, Tag)
    assert json.loads(salt.replace("'", '"')) == found.salt
    assert ("body", "formkey", "salt") == found.order


@pytest.mark.parametrize("first", ["m", "md5"])
def test_a_salt_that_is_hidden_is_seen_when_it_is_used(first: str) -> None:
    """It need not stand in the page as one string."""
    page = (
        f"{md5()}window.part=function(){{return String.fromCharCode(52,76)}};"
        f"window.tag=function(m,k,b){{return {first}(b+k+part()+'xgHM6KpFqo'+'kX0Ox')}}"
    )

    assert Tag(SALT, "plain") == solved(page)


def test_there_may_be_no_salt() -> None:
    """Then it is empty."""
    found = solved("window.tag=function(m,k,b){return m(b+k)}")

    assert Tag("", "plain") == found


def test_the_function_may_be_of_another_script() -> None:
    """Cut out of it, or the whole of it; and a script that fails ends nothing."""
    function = f"window.tag=function(m,k,b){{return m(b+k+'{SALT}')}}"
    whole = f"(function(w){{w.tag=function(m,k,b){{return m(b+k+'{SALT}')}}}})(window)"
    found = Tag(SALT, "plain")

    assert found == solved("throw 1", functions=(function,))
    assert found == solved("throw 1", functions=(whole,))


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("", "no function of the name"),
        ("window.tag=5", "no function of the name"),
        ("window.tag=function(){throw new Error('no\\n way')}", "fails: no way"),
        ("window.tag=function(){throw 1}", "fails: it throws"),
        ("window.tag=function(m,k,b){m(b+k);throw new Error('late')}", "fails: late"),
        ("window.tag=function(){return 5}", "returns no text"),
        ("window.tag=async function(m,k,b){return 'x'}", "returns no text"),
        ("window.tag=function(){return 'x'}", "no MD5 of"),
        ("window.tag=function(m,k,b){return m('a'+b+k+'b')}", "more than"),
        ("window.tag=function(m,k,b){return m('a'+b+'b'+k)}", "more than"),
        ("var n=0;window.tag=function(m,k,b){return m(b+k+n++)}", "something else each time"),
        ("window.tag=function(m,k,b){return m(b+k+b)}", "something else each time"),
        (f"window.tag=function(m,k,b){{return m(b+k+'{'x' * (MAX_SALT + 1)}')}}", "more than"),
        ("window.tag=function(m,k,b){return m(b+k+'s')+m(b+k+'t')}", "more than"),
        ("window.tag=function(m,k,b){return m(b+k+'s').toUpperCase()}", "order"),
        (f"{SWAP}window.tag=function(m,k,b){{return swap(m(b+k+'s')).slice(1)}}", "order"),
        ("window.tag=function(m,k,b){var h=m(b+k+'s');return h[1]+h[0]+h.slice(2)}", "order"),
        (f"{md5()}window.tag=function(n,k,b){{return md5(b+k+n)}}", "no MD5 of"),
        (f"{md5('index')}var s='s';window.tag=function(n,k,b){{return md5(b+k+s)}}", "no MD5 of"),
        (f"{md5()}window.tag=function(n,k,b){{return md5(b+k+'s').slice(1)}}", "no MD5 of"),
    ],
)
def test_what_cannot_be_told_is_said(page: str, why: str) -> None:
    """Nothing is believed that does not hold for both calls."""
    assert why in words(page)


def test_without_a_name_there_is_nothing_to_call() -> None:
    """The pattern that has found none is named."""
    found = solve(None)

    assert isinstance(found, str)
    assert "pages.tag_function" in found


CALLED: dict[str, Any] = {"seen": [], "result": "x"}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        "{}",
        '{"withFunction":5,"withNonce":"x","literals":{}}',
        json.dumps({"withFunction": [CALLED], "withNonce": [CALLED], "literals": [1, None]}),
        json.dumps({"withFunction": [{"seen": [5]}] * 9, "withNonce": [[]] * 9}),
        json.dumps({"withNonce": [{"result": {}}, {"failed": 5}], "literals": ["x"] * 9000}),
        json.dumps({"withFunction": [{"seen": ["x"]}, {"seen": []}]}),
        json.dumps({"missing": True}) + " " * MAX_VALUE,
        '{"withNonce":[{"result":"\\ud800"},{"result":"a"}]}',
    ],
)
def test_an_answer_that_makes_no_sense_is_none(answer: str) -> None:
    """A page may end with whatever it likes."""
    found = solve(answer)

    assert isinstance(found, str)
    assert "no function of the name" not in found


@pytest.mark.parametrize(
    "page",
    [
        f"window.tag=function(m,k,b){{for(let i=0;i<5000;i++)m(i+b+k);return '{'x' * 100_000}'}}",
        "window.tag=function(m,k,b){" + "".join(f"'{n:040}';" for n in range(9000)) + "}",
        "window.tag=function(m,k,b){" + "'\x01\x01\x01\x01\x01\x01\x01\x01';" * 9000 + "}",
        "window.tag=function(m,k,b){for(let i=0;i<99;i++)m(b+k+'\x01'.repeat(190)+i);return m(b)}",
        "window.tag=function(m,k,b){throw new Error('x'.repeat(1e6))}",
    ],
)
def test_an_answer_has_an_end(page: str) -> None:
    """It is read as a whole, or not at all."""
    answer = run(program([page], [], "tag", "agent"), 5)

    assert answer is not None
    assert len(answer) < MAX_VALUE
    assert len(json.loads(answer).get("literals", ())) <= MAX_LITERALS
    assert isinstance(solve(answer), str)


@pytest.mark.parametrize(
    "page",
    [
        "window.tag=function(){for(;;);}",
        "window.tag=function(m,k,b){m({toString(){for(;;);}});for(;;);}",
        "window.tag=function(){for(var a=[];;)a.push('x'.repeat(1e6)+a.length)}",
        "window.tag=function(){return this.x.y}; for(;;);",
    ],
)
def test_a_function_that_does_not_end_is_ended(page: str) -> None:
    """By its time, or by its memory, which it may notice."""
    try:
        found = solve(run(program([page], [], "tag", "agent"), 0.5))
    except ProgramFailed as failure:
        found = str(failure)

    assert "out of memory" in found or "interrupted" in found


def test_a_page_that_bends_what_is_used_fools_nobody_but_itself() -> None:
    """The answer is none, or what it says."""
    page = "JSON.stringify=function(){return 'x'};window.tag=function(m,k,b){return m(b+k)}"

    assert isinstance(solved(page), str)


def test_code_does_not_show_itself() -> None:
    """It may have a seed of the form key."""
    assert "secret" not in repr(program(["secret"], ["secret"], "tag", "agent"))
