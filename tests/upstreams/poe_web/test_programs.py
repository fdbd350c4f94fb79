"""Scripts of a page, run by the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from poe_proxy.upstreams.poe_web import programs
from poe_proxy.upstreams.poe_web.programs import Program, ProgramFailed, prelude, run


def ran(*scripts: str, value: str, seconds: float = 5) -> str | None:
    return run(Program(scripts, value), seconds)


def test_scripts_share_what_they_define() -> None:
    """Variables of each kind, functions and classes, as blocks of a page do."""
    scripts = ("let a='1'", "const b='2'", "var c='3'", "function d(){return '4'}", "class E{}")

    assert "1234E" == ran(*scripts, value="a+b+c+d()+E.name")


def test_the_second_of_a_name_is_refused_by_itself() -> None:
    """A browser runs all others."""
    assert "1" == ran("let a='1'", "let a='2'", value="a")


@pytest.mark.parametrize(
    "script", ["throw 1", "throw null", "throw Symbol()", "}{", "a\0b", "(function f(){f()})()"]
)
def test_one_that_fails_does_not_keep_others_from_running(script: str) -> None:
    """Whatever it throws."""
    assert "ok" == ran("var a='o'", script, "a+='k'", value="a")


def test_the_time_is_that_of_all_scripts() -> None:
    """Many that take a little less than the limit each are one that takes more."""
    script = "var since=Date.now();while(Date.now()-since<250);"

    with pytest.raises(ProgramFailed, match="interrupted"):
        ran(*[script] * 40, value="'over'", seconds=0.5)


def test_a_script_that_takes_too_much_memory_is_ended_by_itself() -> None:
    """The engine refuses it more, and goes on with what it has."""
    hungry = "for (var all = [];;) all.push('x'.repeat(1e6) + all.length)"

    assert "ok" == ran(hungry, "all = 0", value="'ok'")


def test_an_engine_that_does_not_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A few seconds after its time, whatever it waits for."""
    endless = tmp_path / "endless.py"
    endless.write_text("import threading\nthreading.Event().wait(60)\n")
    monkeypatch.setattr(programs, "_SANDBOX", endless)

    with pytest.raises(ProgramFailed, match="did not end"):
        ran("1", value="1", seconds=-4.9)


def test_no_value_is_none() -> None:
    """Only a text is one."""
    assert ran(value="5") is None
    assert ran(value="") is None


def test_a_value_has_an_end() -> None:
    """What is behind 20,000 characters is left out."""
    assert "é" * 20_000 == ran(value="'é'.repeat(1e6)")


def test_the_prelude_is_a_browser() -> None:
    """The window is the global object, and knows what was there before the page."""
    value = (
        "[a, window.a, self.a, globalThis === window.window, navigator.userAgent,"
        "typeof document, typeof process, 'QuickJS' in window,"
        "Object.getOwnPropertyNames(window).filter(one => !namesBeforeThePage.has(one))].join()"
    )

    assert 'x,x,x,true,an "agent",object,undefined,false,a' == ran(
        prelude('an "agent"'), "window.a='x'", value=value
    )


def test_code_does_not_show_itself() -> None:
    """It may have a seed of the key."""
    assert "secret" not in repr(Program(("secret",), "secret"))
