"""What the environment and `.env` say, and what is said about mistakes in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from environs import ValidationError

from poe_proxy import configuration, environment
from poe_proxy.environment import number, setting
from poe_proxy.settings import BadSettings, Settings
from poe_proxy.upstreams.poe_web.prompts import check_labels

ENOUGH = {"AuthKey": "sk-secret", "TOKENS": "cookie-secret"}


@pytest.fixture(autouse=True)
def _bare_environment() -> Iterator[None]:
    """Whatever is set where the tests run is not set here."""
    kept = dict(os.environ)
    os.environ.clear()
    yield
    os.environ.clear()
    os.environ.update(kept)


def read(dotenv: Path | None = None, *, checks: Any = None, **variables: str) -> Settings:
    os.environ.update(variables)
    return Settings.from_env(dotenv or Path("no-such-file"), checks=checks)


def problems(*, checks: Any = None, **variables: str) -> dict[str, str]:
    """What is said about each bad variable."""
    with pytest.raises(BadSettings) as refusal:
        read(checks=checks, **variables)
    for name in refusal.value.problems:
        assert f"\n  {name}: " in str(refusal.value)
    return {name: " ".join(why) for name, why in refusal.value.problems.items()}


# ---- what is understood


def test_the_files_with_secrets_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env`, and each file that holds a secret alone; not those of a container, nor others."""
    dotenv, key, tokens, made = (tmp_path / name for name in (".env", "key", "tokens", "made"))
    dotenv.write_text(f"AUTH_KEY_FILE={key}\n")
    for file in (key, tokens, made):
        file.write_text("http://a:b@c:1")
    monkeypatch.setattr(environment, "is_read_only", lambda path: path == made)
    settings = read(
        dotenv, TOKENS_FILE=str(tokens), PROXY_FILE=str(made), POE_WEB_URL_FILE=str(tokens)
    )

    assert (dotenv, key, tokens) == settings.files
    assert () == read(Path("no-such-file"), AuthKey="k", TOKENS_FILE="", TOKENS="a").files


def test_a_key_and_a_token_are_enough() -> None:
    """Everything else has the default that the documentation names."""
    settings = read(**ENOUGH)

    assert Settings(auth_keys=("sk-secret",), tokens=("cookie-secret",)) == settings
    assert {
        "host": "0.0.0.0", "port": 8080, "forwarded_allow_ips": ("127.0.0.1", "::1"),
        "simulate_roles": 0, "role_pattern": "||>{role}-", "role_labels": {},
        "rate_limit": 10, "cool_down": 10.0, "token_concurrency": 1, "api_keys": (),
        "api_rate_limit": 500, "api_concurrency": 50, "points_check": 300.0,
        "queue_timeout": 30.0, "queue_size": 200, "attempts": 4, "timeout": 60.0,
        "state_file": None, "state_cookies": True,
        "max_body_mb": 20.0, "max_bodies_mb": 200.0, "max_streams": 2000,
        "max_work": 0.5, "max_reply_mb": 10.0, "errors_as_text": False, "native_messages": False,
        "delete_chats": False, "long_prompts": "attach", "max_prompt_chars": 0,
        "reuse_chats": False, "strict_parameters": False, "media": "links",
        "models": None, "catalogue": True, "poe_site": None, "discover": True,
        "proxy": None, "tokens_config": None,
        "poe_web_url": "https://poe.com", "poe_ws_url": None,
        "poe_api_url": "https://api.poe.com", "log_level": "INFO",
        "clients": None, "admin_key": None, "root_page": True, "metrics": False,
        "metrics_port": 0, "log_format": "text", "usage_file": None, "usage_days": 30,
        "day_starts": "00:00", "alert_url": None, "alert_format": "json", "alert_every": 3600.0,
        "alert_points": 0, "redis_url": None, "redis_pool": "default", "workers": 1,
    } == {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if field.name not in ("auth_keys", "tokens", "files", "notes")
    }  # fmt: skip


def test_every_variable_has_its_place(tmp_path: Path) -> None:
    """Each variable is read into the field that bears its name."""
    models, site = tmp_path / "models.toml", tmp_path / "site.toml"
    accounts = tmp_path / "accounts.toml"
    models.touch()
    site.touch()
    accounts.touch()

    assert Settings(
        host="127.0.0.1",
        port=9000,
        auth_keys=("a", "b"),
        tokens=("p-b=x; p-lat=y; formkey=z", "t%3D%3D"),
        api_keys=("k1", "k2"),
        tokens_config=accounts,
        simulate_roles=2,
        role_pattern="## {role}",
        role_labels={"user": "Human", "assistant": "AI: 1=2"},
        rate_limit=3,
        cool_down=1.5,
        token_concurrency=4,
        api_rate_limit=5,
        api_concurrency=6,
        queue_timeout=7.5,
        queue_size=8,
        attempts=2,
        timeout=8.5,
        state_file=tmp_path / "state.sqlite3",
        state_cookies=False,
        max_body_mb=0.5,
        max_bodies_mb=0.75,
        max_streams=9,
        errors_as_text=True,
        strict_parameters=True,
        long_prompts="shorten",
        max_prompt_chars=30_000,
        reuse_chats=True,
        media="embed",
        delete_chats=True,
        models=models,
        poe_site=site,
        proxy="socks5h://user:pass@127.0.0.1:1080",
        poe_web_url="http://127.0.0.1:9000",
        poe_ws_url="ws://127.0.0.1:9001",
        poe_api_url="http://127.0.0.1:9000/api",
        log_level="DEBUG",
    ) == read(
        HOST="127.0.0.1",
        PORT="9000",
        AuthKey="a, b",
        TOKENS="p-b=x; p-lat=y; formkey=z, t%3D%3D",
        POE_API_KEYS="k1,k2",
        TOKENS_CONFIG=str(accounts),
        SIMULATE_ROLES="2",
        ROLE_PATTERN="## {role}",
        ROLE_LABELS="user=Human, assistant=AI: 1=2",
        RATE_LIMIT="3",
        COOL_DOWN="1.5",
        TOKEN_CONCURRENCY="4",
        API_RATE_LIMIT="5",
        API_CONCURRENCY="6",
        QUEUE_TIMEOUT="7.5",
        QUEUE_SIZE="8",
        ATTEMPTS="2",
        TIMEOUT="8.5",
        STATE_FILE=str(tmp_path / "state.sqlite3"),
        STATE_COOKIES="0",
        MAX_BODY_MB="0.5",
        MAX_BODIES_MB="0.75",
        MAX_STREAMS="9",
        ERRORS_AS_TEXT="1",
        STRICT_PARAMETERS="1",
        LONG_PROMPTS="shorten",
        MAX_PROMPT_CHARS="30000",
        REUSE_CHATS="1",
        MEDIA="embed",
        DELETE_CHATS="1",
        MODELS=str(models),
        POE_SITE=str(site),
        PROXY="socks5h://user:pass@127.0.0.1:1080",
        POE_WEB_URL="http://127.0.0.1:9000/",
        POE_WS_URL="ws://127.0.0.1:9001/",
        POE_API_URL="http://127.0.0.1:9000/api/",
        LOG_LEVEL="DEBUG",
    )


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "//v1//"])
def test_the_official_api_may_be_given_as_clients_know_it(end: str) -> None:
    """Their base URL ends in /v1; the other addresses are taken as they are."""
    settings = read(**ENOUGH, POE_API_URL=f"http://poe/api{end}", POE_WEB_URL="http://poe/v1")

    assert ("http://poe/api", "http://poe/v1") == (settings.poe_api_url, settings.poe_web_url)


def test_an_api_key_is_enough_too() -> None:
    """Either kind of token will do."""
    assert ("k",) == read(AuthKey="a", POE_API_KEYS="k").api_keys


def test_a_file_of_accounts_is_enough_too(tmp_path: Path) -> None:
    """What is in it is read elsewhere."""
    path = tmp_path / "accounts.toml"
    path.touch()

    assert path == read(AuthKey="a", TOKENS_CONFIG=str(path)).tokens_config


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis", "redis://10.0.0.5:6380/2", "rediss://poe:p%23ss@redis:6379/0",
        "redis://[::1]:6379", "unix:///run/redis.sock", "unix://poe:pass@/run/redis.sock?db=3",
        f"rediss://redis?ssl_ca_certs={__file__}&ssl_cert_reqs=optional&ssl_check_hostname=false",
    ],
)  # fmt: skip
def test_redis_is_where_its_address_says(url: str) -> None:
    """Each form that its client takes, with what it may be told in there."""
    settings = read(**ENOUGH, REDIS_URL=url, REDIS_POOL="team-a_1.x")

    assert (url, "team-a_1.x") == (settings.redis_url, settings.redis_pool)


def test_no_limit_is_zero() -> None:
    """Zero switches a limit off, and is no mistake."""
    settings = read(**ENOUGH, RATE_LIMIT="0", COOL_DOWN="0", QUEUE_TIMEOUT="0")

    assert (0, 0.0, 0.0) == (settings.rate_limit, settings.cool_down, settings.queue_timeout)


@pytest.mark.parametrize(
    ("given", "items"),
    [
        ("one", ("one",)),
        (" one , two ", ("one", "two")),
        ("one,,two,", ("one", "two")),
        ("one,two,one", ("one", "two")),
        ("one,\ntwo\n", ("one", "two")),
        ("one\r\ntwo\n", ("one", "two")),
    ],
    ids=["one", "blanks", "gaps", "twice", "lines", "lines alone"],
)
def test_a_list_is_separated_by_commas_or_lines(given: str, items: tuple[str, ...]) -> None:
    """Blanks around an item, empty items and repetitions do not count."""
    assert (items, items) == (
        read(AuthKey=given, TOKENS=given).auth_keys,
        read(AuthKey=given, TOKENS=given).tokens,
    )


@pytest.mark.parametrize("blank", ["", " ", "\t\n"], ids=["empty", "space", "lines"])
def test_a_blank_variable_is_an_unset_one(blank: str) -> None:
    """`PORT=` in an .env means the default, whatever the type."""
    names = (
        "HOST", "PORT", "POE_API_KEYS", "TOKENS_CONFIG",
        "SIMULATE_ROLES", "ROLE_PATTERN", "ROLE_LABELS", "RATE_LIMIT",
        "COOL_DOWN", "TIMEOUT", "ERRORS_AS_TEXT", "DELETE_CHATS", "MODELS", "POE_SITE", "PROXY",
        "POE_WEB_URL", "POE_WS_URL", "LOG_LEVEL",
    )  # fmt: skip

    assert read(**ENOUGH) == read(**ENOUGH, **dict.fromkeys(names, blank))


def test_the_key_has_two_names() -> None:
    """AUTH_KEY is an alias, where AuthKey is not set, or blank, or the same."""
    assert ("b",) == read(TOKENS="t", AUTH_KEY="b").auth_keys
    assert ("b",) == read(TOKENS="t", AuthKey=" ", AUTH_KEY="b").auth_keys
    assert ("b",) == read(TOKENS="t", AuthKey="b", AUTH_KEY="b").auth_keys


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """`.env` fills in what the environment leaves open, and leaves the environment alone."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "# mine\n"
        "PORT=9000\n"
        "AuthKey=from-file\n"
        "TOKENS=p-b=ab%3D%3D; p-lat=x, 'quoted'\n"
        'ROLE_PATTERN="## {role}:"\n'
        "export COOL_DOWN=2\n"
    )

    settings = read(dotenv, PORT="9001")

    assert (9001, ("from-file",), "## {role}:", 2.0) == (
        settings.port,
        settings.auth_keys,
        settings.role_pattern,
        settings.cool_down,
    )
    assert "p-b=ab%3D%3D; p-lat=x" == settings.tokens[0]
    assert "AuthKey" not in os.environ


def test_a_second_reading_takes_the_file_as_it_is_then(tmp_path: Path) -> None:
    """What the first one read is not left in the environment, which would win."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("AuthKey=one\nTOKENS=a\nCOOL_DOWN=1\n")
    first = read(dotenv)
    tokens = tmp_path / "tokens"
    dotenv.write_text(f"AuthKey=two\nTOKENS_FILE={tokens}\n")
    seen = []
    for text in ("b", "c"):
        tokens.write_text(text)
        seen.append(read(dotenv))

    assert (("one",), ("a",), 1.0) == (first.auth_keys, first.tokens, first.cool_down)
    assert [("two", "b", 10.0), ("two", "c", 10.0)] == [
        (*one.auth_keys, *one.tokens, one.cool_down) for one in seen
    ]


def test_only_the_given_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An .env in a folder above is none of ours."""
    (tmp_path / ".env").write_text("AuthKey=a\nTOKENS=t\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    with pytest.raises(BadSettings):
        Settings.from_env()
    monkeypatch.chdir(tmp_path)
    assert ("t",) == Settings.from_env().tokens


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """TOKENS_FILE and its like name a file that holds the value, as containers mount it."""
    for name, text in (("tokens", "t1,t2\n"), ("key", "k\n"), ("proxy", "http://p:1\n")):
        (tmp_path / name).write_text(text)

    settings = read(
        TOKENS_FILE=str(tmp_path / "tokens"),
        AUTH_KEY_FILE=str(tmp_path / "key"),
        PROXY_FILE=str(tmp_path / "proxy"),
    )

    assert (("t1", "t2"), ("k",), "http://p:1") == (
        settings.tokens,
        settings.auth_keys,
        settings.proxy,
    )


def test_a_byte_order_mark_is_no_part_of_a_value(tmp_path: Path) -> None:
    """What Windows puts in front of a text does not get into a key."""
    (tmp_path / "key").write_text("k\n", encoding="utf-8-sig")

    assert ("k",) == read(TOKENS="t", AuthKey_FILE=str(tmp_path / "key")).auth_keys


def test_a_value_of_the_env_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    """As systemd takes it: a generated key may hold `$`, and is the same key everywhere."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("AuthKey='sk-${HOME}-x'\nTOKENS=a$b\n", encoding="utf-8-sig")

    settings = read(dotenv)

    assert (("sk-${HOME}-x",), ("a$b",)) == (settings.auth_keys, settings.tokens)


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_the_level_of_the_log_is_taken_in_any_case(level: str) -> None:
    assert "DEBUG" == read(**ENOUGH, LOG_LEVEL=level).log_level


def test_settings_are_frozen() -> None:
    """What was read once is not changed later."""
    with pytest.raises(FrozenInstanceError):
        read(**ENOUGH).port = 1


def test_a_setting_is_declared_in_one_place() -> None:
    """One more field is read, checked and kept out of the repr as it declares, and that is all."""

    def below_one(share: float) -> None:
        if share >= 1:
            raise ValidationError("Must be below one.")

    @dataclass(frozen=True, kw_only=True)
    class More(Settings):
        share: float = setting(
            "SHARE",
            number,
            default=0.5,
            check=below_one,
            alias="PART",
            secret=True,
            meaning="New.",
        )

    def share(**variables: str) -> float:
        os.environ.clear()
        os.environ.update(ENOUGH, **variables)
        return More.from_env(Path("no-such-file")).share

    assert (0.5, 0.25, 0.125) == (share(), share(SHARE="0.25"), share(PART="0.125"))
    assert "0.125" not in repr(More(auth_keys=("a",), share=0.125))
    with pytest.raises(BadSettings) as refusal:
        share(SHARE="2")
    assert {"SHARE": ["Must be below one."]} == refusal.value.problems


# ---- mistakes


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_an_env_file_that_is_not_utf_8_is_named(tmp_path: Path, encoding: str) -> None:
    """PowerShell's `>` writes UTF-16; that is said in a line, and not by a traceback."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("AuthKey=clé\nTOKENS=t\n", encoding=encoding)

    with pytest.raises(BadSettings) as refusal:
        read(dotenv)
    assert [str(dotenv)] == list(refusal.value.problems)
    assert "UTF-8" in str(refusal.value)


def test_a_folder_is_no_dotenv(tmp_path: Path) -> None:
    """As Docker makes one where a file to be mounted is missing."""
    (tmp_path / ".env").mkdir()
    with pytest.raises(BadSettings, match="not a readable file"):
        Settings.from_env(tmp_path / ".env")


@pytest.mark.parametrize(
    "line", ["HOST 127.0.0.1", "COOL_DOWN: 30", 'TOKENS="abc", "def"', "DELETE_CHATS"]
)
def test_a_line_of_the_env_file_that_sets_nothing_is_named(tmp_path: Path, line: str) -> None:
    """By its number: who wanted one machine alone is not to be open to the network instead."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# mine\n\nAuthKey=a\nPOE_API_KEYS=k\n\n{line}\nPORT=9000\n")

    with pytest.raises(BadSettings) as refusal:
        read(dotenv)
    assert {str(dotenv): [
        "Line 6 is not NAME=value; a list is one value: TOKENS=abc,def."
    ]} == refusal.value.problems  # fmt: skip


def test_a_file_in_a_closed_folder_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that may not enter a home says so in a line, and not by a traceback."""

    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", closed)

    assert {"MODELS": "/home/x: Cannot be read (Permission denied)."} == problems(
        **ENOUGH, MODELS="/home/x"
    )


@pytest.mark.parametrize("key", ["k 1", "ключ", "k\t1"])
def test_an_api_key_that_no_header_can_hold_is_named(key: str) -> None:
    """It would fail at each request otherwise; the key itself is not repeated."""
    found = problems(AuthKey="a", POE_API_KEYS=f"good,{key}")

    assert ["POE_API_KEYS"] == list(found)
    assert key not in found["POE_API_KEYS"]


def test_a_label_for_a_role_that_there_is_not_is_named() -> None:
    """A slip in ROLE_LABELS would go unseen otherwise."""
    found = problems(
        **ENOUGH, ROLE_LABELS="user=Human,asistant=AI", checks={"ROLE_LABELS": check_labels}
    )

    assert ["ROLE_LABELS"] == list(found)
    assert "asistant" in found["ROLE_LABELS"]
    assert "user=" not in found["ROLE_LABELS"]


def test_all_mistakes_stand_in_one_message() -> None:
    """Nobody has to start the server once for each mistake."""
    found = problems(
        AuthKey="",
        TOKENS="",
        PORT="eighty",
        SIMULATE_ROLES="3",
        ROLE_PATTERN="no place",
        ROLE_LABELS="user",
        RATE_LIMIT="-1",
        COOL_DOWN="soon",
        TIMEOUT="0",
        TOKEN_CONCURRENCY="0",
        DELETE_CHATS="perhaps",
        MODELS="no-such-file.toml",
        PROXY="ftp://proxy",
        POE_WEB_URL="poe.com",
        POE_WS_URL="https://poe.com",
        LOG_LEVEL="loud",
    )

    assert {
        "AuthKey", "TOKENS", "PORT", "SIMULATE_ROLES", "ROLE_PATTERN", "ROLE_LABELS",
        "RATE_LIMIT", "COOL_DOWN", "TIMEOUT", "TOKEN_CONCURRENCY", "DELETE_CHATS", "MODELS",
        "PROXY", "POE_WEB_URL", "POE_WS_URL", "LOG_LEVEL",
    } == found.keys()  # fmt: skip
    assert all(why.endswith(".") for why in found.values())


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("PORT", "0", "greater than or equal to 1"),
        ("PORT", "65536", "65535"),
        ("PORT", "80.5", "integer"),
        ("SIMULATE_ROLES", "-1", "one of: 0, 1, 2"),
        ("MEDIA", "pictures", "one of: links, inline, embed"),
        ("SIMULATE_ROLES", "true", "integer"),
        ("ROLE_PATTERN", "||>-", "{role}"),
        ("ROLE_LABELS", "user=Human,assistant", "user=Human"),
        ("RATE_LIMIT", "1.5", "integer"),
        ("RATE_LIMIT", "-1", "equal to 0"),
        ("COOL_DOWN", "-0.1", "equal to 0"),
        ("COOL_DOWN", "nan", "not permitted"),
        ("QUEUE_TIMEOUT", "inf", "not permitted"),
        ("QUEUE_TIMEOUT", "-1", "equal to 0"),
        ("TIMEOUT", "0", "greater than 0"),
        ("MAX_BODY_MB", "0", "greater than 0"),
        ("MAX_BODIES_MB", "0", "greater than 0"),
        ("MAX_STREAMS", "0", "greater than or equal to 1"),
        ("TOKEN_CONCURRENCY", "0", "equal to 1"),
        ("API_CONCURRENCY", "0", "equal to 1"),
        ("API_RATE_LIMIT", "-1", "equal to 0"),
        ("ERRORS_AS_TEXT", "2", "boolean"),
        ("DELETE_CHATS", "2", "boolean"),
        ("FORWARDED_ALLOW_IPS", "127.0.0.1,nginx", "10.0.0.0/8"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8", "10.0.0.0/8"),
        ("MODELS", ".", "no such file"),
        ("POE_SITE", "none.toml", "no such file"),
        ("STATE_COOKIES", "2", "boolean"),
        ("PROXY", "127.0.0.1:1080", "socks5h://"),
        ("PROXY", "socks4://127.0.0.1:1080", "socks5h://"),
        ("PROXY", "http://", "socks5h://"),
        ("PROXY", "http://proxy:99999", "socks5h://"),
        ("PROXY", "http://proxy:port", "socks5h://"),
        ("PROXY", "http://[::1", "socks5h://"),
        ("REDIS_URL", "10.0.0.5:6379", "redis://"),
        ("REDIS_URL", "http://redis", "redis://"),
        ("REDIS_URL", "redis://", "redis://"),
        ("REDIS_URL", "redis://:pass/word@redis", "%23"),
        ("REDIS_URL", "redis://:pass#word@redis", "%23"),
        ("REDIS_URL", "redis://redis:0", "redis://"),
        ("REDIS_URL", "unix://", "unix:///"),
        ("REDIS_URL", "redis://redis/cache", "a database by its number"),
        ("REDIS_URL", "redis://redis?db=one", "a database by its number"),
        ("REDIS_URL", "REDIS://redis", "redis://"),
        ("REDIS_URL", "redis://redis?ssl_cert_reqs=none", "rediss://"),
        ("REDIS_URL", "unix:///redis.sock?ssl_check_hostname=no", "rediss://"),
        ("REDIS_URL", "rediss://redis?ssl_cert_reqs=maybe", "none, optional, required"),
        ("REDIS_URL", "rediss://redis?ssl_ca_certs=/no/such/file", "ssl_ca_certs in it"),
        ("REDIS_URL", "rediss://redis?ssl_certfile=", "ssl_certfile in it"),
        ("REDIS_URL", "redis://redis?socket_timeout=60", "no other options than db"),
        ("REDIS_POOL", "a:b", "letters, digits"),
        ("REDIS_POOL", "{a}", "letters, digits"),
        ("REDIS_POOL", "a" * 65, "letters, digits"),
        ("POE_WEB_URL", "ws://127.0.0.1", "https://"),
        ("POE_WS_URL", "http://127.0.0.1", "wss://"),
        ("POE_API_URL", "api.poe.com", "https://"),
        ("LOG_LEVEL", "TRACE", "DEBUG"),
        ("TOKENS_FILE", "none.txt", "TOKENS_FILE cannot be read (No such file or directory)."),
        ("AuthKey_FILE", ".", "AuthKey_FILE cannot be read (Is a directory)."),
    ],
)
def test_a_mistake_is_explained(name: str, value: str, why: str) -> None:
    """Each bad value is said to be one, under its variable, and alone."""
    found = problems(**{**ENOUGH, name: value})

    assert [name.removesuffix("_FILE")] == list(found)
    assert why in found[name.removesuffix("_FILE")]


def test_a_state_file_may_be_new_and_is_no_folder(tmp_path: Path) -> None:
    """It is made at the start, and its folder too; a folder in its place is a mistake."""
    assert tmp_path / "a" / "b" == read(**ENOUGH, STATE_FILE=str(tmp_path / "a" / "b")).state_file
    assert {"STATE_FILE": f"{tmp_path}: Must be a file, and is a folder."} == problems(
        **ENOUGH, STATE_FILE=str(tmp_path)
    )


def test_a_secret_file_that_is_not_text_is_said_to_be_so(tmp_path: Path) -> None:
    """A binary file in place of a secret is a mistake like any other."""
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\xfe\x00")

    assert {"TOKENS": f"{path}: TOKENS_FILE cannot be read (it is not text)."} == problems(
        AuthKey="a", TOKENS_FILE=str(path)
    )


@pytest.mark.parametrize("commas", ["", ",", " , ,"])
def test_without_a_key_or_a_token_it_says_what_to_set(commas: str) -> None:
    """Both ways to Poe are named, and an example of a key."""
    found = problems(AuthKey=commas, TOKENS=commas, POE_API_KEYS=commas)

    assert {"AuthKey", "TOKENS"} == found.keys()
    assert "AuthKey=sk-" in found["AuthKey"]
    assert "p-b" in found["TOKENS"]
    assert "POE_API_KEYS" in found["TOKENS"]


def test_no_message_and_no_log_shows_a_secret() -> None:
    """Secrets are neither in what is said of mistakes nor in what settings look like."""
    secrets = {
        "AuthKey": "sk-SECRET,other-SECRET",
        "TOKENS": "p-b=SECRET",
        "POE_API_KEYS": "key-SECRET",
        "PROXY": "http://user:SECRET@proxy:1",
        "REDIS_URL": "redis://user:SECRET@redis",
    }

    assert "SECRET" not in repr(read(**secrets))
    with pytest.raises(BadSettings) as refusal:
        read(**{**secrets, "PROXY": "ftp://user:SECRET@proxy", "PORT": "SECRET"})
    assert "SECRET" not in str(refusal.value)
    assert "SECRET" not in repr(refusal.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RATE_LIMIT", "ten", '"ten" is not a valid integer.'),
        ("COOL_DOWN", "1,5", '"1,5" is not a valid number.'),
        ("ERRORS_AS_TEXT", "perhaps", '"perhaps" is not a valid boolean.'),
        ("SIMULATE_ROLES", "3", '"3" must be one of: 0, 1, 2.'),
        ("ROLE_PATTERN", "none", '"none" must contain {role}, which stands for the name of the '
         "role."),
        ("LOG_LEVEL", "loud", '"loud" must be one of: DEBUG, INFO, WARNING, ERROR.'),
        ("MODELS", "no/such.toml", "no/such.toml: There is no such file."),
        ("COOL_DOWN", "nan", '"nan": Special numeric values (nan or infinity) are not permitted.'),
        ("RATE_LIMIT", "1\n\x1b[31m2\u202e", r'"1\n\x1b[31m2\u202e" is not a valid integer.'),
        ("RATE_LIMIT", "ab " * 40, f'"{"ab " * 20}..." is not a valid integer.'),
    ],
)  # fmt: skip
def test_what_was_read_is_shown(name: str, value: str, said: str) -> None:
    """As it stands, but for what is long or cannot be printed; of a file the path."""
    assert {name: said} == problems(**{**ENOUGH, name: value})


def test_the_place_in_the_env_file_is_shown(tmp_path: Path) -> None:
    """A line for each mistake, wherever it is set; also for what is found by further checks."""
    dotenv, rate = tmp_path / ".env", tmp_path / "rate"
    rate.write_text("ten")
    dotenv.write_text(f"RATE_LIMIT_FILE={rate}\n\nPORT=eight\nTOKENS=a\nPROXY=ftp://u:p@h\n")

    def refuse(value: Any) -> None:
        raise ValueError("No.")

    with pytest.raises(BadSettings) as refusal:
        read(dotenv, TIMEOUT="x", checks={"TOKENS": refuse})

    assert {
        "RATE_LIMIT": [f"The text of {rate} is not a valid integer."],
        "PORT": [f'"eight" is not a valid integer ({dotenv}, line 3).'],
        "TIMEOUT": ['"x" is not a valid number.'],
        "TOKENS": [f"item 1: No ({dotenv}, line 4)."],
        "PROXY": [
            "Must be a URL that begins with http://, https://, socks5://, socks5h://"
            f" ({dotenv}, line 5)."
        ],
    } == {name: why for name, why in refusal.value.problems.items() if name != "AuthKey"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "sk-poe-SECRET"),
        ("RATE_LIMIT", "p-b=SECRET"),
        ("COOL_DOWN", "SECRET0SECRET0SECRET0SECRET0"),
        ("POE_WEB_URL", "ftp://me:SECRET@poe"),
        ("MODELS", "sk-poe-SECRET"),
        ("TIMEOUT", "the-key-of-my-clients"),
        ("TIMEOUT", "key-of-my"),
        ("MODELS", "/home/the-key-of-my-clients"),
        ("TOKENS_FILE", "SECRET"),
        ("TOKENS_FILE", "SE/CRET%3D%3D"),
        ("PROXY", "ftp://me:SECRET@proxy"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(name: str, value: str) -> None:
    """In whichever setting it stands: by its looks, or because another setting has it."""
    given = {"AuthKey": "the-key-of-my-clients", "TOKENS": "cookie-a", name: value}
    said = str(problems(**given))

    assert not [part for part in ("SECRET", "SE/CRET", "key-of") if part in said]


# ---- names that are almost right, and settings that are set twice


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("COOLDOWN", "COOL_DOWN"),
        ("cool_down", "COOL_DOWN"),
        ("COOL_DWON", "COOL_DOWN"),
        ("TOKEN", "TOKENS"),
        ("POE_TOKENS", "TOKENS"),
        ("POE_API_KEY", "POE_API_KEYS"),
        ("API_KEYS", "POE_API_KEYS"),
        ("RATELIMIT", "RATE_LIMIT"),
        ("MODEL", "MODELS"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("TOKEN_FILE", "TOKENS"),
    ],
)
def test_an_almost_right_name_in_the_env_file_is_a_mistake(
    name: str, meant: str, tmp_path: Path
) -> None:
    """It would be ignored otherwise, and nobody would know; its value is not shown."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"AuthKey=k\nTOKENS_CONFIG={dotenv}\n{name}=SECRET\n")

    with pytest.raises(BadSettings) as refusal:
        read(dotenv)
    assert {
        name: [f"There is no such setting; is {meant} meant ({dotenv}, line 3)?"]
    } == refusal.value.problems


@pytest.mark.parametrize("name", ["authkey", "Authkey", "AUTHKEY", "AUTH_KEYS", "Auth_Key"])
@pytest.mark.parametrize("in_file", [True, False])
def test_a_key_under_an_almost_right_name_is_named(
    name: str, in_file: bool, tmp_path: Path
) -> None:
    """Where nothing else has the key, also in the environment: so it is known why it lacks."""
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"TOKENS=t\n{f'{name}=SECRET' if in_file else ''}\n")

    with pytest.raises(BadSettings) as refusal:
        read(dotenv, **({} if in_file else {name: "SECRET"}))
    assert f"{name}: There is no" in str(refusal.value) or f"{name} is set" in str(refusal.value)
    assert "is AuthKey meant" in str(refusal.value)
    assert "AuthKey: Set the key" in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


def test_what_is_set_in_vain_is_noted(tmp_path: Path) -> None:
    """What belongs to others is no mistake. A name is only shown if it can be no value; of the
    environment, which is full of others' names, only the same letters are noted."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("AuthKey=k\nTOKENS=t\nTOKEN=u\nHOST_NAME=me\nabc123def456abc123def456ABC==\n")
    settings = read(dotenv, COOLDOWN="1", API_KEY="x", HOSTNAME="y", PATH="z", MODEL="gpt")

    assert (
        "COOLDOWN is set, and is no setting of poe-proxy; is COOL_DOWN meant?",
        f"{dotenv} sets what is no setting of poe-proxy: TOKEN, HOST_NAME, (no name).",
    ) == settings.notes
    assert () == read(Path("none"), AuthKey="k", TOKENS="t", COOL_DOWN="1").notes


def test_what_is_set_in_vain_is_named_up_to_a_number(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("AuthKey=k\nTOKENS=t\n" + "".join(f"OTHER_{n}=1\n" for n in range(12)))
    (note,) = read(dotenv).notes

    assert note.endswith("OTHER_8, OTHER_9 and 2 more.")


def test_a_system_that_does_not_regard_case_has_no_slips_of_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows has AUTHKEY where AuthKey was set."""
    monkeypatch.setattr(configuration, "REGARDS_CASE", False)

    assert () == read(**ENOUGH, AUTHKEY="sk-secret").notes


@pytest.mark.parametrize(
    ("given", "name", "names"),
    [
        ({"AuthKey": "SECRET-1", "AUTH_KEY": "SECRET-2"}, "AuthKey", "AuthKey and AUTH_KEY"),
        ({"TOKENS": "SECRET-1", "TOKENS_FILE": "."}, "TOKENS", "TOKENS and TOKENS_FILE"),
        ({"AUTH_KEY": "SECRET-1", "AuthKey_FILE": "f"}, "AuthKey", "AuthKey_FILE and AUTH_KEY"),
        ({"COOL_DOWN": "1", "COOL_DOWN_FILE": "f"}, "COOL_DOWN", "COOL_DOWN and COOL_DOWN_FILE"),
    ],
)
def test_a_setting_that_is_set_twice_is_a_mistake(
    given: dict[str, str], name: str, names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either value could be meant, and one would be ignored in silence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("7")
    said = problems(**{"TOKENS": "t", **({} if "AUTH_KEY" in given else {"AuthKey": "k"}), **given})

    assert [name] == list(said)
    assert f"{names} are set, and differ: leave only one of them." in said[name]
    assert "SECRET" not in said[name]


def test_a_setting_that_is_set_twice_alike_is_no_mistake(tmp_path: Path) -> None:
    """As where a container has both."""
    (tmp_path / "tokens").write_text("t\n")

    assert ("t",) == read(AuthKey="k", TOKENS="t", TOKENS_FILE=str(tmp_path / "tokens")).tokens


def test_what_is_wrong_with_all_together_joins_the_message() -> None:
    """It is looked for with those settings that are right by themselves."""
    seen = []

    def look(settings: Settings) -> dict[str, list[str]]:
        seen.append(settings)
        return {"AuthKey": ["It is a cookie."]}

    os.environ.update(ENOUGH, PORT="x")
    with pytest.raises(BadSettings) as refusal:
        Settings.from_env(Path("none"), together=look)

    assert [Settings(auth_keys=("sk-secret",), tokens=("cookie-secret",))] == seen
    assert ["PORT", "AuthKey"] == list(refusal.value.problems)


def test_a_long_list_of_mistakes_ends() -> None:
    """A whole export of a browser, say, in place of a few cookies."""

    def refuse(value: Any) -> None:
        raise ValueError("No.")

    with pytest.raises(BadSettings) as refusal:
        read(AuthKey="k", TOKENS=",".join(map(str, range(300))), checks={"TOKENS": refuse})
    assert ["item 5: No.", "295 more items are wrong."] == refusal.value.problems["TOKENS"][-2:]


# ---- further tests


def test_checks_see_each_item_and_join_the_message() -> None:
    """A check of another module is asked for each token, and its words stand with the rest."""
    seen = []

    def check(value: str) -> None:
        seen.append(value)
        if "bad" in value:
            raise ValueError("This is no p-b cookie.")

    with pytest.raises(BadSettings) as refusal:
        read(checks={"TOKENS": check}, AuthKey="a", TOKENS="good,bad,worse-bad", PORT="x")

    assert ["good", "bad", "worse-bad"] == seen
    assert {
        "PORT": ['"x" is not a valid integer.'],
        "TOKENS": ["item 2: This is no p-b cookie.", "item 3: This is no p-b cookie."],
    } == refusal.value.problems


def test_checks_see_what_was_read(tmp_path: Path) -> None:
    """A check of a file gets its path; of what is not set, nothing is checked."""
    path = tmp_path / "models.toml"
    path.touch()
    seen: list[Any] = []
    checks = {"MODELS": seen.append, "POE_SITE": seen.append, "PROXY": seen.append}

    read(**ENOUGH, checks=checks, MODELS=str(path))

    assert [path] == seen


def test_a_single_value_is_not_called_an_item() -> None:
    """What a check says of one value is passed on as it is."""

    def refuse(value: Any) -> None:
        raise ValueError("No.")

    with pytest.raises(BadSettings) as refusal:
        read(**ENOUGH, checks={"PROXY": refuse}, PROXY="http://proxy")
    assert {"PROXY": ["No."]} == refusal.value.problems


def test_a_variable_that_is_wrong_already_is_not_checked_again() -> None:
    """One mistake is told once."""

    def fail(value: Any) -> None:
        pytest.fail("asked about a value that could not be read")

    with pytest.raises(BadSettings) as refusal:
        read(**ENOUGH, checks={"MODELS": fail}, MODELS="none.toml")
    assert {"MODELS": ["none.toml: There is no such file."]} == refusal.value.problems
