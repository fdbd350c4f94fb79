"""What the home page says: whether we are logged in, the channel, the form key's scripts.

Free of I/O. Web protocol sheet §5 and §7.1.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urljoin

import orjson

from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.upstreams.poe_web.site import Site

_CHANNEL_KEYS = frozenset({"minSeq", "channel", "channelHash", "boxName", "baseHost"})


@dataclass(frozen=True, slots=True)
class ChannelData:
    """Where the websocket is, §7.1. The hash opens it, so it is a secret."""

    name: str = field(repr=False)
    hash: str = field(repr=False)
    box: str
    base_host: str
    min_seq: int

    @classmethod
    def find(cls, data: Any) -> ChannelData | None:
        """Return the first channel data at any depth of *data*."""
        for found in _objects(data):
            if found.keys() >= _CHANNEL_KEYS:
                try:
                    return cls(
                        name=str(found["channel"]),
                        hash=str(found["channelHash"]),
                        box=str(found["boxName"]),
                        base_host=str(found["baseHost"]),
                        min_seq=int(found["minSeq"]),
                    )
                except (TypeError, ValueError):
                    continue
        return None


def _objects(data: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects in *data*, outer before inner. Without recursion: pages nest deeply."""
    waiting = deque([data])
    while waiting:
        one = waiting.popleft()
        if isinstance(one, dict):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


@dataclass(frozen=True, slots=True)
class _Script:
    attributes: Mapping[str, str]
    text: str = field(repr=False)


_ATTRIBUTE = r"""\s+[^\s=>"'/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>"']+))?"""
_OPENING = re.compile(rf"<script((?:{_ATTRIBUTE})*)\s*/?>")
_ONE_ATTRIBUTE = re.compile(r"""([^\s=>"'/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?""")


def _scripts(html: str) -> Iterator[_Script]:
    """Yield the scripts of a page, in their order.

    By hand, because the page has megabytes, and Python's own parser would hold up all other
    replies while it runs.
    """
    position = 0
    while opening := _OPENING.search(html, position):
        end = html.find("</script", opening.end())
        position = len(html) if end < 0 else end
        yield _Script(
            {
                name.lower(): unescape(double or single or bare)
                for name, double, single, bare in _ONE_ATTRIBUTE.findall(opening[1])
            },
            html[opening.end() : position],
        )


@dataclass(frozen=True, slots=True)
class Page:
    """What the home page says."""

    html: str = field(repr=False)
    build_id: str
    channel: ChannelData | None
    #: The page's own code, each block ended by a semicolon.
    inline: str = field(repr=False)
    #: The addresses of the scripts that may hold the form key's secret.
    app_scripts: tuple[str, ...]

    @classmethod
    def read(cls, html: str, url: str, site: Site) -> Page:
        """Read the page that came from *url*.

        Raises `UpstreamProtocolError` if it is not Poe's.
        """
        scripts = list(_scripts(html))
        data = next((one for one in scripts if one.attributes.get("id") == "__NEXT_DATA__"), None)
        if data is None:
            raise UpstreamProtocolError(
                "Poe's home page is not as expected: it has no __NEXT_DATA__."
            )
        try:
            next_data = orjson.loads(data.text)
        except orjson.JSONDecodeError:
            raise UpstreamProtocolError("Poe's home page has a broken __NEXT_DATA__.") from None
        sources = [one.attributes.get("src") or "" for one in scripts]
        build = re.search(r"/_next/static/([\w-]+)/_buildManifest", " ".join(sources))
        given = next_data.get("buildId") if isinstance(next_data, dict) else None
        return cls(
            html=html,
            build_id=str(given or (build[1] if build else "")),
            channel=ChannelData.find(next_data) or _channel_in_text(html),
            inline="".join(f"{one.text};\n" for one in scripts if _is_code(one)),
            app_scripts=tuple(
                urljoin(url, source)
                for source in sources
                if site.patterns.app_script.search(source)
            ),
        )


def _channel_in_text(html: str) -> ChannelData | None:
    """Return channel data that is in another place of the page than it used to be."""
    _, _, after = html.partition('"tchannelData"')
    start = after.find("{")
    if 0 <= start < 20:
        with suppress(json.JSONDecodeError, RecursionError):
            return ChannelData.find(json.JSONDecoder().raw_decode(after[start : start + 5000])[0])
    return None


def _is_code(script: _Script) -> bool:
    # Code that touches the page's own tree cannot run here, and has nothing to do with the key.
    return (
        "src" not in script.attributes
        and script.attributes.get("type") != "application/json"
        and "document." not in script.text
        and "function" in script.text
    )


_PRELUDE = """
var process = undefined, QuickJS = undefined;
var document = {}, navigator = {userAgent: %s};
var window = {document: document, navigator: navigator};
window.window = window;
var self = window;
"""


def formkey_program(page: Page, app: str, site: Site) -> str:
    """Return the program whose value is the form key: the page's own code, and what it
    expects around it. Web protocol sheet §5.4.

    Raises `UpstreamProtocolError` naming the step that failed.
    """
    patterns = site.patterns
    after = app.partition(patterns.secret_after)[2]
    secret = patterns.secret.search(after) or patterns.secret_anywhere.search(app)
    if secret is None:
        raise formkey_failure("the secret is not in the _app script (pages.secret)")
    getter = patterns.getter.search(page.inline)
    if getter is None:
        raise formkey_failure("the function is not in the home page (pages.getter)")
    agent = orjson.dumps(site.headers.get("User-Agent", "")).decode()
    # Joined from characters, because the engine cannot return a string that is held in pieces.
    value = f'Array.from(String(window.{getter[1]}())).slice(0, 32).join("")'
    return f"{_PRELUDE % agent}{page.inline}\n{secret[1]};\n{value}"


def formkey_failure(why: str) -> UpstreamProtocolError:
    """Return the failure to get the form key, with what the operator can do about it."""
    return UpstreamProtocolError(
        f"Poe's form key cannot be computed: {why}. Poe may have changed its page: take the "
        "header poe-formkey of any gql_POST request from your browser and add it to the token "
        "(p-b=...; formkey=...), or mend the patterns in a POE_SITE file."
    )


def find_revision(page: Page, app: str, site: Site) -> str | None:
    """Return the revision of the site, §5.5; None if it is nowhere to be found."""
    if site.revision is not None:
        return site.revision
    for pattern in site.patterns.revision:
        if found := pattern.search(app) or pattern.search(page.html):
            return found[1]
    return None
