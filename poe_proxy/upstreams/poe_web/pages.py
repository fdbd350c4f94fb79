"""What the home page says: whether we are logged in, the channel, the form key's scripts.

Free of I/O. Web protocol sheet §5 and §7.1.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final
from urllib.parse import urljoin

import orjson

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.upstreams.bulk import loads, search
from poe_proxy.upstreams.poe_web.site import Site

#: Seconds of computing on one page and its scripts; Poe's own takes some hundredths.
SECONDS: Final = 2.0

#: The most scripts of a page that are looked at, and addresses of scripts that are kept.
_MAX_SCRIPTS: Final = 2000
_MAX_ADDRESSES: Final = 10
#: The most characters of an opening tag and of a value in it, and attributes in it.
_MAX_TAG: Final = 16_384
_MAX_VALUE: Final = 2000
_MAX_ATTRIBUTES: Final = 100

_CHANNEL_KEYS: Final = ("channel", "channelHash", "boxName", "baseHost", "minSeq")
#: The most characters of one of them: each becomes a part of an address.
_MAX_FIELD: Final = 1000


@dataclass(frozen=True, slots=True)
class ChannelData:
    """Where the websocket is, §7.1. The hash opens it, so it is a secret."""

    name: str = field(repr=False)
    hash: str = field(repr=False)
    box: str
    base_host: str
    min_seq: int

    @classmethod
    def find(cls, data: Any, budget: Budget) -> ChannelData | None:
        """Return the first channel data at any depth of *data*. Raises `OutOfBudget`."""
        for found in _objects(data, budget):
            match [found.get(key) for key in _CHANNEL_KEYS]:
                case [str(name), str(hash), str(box), str(host), str() | int() as seq]:
                    texts = (name, hash, box, host, str(seq))
                    if all(len(text) <= _MAX_FIELD for text in texts):
                        with suppress(ValueError):
                            return cls(name, hash, box, host, int(seq))
        return None


def _objects(data: Any, budget: Budget) -> Iterator[dict[str, Any]]:
    """Yield all objects in *data*, outer before inner. Without recursion: pages nest deeply."""
    waiting = deque([data])
    while waiting:
        one = waiting.popleft()
        if isinstance(one, dict):
            yield one
            waiting.extend(each for each in one.values() if isinstance(each, dict | list))
        elif isinstance(one, list):
            waiting.extend(each for each in one if isinstance(each, dict | list))
        budget.breathe()


@dataclass(frozen=True, slots=True)
class _Script:
    attributes: Mapping[str, str]
    text: str = field(repr=False)


_BEGINNING: Final = "<script"
_SPACE: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"""[^\s<=>"'/]+""")
_EQUALS: Final = re.compile(r"\s*=\s*")
_BARE_VALUE: Final = re.compile(r"""[^\s<>"']+""")


def _scripts(html: str, budget: Budget) -> Iterator[_Script]:
    """Yield the scripts of a page, in their order.

    By hand, because the page has megabytes, and Python's own parser would hold up all other
    replies while it runs. No character is looked at more than a few times, whatever the page.
    """
    position = 0
    for _ in range(_MAX_SCRIPTS):
        while True:
            budget.breathe()
            start = html.find(_BEGINNING, position)
            if start < 0:
                return
            attributes, position = _opening(html, start + len(_BEGINNING))
            if attributes is not None:
                break
        end = html.find("</script", position)
        end = len(html) if end < 0 else end
        yield _Script(attributes, html[position:end])
        position = end


def _opening(html: str, start: int) -> tuple[dict[str, str] | None, int]:
    """Return the attributes of the tag whose name ends at *start*, and the end of the tag.

    None if it is not a script's tag after all, or has no end; then the place is where to go on.
    It is behind everything that was read here, except within quotes that are not closed.
    """
    attributes: dict[str, str] = {}
    place = start
    until = min(len(html), start + _MAX_TAG)
    while place < until and len(attributes) <= _MAX_ATTRIBUTES:
        after_space = _end_of(_SPACE, html, place, until)
        if html.startswith("/", after_space):
            after_space = _end_of(_SPACE, html, after_space + 1, until)
        if html.startswith(">", after_space):
            return attributes, after_space + 1
        end = _end_of(_NAME, html, after_space, until)
        if end == after_space or after_space == place:
            # No attribute, or no space before it.
            return None, after_space
        name = html[after_space:end].lower()
        value, place = "", end
        if equals := _EQUALS.match(html, end, until):
            begin = equals.end()
            if (quote := html[begin : begin + 1]) in ('"', "'"):
                closing = html.find(quote, begin + 1, until)
                if closing < 0:
                    return None, begin + 1
                value, place = html[begin + 1 : closing], closing + 1
            else:
                place = _end_of(_BARE_VALUE, html, begin, until)
                value = html[begin:place]
        if len(value) <= _MAX_VALUE:
            attributes[name] = unescape(value)
    return None, place


def _end_of(pattern: re.Pattern[str], text: str, start: int, until: int) -> int:
    found = pattern.match(text, start, until)
    return start if found is None else found.end()


@contextmanager
def _within(budget: Budget, what: str) -> Iterator[None]:
    try:
        with budget.work(what):
            yield
    except OutOfBudget:
        raise UpstreamProtocolError(
            f"Poe's page is not as expected: {what} takes too long."
        ) from None


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
    def read(cls, html: str, url: str, site: Site, budget: Budget | None = None) -> Page:
        """Read the page that came from *url*; *budget* is what may be computed on it.

        Raises `UpstreamProtocolError` if it is not Poe's.
        """
        budget = budget or Budget(SECONDS)
        with _within(budget, "reading it"):
            return cls._read(html, url, site, budget)

    @classmethod
    def _read(cls, html: str, url: str, site: Site, budget: Budget) -> Page:
        scripts = list(_scripts(html, budget))
        data = next((one for one in scripts if one.attributes.get("id") == "__NEXT_DATA__"), None)
        if data is None:
            raise UpstreamProtocolError(
                "Poe's home page is not as expected: it has no __NEXT_DATA__."
            )
        try:
            next_data = loads(data.text)
        except ValueError:
            raise UpstreamProtocolError("Poe's home page has a broken __NEXT_DATA__.") from None
        budget.breathe()
        sources = [source for one in scripts if (source := one.attributes.get("src"))]
        return cls(
            html=html,
            build_id=_build_id(next_data, sources),
            channel=ChannelData.find(next_data, budget) or _channel_in_text(html, budget),
            inline="".join(f"{one.text};\n" for one in scripts if _is_code(one)),
            app_scripts=_addresses(url, sources, site, budget),
        )


def _build_id(next_data: Any, sources: list[str]) -> str:
    given = next_data.get("buildId") if isinstance(next_data, dict) else None
    if isinstance(given, str) and given:
        return given
    manifests = (re.search(r"/_next/static/([\w-]+)/_buildManifest", one) for one in sources)
    return next((found[1] for found in manifests if found), "")


def _addresses(url: str, sources: list[str], site: Site, budget: Budget) -> tuple[str, ...]:
    """Return the addresses of the first scripts that may hold the form key's secret."""
    found: list[str] = []
    for source in sources:
        if search(site.patterns.app_script, source, budget):
            with suppress(ValueError):
                found.append(urljoin(url, source))
            if len(found) == _MAX_ADDRESSES:
                break
    return tuple(found)


def _channel_in_text(html: str, budget: Budget) -> ChannelData | None:
    """Return channel data that is in another place of the page than it used to be."""
    mark = '"tchannelData"'
    after = html.find(mark)
    start = html.find("{", after + len(mark), after + len(mark) + 20) if after >= 0 else -1
    if start >= 0:
        with suppress(ValueError, RecursionError):
            found, _ = json.JSONDecoder().raw_decode(html[start : start + 5000])
            return ChannelData.find(found, budget)
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


def formkey_program(page: Page, app: str, site: Site, budget: Budget | None = None) -> str:
    """Return the program whose value is the form key: the page's own code, and what it
    expects around it; *budget* is as for `Page.read`. Web protocol sheet §5.4.

    Raises `UpstreamProtocolError` naming the step that failed.
    """
    budget = budget or Budget(SECONDS)
    patterns = site.patterns
    with _within(budget, "looking for the form key"):
        after = app.partition(patterns.secret_after)[2]
        secret = search(patterns.secret, after, budget)
        secret = secret or search(patterns.secret_anywhere, app, budget)
        if secret is None:
            raise formkey_failure("the secret is not in the _app script (pages.secret)")
        getter = search(patterns.getter, page.inline, budget)
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


def find_revision(page: Page, app: str, site: Site, budget: Budget | None = None) -> str | None:
    """Return the revision of the site, §5.5; None if it is nowhere to be found.

    *budget* is as for `Page.read`. Raises `UpstreamProtocolError`.
    """
    if site.revision is not None:
        return site.revision
    budget = budget or Budget(SECONDS)
    with _within(budget, "looking for its revision"):
        for pattern in site.patterns.revision:
            found = search(pattern, app, budget) or search(pattern, page.html, budget)
            if found:
                return found[1]
    return None
