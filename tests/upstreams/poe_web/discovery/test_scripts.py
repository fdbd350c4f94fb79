"""Which scripts there are, and from where they are fetched."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import pytest

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.upstreams.poe_web.discovery import scripts
from poe_proxy.upstreams.poe_web.discovery.scripts import (
    MAX_SCRIPTS,
    base_of,
    in_manifest,
    in_runtime,
    is_manifest,
    is_runtime,
)

from ....steps import Counted, grows_linearly

COUNTED: Final = Counted(
    "poe_proxy.upstreams.bulk", "poe_proxy.upstreams.poe_web.discovery.scripts"
)
BASE: Final = "https://psc2.cf2.poecdn.net/assets/_next/"
PAGE: Final = "https://poe.com/"
HERE: Final = "http://127.0.0.1:5000/"


def manifest(text: str) -> list[str]:
    return [one.removeprefix(BASE) for one in in_manifest(text, BASE, Budget(5))]


def runtime(text: str) -> list[str]:
    return [one.removeprefix(BASE) for one in in_runtime(text, BASE, Budget(5))]


@pytest.mark.parametrize(
    ("address", "base"),
    [
        (f"{BASE}static/chunks/pages/_app-2222222222222222.js", BASE),
        (f"{BASE}static/bUiLd/_buildManifest.js", BASE),
        (f"{BASE}static/chunks/1.js?a=/_next/static/", BASE),
        ("https://cdn.test/x/static/chunks/1.js", "https://cdn.test/x/"),
        ("https://cdn.test/main.js", None),
        ("https://cdn.test/main.js?/_next/static/", None),
        ("https://cdn.test/main.js#/_next/static/", None),
    ],
)
def test_paths_count_from_what_is_before_static(address: str, base: str | None) -> None:
    """Of any script's address."""
    assert base == base_of(address)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (
            'self.__BUILD_MANIFEST={"/":["static/chunks/1.js"],'
            '"/[handle]":["static/chunks/1.js","static/css/2.css",'
            '"static/chunks/pages/[handle]-3.js"],sortedPages:["/"]}',
            ["static/chunks/1.js", "static/chunks/pages/%5Bhandle%5D-3.js"],
        ),
        (
            'self.__BUILD_MANIFEST=function(a,b){return{"/":[a,"static/chunks/pages/index-1.js"],'
            '"/x":[a,b]}}("static/chunks/77-2.js","static\\u002Fchunks\\u002fpages\\u002Fx-3.js")',
            ["static/chunks/pages/index-1.js", "static/chunks/77-2.js",
             "static/chunks/pages/x-3.js"],
        ),
        (
            "a='static\\/chunks\\/1.js',b=`static/chunks/2.js`",
            ["static/chunks/1.js", "static/chunks/2.js"],
        ),
        ('["static/chunks/pages/%5Bhandle%5D-3.js"]', ["static/chunks/pages/%5Bhandle%5D-3.js"]),
        ('["static/../../x.js","static/css/a.css","other/chunks/1.js","static/1.js2"]', []),
        ('["static/chunks/a b.js","static/chunks/\\"+a+\\".js"]', []),
        ("", []),
    ],
)  # fmt: skip
def test_a_manifest_names_scripts(text: str, paths: list[str]) -> None:
    """As an object, or a function and what it is given; styles are none."""
    assert paths == manifest(text)


DIRECT = 'r.u=e=>123===e?"static/chunks/123-abc.js":'
MAPPED = '"static/chunks/"+(({12:"alias",7:"b"})[e]||e)+"."+({12:"dd",1e3:"ee","x1":"ff"})[e]+".js"'
NAMES = ["static/chunks/alias.dd.js", "static/chunks/1000.ee.js", "static/chunks/x1.ff.js"]
CSS = ',r.miniCssF=e=>"static/css/"+({12:"gg"})[e]+".css"'


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (f"{DIRECT}{MAPPED}", ["static/chunks/123-abc.js", *NAMES]),
        (f'{DIRECT}{MAPPED}{CSS},r.p="/_next/"', ["static/chunks/123-abc.js", *NAMES]),
        ('r.u=e=>"static/chunks/"+e+"."+{1:"a",2:"b"}[e]+".js"',
         ["static/chunks/1.a.js", "static/chunks/2.b.js"]),
        ("r.u = e => 'static/chunks/' + e + '-' + { 1 : 'a' , 2 : 'b' } [ e ] + '.js'",
         ["static/chunks/1-a.js", "static/chunks/2-b.js"]),
        ('r.u=e=>"static/chunks/"+(12===e?"alias":e)+"."+({12:"a",2:"b"})[e]+".js"',
         ["static/chunks/alias.a.js", "static/chunks/2.b.js"]),
        ('r.u=e=>"static/chunks/"+(e===12?"alias":e)+"."+({12:"a",2:"b"})[e]+".js"',
         ["static/chunks/alias.a.js", "static/chunks/2.b.js"]),
        ('r.u=e=>"static/chunks/"+("x1"===e?"one":e==="x2"?"two":e)+"."+({x1:"a",x2:"b"})[e]+".js"',
         ["static/chunks/one.a.js", "static/chunks/two.b.js"]),
        ('r.u=function(e){return"static/chunks/"+(({1:"x"})[e]||e)+"."+({1:"a"})[e]+".chunk.js"}',
         ["static/chunks/x.a.chunk.js"]),
        ('r.u=e=>"static/chunks/"+({1:"1-a",2:"two"})[e]+".js"',
         ["static/chunks/1-a.js", "static/chunks/two.js"]),
        ('r.u=e=>"static/chunks/"+e+".js"', []),
        ('r.u=e=>"static/chunks/"+e+"."+({1:"a"})[e]', []),
        ('r.u=e=>"static/chunks/"+e+"."+({1:"a"', []),
        ('r.u=e=>"static/chunks/"+e+"."+({1:"a',  []),
        ('r.u=e=>"static/chunks/"+e+"."+({1:"../../a"})[e]+".js"', []),
        ('r.u=e=>"static/chunks/"+', []),
        ("", []),
    ],
)  # fmt: skip
def test_a_runtime_names_scripts(text: str, paths: list[str]) -> None:
    """In full, or by number, alias and hash."""
    assert paths == runtime(text)


def test_some_thousand_may_be_named() -> None:
    """What is behind them is left out; each counts once."""
    paths = [f"static/chunks/{number}.js" for number in range(2 * MAX_SCRIPTS)]
    hashes = dict.fromkeys(range(2 * MAX_SCRIPTS), "h")
    mapped = '"static/chunks/"+e+"."+(' + json.dumps(hashes) + ')[e]+".js"'

    assert paths[:MAX_SCRIPTS] == manifest(json.dumps(paths * 2))
    assert paths[:MAX_SCRIPTS] == manifest(json.dumps([paths[0], *paths]))
    assert MAX_SCRIPTS == len(runtime(mapped))
    assert "static/chunks/999.h.js" == runtime(mapped)[-1]


@pytest.mark.parametrize(
    ("address", "text", "kinds"),
    [
        (f"{BASE}static/bUiLd/_buildManifest.js", "", "manifest"),
        (f"{BASE}static/bUiLd/_buildManifest.js?v=1", "", "manifest"),
        (f"{BASE}static/bUiLd/_ssgManifest.js", "", ""),
        (f"{BASE}static/chunks/webpack-1111111111111111.js", "", "runtime"),
        (f"{BASE}static/chunks/webpack.js", "", "runtime"),
        (f"{BASE}static/chunks/webpacker.js", "", ""),
        (f"{BASE}static/chunks/1111111111111111.js", f"x={{}};{DIRECT}1", "runtime"),
        (f"{BASE}static/chunks/1111111111111111.js", "x.u=1", ""),
        (f"{BASE}static/chunks/1111111111111111.js", '"static/chunks/1.js"', ""),
        ("https://[", "", ""),
    ],
)
def test_manifest_and_runtime_are_known(address: str, text: str, kinds: str) -> None:
    """By name; the runtime also by what it says."""
    assert ("manifest" in kinds) == is_manifest(address)
    assert ("runtime" in kinds) == is_runtime(address, text)
    assert is_runtime(address) <= is_runtime(address, text)


class Spent(Budget):
    """A budget of which nothing is left."""

    def breathe(self, shared: float = 0.0) -> None:
        raise OutOfBudget


@pytest.mark.parametrize("name", ["in_manifest", "in_runtime"])
@pytest.mark.parametrize("text", ["x" * 100_000, f"{DIRECT}{MAPPED}"])
def test_a_script_does_not_cost_more_than_there_is(name: str, text: str) -> None:
    """Nor does one that names nothing."""
    with pytest.raises(OutOfBudget):
        getattr(scripts, name)(text, BASE, Spent())


SCRIPTS: dict[str, Callable[[int], str]] = {
    "nothing": lambda n: "let a=b;" * n,
    "paths": lambda n: "".join(f'"static/chunks/{number}.js",' for number in range(n)),
    "half paths": lambda n: '"static/chunks/' * n,
    "a long path": lambda n: '"static' + "/" * n,
    "quotes": lambda n: '"' * n,
    "beginnings": lambda n: '"static/chunks/"+' * n,
    "a map": lambda n: MAPPED.replace('12:"dd"', ",".join(f'{x}:"a"' for x in range(n))),
    "maps": lambda n: '"static/chunks/"+' + 'e+"."+{1:"a"}' * n,
    "empty maps": lambda n: '"static/chunks/"+' + "{" * n,
    "conditions": lambda n: '"static/chunks/"+' + '1===e?"a":' * n + "{}",
    "maps again": lambda n: '"static/chunks/"+e+"."+{1:"a"}[e]+".js";' * n,
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("name", ["in_manifest", "in_runtime"])
def test_a_script_costs_what_it_is_long(name: str, script: Callable[[int], str]) -> None:
    """Whatever it is made of."""

    def steps(number: int) -> int:
        text = script(number)
        find = getattr(COUNTED["scripts"], name)
        return COUNTED.of(lambda: find(text, BASE, Budget(60)))

    assert grows_linearly(steps, 300) is None
