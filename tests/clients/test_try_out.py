"""The page at `/` in a real browser: chats, errors, copied lines, and what must not happen."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ..with_sim.servers import KEY, ROOT, Proxy, Sim, until
from .conftest import ECHO, NOBODY, TALKER, run_client

#: What a model and a bot say that mean harm; the page's script has the same.
HOSTILE = '<img src=x onerror="run=1"><script>run=1</script>'
#: The models that lead to one kind of account each.
MODELS = f"""
[names]
"by-cookies" = {{ bot = "{TALKER}", tokens = "cookies" }}
"by-keys" = {{ bot = "{TALKER}", tokens = "keys" }}
"""
ways = pytest.mark.parametrize("way", ["cookies", "keys"])


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    """A stand-in of its own, whose journal has nothing but what the page asks."""
    with Sim(("cookie-a", "cookie-b"), ("key-a", "key-b"), pace=0.001) as running:
        yield running


@pytest.fixture(scope="module")
def page(sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """By scene, what was seen; and the page's address. The browser is started once."""
    folder = tmp_path_factory.mktemp("try_out")
    (folder / "models.toml").write_text(MODELS)
    with Proxy(sim, MODELS=str(folder / "models.toml")) as proxy:
        report = run_client("try_out", proxy, folder / "home", words="!echo")
        yield {**report, "url": proxy.url}


def test_without_a_key_it_is_a_leaflet(page: Any) -> None:
    """It says what the server is and what to put where, and shows no chat; it keeps nothing."""
    seen = page["leaflet"]

    assert (False, True, "password") == (seen["chat"], seen["key"], seen["type"])
    assert [f"{page['url']}/v1", page["url"]] == seen["base"]
    assert seen["lines"][0].startswith(f"curl -N {page['url']}/v1/chat/completions \\\n")
    assert {} == seen["kept"]
    assert ["password", "text", "password"] == page["show"]


def test_a_key_that_is_wrong_opens_no_chat(page: Any) -> None:
    """The server's own words say so, with their code and the id that the log has; the key is not
    kept."""
    seen = page["wrong_key"]

    assert (False, {}) == (seen["chat"], seen["kept"])
    title, message, request = seen["problem"].split("\n")
    assert "HTTP 401 · invalid_api_key" == title
    assert message.startswith("The API key is missing or wrong.")
    assert re.fullmatch(r"request req_[0-9a-f]{24}", request)


@ways
def test_a_chat_is_streamed(page: Any, way: str) -> None:
    """The answer is shown while the bot speaks; behind it stand the times and the tokens. The
    field has the focus again."""
    seen = page[f"streamed_{way}"]

    assert ECHO == seen["text"]
    assert 3 < seen["pieces"]
    assert re.fullmatch(r"first word [\d.]+ s · in all [\d.]+ s · \d+ → \d+ tokens", seen["facts"])
    assert ("The answer is complete", "prompt") == (seen["status"], seen["focus"])


@ways
def test_a_conversation_goes_on_until_it_is_cleared(page: Any, way: str) -> None:
    """The bot reads the earlier turns, and after "Clear" none of them; Shift+Enter begins a line,
    Enter sends."""
    seen = page[f"turns_{way}"]

    first = [{"role": "user", "content": "!echo first\nline"}]
    answered = [*first, {"role": "assistant", "content": "first\nline"}]
    assert [
        first,
        [*answered, {"role": "user", "content": "!echo second"}],
        [{"role": "user", "content": "!echo third"}],
    ] == seen["sent"]
    assert (4, 0) == (seen["before"], seen["after"])


@ways
def test_reasoning_is_folded(page: Any, way: str) -> None:
    """It is there for those who unfold it, and no part of the answer."""
    seen = page[f"reasoning_{way}"]

    assert not seen["folded"]
    assert "The answer is weighed." in seen["thoughts"]
    assert ECHO == seen["text"]


@ways
def test_stop_stops_the_bot(page: Any, sim: Sim, way: str) -> None:
    """By the button and by Escape: Poe has heard it, and the next question is answered."""
    seen = page[f"stop_{way}"]

    assert ["Stopped", "Stopped"] == [one.partition(" · ")[0] for one in seen["outcomes"]]
    assert "and on" == seen["next"]
    event = {"cookies": "reply-cancelled", "keys": "reply-aborted"}[way]
    assert until(lambda: 2 == len(sim.journal(event=event)))


@ways
def test_a_failure_in_the_middle_is_shown_behind_what_was_said(page: Any, way: str) -> None:
    """With its code, and the id that the log has."""
    seen = page[f"broken_{way}"]

    assert seen["text"].startswith("1, 2,")
    title, message, request = seen["problem"].split("\n")
    assert ("broke off · bot_failed", True) == (title, bool(message))
    assert request.startswith("request req_")


def test_a_refusal_is_shown_with_its_code(page: Any) -> None:
    """Status, code, message and id, as the server gave them."""
    title, message, request = page["unknown_model"].split("\n")

    assert "HTTP 404 · model_not_found" == title
    assert NOBODY in message
    assert request.startswith("request req_")


def test_any_failure_is_shown(page: Any) -> None:
    """When to come back, a page of nginx, a stream that was cut, a server that is away; and "Try
    again" asks the same once more, in place of what failed."""
    seen = page["refused"]

    assert [
        "HTTP 429 · too_fast\nSlow down.\nrequest req_1 · try again in 17 s",
        "HTTP 502\n502 Bad Gateway nginx",
        "broke off\nThe connection ended before the answer did.\nrequest req_2",
        "The server cannot be reached.",
    ] == [one.strip() for one in seen["problems"]]
    assert "at last" == seen["text"]
    assert seen["turns"][0] == seen["turns"][1]


def test_the_key_stays_in_the_browser_until_it_is_forgotten(page: Any) -> None:
    """After a reload the chat is there; after "Forget the key" nothing is left."""
    seen = page["kept"]

    assert KEY == seen["entered"]["poe-proxy.key"]
    assert [{}, False, ""] == seen["forgotten"]
    assert not seen["after"]


def test_models_are_found(page: Any) -> None:
    """By a part of the name, and by what they make; of ten thousand no more are listed than can be
    read."""
    seen = page["search"]

    assert 200 == seen["all"]["listed"]
    assert re.fullmatch(r"\d+ models; \d+ more: search for them", seen["all"]["count"])
    assert [TALKER] == seen["found"]
    assert [[], True] == [seen["none"][0], seen["none"][1].startswith("0 of ")]
    assert "Painter\ndraws" == seen["drawers"][0]
    assert all(one.endswith("\ndraws") for one in seen["drawers"])
    assert "Painter" == seen["chosen"]


def test_the_language_can_be_switched(page: Any) -> None:
    """To Chinese, in which nothing is left in English; the browser keeps it."""
    seen = page["language"]

    assert "From your programs" == seen["states"][0]
    assert re.fullmatch(r"首字 [\d.]+ 秒 · 共 [\d.]+ 秒 · \d+ → \d+ 个 token", seen["states"][1])
    assert ("你的消息", 0, "zh-CN") == (seen["placeholders"], seen["left"], seen["language"])


def test_a_chinese_browser_reads_chinese(page: Any) -> None:
    """Without asking."""
    assert page["chinese"].startswith("这个服务对外提供")
    assert "This server" not in page["chinese"]


def test_it_is_dark_where_the_system_is(page: Any) -> None:
    """Dark on light, or light on dark."""
    (light, dark_text), (dark, light_text) = (
        [sum(map(int, re.findall(r"\d+", colour))) for colour in style] for style in page["dark"]
    )

    assert light > 600 > 200 > dark_text
    assert dark < 200 < 600 < light_text


def test_on_a_phone_nothing_is_wider_than_the_screen(page: Any) -> None:
    """Not even long words, long code and long names; the list of models is folded until it is
    wanted, and once it was used."""
    seen = page["phone"]

    assert {360} == set(seen["widths"])
    assert [False, False] == seen["picker"]


def test_a_long_answer_scrolls_within_the_chat(page: Any) -> None:
    """The field stays where it is, and the end of the answer is in sight."""
    seen = page["long"]

    assert seen["whole"] > seen["screen"] > seen["height"]
    assert 2 > seen["left"]


def test_without_javascript_it_says_what_it_is(page: Any) -> None:
    """In both languages, with the base URL and a line to paste; there is nothing to press."""
    seen = page["without_javascript"]

    for text in ("answers with Poe accounts", "由 Poe 账号来回答", f"curl -N {page['url']}/v1/"):
        assert text in seen["text"]
    assert 0 == seen["controls"]


def test_what_models_and_bots_say_is_text(page: Any) -> None:
    """Names, answers and errors that are markup are shown as they are; pictures are links. Names
    with odd letters do not get into lines for a shell."""
    seen = page["hostile"]

    assert [HOSTILE, """$(touch x)'"; touch x #""", "plain"] == seen["names"]
    assert f"{HOSTILE} ![x](https://example.org/x.png) javascript:run=1" == seen["text"]
    assert HOSTILE == seen["code"]
    assert [["https://example.org/x.png", "noopener noreferrer"]] == seen["links"]
    assert [f"HTTP 500 · {HOSTILE}", HOSTILE] == seen["problem"].split("\n")[:2]
    assert (0, False) == (seen["made"], seen["ran"])
    assert all("touch" not in one and "img" not in one for one in seen["shells"])


def test_nothing_was_forbidden_and_nothing_failed(page: Any) -> None:
    """In all that was done here, the policy had nothing to report, nor had the scripts."""
    assert [] == page["complaints"]


def test_under_a_path_it_finds_the_server_and_reads_any_pieces(page: Any) -> None:
    """Behind a server that has it under `/poe`, that ends lines with CR and LF, and that hands on
    each byte by itself."""
    seen = page["in_front"]

    assert ECHO == seen["text"]
    assert f"{seen['url']}v1" == seen["base"]
    assert f"curl -N {seen['base']}/chat/completions" in seen["lines"][0]


@pytest.mark.parametrize("scene", ["copy", "copy_over_http"])
def test_what_is_copied_can_be_pasted(page: Any, scene: str) -> None:
    """An answer, a piece of code, a ready line, the base URL: also where there is no https, and so
    no `navigator.clipboard`."""
    seen = page[scene]

    assert {
        "answer": "```js\nlet a = 1;\n```\nThat is all.",
        "code": "let a = 1;",
        "line": page["leaflet"]["lines"][0],
        "base": f"{page['url']}/v1",
    } == seen


# ---- ready lines


def blocks(document: str, address: str) -> list[str]:
    """The blocks of code in a document, for a server at *address* and a key yet to be filled in."""
    text = (ROOT / document).read_text("utf-8")
    text = text.replace("http://localhost:8080", address).replace("sk-demo", "YOUR_KEY")
    found: list[str] = re.findall(r"```\w+\n(.*?)\n```", text, re.DOTALL)
    return found


def test_the_ready_lines_are_those_of_the_documents(page: Any) -> None:
    """What has been tried there is what can be copied here."""
    found = page["lines"]["found"]
    readme, clients, agents = (
        blocks(name, page["url"]) for name in ("README.md", "docs/clients.md", "docs/agents.md")
    )

    assert found["curl"] == [clients[0]]
    install, script = found["Python"]
    assert "pip install openai" == install
    assert script in readme
    config, start = found["Codex"]
    assert config in agents
    assert "export POE_PROXY_KEY=YOUR_KEY\ncodex" == start
    lines, settings = found["Claude Code"]
    (documented,) = (one for one in agents if one.startswith('{\n  "env"'))
    assert settings == documented.replace("Claude-Sonnet-4.6", TALKER)
    assert any(one.split("\n")[:2] == lines.split("\n")[:2] for one in agents)
    assert f"claude --model {TALKER}" == lines.split("\n")[-1]


def test_the_ready_lines_have_the_right_address(page: Any) -> None:
    """With `/v1` where the program does not add it itself."""
    found, url = page["lines"]["found"], page["url"]

    assert f"{url}/v1" == tomllib.loads(found["Codex"][0])["model_providers"]["poe"]["base_url"]
    assert url == orjson.loads(found["Claude Code"][1])["env"]["ANTHROPIC_BASE_URL"]
    assert [f"{url}/v1", "YOUR_KEY"] == found["Open WebUI"]
    assert [url, "YOUR_KEY", TALKER] == found["Cherry Studio"] == found["NextChat"]


def test_the_key_is_in_the_lines_only_for_those_who_want_it(page: Any) -> None:
    """The lines are what people show each other."""
    found, mine = page["lines"]["found"], page["lines"]["mine"]

    assert not any(KEY in text for texts in found.values() for text in texts)
    assert all(KEY in text and "YOUR_KEY" not in text for text in mine.values())
    assert 7 == len(found) == len(mine)


def test_the_programs_can_be_walked_through_by_keys(page: Any) -> None:
    """As a list of tabs is: with arrows, Home and End."""
    assert ["NextChat", "curl", "Python", "NextChat", "curl"] == page["lines"]["walked"]


def test_the_page_is_named_in_the_documents() -> None:
    """Those who read first learn that it is there."""
    for name in ("README.md", "README.zh-CN.md", "docs/clients.md"):
        assert "ROOT_PAGE=0" in Path(ROOT, name).read_text("utf-8")
