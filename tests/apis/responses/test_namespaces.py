"""Names of tools in namespaces, there and back."""

from __future__ import annotations

import pytest

from poe_proxy.apis.responses.namespaces import Names


@pytest.mark.parametrize(
    ("name", "namespace", "flat"),
    [
        ("f", None, "f"),
        ("f", "agents", "agents__f"),
        ("g", "functions", "g"),
        ("x" * 80, None, "x" * 80),
        ("x" * 80, "agents", "agents__" + "x" * 56),
    ],
)
def test_a_name_holds_both_and_is_given_back_apart(
    name: str, namespace: str | None, flat: str
) -> None:
    """But for the namespace of tools that have none, which the client need not hear of."""
    names = Names([(name, namespace)])

    assert flat == names.of(name, namespace)
    assert (name, None if namespace == "functions" else namespace) == names.given(flat)


def test_no_two_tools_have_one_name() -> None:
    """Whatever is cut off, and whatever a tool without a namespace is called."""
    tools = [
        ("f", "a"),
        ("a__f", None),
        *((f"{'x' * 70}{number}", "a") for number in range(12)),
        (f"a__{'x' * 59}_3", None),
    ]
    names = Names(tools)
    flat = [names.of(*tool) for tool in tools]

    assert len(tools) == len(set(flat))
    assert max(map(len, flat)) <= 64
    assert "a__f" == names.of("a__f", None)
    assert tools == [names.given(one) for one in flat]


def test_names_stay_while_the_tools_do() -> None:
    """So past calls have the names that the bot has called. Tools that join them in later turns
    take none of theirs."""
    tools = [("f", "a"), ("f", "b"), (f"{'x' * 70}1", "a"), (f"{'x' * 70}2", "a")]
    flat = ["a__f", "b__f", "a__" + "x" * 61, "a__" + "x" * 59 + "_2"]

    for more in [], [("f", "c")], [("g", None), (f"{'x' * 70}3", "a")]:
        names = Names([*tools, *more])
        assert flat == [names.of(*one) for one in tools]


def test_what_is_not_offered_has_a_name_all_the_same() -> None:
    """A past call of a tool that is gone, and a name that the bot has made up."""
    names = Names([("f", "a")])

    assert "b__f" == names.of("f", "b")
    assert "f" == names.of("f", None)
    assert ("made_up", None) == names.given("made_up")
