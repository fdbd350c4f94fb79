"""A look at the page and its scripts: what it finds, in which order, and where it ends."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from poe_proxy.errors import UpstreamProtocolError, UpstreamUnreachable
from poe_proxy.upstreams.poe_web.discovery import looking
from poe_proxy.upstreams.poe_web.discovery.artefacts import subscription_operation
from poe_proxy.upstreams.poe_web.discovery.findings import Findings
from poe_proxy.upstreams.poe_web.discovery.looking import (
    MAX_BYTES,
    MAX_GETTERS,
    MAX_NOTE,
    MAX_NOTES,
    MAX_SCRIPT,
    MAX_SCRIPTS,
    SECONDS,
    Look,
    look,
)
from poe_proxy.upstreams.poe_web.site import Evidence, Site
from poe_proxy.upstreams.poe_web.transport import TooLong

from ....fakes import Clock
from ..fixtures import APP, DECODER, GETTER, KEY, REVISION, SECRET, SEED, page
from .fakes import (
    APP_SCRIPT,
    CDN,
    COOKIE,
    MANIFEST,
    RUNTIME,
    SIGNER,
    SIGNS,
    SITE,
    Poe,
    artefact,
    artefacts,
    html,
    signer,
)

SEND = "sendMessageMutation"
SETTINGS = "settingsPageQuery"
NEW = "f" * 64
CHUNK = f"{CDN}static/chunks/"
#: Scripts that name others.
NAMES = 'self.__BUILD_MANIFEST={"/":["static/chunks/pages/home-1.js","static/chunks/two.js"]}'
MAPS = '"static/chunks/"+e+"."+({12:"aaa",34:"bbb"})[e]+".js"'
HOME = "https://poe.com/_next/static/chunks/pages/home-1.js"
TWO = "https://poe.com/_next/static/chunks/two.js"
TWELVE = "https://poe.com/_next/static/chunks/12.aaa.js"
THIRTY = "https://poe.com/_next/static/chunks/34.bbb.js"


@pytest.fixture
def poe() -> Poe:
    return Poe()


def differing(seen: Look, site: Site = SITE) -> dict[str, str]:
    return {one.name: one.after for one in seen.findings.differences(site)}


def without(poe: Poe, *names: str) -> None:
    """Leave these operations out of the page's own scripts."""
    poe.scripts[APP_SCRIPT] = APP + SIGNS + artefacts(SITE, *names)
    poe.scripts[RUNTIME] = MAPS
    poe.scripts[MANIFEST] = NAMES


# ---- which scripts are read


def test_a_page_that_has_not_changed(poe: Poe) -> None:
    """All is found, nothing differs, and only the page's own scripts are read."""
    seen = look(poe, SITE)

    assert ({}, (), ()) == (differing(seen), seen.findings.missing, seen.findings.notes)
    assert [RUNTIME, APP_SCRIPT] == poe.read
    assert (2, len(";" + APP + SIGNS + artefacts())) == (seen.scripts, seen.size)
    assert {f"operations.{name}" for name in SITE.operations} < set(seen.findings.found)
    assert {f"subscriptions.{name}" for name in SITE.subscriptions} < set(seen.findings.found)
    assert [APP + SIGNS + artefacts()] == list(seen.app)


def test_page_then_manifest_then_runtime(poe: Poe) -> None:
    """As long as anything is missing; each once, and from where the manifest is."""
    without(poe, SEND)
    seen = look(poe, SITE)

    assert [RUNTIME, APP_SCRIPT, MANIFEST, HOME, TWO, TWELVE, THIRTY] == poe.read
    assert (f"operations.{SEND}",) == seen.findings.missing


@pytest.mark.parametrize(
    ("place", "where"), [(HOME, "manifest"), (TWO, "manifest"), (TWELVE, "runtime")]
)
def test_it_stops_as_soon_as_nothing_is_missing(poe: Poe, place: str, where: str) -> None:
    """There are dozens of scripts."""
    without(poe, SEND)
    poe.scripts[place] = artefact(SEND, NEW)
    seen = look(poe, SITE)

    assert place == poe.read[-1]
    assert (where, "scripts") == tuple(
        seen.where[f"operations.{name}"] for name in (SEND, SETTINGS)
    )
    assert {f"operations.{SEND}": NEW} == differing(seen)
    assert () == seen.findings.missing


def test_the_tags_function_is_looked_for_as_well(poe: Poe) -> None:
    """Its name may be in a script that another one names."""
    poe.scripts |= {APP_SCRIPT: APP + artefacts(), MANIFEST: NAMES, TWO: SIGNS}
    seen = look(poe, SITE)

    assert TWO == poe.read[-1]
    assert SITE.tag.salt == seen.findings.found["tag.salt"]


def test_a_script_is_fetched_once_whoever_names_it(poe: Poe) -> None:
    """Page, manifest and runtime may name the same one."""
    without(poe, SEND)
    poe.html = html(HOME, HOME)
    poe.scripts[MANIFEST] = NAMES + NAMES.replace("two", "12.aaa")
    look(poe, SITE)

    assert TWELVE in poe.read
    assert len(set(poe.read)) == len(poe.read)


def test_code_of_the_page_itself_is_read_first(poe: Poe) -> None:
    """An artefact may be in there."""
    poe.html = html(inline=f"function x(){{}};y={{{artefact(SEND, NEW)}}}")

    assert {f"operations.{SEND}": NEW} == differing(look(poe, SITE))


def test_each_kind_of_hash_is_found(poe: Poe) -> None:
    """Also those of subscriptions, by the names of their operations."""
    added = subscription_operation("messageAdded")
    without(poe, SETTINGS, added)
    poe.scripts[TWO] = artefact(SETTINGS, "a" * 64) + artefact(added, "b" * 64)

    expected = {f"operations.{SETTINGS}": "a" * 64, "subscriptions.messageAdded": "b" * 64}
    assert expected == differing(look(poe, SITE))


def test_scripts_of_places_that_nobody_else_can_see_are_not_fetched(poe: Poe) -> None:
    """A page could have us look around in our own net."""
    poe.html = html("http://10.0.0.1/x.js", "https://localhost/y.js", "https://a:b@x.test/z.js")
    look(poe, SITE)

    assert [RUNTIME, APP_SCRIPT] == poe.read


def test_what_was_taken_out_is_looked_for_again(poe: Poe) -> None:
    """Poe may have it once more; nobody misses it if not. What a user has taken out stays out."""
    left = {name: hash for name, hash in SITE.subscriptions.items() if name != "jobStarted"}
    by_us = {**SITE.evidence, "subscriptions.jobStarted": Evidence("2026-11-29", "page")}
    site = replace(SITE, subscriptions=left, evidence=by_us)
    assert {"subscriptions.jobStarted": SITE.subscriptions["jobStarted"]} == differing(
        look(poe, site), site
    )

    without(poe, subscription_operation("jobStarted"))
    poe.read.clear()
    assert () == look(poe, site).findings.missing
    assert [RUNTIME, APP_SCRIPT] == poe.read
    by_user = {**SITE.evidence, "subscriptions.jobStarted": Evidence("", "", is_own=True)}
    poe = Poe()
    site = replace(site, evidence=by_user)
    assert {} == differing(look(poe, site), site)


# ---- what goes wrong


def test_a_script_that_fails_is_a_note_and_not_the_end(poe: Poe) -> None:
    """And one that is not there; each is said once."""
    without(poe, SEND)
    poe.scripts[RUNTIME] = UpstreamUnreachable("Poe cannot be reached (x).")
    poe.scripts[HOME] = UpstreamUnreachable("Poe cannot be reached (x).")
    seen = look(poe, SITE)

    assert [RUNTIME, APP_SCRIPT, MANIFEST, HOME, TWO] == poe.read
    assert (
        "A script could not be read: Poe cannot be reached (x).",
        "A script is empty, or not there.",
    ) == seen.findings.notes
    assert (f"operations.{SEND}",) == seen.findings.missing


def test_a_page_of_which_nothing_can_be_found(poe: Poe) -> None:
    """Each of the reasons is said, and all that is wanted is missing."""
    poe.html = page(scripts="")
    poe.scripts.clear()
    seen = look(poe, SITE)

    assert {} == seen.findings.found
    assert len(SITE.operations) + len(SITE.subscriptions) == len(seen.findings.missing)
    assert [
        True,
        "A script is empty, or not there." in seen.findings.notes,
        any("the secret is not in the _app script" in one for one in seen.findings.notes),
        any("names the function that makes the tag" in one for one in seen.findings.notes),
    ] == [True] * 4


def test_a_page_that_is_not_poes_is_a_failure(poe: Poe) -> None:
    """There is nothing to look at."""
    poe.html = "<html>Hello!</html>"
    with pytest.raises(UpstreamProtocolError):
        look(poe, SITE)


# ---- bounds


def named(number: int) -> list[str]:
    return [f"{CHUNK}{place}.js" for place in range(number)]


def test_no_more_scripts_are_read(poe: Poe) -> None:
    """However many the manifest names; the note says how far it came."""
    without(poe, SEND)
    many = ",".join(f'"static/chunks/{place}.js"' for place in range(MAX_SCRIPTS * 2))
    poe.scripts[MANIFEST] = f"self.__BUILD_MANIFEST={{'/':[{many}]}}"
    seen = look(poe, SITE)

    assert MAX_SCRIPTS == len(poe.read) == seen.scripts
    assert any(
        one.startswith(f"Only the first {MAX_SCRIPTS} scripts") for one in seen.findings.notes
    )


def test_no_more_bytes_are_read(poe: Poe) -> None:
    """Scripts that do not end count as long as they may be."""
    without(poe, SEND)
    poe.html = html(*named(20))
    for one in named(20):
        poe.scripts[one] = TooLong("Poe's answer is too long.")
    seen = look(poe, SITE)

    assert MAX_BYTES // MAX_SCRIPT == len(set(poe.read) & set(named(20)))
    assert MAX_BYTES >= seen.size
    assert any(one.startswith("Only the first ") for one in seen.findings.notes)


def test_a_host_that_takes_too_long_costs_no_bytes(poe: Poe) -> None:
    """It has sent none."""
    poe.html = html(*named(20))
    for one in named(20):
        poe.scripts[one] = UpstreamUnreachable("Poe cannot be reached (it took too long).")
    seen = look(poe, SITE)

    assert set(named(20)) < set(poe.read)
    assert not [one for one in seen.findings.notes if one.startswith("Only")]


def test_no_script_may_be_longer_or_take_longer_than_is_left(
    poe: Poe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the bytes, and of the time."""
    monkeypatch.setattr(looking, "MAX_BYTES", MAX_SCRIPT + 50)
    poe.scripts |= {RUNTIME: "", APP_SCRIPT: TooLong("Poe's answer is too long.")}
    clock = Clock()
    poe.when_read = lambda: clock.go(SECONDS - 20.0)
    look(poe, SITE, clock=clock)

    assert [(MAX_SCRIPT, 15.0), (MAX_SCRIPT, 15.0)] == poe.bounds[:2]
    poe.bounds.clear()
    poe.scripts[RUNTIME] = TooLong("Poe's answer is too long.")
    poe.when_read = lambda: clock.go(SECONDS - 10.0)
    look(poe, SITE, clock=clock)
    assert [(MAX_SCRIPT, 15.0), (50, 10.0)] == poe.bounds[:2]


def test_scripts_of_many_characters_are_not_kept(poe: Poe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their hashes count; form key and tag are looked for in the others."""
    monkeypatch.setattr(looking, "_KEPT", len(APP) - 1)
    seen = look(poe, SITE)

    assert ((), ()) == (seen.app, seen.findings.missing)
    note = "The form key and the tag were not looked for in all of the scripts."
    assert note in seen.findings.notes


def test_a_few_scripts_are_tried_for_the_getter(poe: Poe) -> None:
    """Of those that look as if they had it."""
    poe.html = html(*named(MAX_GETTERS + 1), getter="")
    for one in named(MAX_GETTERS + 1):
        poe.scripts[one] = GETTER.replace("return ", "return window.no.thing+")
    poe.scripts[named(MAX_GETTERS + 1)[-1]] = GETTER
    seen = look(poe, SITE)

    assert "pages.app_script" not in seen.findings.found
    assert any("form key cannot be computed" in one for one in seen.findings.notes)


def test_it_ends_after_some_time(poe: Poe) -> None:
    """What was read until then counts."""
    without(poe, SEND)
    clock = Clock()
    poe.when_read = lambda: clock.go(SECONDS / 3)
    seen = look(poe, SITE, clock=clock)

    assert [RUNTIME, APP_SCRIPT, MANIFEST] == poe.read
    assert any(one.startswith("Only the first 3 scripts") for one in seen.findings.notes)
    assert f"operations.{SETTINGS}" in seen.findings.found


def test_it_ends_as_soon_as_nobody_wants_it_any_more(poe: Poe) -> None:
    """The server ends meanwhile."""
    without(poe, SEND)
    look(poe, SITE, goes_on=lambda: len(poe.read) < 2)

    assert [RUNTIME, APP_SCRIPT] == poe.read


def test_no_more_is_computed(poe: Poe, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not found then is said, and no fault of ours."""
    monkeypatch.setattr(looking, "COMPUTING", 0.0)
    seen = look(poe, SITE)

    assert {} == seen.findings.found
    assert "Reading the scripts takes too long; the rest was left out." in seen.findings.notes
    assert "Looking for the form key takes too long." in seen.findings.notes


def test_scripts_are_not_tried_for_ever(poe: Poe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them may compute for seconds; those that a login reads are tried in any case."""
    poe.html = html(*named(3), getter="")
    for one in named(3):
        poe.scripts[one] = GETTER if one == named(3)[2] else GETTER.replace("return", "throw ")
    assert ["pages.app_script"] == [*differing(look(poe, SITE))]

    monkeypatch.setattr(looking, "TRYING", 0.0)
    seen = look(poe, SITE)
    assert {} == differing(seen)
    assert any("form key cannot be computed" in one for one in seen.findings.notes)


def test_notes_are_few_and_short(poe: Poe) -> None:
    """A page may have any number of scripts, each with a failure of its own."""
    poe.html = html(*named(50))
    for place, one in enumerate(named(50)):
        poe.scripts[one] = UpstreamUnreachable(f"{place} " + "x" * 10_000)
    seen = look(poe, SITE)

    assert MAX_NOTES == len(seen.findings.notes)
    assert max(len(one) for one in seen.findings.notes) <= MAX_NOTE


# ---- the form key


OTHER = 'window.oThErNaMe12345678=function(){return"' + KEY[::-1] + '"}'
NAMED = 'let a="oThErNaMe12345678",b=null,setClientFormkey=1;'


def test_the_getters_name_is_not_kept_if_a_login_sees_it(poe: Poe) -> None:
    """By its shape, or by the name in the script that it reads."""
    assert "pages.getter_name" not in look(poe, SITE).findings.found

    poe.html = html(inline=OTHER)
    poe.scripts[APP_SCRIPT] = APP + SIGNS + NAMED + artefacts()
    assert "pages.getter_name" not in look(poe, SITE).findings.found


def test_the_name_beside_its_use_counts_where_the_shape_says_something_else(poe: Poe) -> None:
    """§25; it was found in a script that a login does not read."""
    poe.html = html(CHUNK + "1.js", inline=OTHER)
    poe.scripts[CHUNK + "1.js"] = NAMED

    assert {"pages.getter_name": "oThErNaMe12345678"} == differing(look(poe, SITE))


def test_a_name_without_a_function_does_not_count(poe: Poe) -> None:
    """The shape has it then."""
    poe.html = html(CHUNK + "1.js")
    poe.scripts[CHUNK + "1.js"] = NAMED

    assert {} == differing(look(poe, SITE))


@pytest.mark.parametrize("name", ["имя", "ｎａｍｅ"])
def test_a_name_that_no_site_file_may_have_is_none(poe: Poe, name: str) -> None:
    """Nothing else that was found could be written either."""
    poe.html = html(CHUNK + "1.js", inline=OTHER.replace("oThErNaMe12345678", name))
    poe.scripts[CHUNK + "1.js"] = NAMED.replace("oThErNaMe12345678", name)

    assert {} == differing(look(poe, SITE))


def test_a_revision_that_no_site_file_may_have_is_none(poe: Poe) -> None:
    """The pattern may be the owner's."""
    patterns = replace(SITE.patterns, revision=(re.compile('"revision":"([^"]+)"'),))
    site = replace(SITE, patterns=patterns)
    poe.html = html(CHUNK + "1.js")

    poe.scripts[CHUNK + "1.js"] = '{"revision":"of today"}'
    assert {} == differing(look(poe, site), site)
    poe.scripts[CHUNK + "1.js"] = '{"revision":"today"}'
    assert {"pages.revision_seen": "today"} == differing(look(poe, site), site)


def test_a_name_that_was_found_once_stays_as_long_as_it_does(poe: Poe) -> None:
    """Also if nothing names it any more."""
    site = replace(SITE, getter_name="oThErNaMe12345678")
    poe.html = html(inline=OTHER)

    assert {} == differing(look(poe, site), site)


def test_a_name_that_was_found_once_gives_way_to_another(poe: Poe) -> None:
    """The page has a new function, and names it."""
    site = replace(SITE, getter_name="gEtTeRgEtTeR45678")
    poe.html = html(CHUNK + "1.js", inline=OTHER)
    poe.scripts[CHUNK + "1.js"] = NAMED

    assert {"pages.getter_name": "oThErNaMe12345678"} == differing(look(poe, site), site)


# ---- scripts of other names


def renamed(poe: Poe, name: str, *others: str) -> str:
    """Give the script with the secret another name, and the page *others*."""
    address = f"{CDN}static/chunks/{name}"
    poe.html = html(*(f"{CHUNK}{one}" for one in others)).replace(APP_SCRIPT, address)
    poe.scripts[address] = poe.scripts.pop(APP_SCRIPT)
    return address


@pytest.mark.parametrize(
    ("name", "next_one", "others"),
    [
        ("main-0123456789abcdef.js", "main-fedcba9876543210.js", ["main-app-0123456789abcdef.js"]),
        ("pages/start.0123abcd.js", "pages/start.dcba3210.js", ["start.0123abcd.js"]),
        ("app/page-0123456789abcdef.js", "app/page-00112233.js", ["chat/page-0123456789abcdef.js"]),
    ],
)
def test_a_script_is_found_in_the_next_release_too(
    poe: Poe, name: str, next_one: str, others: list[str]
) -> None:
    """Only its digest is another then; scripts of similar names are not it."""
    renamed(poe, name, *others)
    pattern = str(look(poe, SITE).findings.found["pages.app_script"])

    found = re.compile(pattern)
    assert found.search(f"{CDN}static/chunks/{name}")
    assert found.search(f"/_next/static/chunks/{next_one}")
    assert not any(found.search(f"{CHUNK}{one}") for one in others)


@pytest.mark.parametrize(
    "name", ["0123456789abcdef.js", "1234-0123456789abcdef.js", "main.js", "a(1.js"]
)
def test_a_script_whose_name_says_nothing_is_found_by_all_of_it(poe: Poe, name: str) -> None:
    """Until the next release; anything else would be any script."""
    renamed(poe, name)
    found = re.compile(str(look(poe, SITE).findings.found["pages.app_script"]))

    assert found.search(f"{CHUNK}{name}")
    assert not found.search(f"{CHUNK}{name.replace('.js', '0.js')}")
    assert not found.search(f"{CHUNK}x{name}")


def test_a_name_with_brackets_is_no_pattern(poe: Poe) -> None:
    """Folders of Next.js are named so."""
    address = renamed(poe, "app/(main)/[bot]/page-0123456789abcdef.js")
    found = re.compile(str(look(poe, SITE).findings.found["pages.app_script"]))

    assert found.search(address)
    assert found.search(address.replace("0123456789abcdef", "fedcba9876543210"))


def test_scripts_that_differ_by_their_digests_alone_are_told_apart(poe: Poe) -> None:
    """A login would read the first three of them."""
    others = [f"part-{place}123456789abcdef.js" for place in range(4)]
    address = renamed(poe, "part-fedcba9876543210.js", *others)
    found = re.compile(str(look(poe, SITE).findings.found["pages.app_script"]))

    assert found.search(address)
    assert not any(found.search(f"{CHUNK}{one}") for one in others)


def test_a_login_finds_what_was_found(poe: Poe) -> None:
    """With the pattern, the page has these scripts and no others."""
    address = renamed(poe, "main-0123456789abcdef.js")
    seen = look(poe, SITE)
    home = poe.home(seen.findings.applied(SITE))

    assert (address,) == home.page.app_scripts


def test_those_that_a_login_reads_come_first(poe: Poe) -> None:
    """Others with the same in them are not asked."""
    poe.html = html(f"{CHUNK}other-0123456789abcdef.js")
    poe.scripts[f"{CHUNK}other-0123456789abcdef.js"] = APP

    assert {} == differing(look(poe, SITE))


def test_the_getter_may_be_in_a_script_of_its_own(poe: Poe) -> None:
    """Then a login reads both, in the order of the page."""
    inline = html(f"{CHUNK}keys-0123456789abcdef.js", getter="")
    poe.html = inline
    poe.scripts[f"{CHUNK}keys-0123456789abcdef.js"] = GETTER
    seen = look(poe, SITE)

    pattern = str(seen.findings.found["pages.app_script"])
    assert pattern.startswith("_app|")
    assert 2 == len(poe.home(seen.findings.applied(SITE)).page.app_scripts)
    assert {"pages.app_script": pattern} == differing(seen)


# ---- revision and tag


def test_a_revision_is_kept_only_if_a_login_does_not_see_it(poe: Poe) -> None:
    """It is in another script now."""
    assert "pages.revision_seen" not in look(poe, SITE).findings.found

    poe.html = html(f"{CHUNK}1.js")
    poe.scripts[APP_SCRIPT] = APP.replace(REVISION, "") + SIGNS + artefacts()
    poe.scripts[f"{CHUNK}1.js"] = f'{{"poe-revision":"{REVISION}"}}'
    assert {"pages.revision_seen": REVISION} == differing(look(poe, SITE))


def test_salt_order_and_form_are_those_of_the_pages_function(poe: Poe) -> None:
    """It is called in the sandbox."""
    poe.html = html(
        signed=f'window.{SIGNER}=function(m,k,b){{var d=m(k+"new"+b);'
        "return d.slice(0,20)+d[24]+d.slice(21,24)+d[20]+d.slice(25)}"
    )

    assert {
        "tag.salt": "new",
        "tag.order": "formkey, salt, body",
        "tag.form": "swapped",
    } == differing(look(poe, SITE))


def test_the_function_for_the_tag_may_be_in_a_script(poe: Poe) -> None:
    """Among others that have nothing to do with it."""
    poe.html = html(f"{CHUNK}1.js", signed="")
    poe.scripts[f"{CHUNK}1.js"] = signer("new")

    assert {"tag.salt": "new"} == differing(look(poe, SITE))


@pytest.mark.parametrize(
    ("signed", "said"),
    [
        (f"window.{SIGNER}=function(){{for(;;);}}", "for the tag"),
        (f"window.{SIGNER}=function(){{throw 1}}", "for the tag fails"),
        ("", "no function of the name"),
    ],
)
def test_a_tag_that_cannot_be_found_is_said(poe: Poe, signed: str, said: str) -> None:
    """What is known of it stays."""
    poe.html = html(signed=signed)
    site = replace(SITE, limits=replace(SITE.limits, script=0.5))
    seen = look(poe, site)

    assert any(said in one for one in seen.findings.notes), seen.findings.notes
    assert {} == differing(seen)


def test_a_decoder_of_a_page_that_has_changed_is_run_for_a_while_only(poe: Poe) -> None:
    """It is the page's own, and may do anything."""
    poe.html = html(getter=f"{GETTER.replace('return', 'for(;;);return')}")
    site = replace(SITE, limits=replace(SITE.limits, script=0.3))
    seen = look(poe, site)

    assert any("form key cannot be computed" in one for one in seen.findings.notes)
    assert f"operations.{SEND}" in seen.findings.found


def test_nothing_of_a_key_is_told(poe: Poe) -> None:
    """Neither what was found, nor the words about it, nor how it looks in a log."""
    seen = look(poe, SITE)

    told = repr(seen) + repr(Findings(seen.findings.found))
    assert not [one for one in (KEY, SEED, SECRET, DECODER, COOKIE) if one in told]
