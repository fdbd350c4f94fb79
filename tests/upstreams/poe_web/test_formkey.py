"""The form key, computed from the page of sheet §22.3 by the real engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from poe_proxy.errors import UpstreamChanged
from poe_proxy.upstreams.poe_web.formkey import evaluate
from poe_proxy.upstreams.poe_web.pages import Page, formkey_program
from poe_proxy.upstreams.poe_web.programs import Program
from poe_proxy.upstreams.poe_web.site import Site

from .fixtures import APP, DECODER, DECOY, GETTER, KEY, SECRET, page

SITE = Site.load()


def program(html: str = page(), *app: str, name: str = "") -> Program:
    """The program of a page whose own scripts are *app*, by default the usual one."""
    site = replace(SITE, getter_name=name)
    return formkey_program(Page.read(html, "https://poe.com/", site), app or (APP,), site)


def only(value: str) -> Program:
    """A program without a page."""
    return Program((), value)


def test_the_page_s_own_scripts_give_the_key() -> None:
    """33 characters come back, and the first 32 are the key."""
    assert KEY == evaluate(program(), 5)


def test_without_the_secret_the_key_is_another() -> None:
    """The page does not complain of a wrong secret: it gives a key that is well-formed."""
    assert DECOY == evaluate(program(page(), APP.replace("Vb7nW0cLp3", "Xb7nW0cLp3")), 5)


def test_the_order_of_getter_and_decoder_does_not_matter() -> None:
    """The call comes after all of the page's code."""
    scripts = f"<script>{GETTER}</script><script>{DECODER}</script>"

    assert KEY == evaluate(program(page(scripts=scripts)), 5)


def test_bare_names_of_the_browser_are_there() -> None:
    """Code may name document, navigator, self and window.window."""
    more = (
        "<script>(function(){if(!(self.document&&navigator.userAgent&&window.window&&document))"
        "throw new Error})()</script>"
    )

    assert KEY == evaluate(program(page(more=more)), 5)


def test_an_endless_loop_is_ended() -> None:
    """A script that does not end costs its time limit, which is the processor's, and no more."""
    # Ended by the engine itself; by the system, seconds later, it would have broken down.
    with pytest.raises(UpstreamChanged, match=r"form key.*interrupted"):
        evaluate(only("for(;;){}"), 0.3)


@pytest.mark.parametrize(
    "script",
    [
        'var a=[];for(;;)a.push("x".repeat(1e6)+a.length)',
        "function f(){return f()+1} f()",
        "throw new Error('no')",
        "this is no script",
        "'not a key'",
        f"'{KEY.upper()}'",
        f"'{KEY}0'",
        "42",
        "",
        "throw ''",
        "'x'.repeat(5e6)",
    ],
)
def test_what_gives_no_key_is_an_error(script: str) -> None:
    """Memory, stack, errors and nonsense all end in the same failure, with the way out."""
    with pytest.raises(UpstreamChanged, match="formkey="):
        evaluate(only(script), 2)


@pytest.mark.parametrize(
    "name",
    ["require", "process", "std", "os", "fetch", "XMLHttpRequest", "print", "console", "Deno"],
)
def test_the_engine_has_no_objects_of_ours(name: str) -> None:
    """No file, no network, no host object is within a script's reach."""
    assert KEY == evaluate(only(f"typeof {name} === 'undefined' ? '{KEY}' : 'no'"), 2)


def test_the_environment_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's process is started with an empty environment."""
    seen: list[object] = []
    real = __import__("subprocess").run

    def run(command: list[str], **options: object) -> object:
        seen.append(options["env"])
        return real(command, **options)

    monkeypatch.setenv("TOKENS", "secret")
    monkeypatch.setattr("subprocess.run", run)
    evaluate(only(f"'{KEY}'"), 2)

    assert [{}] == seen


def test_the_secret_is_a_statement_of_the_page() -> None:
    """Only the assignment is taken over from the script, nothing around it."""
    scripts = program().scripts

    assert SECRET == scripts[-1]
    assert not any("poe-revision" in one for one in scripts)


# ---- a page that has changed

CALL = GETTER.removeprefix("window.gEtTeRgEtTeR45678=function(){return ").removesuffix("}")


def with_getter(script: str) -> str:
    return page(scripts=f"<script>{DECODER}</script><script>{script}</script>")


@pytest.mark.parametrize(
    "script",
    [
        f'window["another"]=function(){{return {CALL}}}',
        f"window.another=()=>{CALL}",
        f"function another(){{return {CALL}}}",
        f"var another=function(){{return {CALL}}}",
        f"(function(w){{w.another=function(){{var key={CALL};return key}}}})(self)",
        f"window.a=function(){{throw 1}};window.b=function(){{return 5}};window.c=()=>{CALL}",
        f"let seed=1;window.another=function(){{return seed&&{CALL}}}",
    ],
)
def test_a_getter_of_another_shape_is_found_by_what_it_returns(script: str) -> None:
    """Any function that the page has put on its window, if it returns what looks like a key."""
    assert KEY == evaluate(program(with_getter(script)), 5)


def test_of_many_functions_some_are_tried() -> None:
    """The page may have thousands."""
    many = "".join(f"window.f{n}=function(){{}};" for n in range(49))

    assert KEY == evaluate(program(with_getter(f"{many}window.last=()=>{CALL}")), 5)
    with pytest.raises(UpstreamChanged, match="gave no key"):
        evaluate(program(with_getter(f"{many}window.f={many}window.last=()=>{CALL}")), 5)


DECOYS = f'window.decoy=function(){{return window.x="{DECOY}"}};window.named=()=>"{KEY}"'


@pytest.mark.parametrize(
    ("script", "app", "name", "key"),
    [
        (DECOYS, APP, "", DECOY),
        (DECOYS, APP, "named", KEY),
        (DECOYS, APP + 'let a="named",b=null,setClientFormkey=c', "", KEY),
        (DECOYS, APP + 'let a="named",b=null,setClientFormkey=c', "decoy", KEY),
        (DECOYS, APP + 'let a="nowhere",b=null,setClientFormkey=c', "named", KEY),
        (DECOYS.replace("named=", "named=1;"), APP, "named", DECOY),
        (DECOYS.replace(KEY, KEY.upper()), APP, "named", DECOY),
        (DECOYS.replace(f'"{KEY}"', "{throw 1}"), APP, "named", DECOY),
    ],
)
def test_a_name_wins_over_the_shape(script: str, app: str, name: str, key: str) -> None:
    """That beside `setClientFormkey`, then the one that was found before; if there is a function
    of this name that returns a key."""
    made = program(with_getter(script), app, name=name)

    assert key == evaluate(made, 5)


@pytest.mark.parametrize("script", [f"window.other=1;{GETTER}", f"window.get=()=>{CALL},x=1"])
def test_a_getter_may_be_in_the_app_script(script: str) -> None:
    """A function that another script puts on the window is cut out of it."""
    html = page(scripts=f"<script>{DECODER}</script>")

    assert KEY == evaluate(program(html, f"document.x.y;self.webpackChunk;{APP}({script});"), 5)


def test_functions_of_other_scripts_may_be_all_that_there_is() -> None:
    """Getter and decoder; but a function of the page itself comes before one of the same name."""
    decoder = f'window.decode=function(s){{return window._tE9xK2mQa4&&"{KEY}"}}'
    functions = f"webpackChunk.push({decoder},window.get=function(){{return window.decode(5)}})"

    assert KEY == evaluate(program(page(scripts=""), APP, functions), 5)
    own = '<script>window.decode=function(s){return "' + "a" * 32 + '"}</script>'
    assert "a" * 32 == evaluate(program(page(scripts=own), APP, functions), 5)


def test_a_whole_script_may_be_run() -> None:
    """What it puts on the window from within a function cannot be cut out of it."""
    whole = f"{DECODER};\n{GETTER};"

    assert KEY == evaluate(program(page(scripts=""), APP, whole), 5)


@pytest.mark.parametrize(
    "script",
    [
        "function f(){f()} f()",
        "throw new Error('function')",
        "this is no script, function",
        "let function_1=1;let function_1=2",
        "var a=[];for(;;)a.push('function'.repeat(1e6)+a.length)",
        "function f(){} document_.title='x'",
    ],
)
def test_a_script_that_fails_ends_nothing_but_itself(script: str) -> None:
    """As in a browser."""
    assert KEY == evaluate(program(page(more=f"<script>{script}</script>")), 5)
    assert KEY == evaluate(program(with_getter(f"{GETTER}</script><script>{script}")), 5)


def test_what_failed_is_told_if_nothing_gave_a_key() -> None:
    """The first error of those that were asked."""
    with pytest.raises(UpstreamChanged, match=r"failed .*no such seed"):
        evaluate(program(with_getter("window.get=()=>{throw Error('no such seed')}")), 5)


@pytest.mark.parametrize(
    "script",
    [
        "window.get=function(){for(;;);}",
        "window.get={get length(){for(;;);}};function f(){for(;;);} f()",
        "window.get=function(){throw {toString(){for(;;);}}}",
    ],
)
def test_a_page_that_loops_is_ended(script: str) -> None:
    """Wherever it does so; the time counts for all scripts together."""
    with pytest.raises(UpstreamChanged, match="form key"):
        evaluate(program(with_getter(script)), 0.3)


@pytest.mark.parametrize(
    "script",
    ["/*function*/" + "x" * 8_000_000, "function f(){}" * 500_000, "'function" + "\\" * 4_000_000],
    ids=["a long name", "many functions", "an open string"],
)
def test_megabytes_cost_a_page_its_own_script(script: str) -> None:
    """They have no memory or no sense, and the rest has its turn."""
    assert KEY == evaluate(program(page(more=f"<script>{script}</script>")), 5)
