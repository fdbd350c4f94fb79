"""Hashes of operations, found in scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from poe_proxy.budget import Budget, OutOfBudget
from poe_proxy.upstreams.poe_web.discovery.artefacts import (
    MAX_LOOKS,
    REACH,
    find,
    subscription_operation,
)

from ....steps import Counted, grows_linearly

COUNTED: Final = Counted(
    "poe_proxy.upstreams.bulk",
    "poe_proxy.upstreams.poe_web.functions",
    "poe_proxy.upstreams.poe_web.discovery.artefacts",
)
ONE, TWO, THREE = (letter * 64 for letter in "abc")


def params(name: str = "OneQuery", hash: str = ONE, kind: str = "query") -> str:
    return f'params:{{id:"{hash}",metadata:{{}},name:"{name}",operationKind:"{kind}",text:null}}'


def found(text: str, *wanted: str) -> dict[str, str]:
    return find(text, wanted or ("OneQuery", "TwoMutation"), Budget(5))


@pytest.mark.parametrize(
    "script",
    [
        params(),
        f"e.exports={{{params()}}}",
        f"x={{fragment:{{name:'OneQuery',selections:[]}},{params()},kind:'Request'}}",
        f"params:{{cacheID:'{TWO[:32]}',id:'{ONE}',metadata:{{connection:[{{count:null,"
        "path:['x','}']}]},name:'OneQuery',operationKind:'mutation',text:null}",
        f'params:{{name:"OneQuery",operationKind:"query",text:null,id:"{ONE}"}}',
        f'params:{{text:null,operationKind:"query",name:"OneQuery",metadata:{{}},id:"{ONE}"}}',
        f'JSON.parse(\'{{"params":{{"id":"{ONE}","metadata":{{"a":"\\\\\'"}},"name":"OneQuery",'
        '"operationKind":"query","text":null}}\')',
        f'"params" : {{ "id" : "{ONE}" , "name" : "OneQuery" , "text" : null }}',
        f'{{id:"{ONE}",name:"OneQuery",operationKind:"subscription"}}',
        f'{{id:"{ONE}",name:"OneQuery",text:null}}',
        f'params:{{id:"{ONE}",name:"OneQuery"}}',
        f"params:{{id:`{ONE}`,name:`OneQuery`}}",
        f'params:{{a:"{{\\"{{",b:\'"}}\',id:"{ONE}",name:"OneQuery"}}',
        f'params:{{id:"{ONE}",metadata:{{a:"{"x" * (REACH - 150)}"}},name:"OneQuery"}}',
        f'params:{{name:"OneQuery",metadata:{{a:"{"x" * (REACH - 150)}"}},id:"{ONE}"}}',
        f'params:{{id:"{ONE}",name:"OneQuery",metadata:{{a:"{"x" * REACH}"}}}}',
    ],
)
def test_an_artefact_is_read_in_any_form(script: str) -> None:
    """Whatever else stands in it, in which order, and how it is quoted."""
    assert {"OneQuery": ONE} == found(script)


@pytest.mark.parametrize(
    "script",
    [
        "",
        'name:"OneQuery"',
        f'{{id:"{ONE}",name:"OneQuery"}}',
        f'{{id:"{ONE}",name:"OneQuery",text:"query"}}',
        f'{{id:"{ONE}",name:"OneQuery",operationKind:"other"}}',
        params().replace(ONE, ONE[1:]),
        params().replace(ONE, ONE.upper()),
        params().replace(f'"{ONE}"', "null"),
        params().replace("name", "rename"),
        params("OneQuery2"),
        f'params:{{id:"{ONE}",a:{{name:"OneQuery",text:null}}}}',
        f'params:{{a:{{id:"{ONE}"}},name:"OneQuery",text:null}}',
        f'params:{{id:"{ONE}",a:[name:"OneQuery"]}}',
        f'id:"{ONE}",name:"OneQuery",operationKind:"query",text:null}}',
        f"""params:{{id:"{ONE}",b:'name:"OneQuery"',text:null}}""",
        f'params:{{id:"{ONE}",metadata:{{a:"{"x" * REACH}"}},name:"OneQuery"}}',
        f'params:{{name:"OneQuery",metadata:{{a:"{"x" * REACH}"}},id:"{ONE}"}}',
    ],
)
def test_what_is_no_artefact_is_none(script: str) -> None:
    """A name or a hash alone does not do, nor those of objects within or around."""
    assert {} == found(script)


@pytest.mark.parametrize("between", ["", ",", "}},12:(e,t,n)=>{e.exports={"])
@pytest.mark.parametrize("order", ["id name", "name id"])
def test_neighbours_are_not_mixed_up(between: str, order: str) -> None:
    """Artefacts stand back to back, and each has its own hash."""

    def one(name: str, hash: str) -> str:
        fields = {"id": f'id:"{hash}"', "name": f'name:"{name}"'}
        first, second = (fields[key] for key in order.split())
        return f'params:{{{first},{second},operationKind:"query",text:null}}'

    script = between.join(
        (one("Zero", THREE), one("OneQuery", ONE), one("TwoMutation", TWO), one("Last", THREE))
    )

    assert {"OneQuery": ONE, "TwoMutation": TWO} == found(script)


def test_a_neighbour_without_a_hash_has_none() -> None:
    """It is not given that of the one beside it."""
    bare = 'params:{metadata:{},name:"OneQuery",operationKind:"query",text:null}'

    assert {"TwoMutation": TWO} == found(params("TwoMutation", TWO) + bare)
    assert {"TwoMutation": TWO} == found(bare + params("TwoMutation", TWO))


def test_the_first_of_two_counts() -> None:
    """Of those that are artefacts."""
    first = 'operation:{kind:"Operation",name:"OneQuery",selections:[]}'

    assert {"OneQuery": ONE} == found(f"{{{first},{params()}}},{{{params(hash=TWO)}}}")


def test_all_is_found_in_a_large_script() -> None:
    """At the borders of slices as well."""
    names = [f"Name{number}Query" for number in range(300)]
    hashes = {name: f"{number:064x}" for number, name in enumerate(names)}
    script = ("x=1;" * 311).join(f"{{{params(name, hashes[name])}}}" for name in names)

    assert hashes == found(script, *names)


def test_a_name_is_looked_at_a_number_of_times() -> None:
    """A script that repeats it without end does not cost more."""
    decoy = '{name:"OneQuery",id:1}'
    script = params("TwoMutation", TWO)

    assert {"OneQuery", "TwoMutation"} == set(found(decoy * (MAX_LOOKS - 1) + params() + script))
    assert {"TwoMutation"} == set(found(decoy * MAX_LOOKS + params() + script))


def test_the_operation_of_a_subscription_has_a_name_of_its_own() -> None:
    """That by which artefacts know it."""
    name = subscription_operation("messageAdded")

    assert "subscriptions_messageAdded_Subscription" == name
    assert {name: ONE} == found(params(name, ONE, "subscription"), name)
    assert {} == found(params("messageAdded"), name)


class Spent(Budget):
    """A budget of which nothing is left."""

    def breathe(self, shared: float = 0.0) -> None:
        raise OutOfBudget


def test_a_script_does_not_cost_more_than_there_is() -> None:
    """Nor does one without any name."""
    for script in ("x" * 100_000, params()):
        with pytest.raises(OutOfBudget):
            find(script, ["OneQuery"], Spent())


SCRIPTS: dict[str, Callable[[int], str]] = {
    "nothing": lambda n: "let a=b;" * n,
    "names": lambda n: 'name:"OneQuery",' * n,
    "names of others": lambda n: 'name:"x",' * n,
    "half names": lambda n: 'name:"' * n,
    "spaces": lambda n: "name" + " " * n,
    "artefacts of others": lambda n: params("Other") * n,
    "open brackets": lambda n: '{name:"OneQuery",a:' * n,
    "closed brackets": lambda n: ']}name:"OneQuery"' * n,
    "quotes": lambda n: "\"'`" * n + 'name:"OneQuery"',
    "open strings": lambda n: '{name:"OneQuery",a:"' * n,
    "backslashes": lambda n: "{" + '\\"' * n + 'name:"OneQuery"',
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_costs_what_it_is_long(script: Callable[[int], str]) -> None:
    """Whatever it is made of."""

    def steps(number: int) -> int:
        text = script(number)
        return COUNTED.of(lambda: COUNTED["artefacts"].find(text, ["OneQuery"], Budget(60)))

    assert grows_linearly(steps, 300) is None
