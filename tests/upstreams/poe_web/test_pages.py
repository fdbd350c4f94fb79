"""The home page, read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from poe_proxy.budget import Budget
from poe_proxy.errors import UpstreamChanged, UpstreamProtocolError
from poe_proxy.upstreams.poe_web import pages
from poe_proxy.upstreams.poe_web.formkey import evaluate
from poe_proxy.upstreams.poe_web.pages import (
    ChannelData,
    Page,
    find_revision,
    formkey_program,
)
from poe_proxy.upstreams.poe_web.site import Site

from .fixtures import APP, CHANNEL, DECODER, GETTER, REVISION, SECRET, page

SITE = Site.load()
DATA = ChannelData(
    name="poe-chan42-8888-abcdefghijklmnopqrst",
    hash="12345678901234567890",
    box="chan42-8888",
    base_host="poe.com",
    min_seq=4812345678,
)


def read(html: str) -> Page:
    return Page.read(html, "https://poe.com/", SITE)


def test_the_page_tells_build_channel_and_scripts() -> None:
    """Everything that a login needs stands in the page."""
    found = read(page())

    assert "bUiLdBuIlD" == found.build_id
    assert DATA == found.channel
    assert (
        "https://psc2.cf2.poecdn.net/assets/_next/static/chunks/pages/_app-2222222222222222.js",
    ) == found.app_scripts
    assert (
        "https://poe.com/_next/static/chunks/webpack-1111111111111111.js",
        *found.app_scripts,
        "https://poe.com/_next/static/bUiLdBuIlD/_buildManifest.js",
    ) == found.scripts
    assert (DECODER, GETTER) == found.inline


@pytest.mark.parametrize(
    "next_data",
    [
        '{"props":{"deep":[{"er":{"anything":' + CHANNEL + "}}]}}",
        '{"a":{"channel":"only"},"b":' + CHANNEL.replace('"4812345678"', "4812345678") + "}",
        "[" * 500 + CHANNEL + "]" * 500,
        '{"bad":' + CHANNEL.replace("4812345678", "no number") + ',"good":' + CHANNEL + "}",
    ],
)
def test_channel_data_is_found_at_any_depth(next_data: str) -> None:
    """An object with the five keys is it, wherever it stands; minSeq is text or number."""
    assert DATA == read(page(next_data=next_data)).channel


def test_channel_data_is_found_outside_of_next_data() -> None:
    """Text `"tchannelData"` anywhere in the page will do."""
    more = f'<script>self.push({{"tchannelData": {CHANNEL}, "x": 1}})</script>'

    assert DATA == read(page(next_data="{}", more=more)).channel


#: A page of Next.js that has no __NEXT_DATA__.
BARE = re.sub(r'<script id="__NEXT_DATA__".*?</script>', "", page())


@pytest.mark.parametrize(
    "more",
    [
        f'<script>self.push({{"tchannelData":{CHANNEL}}})</script>',
        f"<script>self.push([1,{json.dumps(json.dumps({'tchannelData': json.loads(CHANNEL)}))}])"
        "</script>",
        '<script>self.push([1,"a:{\\"tchannelData\\":{\\"minSeq\\":1'
        f'{json.dumps(CHANNEL)[1:-1].partition("8")[2][:20]}"])</script>'
        f'<script>f({{"tchannelData":null,"x":{{"tchannelData": {CHANNEL}}}}})</script>',
    ],
    ids=["plain", "in a string", "behind others that are none"],
)
def test_a_page_may_have_no_next_data(more: str) -> None:
    """It is still Poe's if its scripts are of Next.js: they name the build."""
    found = read(BARE.replace("</body>", f"{more}</body>"))

    assert "bUiLdBuIlD" == found.build_id
    assert DATA == found.channel
    assert (DECODER, GETTER) == found.inline[:2]


def test_a_page_without_scripts_of_next_js_is_none_of_poe_s() -> None:
    """Whatever else it has."""
    with pytest.raises(UpstreamProtocolError, match="no __NEXT_DATA__"):
        read(BARE.replace("/_next/", "/other/"))


@pytest.mark.parametrize("mark", ['"tchannelData":{', '\\"tchannelData\\":{\\"a\\":'])
def test_channel_data_is_looked_for_in_a_few_places(mark: str) -> None:
    """A page may name it without end."""
    assert read(page(next_data="{}", more=mark * 20_000)).channel is None


def test_of_many_scripts_some_hundred_are_kept() -> None:
    """In their order, and each once."""
    more = "".join(f'<script src="/{n}.js"></script>' * 2 for n in range(900))
    found = read(page(more=more)).scripts

    assert 400 == len(found)
    assert 400 == len(set(found))
    assert "https://poe.com/0.js" == found[3]


@pytest.mark.parametrize(
    "next_data", ["{}", '{"tchannelData":null}', '{"tchannelData":{"minSeq":"1"}}', "[]", "5"]
)
def test_a_page_may_lack_a_channel(next_data: str) -> None:
    """Without channel data the page is still a page."""
    assert read(page(next_data=next_data)).channel is None


def test_the_build_is_found_in_a_script_s_address() -> None:
    """Without buildId the manifest's address tells it."""
    assert "bUiLdBuIlD" == read(page(next_data="{}")).build_id


@pytest.mark.parametrize(
    ("html", "why"),
    [
        ("<html><title>Just a moment...</title></html>", "no __NEXT_DATA__"),
        ("", "no __NEXT_DATA__"),
        (page(next_data="{broken"), "broken __NEXT_DATA__"),
    ],
)
def test_what_is_no_page_is_told(html: str, why: str) -> None:
    """A page of another kind is refused before anything is looked for in it."""
    with pytest.raises(UpstreamProtocolError, match=why):
        read(html)


@pytest.mark.parametrize(
    "script",
    [
        "<script>function a(){document.title}</script>",
        "<script>var plain=1</script>",
        '<script type="application/json">{"function":1}</script>',
        '<script src="x.js">function no(){}</script>',
        '<script async src=x.js data-a="<b>">function no(){}</script>',
    ],
)
def test_only_code_that_can_run_is_taken(script: str) -> None:
    """What touches the page's tree, has no function, or is no code of the page is left out."""
    assert read(page()).inline == read(page(more=script)).inline


@pytest.mark.parametrize(
    "script",
    [
        "<script>function yes(){}</script>",
        '<script nonce="a>b">function yes(){}</script>',
        "<script\n  type='text/javascript'\n>function yes(){}</script>",
        "<script data-x=1 >function yes(){}</script >",
        "<script>function yes(){}",
        "<SCRIPT NONCE='a' SRC2=''>function yes(){}</SCRIPT>",
        "<script></script><SCRIPT>function yes(){}</SCRIPT><script></script><!-- <SCRIPT",
    ],
)
def test_code_is_found_in_any_tag(script: str) -> None:
    """Attributes of any kind do not hide a script."""
    html = page().replace("</body></html>", script)

    assert "function yes(){}" == read(html).inline[-1]


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("/_next/_app-1.js", "https://poe.com/_next/_app-1.js"),
        ("//cdn.test/_app-1.js", "https://cdn.test/_app-1.js"),
        ("https://cdn.test/_app.js?a=1&amp;b=2", "https://cdn.test/_app.js?a=1&b=2"),
    ],
)
def test_a_script_s_address_may_be_relative(source: str, address: str) -> None:
    """Addresses are joined to that of the page."""
    html = page().replace("</head>", f'<script src="{source}"></script></head>')

    assert address == read(html).app_scripts[-1]


def test_channel_data_does_not_show_itself() -> None:
    """The hash opens the websocket: it is in no repr."""
    assert DATA.hash not in repr(read(page()))
    assert DATA.name not in repr(DATA)


def test_the_program_has_prelude_page_secret_and_call() -> None:
    """The prelude comes first and the call last; the secret is the one behind the mark."""
    program = formkey_program(read(page()), [APP], SITE)

    assert "var window" in program.scripts[0]
    assert (DECODER, GETTER, SECRET) == program.scripts[1:]
    assert ".slice(0" in program.value


def test_without_the_mark_any_secret_of_the_shape_will_do() -> None:
    """A renamed mark is survived: an underscore and word characters, 8 to 16 in all."""
    program = formkey_program(read(page()), ['x;window.short="no";window._abcdefg="yes";'], SITE)

    assert 'window._abcdefg="yes"' == program.scripts[-1]


@pytest.mark.parametrize(
    ("html", "app", "step"),
    [
        (page(), "", r"pages\.secret"),
        (page(), "let useFormkeyDecode=()=>{};", r"pages\.secret"),
        (page(scripts=f"<script>{DECODER}</script>"), APP, r"pages\.getter"),
        (page(scripts=""), APP, r"pages\.getter"),
    ],
)
def test_the_step_that_fails_is_named(html: str, app: str, step: str) -> None:
    """The failure says which pattern found nothing, and what the operator can do."""
    with pytest.raises(UpstreamChanged, match=step) as failure:
        evaluate(formkey_program(read(html), [app], SITE), 5)

    assert "formkey=" in str(failure.value)


@pytest.mark.parametrize(
    ("html", "app", "revision"),
    [
        (page(), APP, REVISION),
        (page(more=f'<link href="/translations/{REVISION}/en.json">'), "", REVISION),
        (page(more=f"https://psc2.cf2.poecdn.net/{REVISION}/_next/static/x.js"), "", REVISION),
        (page(), "", None),
    ],
)
def test_the_revision_is_found_where_it_may_stand(
    html: str, app: str, revision: str | None
) -> None:
    """Script, translations, or the address of an asset; or it is nowhere."""
    assert revision == find_revision(read(html), [app], SITE)


# ---- a page without end


class Looks:
    """How many characters of a page are looked at, those several times that are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("_SPACE", "_NAME", "_EQUALS", "_BARE_VALUE"):
            monkeypatch.setattr(pages, name, _Pattern(getattr(pages, name), self))

    def at(self, html: str) -> int:
        """The looks that it takes to read *html*."""
        self.count = 0
        with pytest.raises(UpstreamProtocolError):
            read(_Html(html, self))
        return self.count


class _Pattern:
    def __init__(self, pattern: re.Pattern[str], looks: Looks) -> None:
        self._pattern = pattern
        self._looks = looks

    def match(self, text: str, start: int, end: int) -> re.Match[str] | None:
        found = self._pattern.match(str(text), start, end)
        self._looks.count += 1 + (found.end() - start if found else 0)
        return found


class _Html(str):
    looks: Looks

    def __new__(cls, text: str, looks: Looks) -> Any:
        made = super().__new__(cls, text)
        made.looks = looks
        return made

    def find(self, what: str, start: int = 0, end: int | None = None) -> int:
        end = len(self) if end is None else end
        found = str.find(self, what, start, end)
        self.looks.count += 1 + (end if found < 0 else found) - start
        return found


@pytest.mark.parametrize(
    "piece",
    ["<script a", "<script ", '<script a="', "<script a='x\" b=", "<script a=b ", "<script",
     "<script a=\"'\" b='", "<script>", "<script a  =", "<script / ",
     "<SCRIPT></SCRIPT><script></script>", "<SCRIPT></script>"],
)  # fmt: skip
def test_a_page_costs_what_it_is_long(monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
    """Tags without an end are not looked through again from each of their beginnings."""
    looks = Looks(monkeypatch)
    once, twice, four_times = (looks.at(piece * n) for n in (3000, 6000, 12000))

    assert twice < 2.2 * once
    assert four_times < 2.2 * twice


@pytest.mark.parametrize(
    "tag",
    [
        "<script " + " ".join(f"a{n}" for n in range(200)) + ">",
        f'<script a="{"x" * 20_000}">',
        '<script a="',
        "<script src=&#" + "9" * 5000 + ";>",
    ],
    ids=["many attributes", "a long one", "an open quote", "a large number"],
)
def test_an_odd_tag_hides_nothing_behind_it(tag: str) -> None:
    """It is none of Poe's, and the page goes on."""
    html = page().replace("<head>", f"<head>{tag}</script>{' ' * 20_000}")

    assert "bUiLdBuIlD" == read(html).build_id


@pytest.mark.parametrize(
    "field",
    [
        {"channel": ["x"]},
        {"channel": "x\r\nCookie: y"},
        {"channel": "\ud800"},
        {"boxName": 5},
        {"baseHost": "pöe.com"},
        {"minSeq": "9" * 5000},
        {"channelHash": "x" * 5000},
    ],
)
def test_channel_data_is_made_of_short_texts(field: dict[str, Any]) -> None:
    """Anything else is not what the websocket's address, or a header, is made of."""
    whole = {"minSeq": "1", "channel": "c", "channelHash": "h", "boxName": "b", "baseHost": "p"}

    assert ChannelData.find(whole, Budget()) is not None
    assert ChannelData.find({**whole, **field}, Budget()) is None


def test_a_page_that_takes_too_long_is_none_of_poe_s() -> None:
    """A login does not compute for ever, whatever a page is made of."""
    with pytest.raises(UpstreamProtocolError, match="too long"):
        Page.read(page(), "https://poe.com/", SITE, Budget(0.0))
    with pytest.raises(UpstreamProtocolError, match="too long"):
        formkey_program(read(page()), [APP], SITE, Budget(0.0))
    with pytest.raises(UpstreamProtocolError, match="too long"):
        find_revision(read(page()), [APP], SITE, Budget(0.0))


def test_a_script_may_have_no_address_at_all() -> None:
    """One that is none is left out."""
    html = page().replace("</head>", '<script src="//[_app"></script></head>')

    assert 1 == len(read(html).app_scripts)
