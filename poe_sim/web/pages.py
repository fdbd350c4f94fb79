"""The pages of poe.com, web protocol sheet §22.3 and §5."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import orjson

from .builds import Build, Look

# Scripts of hostile pages: one whose evaluation never ends, and one that fills the memory.
_LOOP = "(function(){for(;;);})();"
_HOARD = '(function(){var a=[];for(;;)a.push(new Array(1000).join("x")+a.length)})();'


def home(
    build: Build,
    look: Look,
    *,
    path: str,
    key_code: Sequence[str],
    key_script: str | None,
    tag_code: str,
    scripts: Iterable[str],
    channel_data: Mapping[str, object] | None,
    trouble: frozenset[str] = frozenset(),
    unclosed: int = 0,
) -> str:
    """Return the HTML of any page for a logged-in account.

    *key_code* and *tag_code* are the page's own code; *key_script*, if given, is the URL of a
    script that has the former instead. *scripts* are the URLs of the others. Of *trouble*,
    ``script-loops`` and ``hoards`` are known. At its end *unclosed* script elements have an
    opening tag that never ends.
    """
    tag = _Tags(build, look)
    initial = {} if channel_data is None else {"tchannelData": channel_data}
    blocks = [
        # A block that touches the page: it fails when evaluated without a browser.
        '(function(){document.documentElement.className="js"})();',
        *([_LOOP] if "script-loops" in trouble else []),
        *([_HOARD] if "hoards" in trouble else []),
    ]
    if look.markup == "attributes":
        # One that fails in a browser too, and one whose name the decoder needs.
        blocks += [
            "(function(){undefinedThing.x})();",
            f"let {build.step}=function(){{return 2}};",
        ]
    if key_script is None:
        keys = [tag.inline(code) for code in key_code]
    else:
        keys = [tag.source(key_script, waits=False)]
    return (
        "<!DOCTYPE html><html><head><title>Poe</title>"
        + "".join(tag.inline(code) for code in blocks)
        + "".join(keys)
        + (tag.inline(tag_code) if tag_code else "")
        + "".join(tag.source(url) for url in scripts)
        + '</head><body><div id="__next"></div>'
        + (
            _flight(tag, initial)
            if look.markup == "flight"
            else tag.next_data(
                {
                    "props": {"pageProps": {}, "initialData": initial},
                    "page": "/" if path == "/" else "/[handle]",
                    "query": {},
                    "buildId": build.build_id,
                }
            )
        )
        + "</body></html>"
        + "<script a" * unclosed
    )


class _Tags:
    """Writes script elements: plainly, or with all that HTML allows."""

    def __init__(self, build: Build, look: Look) -> None:
        self._has_attributes = look.markup == "attributes"
        self._nonce = f"nonce='{build.build_id[:16]}'"

    def inline(self, code: str) -> str:
        """Return an element that holds *code*."""
        if self._has_attributes:
            return f"<SCRIPT {self._nonce}>{code}</SCRIPT>"
        return f"<script>{code}</script>"

    def source(self, url: str, *, waits: bool = True) -> str:
        """Return an element for the script at *url*, which *waits* until the page was read."""
        url = escape(url)
        if self._has_attributes:
            when = "async " if waits else ""
            return f"<SCRIPT {self._nonce} {when}crossorigin='anonymous' src='{url}'></SCRIPT>"
        return f'<script src="{url}"{" defer" if waits else ""}></script>'

    def next_data(self, data: Mapping[str, object]) -> str:
        """Return the element that holds the page's data."""
        text = orjson.dumps(data).decode()
        if self._has_attributes:
            attributes = f"{self._nonce} crossorigin='anonymous' type='application/json'"
            return f"<SCRIPT {attributes} id='__NEXT_DATA__'>{text}</SCRIPT>"
        return f'<script id="__NEXT_DATA__" type="application/json">{text}</script>'


def _flight(tag: _Tags, initial: Mapping[str, object]) -> str:
    """Return the page's data as React streams it: JSON in a string of a script."""
    root = ["$", "$L6", None, {"initialData": initial}]
    rows = (
        '0:["$","html",null,{"lang":"en"}]\n',
        f"5:{orjson.dumps(root).decode()}\n",
        '6:I[405,["405"],"default"]\n',
    )
    pushes = (f"self.__next_f.push([1,{orjson.dumps(row).decode()}])" for row in rows)
    return "".join(map(tag.inline, ("(self.__next_f=self.__next_f||[]).push([0])", *pushes)))


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
