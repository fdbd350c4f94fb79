"""The form key, computed from the page of sheet §22.3 by the real engine."""

from __future__ import annotations

import pytest

from poe_proxy.errors import UpstreamProtocolError
from poe_proxy.upstreams.poe_web.formkey import evaluate
from poe_proxy.upstreams.poe_web.pages import Page, formkey_program
from poe_proxy.upstreams.poe_web.site import Site

from .fixtures import APP, DECODER, DECOY, GETTER, KEY, SECRET, page

SITE = Site.load()


def program(html: str = page(), app: str = APP) -> str:
    return formkey_program(Page.read(html, "https://poe.com/", SITE), app, SITE)


def test_the_page_s_own_scripts_give_the_key() -> None:
    """33 characters come back, and the first 32 are the key."""
    assert KEY == evaluate(program(), 5)


def test_without_the_secret_the_key_is_another() -> None:
    """The page does not complain of a wrong secret: it gives a key that is well-formed."""
    assert DECOY == evaluate(program(app=APP.replace("Vb7nW0cLp3", "Xb7nW0cLp3")), 5)


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
    with pytest.raises(UpstreamProtocolError, match=r"form key.*interrupted"):
        evaluate("for(;;){}", 0.3)


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
    with pytest.raises(UpstreamProtocolError, match="formkey="):
        evaluate(script, 2)


@pytest.mark.parametrize(
    "name",
    ["require", "process", "std", "os", "fetch", "XMLHttpRequest", "print", "console", "Deno"],
)
def test_the_engine_has_no_objects_of_ours(name: str) -> None:
    """No file, no network, no host object is within a script's reach."""
    assert KEY == evaluate(f"typeof {name} === 'undefined' ? '{KEY}' : 'no'", 2)


def test_the_environment_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's process is started with an empty environment."""
    seen: list[object] = []
    real = __import__("subprocess").run

    def run(command: list[str], **options: object) -> object:
        seen.append(options["env"])
        return real(command, **options)

    monkeypatch.setenv("TOKENS", "secret")
    monkeypatch.setattr("subprocess.run", run)
    evaluate(f"'{KEY}'", 2)

    assert [{}] == seen


def test_the_secret_is_a_statement_of_the_page() -> None:
    """Only the assignment is taken over from the script, nothing around it."""
    assert f"\n{SECRET};\n" in program()
    assert "poe-revision" not in program()
