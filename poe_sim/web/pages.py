"""The pages and scripts of poe.com, web protocol sheet §22.3 and §5."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

_WORD = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def hex_text(rng: random.Random, length: int) -> str:
    """Return *length* random hex characters."""
    return "".join(rng.choices(_HEX, k=length))


def name_text(rng: random.Random, length: int) -> str:
    """Return a random JavaScript name of letters and digits that begins with a letter."""
    return rng.choice(string.ascii_letters) + "".join(rng.choices(_WORD, k=length - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One release of the front end: the names and values that change with it."""

    build_id: str
    revision: str
    decoder: str
    getter: str
    secret_name: str
    secret_value: str
    app_chunk: str
    webpack_chunk: str
    page_chunk: str
    lazy_chunk: str

    @classmethod
    def make(cls, rng: random.Random) -> Build:
        """Return a new release with random names."""
        return cls(
            build_id=name_text(rng, 21),
            revision=hex_text(rng, 40),
            decoder=name_text(rng, 17),
            getter=name_text(rng, 17),
            secret_name="_" + name_text(rng, 10),
            secret_value=name_text(rng, 10),
            app_chunk=f"chunks/pages/_app-{hex_text(rng, 16)}.js",
            webpack_chunk=f"chunks/webpack-{hex_text(rng, 16)}.js",
            page_chunk=f"chunks/pages/index-{hex_text(rng, 16)}.js",
            lazy_chunk=f"chunks/4711.{hex_text(rng, 16)}.js",
        )

    @property
    def manifest(self) -> str:
        """The path of the list of chunks."""
        return f"{self.build_id}/_buildManifest.js"


def _decoder(build: Build) -> str:
    # The secret's name stands in two halves, so that a search of the page for it fails. In the
    # wrong surroundings the decoder does not complain: it reads the decoy characters.
    half = len(build.secret_name) // 2
    first, second = build.secret_name[:half], build.secret_name[half:]
    return (
        '(function(){if("undefined"==typeof window)throw new Error;var w=window;'
        f"w.{build.decoder}=function(s)"
        '{var ok=w["docu"+"ment"]&&w["navi"+"gator"]&&!/bot/i.test(w["navi"+"gator"].userAgent)'
        '&&typeof process==="undefined"&&typeof QuickJS==="undefined"'
        f'&&w["{first}"+"{second}"]==="{build.secret_value}";'
        'var out="";for(var i=ok?0:1;i<s.length;i+=2)out+=s[i];return out+"0"}})();'
    )


def _getter(build: Build, formkey: str, decoy: str) -> str:
    seed = "".join(real + false for real, false in zip(formkey, decoy, strict=True))
    return f'window.{build.getter}=function(){{return window.{build.decoder}("{seed}")}};'


def home(
    build: Build,
    *,
    base: str,
    path: str,
    formkey: str,
    decoy: str,
    channel_data: Mapping[str, object] | None,
    loops: bool = False,
    unclosed: int = 0,
) -> str:
    """Return the HTML of any page for a logged-in account; its script may be one that *loops*.

    At its end so many script elements have an opening tag that never ends.
    """
    initial = {} if channel_data is None else {"tchannelData": channel_data}
    next_data = orjson.dumps(
        {
            "props": {"pageProps": {}, "initialData": initial},
            "page": "/" if path == "/" else "/[handle]",
            "query": {},
            "buildId": build.build_id,
        }
    ).decode()
    static = f"{base}/_next/static"
    return (
        "<!DOCTYPE html><html><head><title>Poe</title>"
        # A block that touches the page: it fails when evaluated without a browser.
        '<script>(function(){document.documentElement.className="js"})();</script>'
        + ("<script>(function(){for(;;);})();</script>" if loops else "")
        + f"<script>{_decoder(build)}</script>"
        f"<script>{_getter(build, formkey, decoy)}</script>"
        f'<script src="{static}/{build.webpack_chunk}" defer></script>'
        f'<script src="{static}/{build.app_chunk}" defer></script>'
        f'<script src="{static}/{build.page_chunk}" defer></script>'
        f'<script src="{static}/{build.manifest}" defer></script>'
        '</head><body><div id="__next"></div>'
        f'<script id="__NEXT_DATA__" type="application/json">{next_data}</script>'
        "</body></html>" + "<script a" * unclosed
    )


def login() -> str:
    """Return the login page."""
    return (
        "<!DOCTYPE html><html><head><title>Login - Poe</title></head><body>"
        '<div id="__next"></div><script id="__NEXT_DATA__" type="application/json">'
        '{"props":{"pageProps":{}},"page":"/login","query":{},"buildId":"login"}'
        "</script></body></html>"
    )


CHALLENGE = (
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head>"
    "<body><h1>poe.com</h1><p>Checking your browser.</p></body></html>"
)


def gateway_error(status: int, reason: str) -> str:
    """Return the page of a web server whose upstream fails."""
    title = f"{status} {reason}"
    return (
        f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center>"
        "<hr><center>nginx</center></body></html>"
    )


def scripts(build: Build, hashes: Mapping[str, str]) -> dict[str, str]:
    """Return the scripts of *build* by their path under ``/_next/static/``.

    The persisted-query hashes are spread over three chunks, as in web protocol sheet §5.6: one
    is named by the page, one by the manifest, one only by the webpack runtime's chunk map.
    """
    artefacts = [
        f'params:{{id:"{value}",metadata:{{}},name:"{name}",'
        f'operationKind:"{_kind(name)}",text:null}}'
        for name, value in hashes.items()
    ]
    parts = ["".join(f"e.exports={{{text}}};" for text in artefacts[i::3]) for i in range(3)]
    lazy_number, lazy_hash = build.lazy_chunk.removeprefix("chunks/").split(".")[:2]
    return {
        build.app_chunk: (
            "(self.webpackChunk=self.webpackChunk||[]).push([[2888],{1:function(e,t,n){"
            "let useFormkeyDecode=()=>{};"
            f'window.{build.secret_name}="{build.secret_value}";'
            f'let headers={{"poe-revision":"{build.revision}"}};{parts[0]}}}}}]);'
        ),
        build.page_chunk: (
            "(self.webpackChunk=self.webpackChunk||[]).push([[405],{2:function(e,t,n){"
            f"{parts[1]}}}}}]);"
        ),
        build.lazy_chunk: (
            f"(self.webpackChunk=self.webpackChunk||[]).push([[{lazy_number}],"
            f"{{3:function(e,t,n){{{parts[2]}}}}}]);"
        ),
        build.webpack_chunk: (
            f'!function(){{var r={{}};r.u=function(e){{return"static/chunks/"+e+"."+'
            f'{{{lazy_number}:"{lazy_hash}"}}[e]+".js"}},r.p="/_next/"}}();'
        ),
        build.manifest: (
            'self.__BUILD_MANIFEST={"/":["static/'
            f'{build.page_chunk}"],sortedPages:["/","/_app"]}},'
            "self.__BUILD_MANIFEST_CB&&self.__BUILD_MANIFEST_CB();"
        ),
    }


def _kind(name: str) -> str:
    return "query" if name.lower().endswith("query") else "mutation"
