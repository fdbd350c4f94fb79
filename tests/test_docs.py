"""The documents say what the code does."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from openai.types import completion_create_params as text_params
from openai.types import image_edit_params, image_generate_params
from openai.types.audio import speech_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params

from docs import write_settings
from poe_proxy import __version__, accounts, errors, menu
from poe_proxy.apis.chat_completions.parsing import chat_request
from poe_proxy.chat import Message, TextPart
from poe_proxy.clients import file as clients
from poe_proxy.command import COMMANDS
from poe_proxy.environment import declared
from poe_proxy.menu import Menu
from poe_proxy.models import Models
from poe_proxy.settings import Settings
from poe_proxy.upstreams.catalogue import Catalogue
from poe_proxy.upstreams.poe_api import asking
from poe_proxy.upstreams.poe_web import Site
from poe_proxy.upstreams.poe_web.prompts import Prompt, RoleMode

from .clients.test_clients import ALL_CLIENTS

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh-CN.md")
#: What each page of docs/ is about.
CLIENTS, SETTINGS, MODELS = "docs/clients.md", "docs/settings.md", "docs/models.md"
ERRORS, DESIGN, STATUS = "docs/errors.md", "docs/design.md", "docs/status.md"
CHANGES = "docs/when-poe-changes.md"


def _documents() -> Iterator[str]:
    """Every Markdown file of the project, and none of what is installed in its folder."""
    for folder, inner, files in os.walk(ROOT):
        inner[:] = [name for name in inner if name[0] != "." and name != "node_modules"]
        for name in files:
            if name.endswith(".md"):
                yield Path(folder, name).relative_to(ROOT).as_posix()


DOCUMENTS = sorted(_documents())


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a document that are written in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(name), re.DOTALL | re.MULTILINE)


def rows(name: str, table: str = "") -> Iterator[list[str]]:
    """The rows of the tables of a document, or of the *table* with this mark, as cells."""
    text = text_of(name)
    if table:
        text = text.partition(f"<!-- {table} -->\n")[2].partition("\n\n")[0]
    for line in text.splitlines():
        if line.strip().startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            yield [cell.strip().replace("\\|", "|") for cell in cells]


def code(cell: str) -> str:
    """What stands in backticks in a cell; "" if nothing does."""
    found = re.search(r"`([^`]+)`", cell)
    return found[1] if found else ""


# ---- settings


DEFAULTS = {one.name: write_settings.default_of(field) for field, one in declared(Settings)}
ALIASES = [one.alias for _, one in declared(Settings) if one.alias]


def _env_example() -> list[tuple[str, str]]:
    return re.findall(r"^#?([A-Za-z][A-Za-z_]*)=(.*)$", text_of(".env.example"), re.MULTILINE)


def test_every_field_declares_its_variable_and_its_default() -> None:
    """The fields of Settings and the variables are the same, one for one; `files` says where their
    values are from, and `notes` what had none."""
    assert len(Settings.__dataclass_fields__.keys() - {"files", "notes"}) == len(DEFAULTS)
    assert {"AuthKey": "", "PORT": "8080", "COOL_DOWN": "10", "DELETE_CHATS": "0"}.items() <= (
        DEFAULTS.items()
    )
    assert ["AUTH_KEY"] == ALIASES


def test_the_documents_list_the_settings_as_they_are_declared() -> None:
    """`make docs` would change neither .env.example nor docs/settings.md."""
    assert write_settings.env_example() == text_of(".env.example")
    assert write_settings.page(text_of("docs/settings.md")) == text_of("docs/settings.md")


def test_env_example_has_every_setting_once_at_its_default() -> None:
    """.env.example and settings.py name the same variables and the same defaults."""
    given = _env_example()

    assert DEFAULTS == dict(given)
    assert len(DEFAULTS) == len(given)


def test_env_example_filled_in_is_the_default_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of .env.example can be opened without changing anything."""
    for name in [*DEFAULTS, *ALIASES]:
        for variable in (name, f"{name}_FILE"):
            monkeypatch.delenv(variable, raising=False)
    needed = {"AuthKey": "sk-some-key", "TOKENS": "some-cookie"}
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "\n".join(f"{name}={needed.get(name, value)}" for name, value in _env_example()), "utf-8"
    )

    settings = Settings.from_env(dotenv)

    assert Settings(auth_keys=("sk-some-key",), tokens=("some-cookie",)) == settings


def _table_of_settings(name: str) -> list[tuple[str, str]]:
    return [(code(row[0]), code(row[1])) for row in rows(name, "settings") if code(row[0])]


def test_the_table_of_settings_is_complete() -> None:
    """docs/settings.md has every setting once, with its default, and every alias."""
    table = _table_of_settings(SETTINGS)

    assert DEFAULTS == dict(table)
    assert len(DEFAULTS) == len(table)
    for alias in ALIASES:
        assert f"`{alias}`" in text_of(SETTINGS)


@pytest.mark.parametrize("name", READMES)
def test_a_readme_has_the_settings_that_most_people_touch(name: str) -> None:
    """Ten of them, at their defaults; what nothing can be started without is among them."""
    table = _table_of_settings(name)

    assert 10 == len(dict(table)) == len(table)
    assert set(table) <= set(DEFAULTS.items())
    assert {"AuthKey", "TOKENS", "POE_API_KEYS"} <= dict(table).keys()


# ---- the fields of a request

CHAT_FIELDS = (
    completion_create_params.CompletionCreateParamsStreaming.__annotations__.keys()
    | completion_create_params.CompletionCreateParamsNonStreaming.__annotations__.keys()
)


def test_every_field_of_openai_s_chat_has_its_row() -> None:
    """docs/clients.md says of each field once, and for both ways to Poe, what becomes of it."""
    table = [row for row in rows(CLIENTS, "fields") if "`" in row[0]]
    named = [field for row in table for field in re.findall(r"`([^`]+)`", row[0])]

    assert {"model", "messages", "stream", "tools", "top_p"} <= CHAT_FIELDS
    assert set() == CHAT_FIELDS - set(named)
    assert all(3 == len(row) and row[1] and row[2] for row in table)
    for field in CHAT_FIELDS - {"messages"}:  # which has a row for its parts, too
        assert 1 == named.count(field), field


#: The tables of docs/clients.md for other requests, and the fields that these have.
OTHER_FIELDS = {
    "completions": {"stream", *text_params.CompletionCreateParamsBase.__annotations__},
    "speech": {*speech_create_params.SpeechCreateParams.__annotations__},
    "images": {"stream", *image_generate_params.ImageGenerateParamsBase.__annotations__},
    "edits": {*image_edit_params.ImageEditParamsBase.__annotations__}
    - {*image_generate_params.ImageGenerateParamsBase.__annotations__},
}


_FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
#: A value for each field that asks for something.
VALUES: dict[str, object] = {
    "messages": [{"role": "user", "content": "x"}], "model": "Bot", "stream": True,
    "stream_options": {"include_usage": True}, "max_tokens": 5, "max_completion_tokens": 5,
    "stop": ["x"], "tools": [{"type": "function", "function": _FUNCTION}], "tool_choice": "auto",
    "parallel_tool_calls": False, "response_format": {"type": "json_object"}, "temperature": 1,
    "top_p": 1, "reasoning_effort": "low", "verbosity": "low", "audio": {"voice": "alloy"},
    "frequency_penalty": 1, "presence_penalty": 1, "logit_bias": {"1": 1}, "metadata": {"a": "b"},
    "moderation": {}, "prediction": {"type": "content", "content": "x"}, "prompt_cache_key": "k",
    "prompt_cache_options": {}, "prompt_cache_retention": "24h", "safety_identifier": "s",
    "seed": 1, "service_tier": "auto", "store": True, "user": "u", "web_search_options": {},
    "modalities": ["text", "audio"], "n": 2, "logprobs": True, "top_logprobs": 2,
    "functions": [_FUNCTION], "function_call": "auto",
}  # fmt: skip


def _becomes_of(field: str) -> str:
    """What docs/clients.md says first of a field sent with an API key."""
    for row in rows(CLIENTS, "fields"):
        if f"`{field}`" in row[0]:
            return row[1].replace(",", ":").replace(";", ":").partition(":")[0].split()[0]
    raise AssertionError(field)


@pytest.mark.parametrize("field", sorted(CHAT_FIELDS))
def test_what_the_table_says_of_a_field_is_so(field: str) -> None:
    """A field that is said to be passed on is sent to Poe, one that is ignored is not, and one
    that is refused is refused."""
    value = VALUES[field]
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], field: value}
    if field in ("tool_choice", "parallel_tool_calls"):
        body["tools"] = VALUES["tools"]
    says = _becomes_of(field)

    if says == "refused":
        with pytest.raises(errors.InvalidRequest) as refusal:
            chat_request(json.dumps(body).encode())
        assert field == refusal.value.param
        return
    chat, _ = chat_request(json.dumps(body).encode())
    sent = asking.request(chat, "Bot", stream=True)
    # Poe takes either name of the limit.
    name = "max_tokens" if field == "max_completion_tokens" else field
    assert says in ("passed", "ignored", "done")
    if says != "done":
        assert (says == "passed") == (name in sent)


RESPONSE_FIELDS = (
    response_create_params.ResponseCreateParamsStreaming.__annotations__.keys()
    | response_create_params.ResponseCreateParamsNonStreaming.__annotations__.keys()
)


def test_every_field_of_openai_s_responses_has_its_row() -> None:
    """docs/clients.md says of each field once what becomes of it, and of no other."""
    named = [
        field for row in rows(CLIENTS, "responses") for field in re.findall(r"`([^`]+)`", row[0])
    ]

    assert {"model", "input", "tools"} <= RESPONSE_FIELDS
    # Codex sends one that the types do not have.
    assert RESPONSE_FIELDS | {"client_metadata"} == set(named)


@pytest.mark.parametrize(("table", "fields"), OTHER_FIELDS.items())
def test_every_field_of_openai_s_other_requests_has_its_row(table: str, fields: set[str]) -> None:
    """docs/clients.md says of each field, once, what becomes of it."""
    named = [name for row in rows(CLIENTS, table) for name in re.findall(r"`(\w+)`", row[0])]

    assert fields <= set(named)
    assert len(named) == len(set(named))


# ---- the list of promises


def test_every_promise_names_tests_that_exist() -> None:
    """tests/README.md has a row for each line, by its number, and each test that it names is there:
    `file::function`."""
    lines = [row for row in rows("tests/README.md") if row[0].isdigit()]

    assert len(lines) >= 16
    assert [str(number) for number in range(1, 1 + len(lines))] == [row[0] for row in lines]
    for number, _, tests in lines:
        names = re.findall(r"`([^`]+)`", tests)
        assert names, number
        for test in names:
            path, _, function = test.partition("::")
            source = (ROOT / "tests" / path).read_text("utf-8")
            assert re.search(rf"^def {function}\(", source, re.MULTILINE), test


def test_every_table_of_cases_is_where_it_is_said_to_be() -> None:
    """Each file that tests/README.md names as the place of a table is there."""
    named = [
        path
        for row in rows("tests/README.md", "tables")
        for path in re.findall(r"`([\w/]+\.py)`", row[1])
    ]

    assert "apis/chat_completions/test_parsing.py" in named
    assert [] == [path for path in named if not (ROOT / "tests" / path).exists()]


# ---- models, routes, errors, roles


def test_the_example_of_a_model_file_loads() -> None:
    """docs/models.example.toml is a model file, and does what its comments say."""
    models = Models.load(ROOT / "docs" / "models.example.toml")
    listed = [entry["id"] for entry in Menu(models, Catalogue()).entries()]

    assert ["gpt-4", "gpt-4o", "sonnet"] == listed[:3]
    assert "my-own-bot" in listed
    assert "google-palm" not in listed
    assert models.resolve("gpt-3.5-turbo-16k") is None
    for name, bot, kind in [
        ("GPT-4", "GPT-5.1", None),
        ("sonnet-by-key", "Claude-Sonnet-4.5", "key"),
        ("my-own-bot", "Your-Private-Bot", "cookie"),
        ("Some-Other-Bot", "Some-Other-Bot", None),
    ]:
        route = models.resolve(name)
        assert route is not None
        assert (bot, kind) == (route.bot, route.kind)


def test_the_example_of_a_file_of_accounts_loads(tmp_path: Path) -> None:
    """docs/accounts.example.toml shows every field, and means what its comments say, once its
    placeholders are filled in."""
    path = tmp_path / "accounts.toml"
    path.write_text(text_of("docs/accounts.example.toml").replace("your-", "my-"), "utf-8")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "ben").write_text("bens-cookie\n")
    (tmp_path / "secrets" / "ben.key").write_text("bens-key\n")
    tables = tomllib.loads(path.read_text("utf-8"))["account"]

    found = accounts.read(Settings(auth_keys=("k",), tokens_config=path, proxy="http://p:1"))

    assert accounts.FIELDS == {name for table in tables for name in table}
    assert [("cookie", "anna", 1), ("cookie", "cookie-1", 2), ("key", "key-1", 0)] == [
        (one.kind, one.label, one.rank) for one in found
    ]
    assert ("p-b=my-cookie; p-lat=my-other-cookie", "bens-cookie", "my-key") == tuple(
        one.credential for one in found
    )


def test_the_example_of_a_file_of_clients_loads(tmp_path: Path) -> None:
    """docs/clients.example.toml shows every field, and means what its comments say, once its
    placeholder is filled in; as it is, nobody can use the key in it."""
    example = text_of("docs/clients.example.toml")
    path = tmp_path / "clients.toml"
    path.write_text(example, "utf-8")
    with pytest.raises(ValueError, match=r"clients\.alice, key: It looks like a placeholder"):
        clients.check(path)
    path.write_text(example.replace("your-", "my-"), "utf-8")
    tables = tomllib.loads(path.read_text("utf-8"))["clients"].values()

    found = {one.name: one for one in clients.read(Settings(auth_keys=(), clients=path))}

    assert clients.FIELDS == {name for table in tables for name in table}
    assert ["alice", "ci"] == list(found)
    alice, ci = found.values()
    assert alice.permission.allows(("GPT-5.1",))
    assert not alice.permission.allows(("Claude-Opus-4.5",))
    assert (2, False, {"anna", "key-1"}) == (ci.priority, ci.enabled, ci.accounts)


def test_the_clients_in_the_page_of_keys_are_a_file_of_clients(tmp_path: Path) -> None:
    """The examples can be pasted, and their placeholders filled in."""
    for place, example in enumerate(blocks("docs/keys.md", "toml")):
        path = tmp_path / f"{place}.toml"
        path.write_text(example.replace("your-", "my-"), "utf-8")
        clients.check(path)

    assert blocks("docs/keys.md", "toml")


def test_the_accounts_in_the_settings_page_are_a_file_of_accounts(tmp_path: Path) -> None:
    """The example can be pasted, and its placeholder filled in."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "anna").write_text("annas-cookie\n")
    for place, example in enumerate(blocks(SETTINGS, "toml")):
        path = tmp_path / f"{place}.toml"
        path.write_text(example.replace("your-", "my-"), "utf-8")
        accounts.check(path)

    assert blocks(SETTINGS, "toml")


def test_the_examples_of_a_site_file_load(tmp_path: Path) -> None:
    """Each entry that docs/when-poe-changes.md shows counts once it is in a file on top."""
    built_in = Site.load()
    for place, example in enumerate(blocks(CHANGES, "toml")):
        path = tmp_path / f"{place}.toml"
        path.write_text(example, "utf-8")
        entries = [
            f"{table}.{key}" for table, keys in tomllib.loads(example).items() for key in keys
        ]
        site = Site.load(path)

        assert entries == [name for name, one in site.evidence.items() if one.is_own]
        assert set(entries) <= built_in.evidence.keys()

    assert len(blocks(CHANGES, "toml")) >= 5


def test_how_to_find_a_hash_is_said_of_every_operation() -> None:
    """docs/when-poe-changes.md has a row for each that the site file has, and for no other."""
    described = [code(row[0]) for row in rows(CHANGES) if row[0].startswith("`") and len(row) == 2]

    assert set(Site.load().operations) == {one for one in described if one != "site.toml"}


def test_the_table_of_models_is_the_built_in_one() -> None:
    """docs/models.md leads every built-in name to the bot that the program leads it to."""
    given = {
        model: code(row[1])
        for row in rows(MODELS)
        if len(row) == 2
        for model in re.findall(r"`([^`]+)`", row[0])
        if model in Models.load().names
    }

    assert {model: route.bot for model, route in Models.load().names.items()} == given


def test_every_prefix_that_is_left_out_is_described() -> None:
    """docs/models.md names the providers whose names may stand before a bot's."""
    (said,) = re.findall(r"provider is left out here:(.*?)\n\n", text_of(MODELS), re.DOTALL)

    assert set(re.findall(r"`([^`]+)/`", said)) == menu._PREFIXES


def test_toml_examples_are_model_files(tmp_path: Path) -> None:
    """The model files in docs/models.md load."""
    for place, example in enumerate(blocks(MODELS, "toml")):
        path = tmp_path / f"{place}.toml"
        path.write_text(example, "utf-8")
        Models.load(path)

    assert blocks(MODELS, "toml")


def test_every_sub_command_is_described() -> None:
    """docs/command.md has a section for each, in the order of the help."""
    sections = re.findall(r"^## (.*)$", text_of("docs/command.md"), re.MULTILINE)

    assert ["Getting it", *COMMANDS] == sections


def test_every_route_is_described() -> None:
    """The table in docs/clients.md has each route of the blueprints; that in docs/status.md has
    those of whoever runs the server."""
    routes = [
        route
        for path in (ROOT / "poe_proxy" / "server").rglob("*.py")
        for route in re.findall(
            r'^@bp\.(get|post)\("([^"]+)"\)', path.read_text("utf-8"), re.MULTILINE
        )
    ]
    described = {code(row[0]) for name in (CLIENTS, STATUS) for row in rows(name)}
    both_ways = {route.replace(" /v1/", " /") for route in described}

    assert routes
    for method, path in routes:
        route = f"{method.upper()} {re.sub('<[^>]+>', '{id}', path)}"
        assert route in described | both_ways


def _failures(base: type[errors.PoeProxyError]) -> Iterator[type[errors.PoeProxyError]]:
    for failure in base.__subclasses__():
        yield failure
        yield from _failures(failure)


def _codes_of_their_own() -> Iterator[tuple[str, str, str]]:
    """Status, type and code where a failure is raised with another code than its class has."""
    for path in (ROOT / "poe_proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), keywords=keywords):
                    failure = getattr(errors, name, None)
                    codes = [one.value for one in keywords if one.arg == "code"]
                    for word in (word for code in codes for word in ast.walk(code)):
                        if failure and isinstance(word, ast.Constant) and word.value:
                            yield str(failure.status), failure.type, str(word.value)


def test_every_error_is_described() -> None:
    """The table in docs/errors.md has status, type and code of every failure that can be raised,
    and none that cannot."""
    described = {(row[0], code(row[1]), code(row[2])) for row in rows(ERRORS) if len(row) == 4}
    raised = {
        (str(failure.status), failure.type, failure.code)
        for failure in _failures(errors.PoeProxyError)
        if failure is not errors.UpstreamError and failure.__module__ == errors.__name__
    }
    raised |= set(_codes_of_their_own())

    assert ("502", "upstream_error", "tool_call_invalid") in raised
    assert raised == {row for row in described if row[0].isdigit()}


def test_the_limits_are_those_of_the_code() -> None:
    """Each figure in docs/limits.md that names a constant is the value of that constant."""
    told, held = {}, {}
    for row in rows("docs/limits.md"):
        if len(row) == 3 and re.fullmatch(r"`[a-z_.]+\.[A-Z_]+`", row[2]):
            module, _, name = code(row[2]).rpartition(".")
            told[code(row[2])] = float(row[1].replace(",", ""))
            held[code(row[2])] = getattr(importlib.import_module(f"poe_proxy.{module}"), name)

    assert len(told) > 20
    assert held == told


def test_the_texts_of_simulated_roles_are_exact() -> None:
    """docs/clients.md shows what is really sent for its example of a conversation."""
    (conversation,) = blocks(CLIENTS, "json")
    messages = tuple(
        Message(role=one["role"], content=(TextPart(one["content"]),))
        for one in json.loads(conversation)
    )
    chat, _ = chat_request(b'{"model": "m", "messages": [{"role": "user", "content": "x"}]}')
    chat = type(chat)(model=chat.model, messages=messages)
    shown = blocks(CLIENTS, "text")

    assert Prompt(RoleMode.OFF)(chat) + "\n" in shown
    assert Prompt(RoleMode.ON)(chat) in shown


# ---- examples, links, architecture


@pytest.mark.parametrize("name", [*READMES, CLIENTS])
def test_curl_examples_are_well_formed(name: str) -> None:
    """Each curl example is one command line, and its body a chat request that we take."""
    examples = [block for block in blocks(name, "bash") if block.startswith("curl")]
    assert examples

    for example in examples:
        words = shlex.split(example.replace("\\\n", " "))
        assert 1 == words.count("curl")
        assert any(word.startswith("http://localhost:8080/") for word in words)
        for flag, body in pairwise(words):
            if flag in ("-d", "--data"):
                chat_request(body.encode())


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if blocks(name, "python")])
def test_python_examples_compile(name: str) -> None:
    """Each Python example is Python."""
    for example in blocks(name, "python"):
        compile(example, name, "exec")


def _anchor(heading: str) -> str:
    words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return words.replace(" ", "-")


def _prose(text: str) -> str:
    """*text* without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def _links(name: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", _prose(text_of(name)))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """Of every document: files that are linked exist, and so do the headings."""
    for link in _links(name):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", _prose(target.read_text("utf-8")), re.MULTILINE)
            assert anchor in map(_anchor, headings), link


@pytest.mark.parametrize("name", READMES)
def test_every_page_of_the_docs_is_linked(name: str) -> None:
    """A README leads to each page of docs/, itself or by way of docs/design.md."""
    links = {link.partition("#")[0] for link in _links(name)}
    links |= {f"docs/{link.partition('#')[0]}" for link in _links(DESIGN)}

    assert set() == {page for page in DOCUMENTS if page.startswith("docs/")} - links


def _drawn(tree: str) -> Iterator[str]:
    """The paths of modules and packages that *tree* draws beneath `poe_proxy/`."""
    above: list[str] = []
    for line in tree.partition("poe_proxy/\n")[2].splitlines():
        if not line.startswith("    "):
            return
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 4 - 1
        above = [*above[:depth], name.rstrip("/")]
        yield "/".join(above)


def _layers_of(lines: list[str]) -> list[set[str]]:
    return [set(re.split(r"\s*\|\s*", line.strip())) for line in lines]


def test_the_rows_of_the_architecture_are_those_that_are_checked() -> None:
    """The picture in docs/design.md is the contract of import-linter."""
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one.get("containers") == ["poe_proxy"]]
    drawn = re.search(r"<!-- layers -->\n+```text\n(.*?)^```$", text_of(DESIGN), re.S | re.M)

    assert drawn
    assert _layers_of(contract["layers"]) == _layers_of(drawn[1].splitlines())


def test_every_module_is_in_the_picture_of_the_house() -> None:
    """The tree in docs/design.md has each room of poe_proxy two levels deep, and no other."""
    (tree,) = [block for block in blocks(DESIGN, "text") if "poe_proxy/\n" in block]
    package = ROOT / "poe_proxy"
    modules = [path.relative_to(package) for path in package.rglob("*.py")]
    there = {
        str(path.parent if path.name == "__init__.py" else path)
        for path in modules
        if len(path.parts) - (path.name == "__init__.py") in (1, 2)
    }

    assert there == set(_drawn(tree))
    for outside in re.findall(r"^(\w[\w.]*/?) ", tree, re.MULTILINE):
        assert os.path.exists(ROOT / outside), outside


@pytest.mark.parametrize("name", [DESIGN, "CONTRIBUTING.md"])
def test_the_homes_of_changes_are_there(name: str) -> None:
    """Each file and folder that a table of homes names is there, in poe_proxy or beside it."""
    homes = [
        path
        for row in rows(name, "homes")
        for path in re.findall(r"`([\w./-]+(?:/|\.\w+))`", row[1])
    ]

    assert {"chat.py", "errors.py", "pool/limits.py"} <= set(homes)
    assert [] == [
        path
        for path in homes
        if not any((top / path).exists() for top in (ROOT, ROOT / "poe_proxy"))
    ]


# ---- habits


def test_what_runs_before_a_commit_is_what_make_lint_runs() -> None:
    """Each command of `make lint` is a hook, and each hook one of its commands."""
    recipe = text_of("Makefile").partition("\nlint:")[2].partition("\n\n")[0]
    commands = re.findall(r"^\t@(.*)$", recipe.replace("$(BIN)", ".venv/bin"), re.MULTILINE)
    entries = re.findall(r"^ +entry: (.*)$", text_of(".pre-commit-config.yaml"), re.MULTILINE)

    assert commands
    assert commands == [re.sub(r"^sh -c '(.*)'$", r"\1", entry) for entry in entries]


def test_make_says_what_can_be_made() -> None:
    """`make`, by itself, names every target."""
    text = text_of("Makefile").replace("\\\n", " ")
    targets = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    named = re.findall(r"[\w-]+", text.partition("\nhelp:")[2].partition("\n\n")[0])

    assert {"run", "test", "test-fast", "check", "bench", "docs"} <= set(targets)
    assert [] == [target for target in targets if target not in named and target != "help"]


def test_the_version_is_the_same_wherever_it_stands() -> None:
    """pyproject.toml, the package and the changelog name one version; openapi.json has a test of
    its own."""
    assert __version__ == tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert re.search(rf"\b{re.escape(__version__)}\b", text_of("CHANGELOG.md"))


def test_the_table_of_clients_has_the_scenes_that_each_plays() -> None:
    """tests/README.md says of each client in tests/clients what it can do."""
    (client, *scenes), _, *found = rows("tests/README.md", "clients")

    assert "Client" == client
    assert {f"`{name}`": set(played.split()) for name, played in ALL_CLIENTS.items()} == {
        name: {scene.strip("`") for scene, has in zip(scenes, cells, strict=True) if has}
        for name, *cells in found
    }
