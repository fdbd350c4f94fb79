"""What can be named: the table of names, joined with the bots that there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest

from poe_proxy.clients import Permission
from poe_proxy.errors import ModelNotAllowed
from poe_proxy.menu import MAX_KEPT, Menu, Target
from poe_proxy.models import Models
from poe_proxy.upstreams.catalogue import Catalogue, Model

Make: TypeAlias = Callable[..., Menu]


def bot(id: str, owner: str = "Poe", created: int = 0, **more: Any) -> dict[str, Any]:
    return {"id": id, "owned_by": owner, "created": created, **more}


def picture(id: str, owner: str, created: int) -> dict[str, Any]:
    return bot(id, owner, created, architecture={"output_modalities": ["image"]})


BOTS = (
    bot("assistant", metadata={"display_name": "Assistant"}),
    bot("gpt-4", "OpenAI", 5, metadata={"display_name": "GPT-4"}, context_length=8000),
    bot("claude-sonnet-4.5", "Anthropic", 9, metadata={"display_name": "Claude-Sonnet-4.5"}),
    picture("imagen-4", "Google", 20),
    bot("kimi-k2", "Novita AI", 30),
    bot("maker/x-1", "Maker", 2, metadata={"display_name": "X One",
                                            "url": "https://poe.com/X-One"}),
)  # fmt: skip


def living(*bots: dict[str, Any]) -> Catalogue:
    """A list of these bots."""
    return Catalogue(built_in={one["id"]: Model.read(one) for one in bots})


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a menu of a model file and a list of bots."""

    def make(text: str = "", *bots: dict[str, Any]) -> Menu:
        path = tmp_path / "models.toml"
        path.write_text(text, "utf-8")
        return Menu(Models.load(path), living(*(bots or BOTS)))

    return make


def ids(menu: Menu) -> list[str]:
    return [entry["id"] for entry in menu.entries()]


# ---- the list


def test_the_list_begins_with_what_a_user_looks_for(make: Make) -> None:
    """The user's own names; then bots that are talked with, the well-known makers' first and the
    newest before the others; then those for pictures, sound and films; the old names at last."""
    menu = make('[names]\n"mine" = "Some-Private-Bot"\n"gpt-5" = "GPT-4"\n')

    assert [
        *("mine", "gpt-5"),
        *("Claude-Sonnet-4.5", "GPT-4", "kimi-k2", "maker/x-1", "Assistant"),
        "imagen-4",
        *("gpt-4-0314", "gpt-4-0613"),
    ] == ids(menu)


def test_a_name_carries_the_facts_of_its_bot(make: Make) -> None:
    """Whoever gave it, with the bot's own time, owner and context length."""
    by_name = {one["id"]: one for one in make('[names]\n"mine" = "GPT-4"\n').entries()}

    for name in ("mine", "GPT-4", "gpt-4-0314"):
        entry = by_name[name]
        assert ("model", 5, "OpenAI", 8000) == tuple(
            entry[key] for key in ("object", "created", "owned_by", "context_length")
        )


def test_a_name_whose_bot_is_unknown_is_listed_if_it_is_the_user_s(make: Make) -> None:
    """An old name that leads nowhere is not; what a user wrote down is."""
    (first, *others) = make('[names]\n"mine" = "Some-Private-Bot"\n').entries()

    assert {"id": "mine", "object": "model", "created": 0, "owned_by": "poe"} == first
    assert "claude-2-100k" not in [one["id"] for one in others]


def test_where_a_name_is_a_bot_s_own_the_user_decides(make: Make) -> None:
    """One entry, in the user's spelling, and with the facts of the bot that it leads to."""
    menu = make('[names]\n"gpt-4" = "Claude-Sonnet-4.5"\n')
    listed = [one for one in menu.entries() if one["id"].lower() == "gpt-4"]

    assert [("gpt-4", "Anthropic")] == [(one["id"], one["owned_by"]) for one in listed]
    assert Target("Claude-Sonnet-4.5", "Claude-Sonnet-4.5") == menu.resolve("GPT-4")


def test_what_is_hidden_is_neither_listed_nor_found(make: Make) -> None:
    """By whichever of its names, and with whatever before it."""
    menu = make('hide = ["GPT-4*", "maker/*"]\n')

    assert ["Claude-Sonnet-4.5", "kimi-k2", "Assistant", "imagen-4"] == ids(menu)
    for name in ("gpt-4", "openai/GPT-4", "poe/openai/gpt-4", "poe:gpt-4", "x-one", "X One"):
        assert menu.resolve(name) is None
        assert menu.entry(name) is None


def test_a_new_copy_of_poe_s_list_is_a_new_menu() -> None:
    """From the next request on."""
    lists = [orjson.dumps({"data": [bot(name)]}) for name in ("one", "two")]
    catalogue = Catalogue(lambda: lists.pop(0), built_in={}, patience=0.0)
    menu = Menu(Models.load(), catalogue)
    seen = [ids(menu)]
    for _ in range(2):
        catalogue.look()
        seen.append(ids(menu))

    assert [[], ["one"], ["two"]] == seen


# ---- whatever is listed


def test_whatever_is_listed_can_be_retrieved_and_asked(make: Make) -> None:
    """In any case; with or without the prefix of a provider."""
    menu = make('[names]\n"Mine" = "Claude-Sonnet-4.5"\n"own/name" = "GPT-4"\n')
    for entry in menu.entries():
        target = menu.resolve(entry["id"])
        assert target is not None
        for name in (entry["id"], entry["id"].upper(), entry["id"].lower()):
            assert entry == menu.entry(name)
            for prefix in ("", "poe/", "openai/", "OpenRouter/"):
                found = menu.resolve(prefix + name)
                assert found is not None
                assert (target.bot.lower(), target.handle.lower()) == (
                    found.bot.lower(),
                    found.handle.lower(),
                )


@pytest.mark.parametrize("name", ["maker/x-1", "Maker/X-1", "x-one", "X-ONE", "x one"])
def test_every_name_of_a_bot_leads_to_it(make: Make, name: str) -> None:
    """Poe's id, the handle in its address, and what Poe shows: one of them is listed."""
    menu = make()
    target, entry = menu.resolve(name), menu.entry(name)

    assert target is not None
    assert ("maker/x-1", "X-One") == (target.bot.lower(), target.handle)
    assert (target.handle, target.bot) == (target.spelled("cookie"), target.spelled("key"))
    assert entry is not None
    assert "maker/x-1" == entry["id"]


# ---- names that are not listed


@pytest.mark.parametrize(
    ("name", "handle"),
    [
        ("openai/gpt-4", "gpt-4"),
        ("some-gateway/kimi-k2", "kimi-k2"),
        ("openrouter/anthropic/claude-sonnet-4.5", "claude-sonnet-4.5"),
        ("poe:Claude-Sonnet-4.5", "Claude-Sonnet-4.5"),
        ("OPENAI:kimi-k2", "kimi-k2"),
        ("https://poe.com/Kimi-K2", "Kimi-K2"),
        ("openai/maker/x-1", "X-One"),
        # Not in the list: a bot of one's own, or a new one.
        ("poe/My-Own-Bot", "My-Own-Bot"),
        ("openai/anthropic/New-Bot", "New-Bot"),
        ("poe:My-Own-Bot", "My-Own-Bot"),
        ("My-Own-Bot", "My-Own-Bot"),
        ("gpt-4-32k", "GPT-4-32k"),
        ("openai/gpt-4-32k", "GPT-4-32k"),
        ("Ünïcode-机器人", "Ünïcode-机器人"),
    ],
)
def test_what_stands_before_a_bot_s_name_is_left_out(make: Make, name: str, handle: str) -> None:
    """Before a known bot anything that ends with a slash, before another one a known provider."""
    target = make().resolve(name)

    assert target is not None
    expected = {"gpt-4": "GPT-4"}.get(handle, handle)
    assert expected.lower() == target.handle.lower()


@pytest.mark.parametrize(
    "name",
    ["no/such/bot", "stranger/My-Own-Bot", "openai/", "/", "openai//x", "poe/../x", "two words",
     "openai/two words", "a/b/c/d/e/f/kimi-k2x", "/" * 300, "openai/" * 40],
)  # fmt: skip
def test_other_names_with_slashes_lead_nowhere(make: Make, name: str) -> None:
    """They are no handles, and nothing that was added before one."""
    assert make().resolve(name) is None
    assert make().entry(name) is None


CLAUDES = (bot("claude-sonnet-4.5"), bot("claude-sonnet-4"), bot("claude-haiku-3.5"),
           bot("claude-3.7-sonnet"), bot("claude-opus-4-6"), bot("claude-opus-4.6"),
           bot("kimi-k2"))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "bot"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4.5"),
        ("Claude-Sonnet-4-5", "claude-sonnet-4.5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4.5"),
        ("claude-sonnet-4-5-20250929[1M]", "claude-sonnet-4.5"),
        ("anthropic/claude-sonnet-4-5", "claude-sonnet-4.5"),
        ("poe:claude-sonnet-4-5", "claude-sonnet-4.5"),
        ("claude-sonnet-4.5[1m]", "claude-sonnet-4.5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-3-5-haiku-20241022", "claude-haiku-3.5"),
        ("claude-3-5-haiku-latest", "claude-haiku-3.5"),
        ("claude-3-7-sonnet", "claude-3.7-sonnet"),
        # The name itself is in the list.
        ("claude-opus-4-6", "claude-opus-4-6"),
        ("claude-opus-4.6", "claude-opus-4.6"),
        # There is none: the name may be a bot's that is not listed.
        ("claude-opus-5-1", "claude-opus-5-1"),
        ("my-claude-sonnet-4-5", "my-claude-sonnet-4-5"),
        ("kimi-k2-20250101", "kimi-k2-20250101"),
    ],
)
def test_anthropic_s_names_lead_to_poe_s(make: Make, name: str, bot: str) -> None:
    """Only where the name itself leads to no bot."""
    target = make("", *CLAUDES).resolve(name)

    assert target is not None
    assert bot == target.bot.lower()


def test_anthropic_s_name_of_a_bot_that_is_hidden_leads_nowhere(make: Make) -> None:
    """By whatever name it is asked for; and a name of the table is one that is listed."""
    menu = make('hide = ["claude-sonnet-4.5"]\n[names]\n"claude-haiku-4.5" = "Mine"\n', *CLAUDES)

    assert menu.resolve("claude-sonnet-4-5-20250929") is None
    assert Target("Mine", "Mine") == menu.resolve("claude-haiku-4-5")


def test_what_a_bot_declares_is_known_by_each_of_its_names(make: Make) -> None:
    """Nothing is, of a bot that is not there."""
    given = [{"name": "aspect", "schema": {"enum": ["1:1"]}}]
    drawing = {**picture("imagen-4", "Google", 20), "parameters": given}
    menu = make('[names]\n"mine" = "Imagen-4"\n', drawing)

    for name in ("Imagen-4", "google/imagen-4", "mine"):
        assert {"aspect": {"enum": ["1:1"]}} == menu.parameters(name)
    assert {} == menu.parameters("Somebody-Else")


def test_a_tag_is_part_of_a_name(make: Make) -> None:
    """What stands behind a colon asks for something else, which Poe does not have."""
    target = make().resolve("kimi-k2:free")

    assert Target("kimi-k2:free", "kimi-k2:free") == target


def test_a_whole_name_goes_before_a_part_of_it(make: Make) -> None:
    """The user's own name, and an id with a slash, are taken as they are."""
    menu = make('[names]\n"openai/kimi-k2" = { bot = "Mine", tokens = "keys" }\n')

    assert Target("Mine", "Mine", "key") == menu.resolve("openai/Kimi-K2")
    assert Target("maker/x-1", "X-One") == menu.resolve("maker/x-1")


# ---- bots that accounts are shown


def test_what_an_account_is_shown_is_listed_behind_what_poe_lists() -> None:
    """Its own bots, and others that it used; asked by cookie, and first of all by this account."""
    shown = {"My-Own-Bot": frozenset({"a"}), "KIMI-K2": frozenset({"a", "b"})}
    menu = Menu(Models.load(), living(*BOTS), shown=lambda: shown)
    before = menu.resolve("my-own-bot")
    listed = ids(menu)

    assert ["My-Own-Bot", "imagen-4"] == listed[5:7]
    assert 1 == len([name for name in listed if name.lower() == "kimi-k2"])
    assert Target("my-own-bot", "my-own-bot") == before
    assert Target("my-own-bot", "my-own-bot", "cookie", frozenset({"a"})) == menu.resolve(
        "my-own-bot"
    )
    assert Target("kimi-k2", "kimi-k2") == menu.resolve("kimi-k2")
    assert {"id": "My-Own-Bot", "object": "model", "created": 0, "owned_by": "poe"} == (
        menu.entry("poe/MY-OWN-BOT")
    )


def test_what_accounts_are_shown_may_change() -> None:
    """With each list; and what Poe's list has is no account's own."""
    shown: list[dict[str, frozenset[str]]] = [{}, {"New": frozenset({"a"})}, {}]
    menu = Menu(Models.load(), living(bot("old")), shown=lambda: shown.pop(0))

    assert [["old"], ["old", "New"], ["old"]] == [ids(menu) for _ in range(3)]


# ---- what a client hears of a bot that is gone


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpt-4-32k", "'gpt-4-32k' is an old name for the bot 'GPT-4-32k', which Poe no longer "
         "has; GET /v1/models lists others."),
        ("Claude_Sonnet_4-5", "Did you mean 'Claude-Sonnet-4.5'?"),
        ("claude.sonnet.4.5-20250929", "Did you mean 'Claude-Sonnet-4.5'?"),
        ("claude-sonnet", ""),
        ("kimi-k2", ""),
    ],
)  # fmt: skip
def test_a_living_bot_is_named_if_it_is_certain(make: Make, name: str, hint: str) -> None:
    """If nothing but signs between the letters, or a day, tells the two names apart."""
    menu = make()
    target = menu.resolve(name)

    assert target is not None
    assert hint == menu.hint(name, target)


def test_nothing_is_named_that_is_hidden_or_not_certain(make: Make) -> None:
    """Of two bots that are alike neither was certainly meant."""
    menu = make('hide = ["gpt-4"]', *BOTS, bot("kimi.k2"))
    for name in ("gpt4", "kimi_k2"):
        target = menu.resolve(name)
        assert target is not None
        assert "" == menu.hint(name, target)


def test_what_a_name_leads_to_is_kept_for_a_while(make: Make) -> None:
    """Clients choose the names, so no more are kept than so many, and no long ones."""
    menu = make()
    first = menu.resolve("gpt-4")
    for place in range(MAX_KEPT + 5):
        assert Target(f"Bot-{place}", f"Bot-{place}") == menu.resolve(f"Bot-{place}")
    menu.resolve("x" * 10_000)

    assert first is not None
    assert first == menu.resolve("gpt-4")
    assert len(menu._newest.targets) <= MAX_KEPT
    assert max(map(len, menu._newest.targets)) <= 100


# ---- what a client may use


@pytest.mark.parametrize(
    ("name", "models", "not_models", "is_allowed"),
    [
        pytest.param("GPT-5.1", (), (), True, id="everything"),
        pytest.param("gpt-5.1", ("gpt-*",), (), True, id="a pattern"),
        pytest.param("openai/GPT-5.1", ("gpt-*",), (), True, id="behind a prefix"),
        pytest.param("Claude-Opus-4.5", ("gpt-*",), (), False, id="another one"),
        pytest.param("gpt-x/Claude-Opus-4.5", ("gpt-*",), (), False, id="a prefix is no name"),
        pytest.param("gpt-4", ("gpt-4",), (), True, id="a name of the table"),
        pytest.param("mine", ("gpt-5*",), (), True, id="a name by its bot"),
        pytest.param("mine", (), ("gpt-5*",), False, id="against a name by its bot"),
        pytest.param("GPT-5.1", (), ("mine",), False, id="against a bot by its name"),
        pytest.param("claude-opus-4-5-20251101", (), ("claude-opus-4.5",), False, id="a maker's"),
        pytest.param("claude-opus-4-5", ("claude-opus-4-5",), (), True, id="a maker's own name"),
        pytest.param("poe/claude-opus-4.5", (), ("poe/*",), False, id="against what was written"),
        pytest.param("No-Such-Bot", ("gpt-*",), (), False, id="whether or not it is there"),
        pytest.param("No-Such-Bot", (), ("gpt-*",), True, id="it may be there"),
        pytest.param("Claude Opus 4.5", (), ("claude-opus-4.5",), False, id="other signs"),
        pytest.param("@claude_opus_45", (), ("claude-opus*",), False, id="other signs, a pattern"),
        pytest.param("Ｃlaude-Opuſ-4.5", (), ("claude-opus*",), False, id="letters"),
        pytest.param("Claude Opus 4.5", ("claude-opus-4.5",), (), False, id="what is none"),
        pytest.param("a b/c", ("gpt-*",), (), False, id="no name at all"),
    ],
)
def test_a_permission_holds_for_a_model_by_all_of_its_names(
    tmp_path: Path,
    name: str,
    models: tuple[str, ...],
    not_models: tuple[str, ...],
    is_allowed: bool,
) -> None:
    """No second name gets around it, and what stands before a name is none."""
    table = tmp_path / "models.toml"
    table.write_text('[names]\n"mine" = "GPT-5.1"\n"gpt-4" = "GPT-4o"\n')
    menu = Menu(Models.load(table), living(*map(bot, ("gpt-5.1", "gpt-4o", "claude-opus-4.5"))))
    permission = Permission(models, not_models)

    if is_allowed:
        menu.check(name, menu.resolve(name), permission)
    else:
        with pytest.raises(ModelNotAllowed):
            menu.check(name, menu.resolve(name), permission)
    if entry := menu.entry(name):
        assert is_allowed is (menu.entry(name, permission) is not None)
        if not name.startswith("poe/"):
            assert is_allowed is (entry["id"] in {one["id"] for one in menu.entries(permission)})


def test_patterns_that_match_nothing_are_found() -> None:
    """Of names, bots and patterns: those that are known by now."""
    menu = Menu(Models.load(), living(bot("gpt-5.1")))

    assert ["gpt-6*", "nobody"] == menu.unmatched(("gpt-5*", "gpt-6*", "gpt-4", "nobody"))
