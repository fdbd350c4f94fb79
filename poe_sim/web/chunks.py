"""The scripts of a release, web protocol sheet §5.5 and §5.6: where hashes, secret and names are.

The artefacts of operations and subscriptions are spread over chunks that are found in different
ways: two are named by the page, two only by the manifest, three only by webpack's runtime.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from . import page_code
from .builds import Build, Look

# The numbers of the chunks that only webpack's runtime knows, by the way in which it names them.
_DIRECT, _ALIASED, _NUMBERED = 123, 12, 4711
_ALIAS = "settings"
_ENDLESS = re.compile(r"chunks/endless-(\d+)\.js")


@dataclass(frozen=True, slots=True)
class Artefact:
    """A persisted operation as a chunk holds it; *kind* is query, mutation or subscription."""

    name: str
    hash: str
    kind: str


def artefacts(
    operations: Mapping[str, str], subscriptions: Mapping[str, str]
) -> tuple[Artefact, ...]:
    """Return the artefacts of these tables of names and hashes."""
    return (
        *(
            Artefact(name, value, "query" if name.lower().endswith("query") else "mutation")
            for name, value in operations.items()
        ),
        *(
            Artefact(f"subscriptions_{name}_Subscription", value, "subscription")
            for name, value in subscriptions.items()
        ),
    )


@dataclass(frozen=True, slots=True)
class Release:
    """The scripts by their path under ``/_next/static/``, and those that the page names."""

    scripts: Mapping[str, str]
    named: Sequence[str]


# A browser asks for many scripts of the same release.
@lru_cache(maxsize=16)
def release(build: Build, look: Look, known: tuple[Artefact, ...]) -> Release:
    """Return the scripts of *build* with the artefacts *known*.

    A script's name changes with its content, but for the manifest's, which is the build's.
    """
    parts = ["".join(_artefact(one, look) for one in known[at::7]) for at in range(7)]
    revision = f'let headers={{"poe-revision":"{build.revision}"}};'
    in_app = look.revision_in == "app"
    secret = f'let useFormkeyDecode=()=>{{}};window.{build.secret_name}="{build.secret_value}";' + (
        revision if in_app else ""
    )
    named = f'let a="{build.getter}",b=null,setClientFormkey=e=>{{b=e}};'
    more = (
        ("" if in_app else revision)
        + (named if look.getter_named else "")
        + page_code.signature(build, look)
    )
    app = _chunk(look, "chunks/pages/_app-{}.js", 2888, secret + parts[0])
    index = _chunk(look, "chunks/pages/index-{}.js", 405, more + parts[1])
    listed = _chunk(look, "chunks/pages/settings-{}.js", 662, parts[2])
    shared = _chunk(look, "chunks/77-{}.js", 77, parts[3])
    direct = _chunk(look, f"chunks/{_DIRECT}-{{}}.js", _DIRECT, parts[4])
    aliased = _chunk(look, f"chunks/{_ALIAS}.{{}}.js", _ALIASED, parts[5])
    numbered = _chunk(look, f"chunks/{_NUMBERED}.{{}}.js", _NUMBERED, parts[6])
    runtime = _named(
        look, "chunks/webpack-{}.js", _runtime(look, direct[0], aliased[0], numbered[0])
    )
    manifest = (
        build.manifest,
        _manifest(look, {"/": [shared[0], index[0]], "/settings": [shared[0], listed[0]]}),
    )
    every = (runtime, app, index, manifest, listed, shared, direct, aliased, numbered)
    return Release(dict(every), [runtime[0], app[0], index[0], manifest[0]])


def key_script(look: Look, code: str) -> tuple[str, str]:
    """Return path and text of the script that has the *code* of the form key."""
    return _named(look, "chunks/9000-{}.js", code)


def endless(number: int) -> str:
    """Return the path of one of the scripts that only a hostile page or manifest names."""
    return f"chunks/endless-{number}.js"


def hostile_script(path: str) -> str | None:
    """Return the text of such a script, or None if *path* is none of them."""
    found = _ENDLESS.fullmatch(path)
    return None if found is None else f"(self.webpackChunk=[]).push([[{found[1]}],{{}}]);"


def endless_manifest(count: int) -> str:
    """Return a manifest that names so many chunks."""
    paths = ",".join(f'"static/{endless(number)}"' for number in range(count))
    return f'self.__BUILD_MANIFEST={{"/":[{paths}],sortedPages:["/"]}};'


def _named(look: Look, pattern: str, text: str) -> tuple[str, str]:
    digest = hashlib.md5(f"{pattern} {text}".encode(), usedforsecurity=False).hexdigest()[:16]
    return ("chunks/{}.js" if look.chunk_names == "opaque" else pattern).format(digest), text


def _chunk(look: Look, pattern: str, number: int, code: str) -> tuple[str, str]:
    return _named(
        look,
        pattern,
        f"(self.webpackChunk=self.webpackChunk||[]).push([[{number}],"
        f"{{{number * 7}:function(e,t,n){{let r=n({number * 11});{code}}}}}]);",
    )


def _artefact(one: Artefact, look: Look) -> str:
    identity = f'id:"{one.hash}"'
    named = f'name:"{one.name}",operationKind:"{one.kind}",text:null'
    if look.artefact_form == "poe":
        return f"e.exports={{params:{{{identity},metadata:{{}},{named}}}}};"
    # As Relay's compiler writes it: the name is there several times, and may stand before the id.
    cache = hashlib.md5(one.name.encode(), usedforsecurity=False).hexdigest()
    metadata = 'metadata:{connection:[{count:null,path:["x"]}]}'
    if int(cache, 16) % 2:
        fields = f'cacheID:"{cache}",{identity},{metadata},{named}'
    else:
        fields = f'cacheID:"{cache}",{metadata},{named},{identity}'
    return (
        f'e.exports={{fragment:{{kind:"Fragment",metadata:null,name:"{one.name}",type:"Root"}},'
        f'kind:"Request",operation:{{kind:"Operation",name:"{one.name}",selections:[]}},'
        f"params:{{{fields}}}}};"
    )


def _runtime(look: Look, direct: str, aliased: str, numbered: str) -> str:
    if look.chunk_names == "opaque":
        first, second, third = (f'"static/{path}"' for path in (direct, aliased, numbered))
        paths = (
            f"{_DIRECT}===e?{first}:{_ALIASED}===e?{second}:{_NUMBERED}===e?{third}:"
            '"static/chunks/"+e+".js"'
        )
    else:
        hashes = ",".join(
            f'{number}:"{path.split(".")[1]}"'
            for number, path in ((_ALIASED, aliased), (_NUMBERED, numbered))
        )
        paths = (
            f'{_DIRECT}===e?"static/{direct}":"static/chunks/"+(({{{_ALIASED}:"{_ALIAS}"}})[e]||e)'
            f'+"."+({{{hashes}}})[e]+".js"'
        )
    return f'!function(){{var r={{}};r.u=e=>{paths},r.p="{look.script_host}/_next/"}}();'


def _manifest(look: Look, pages: Mapping[str, Sequence[str]]) -> str:
    order = ",".join(f'"{page}"' for page in ("/", "/_app", *list(pages)[1:]))
    called = "self.__BUILD_MANIFEST_CB&&self.__BUILD_MANIFEST_CB();"
    if look.manifest_form == "object":
        lists = ",".join(
            f'"{page}":[{",".join(f"{_quoted(path)}" for path in paths)}]'
            for page, paths in pages.items()
        )
        return f"self.__BUILD_MANIFEST={{{lists},sortedPages:[{order}]}},{called}"
    # What several pages need is handed to a function, whose body names it by a letter.
    several = dict.fromkeys(path for paths in pages.values() for path in paths[:-1])
    letters = {path: chr(ord("a") + at) for at, path in enumerate(several)}
    lists = ",".join(
        f'"{page}":[{",".join(letters.get(path) or _escaped(path) for path in paths)}]'
        for page, paths in pages.items()
    )
    given = ",".join(_escaped(path) for path in letters)
    return (
        f"self.__BUILD_MANIFEST=function({','.join(letters.values())}){{return{{{lists},"
        f"sortedPages:[{order}]}}}}({given}),{called}"
    )


def _quoted(path: str) -> str:
    return f'"static/{path}"'


def _escaped(path: str) -> str:
    return _quoted(path).replace("/", r"\u002F")
