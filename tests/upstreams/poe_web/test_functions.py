"""Functions, cut out of scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.upstreams.poe_web.functions import (
    MAX_FUNCTION,
    MAX_FUNCTIONS,
    extract_functions,
    unless_there,
)
from poe_proxy.upstreams.poe_web.programs import Program, run

from ...steps import Counted, grows_linearly

COUNTED = Counted("poe_proxy.upstreams.bulk", "poe_proxy.upstreams.poe_web.functions")


class Spent(Budget):
    """A budget of which nothing is left after some *turns*."""

    def __init__(self, turns: int = 0) -> None:
        super().__init__()
        self.turns = turns

    def breathe(self, shared: float = 0.0) -> None:
        if not self.turns:
            raise OutOfBudget
        self.turns -= 1


def found(text: str) -> list[str]:
    return list(extract_functions(text, Budget(5)))


@pytest.mark.parametrize(
    "function",
    [
        "window.a=function(){}",
        "window.a = function ( b, c ) { return b }",
        "window.a=function named(b){return{b:[b]}}",
        'window["a"]=function(){return 1}',
        "self['a']=function(){return 1}",
        "globalThis.a=async function(){}",
        "window.a=()=>window.b('x')",
        "window.a=b=>b(1,[2,3])[4]",
        "window.a=(b,c=(1,2))=>{return b}",
        "window.a=async b=>{await b}",
        "window.a=function(){return '}\\'}'+\"}\\\"\"}",
        "window.a=function(){return `}${b(`}`)+'}'}}`}",
        "window.a=function(){return /[}/]\\/}/.test(b)/2/c}",
        "window.a=function(){/* } */ return 1 // }\n}",
        "window.a=function(b){return b/2}",
    ],
)
@pytest.mark.parametrize("around", ["{}", "(()=>{{x.y=1;{};z()}})();", "!{},1", "a=[{}]"])
def test_a_function_is_cut_out_of_what_stands_around_it(function: str, around: str) -> None:
    """By its brackets, but not those in strings, comments and regular expressions."""
    assert [function] == found(around.format(function))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "window.a=5",
        "window.a=(function(){})()",
        "window.a=function",
        "window.a=function(){",
        "window.a=function(){'}",
        "window.a=function(){(}",
        "window.a=function(]{}",
        "window.a=function()5",
        "window.a=()=>(5",
        "window.a==function(){}",
        "mywindow.a=function(){}",
        "x.window.a=function(){}",
        "window.a.b=function(){}",
        "window.a=function(){`${`}",
        "window.a=function(){/*}",
    ],
)
def test_what_is_no_function_is_left(text: str) -> None:
    """Nothing half is run."""
    assert [] == found(text)


def test_all_are_found_in_order_and_none_within_another() -> None:
    """Whoever runs the outer one gets the inner one as well."""
    one, two = "window.a=function(){window.c=function(){}}", "window.b=()=>1"

    assert [one, two] == found(f"{one};{two};")


def test_there_are_bounds() -> None:
    """Of functions that are looked at, and of characters of each."""
    many = "".join(f"window.a{n}=function(){{}};" for n in range(900))
    long = f"window.a=function(){{{'b;' * MAX_FUNCTION}}};window.c=()=>1"

    assert MAX_FUNCTIONS == len(found(many))
    assert ["window.c=()=>1"] == found(long)


def test_it_costs_what_the_request_may_cost() -> None:
    """A script does not compute for ever."""
    with pytest.raises(OutOfBudget):
        extract_functions("x" * 200_000, Spent())
    with pytest.raises(OutOfBudget):
        extract_functions("window.a=function(){" + "[]" * 10, Spent(1))


@pytest.mark.parametrize(
    "code", ["window.a=()=>'new'", "window['a']=function(){return 'new'} // x"]
)
def test_a_function_takes_no_other_s_place(code: str) -> None:
    """That of the page itself counts."""
    (script,) = unless_there([code])

    def value(*scripts: str) -> str | None:
        return run(Program(("var window=globalThis", *scripts, script), "a()"), 5)

    assert "new" == value()
    assert "new" == value("window.a=5")
    assert "old" == value("window.a=()=>'old'")


SCRIPTS: dict[str, Callable[[int], str]] = {
    "nothing": lambda n: "var a=b;" * n,
    "windows": lambda n: "window.a=" * n,
    "functions": lambda n: "window.a=function(){return 1};" * n,
    "open ones": lambda n: "window.a=function(){" * n,
    "open strings": lambda n: "window.a=function(){'" * n,
    "open templates": lambda n: "window.a=function(){`${" * n,
    "slashes": lambda n: "window.a=function(){" + "/a[" * n,
    "comments": lambda n: "window.a=function(){/*" * n,
    "spaces": lambda n: "window.a=" + " " * n,
    "arrows": lambda n: "window.a=()=>b" * n,
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_costs_what_it_is_long(script: Callable[[int], str]) -> None:
    """Whatever it is made of."""
    extract = COUNTED["functions"].extract_functions

    def steps(number: int) -> int:
        return COUNTED.of(lambda: extract(script(number), Budget(60)))

    assert grows_linearly(steps, 200) is None
