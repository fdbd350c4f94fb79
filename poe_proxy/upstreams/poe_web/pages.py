"""What the home page says: whether we are logged in, the channel, the form key's scripts.

Free of I/O. Web protocol sheet §5 and §7.1.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import unescape
from itertools import islice
from typing import Any, Final
from urllib.parse import urljoin

import orjson

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.errors import UpstreamChanged, UpstreamProtocolError
from poe_proxy.upstreams.bulk import loads, matches, search
from poe_proxy.upstreams.poe_web.functions import extract_functions, unless_there
from poe_proxy.upstreams.poe_web.programs import Program, prelude
from poe_proxy.upstreams.poe_web.site import Site

#: What can be done about a page that nobody here can read.
BEYOND_US: Final = (
    "Most likely the site has changed in a way that only a newer poe-proxy knows: `poe-proxy "
    "report` makes a report for that. Official API keys (POE_API_KEYS) are not concerned."
)

#: Seconds of computing on one page and its scripts; Poe's own takes some hundredths.
SECONDS: Final = 2.0

#: The most scripts of a page that are looked at; addresses of them that are kept; and of those
#: that may hold the secret.
_MAX_SCRIPTS: Final = 2000
_MAX_ADDRESSES: Final = 400
_MAX_APPS: Final = 10
#: The most places of a page at which channel data is looked for, and characters of it.
_MAX_PLACES: Final = 10
_MAX_CHANNEL: Final = 5000
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
                    # Each goes into an address or a header.
                    if all(
                        len(text) <= _MAX_FIELD and text.isascii() and text.isprintable()
                        for text in texts
                    ):
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


#: A script's tags, as pages write them.
_OPENING: Final = ("<script", "<SCRIPT")
_CLOSING: Final = ("</script", "</SCRIPT")
_SPACE: Final = re.compile(r"\s*")
_NAME: Final = re.compile(r"""[^\s<=>"'/]+""")
_EQUALS: Final = re.compile(r"\s*=\s*")
_BARE_VALUE: Final = re.compile(r"""[^\s<>"']+""")


def _scripts(html: str, budget: Budget) -> Iterator[_Script]:
    """Yield the scripts of a page, in their order.

    By hand, because the page has megabytes, and Python's own parser would hold up all other
    replies while it runs. No character is looked at more than a few times, whatever the page.
    """
    openings, closings = _Places(html, _OPENING), _Places(html, _CLOSING)
    position = 0
    for _ in range(_MAX_SCRIPTS):
        while True:
            budget.breathe()
            start = openings.behind(position)
            if start == len(html):
                return
            attributes, position = _opening(html, start + len(_OPENING[0]))
            if attributes is not None:
                break
        end = closings.behind(position)
        yield _Script(attributes, html[position:end])
        position = end


class _Places:
    """Where any of some texts stands in a page. Each is looked for once, from place to place."""

    def __init__(self, html: str, texts: Sequence[str]) -> None:
        self._html = html
        self._next = dict.fromkeys(texts, -1)

    def behind(self, position: int) -> int:
        """Return the first place from *position* on, which never goes back; at the end, none is
        left."""
        for text, place in self._next.items():
            if place < position:
                found = self._html.find(text, position)
                self._next[text] = len(self._html) if found < 0 else found
        return min(self._next.values())


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
    #: The page's own code, in blocks.
    inline: tuple[str, ...] = field(repr=False)
    #: The addresses of the scripts that may hold the form key's secret.
    app_scripts: tuple[str, ...]
    #: The addresses of all scripts, in the order of the page.
    scripts: tuple[str, ...]

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
        sources = [source for one in scripts if (source := one.attributes.get("src"))]
        data = next((one for one in scripts if one.attributes.get("id") == "__NEXT_DATA__"), None)
        next_data = None
        if data is not None:
            try:
                next_data = loads(data.text)
            except ValueError:
                raise UpstreamProtocolError("Poe's home page has a broken __NEXT_DATA__.") from None
        elif not any(_STATIC in source for source in sources):
            raise UpstreamProtocolError(
                "Poe's home page is not as expected: it has no __NEXT_DATA__, and names no "
                f"script under {_STATIC}. {BEYOND_US}"
            )
        budget.breathe()
        apps = [one for one in sources if search(site.patterns.app_script, one, budget)]
        return cls(
            html=html,
            build_id=_build_id(next_data, sources),
            channel=ChannelData.find(next_data, budget) or _channel_in_text(html, budget),
            inline=tuple(one.text for one in scripts if _is_code(one)),
            app_scripts=_addresses(url, apps)[:_MAX_APPS],
            scripts=_addresses(url, sources),
        )


#: Where the scripts of a page of Next.js are; and a part of the path that is a build's own.
_STATIC: Final = "/_next/static/"
_BUILD: Final = re.compile(r"/_next/static/(?!(?:chunks|css|media)/)([\w-]{1,100})/")


def _build_id(next_data: Any, sources: list[str]) -> str:
    given = next_data.get("buildId") if isinstance(next_data, dict) else None
    if isinstance(given, str) and given:
        return given
    named = (_BUILD.search(one) for one in sources)
    return next((found[1] for found in named if found), "")


def _addresses(url: str, sources: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of the first *sources*, each once."""
    found: dict[str, None] = {}
    for source in sources:
        with suppress(ValueError):
            found[urljoin(url, source)] = None
        if len(found) == _MAX_ADDRESSES:
            break
    return tuple(found)


#: What stands before channel data outside of __NEXT_DATA__, where it may be a part of a string.
_CHANNEL_MARK: Final = re.compile(r'(\\?)"tchannelData\\?"\s{0,8}:\s{0,8}(?=\{)')
_IN_STRING: Final = re.compile(r'(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+')


def _channel_in_text(html: str, budget: Budget) -> ChannelData | None:
    """Return channel data that is in another place of the page than it used to be."""
    for mark in islice(matches(_CHANNEL_MARK, html, budget), _MAX_PLACES):
        text = html[mark.end() : mark.end() + _MAX_CHANNEL]
        with suppress(ValueError, RecursionError):
            if mark[1] and (inside := _IN_STRING.match(text)):
                text = json.loads(f'"{inside[0]}"', strict=False)
            data, _ = json.JSONDecoder().raw_decode(text)
            if found := ChannelData.find(data, budget):
                return found
    return None


def _is_code(script: _Script) -> bool:
    # Code that touches the page's own tree cannot run here, and has nothing to do with the key.
    return (
        "src" not in script.attributes
        and script.attributes.get("type") != "application/json"
        and "document." not in script.text
        and ("function" in script.text or "=>" in script.text)
    )


#: What a program of `formkey_program` ends with if there is no function that may give the key.
NO_FUNCTION: Final = ""
#: The most characters of a script that is run as a whole.
_MAX_WHOLE: Final = 300_000
#: The most functions that are tried because of what they return, whatever they are called.
_MAX_TRIED: Final = 50

#: The first function that returns a form key: those whose names are known, then any other that
#: the page has put on the window. Joined from characters, because the engine cannot return a
#: string that is held in pieces.
_VALUE: Final = """
(() => {
  const named = %s;
  const others = Object.getOwnPropertyNames(globalThis).filter((name) => {
    if (namesBeforeThePage.has(name)) return false;
    try { return typeof globalThis[name] === "function" && globalThis[name].length === 0; }
    catch { return false; }
  });
  const failures = [];
  let tried = 0;
  for (const name of new Set([...named, ...others.slice(0, %d)])) {
    try {
      if (typeof globalThis[name] !== "function") continue;
      tried += 1;
      const key = Array.from(String(globalThis[name]())).slice(0, 32).join("");
      if (/^[0-9a-f]{32}$/.test(key)) return key;
    } catch (failure) { failures.push(failure); }
  }
  if (failures.length && failures.length >= tried) throw failures[0];
  return tried ? "none of them" : "%s";
})()
"""


def formkey_program(
    page: Page,
    app: Sequence[str],
    site: Site,
    budget: Budget | None = None,
) -> Program:
    """Return the program whose value is the form key: the page's own code, what it expects around
    it, and the call of the getter. Web protocol sheet §5.4.

    The getter is the function whose name stands beside `setClientFormkey` in *app*; else that whose
    name was found before; else that of the shape that the *site* knows; else any that returns what
    looks like a form key. Its code is the page's own and, if that has none of that shape, what
    *app* has: the texts of the scripts that may hold the secret.
    *budget* is as for `Page.read`.

    Raises `UpstreamChanged` naming the step that failed.
    """
    budget = budget or Budget(SECONDS)
    patterns = site.patterns
    with _within(budget, "looking for the form key"):
        after = [one.partition(patterns.secret_after)[2] for one in app]
        secret = _first(patterns.secret, after, budget)
        secret = secret or _first(patterns.secret_anywhere, app, budget)
        if secret is None:
            raise formkey_failure("the secret is not in the _app script (pages.secret)")
        said = _first(patterns.getter_named, app, budget)
        functions: tuple[str, ...] = ()
        shaped = _first(patterns.getter, page.inline, budget)
        if shaped is None:
            functions = tuple(one for text in app for one in code_of(text, budget))
            shaped = _first(patterns.getter, functions, budget)
    names = [said and said[1], site.getter_name, shaped and shaped[1]]
    return Program(
        scripts=(
            prelude(site.headers.get("User-Agent", "")),
            *page.inline,
            *unless_there(functions),
            secret[1],
        ),
        value=_VALUE
        % (orjson.dumps([one for one in names if one]).decode(), _MAX_TRIED, NO_FUNCTION),
    )


def code_of(text: str, budget: Budget) -> tuple[str, ...]:
    """Return what of a script can be run without the rest of the site: all of it, or the functions
    that it puts on the window if it is one of webpack's, which run nothing by themselves."""
    if len(text) <= _MAX_WHOLE and "webpackChunk" not in text:
        return (text,)
    return extract_functions(text, budget)


def _first(pattern: re.Pattern[str], texts: Sequence[str], budget: Budget) -> re.Match[str] | None:
    found = (search(pattern, text, budget) for text in texts)
    return next((one for one in found if one), None)


def formkey_failure(why: str) -> UpstreamChanged:
    """Return the failure to get the form key."""
    return UpstreamChanged(
        f"Poe's form key cannot be computed: {why}. Most likely the site has changed. Until "
        "that is mended, a form key from your browser will do: the header poe-formkey of any "
        "gql_POST request, added to the token (p-b=...; formkey=...)."
    )


def find_revision(
    page: Page, app: Sequence[str], site: Site, budget: Budget | None = None
) -> str | None:
    """Return the revision of the site, §5.5; None if it is nowhere to be found.

    *budget* is as for `Page.read`. Raises `UpstreamProtocolError`.
    """
    if site.revision is not None:
        return site.revision
    budget = budget or Budget(SECONDS)
    with _within(budget, "looking for its revision"):
        for pattern in site.patterns.revision:
            found = _first(pattern, (*app, page.html), budget)
            if found:
                return found[1]
    return None
