"""A page's window: what a browser makes of a page and its scripts, for tests of the stand-in."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

import quickjs
import requests

from poe_sim.app import Running

from .browser import AGENT, PRELUDE, chunk_paths


class Reader(HTMLParser):
    """Collects the scripts of a page as a browser does."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.sources: list[str] = []
        self.blocks: list[str] = []
        self.data = ""
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and (source := given.get("src")):
            self.sources.append(source)
        elif tag == "script":
            self._inside = "data" if given.get("id") == "__NEXT_DATA__" else "code"

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data = data
        elif self._inside == "code":
            self.blocks.append(data)


def fetch(url: str, **headers: str) -> str:
    return requests.get(url, headers={"User-Agent": AGENT, **headers}, timeout=60).text


class Window:
    """A page's window, in which its scripts were run one after the other."""

    def __init__(self, sim: Running, cookie: str = "p-b=a") -> None:
        self.html = fetch(f"{sim.url}/", Cookie=cookie)
        self.page = Reader(self.html)
        named = [fetch(source) for source in self.page.sources]
        base = self.page.sources[0].partition("static/")[0]
        more = dict.fromkeys(path for text in named for path in chunk_paths(text))
        self.urls = dict.fromkeys([*self.page.sources, *(base + path for path in more)])
        self.named = "".join(named)
        self.chunks = "".join(fetch(url) for url in self.urls)
        self.failed: list[str] = []
        self._engine = quickjs.Context()
        self._engine.eval(PRELUDE)
        self._engine.add_callable("md5hex", lambda text: hashlib.md5(text.encode()).hexdigest())
        secret = re.search(r'let useFormkeyDecode=[\s\S]*?(window\.\w+="[^"]+")', self.chunks)
        assert secret is not None
        key_code = [text for text in named if "typeof QuickJS" in text]
        for block in (*self.page.blocks, *key_code, secret[1]):
            # As in a browser: a block that fails does not hold up those after it.
            try:
                self._engine.eval(block)
            except quickjs.JSException:
                self.failed.append(block)

    def formkey(self) -> str:
        """The form key, by the name that a script has for its getter."""
        name = re.search(r'let \w+="(\w+)",\w+=null,setClientFormkey', self.chunks)
        assert name is not None
        return str(self._engine.eval(f"window.{name[1]}()"))[:32]

    def tag(self, first: str, formkey: str, body: str) -> str:
        """The tag, by the page's own function; *first* is its first argument, as JavaScript."""
        name = re.search(r"getAPISig=[^;]{0,200}?window\.(\w+)\(", self.chunks)
        assert name is not None
        self._engine.set("given", body)
        return str(self._engine.eval(f'window.{name[1]}({first},"{formkey}",given)'))
