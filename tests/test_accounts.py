"""Which accounts there are: the settings' own, and those of the file that `TOKENS_CONFIG` names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from poe_proxy import accounts
from poe_proxy.accounts import Account
from poe_proxy.settings import BadSettings, Settings

#: Writes a file of accounts, and returns its path.
Write: TypeAlias = Callable[[str], Path]

NEXT = "\n[[account]]\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "accounts.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def settings(path: Path | None = None, **given: Any) -> Settings:
    return Settings(auth_keys=("k",), tokens_config=path, **given)


def read(path: Path | None = None, **given: Any) -> list[Account]:
    return accounts.read(settings(path, **given))


def fault(path: Path) -> str:
    """What is said about the file, the same by whichever way it is read."""
    with pytest.raises(ValueError, match=r"\A(account|The file|[a-z?]+: )") as seen:
        accounts.check(path)
    with pytest.raises(BadSettings) as raised:
        read(path, tokens=("a",))
    assert {"TOKENS_CONFIG": [str(seen.value)]} == raised.value.problems
    return str(seen.value)


# ---- which accounts there are


def test_the_settings_own_accounts_have_the_terms_of_their_kind() -> None:
    """A cookie has RATE_LIMIT, COOL_DOWN and the rank after keys; a key has API_RATE_LIMIT."""
    assert [
        Account(
            kind="cookie",
            credential="p-b=a%3D; p-lat=b",
            secret="a=",
            label="cookie-1",
            proxy="http://p:1",
            rate_limit=3,
            cool_down=4.5,
            concurrency=5,
            rank=1,
        ),
        Account(
            kind="key",
            credential="k1",
            secret="k1",
            label="key-1",
            proxy="http://p:1",
            rate_limit=6,
            concurrency=7,
            rank=0,
        ),
    ] == read(
        tokens=("p-b=a%3D; p-lat=b",),
        api_keys=("k1",),
        proxy="http://p:1",
        rate_limit=3,
        cool_down=4.5,
        token_concurrency=5,
        api_rate_limit=6,
        api_concurrency=7,
    )


def test_what_the_file_leaves_out_is_that_of_the_kind(write: Write) -> None:
    """An account of the file is as one of TOKENS or POE_API_KEYS but for what it says itself."""
    path = write('[[account]]\ncookie = "a"\n[[account]]\nkey = "k"\n')
    given: Any = {"proxy": "http://p:1", "rate_limit": 3, "cool_down": 4.5, "api_rate_limit": 6}

    assert read(tokens=("a",), api_keys=("k",), **given) == read(path, **given)


def test_everything_can_be_said_of_an_account(write: Write) -> None:
    """Each field is that of the account."""
    path = write("""
[[account]]
cookie = "p-b=a%3D%3D; p-lat=b"
label = "anna: 1"
proxy = "socks5h://u:p@10.0.0.7:1080"
rate_limit = 1
rate_window = 90
cool_down = 2.5
per_hour = 3
per_day = 4
jitter = 5
concurrency = 6
bots = ["GPT-5.1", "Claude-Opus-4"]
rank = -7
enabled = true
""")

    assert [
        Account(
            kind="cookie",
            credential="p-b=a%3D%3D; p-lat=b",
            secret="a==",
            label="anna: 1",
            proxy="socks5h://u:p@10.0.0.7:1080",
            rate_limit=1,
            rate_window=90.0,
            cool_down=2.5,
            per_hour=3,
            per_day=4,
            jitter=5.0,
            concurrency=6,
            bots=("GPT-5.1", "Claude-Opus-4"),
            rank=-7,
        )
    ] == read(path)


def test_no_proxy_at_all_is_an_empty_one(write: Write) -> None:
    """One account may go directly, although PROXY is set."""
    assert None is read(write('[[account]]\ncookie="a"\nproxy=""'), proxy="http://p:1")[0].proxy


def test_the_files_come_from_the_folder_of_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path starts there, wherever the server was started; blanks around do not count."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secrets" / "a").write_text("\ufeffp-b=a; p-lat=b\n", "utf-8")
    (tmp_path / "k").write_text(" key-of-mine\n", "utf-8")
    path = write(
        f'[[account]]\ncookie_file = "secrets/a"\n[[account]]\nkey_file = "{tmp_path}/k"\n'
    )
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert ["p-b=a; p-lat=b", "key-of-mine"] == [one.credential for one in read(path)]


@pytest.mark.parametrize(
    ("tokens", "keys", "file", "credentials"),
    [
        pytest.param(["a"], [], ["cookie='b'"], ["a", "b"], id="a union"),
        pytest.param(["a"], ["a"], [], ["a", "a"], id="a cookie is no key"),
        pytest.param(["A==", "p-b=A%3D%3D"], [], [], ["A=="], id="two spellings: the first"),
        pytest.param(["a", "b"], [], ["cookie='p-b=a; x=1'"], ["p-b=a; x=1", "b"], id="the file's"),
        pytest.param([], [], ["cookie='a=='", "cookie='p-b=a%3D='"], ["a=="], id="twice in it"),
        pytest.param(["a", "b"], [], ["cookie='a'\nenabled=false"], ["b"], id="switched off"),
        pytest.param([], ["k", "l"], ["key='l'\nenabled=false"], ["k"], id="a key switched off"),
        pytest.param([], [], ["key='k'"], ["k"], id="the file alone"),
    ],
)
def test_an_account_counts_once(
    tokens: list[str], keys: list[str], file: list[str], credentials: list[str], write: Write
) -> None:
    """Wherever it is named; and if the file names it, the file's line is the one that counts."""
    path = write("".join(NEXT + one for one in file))
    found = read(path, tokens=tuple(tokens), api_keys=tuple(keys))

    assert credentials == [one.credential for one in found]


@pytest.mark.parametrize("given", ["", "[[account]]\ncookie='a'\nenabled=false\n"])
def test_without_any_account_there_is_nothing_to_serve(given: str, write: Write) -> None:
    """A file in which all are switched off, or none is, is not enough; beside others it is."""
    with pytest.raises(BadSettings, match="TOKENS_CONFIG: No account in it is enabled"):
        read(write(given))

    assert ["cookie-1"] == [one.label for one in read(write(given), tokens=("b",))]


# ---- labels


def test_labels_go_by_place_and_step_aside_for_names(write: Write) -> None:
    """No two are the same, whatever the file calls its accounts."""
    path = write(
        "[[account]]\ncookie='c'\nlabel='cookie-2'"
        "\n[[account]]\ncookie='d'\n[[account]]\nkey='k'"
    )  # fmt: skip

    assert ["cookie-1", "cookie-3", "cookie-2", "cookie-4", "key-1"] == [
        one.label for one in read(path, tokens=("a", "b"))
    ]


def test_an_account_keeps_the_label_that_it_had(write: Write) -> None:
    """Another one may have gone; a new one gets a label that none had."""
    before = read(tokens=("a", "b"))
    labels = {one.id: one.label for one in before}

    after = accounts.read(settings(tokens=("b", "c")), labels=labels)
    named = accounts.read(
        settings(write("[[account]]\ncookie='c'\nlabel='cookie-2'"), tokens=("b",)), labels=labels
    )

    assert [("b", "cookie-2"), ("c", "cookie-3")] == [(one.credential, one.label) for one in after]
    assert [("b", "cookie-3"), ("c", "cookie-2")] == [(one.credential, one.label) for one in named]


# ---- what is wrong


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cookie = 'a'\nlabel = ''", "label: Must be a name of at most 50 letters, digits,"),
        ("cookie = 'a'\nlabel = 'a\\nb'", "label: Must be a name"),
        ("cookie = 'a'\nlabel = ' a'", "label: Must be a name"),
        ("cookie = 'a'\nproxy = 'ftp://h'", "proxy: Must be a URL that begins with http://"),
        ("cookie = 'a'\nproxy = 1", "proxy: Must be a text in quotes."),
        ("cookie = 'a'\nrate_limit = -1", "rate_limit: Must be a whole number, 0 or more;"),
        ("cookie = 'a'\nrate_limit = true", "rate_limit: Must be a whole number."),
        ("cookie = 'a'\nrate_limit = '1'", "rate_limit: Must be a whole number."),
        ("cookie = 'a'\nrate_window = 0", "rate_window: Must be more than 0 seconds."),
        ("cookie = 'a'\nrate_window = inf", "rate_window: Must be a number of seconds,"),
        ("cookie = 'a'\ncool_down = -1", "cool_down: Must be a number of seconds, 0 or more."),
        ("cookie = 'a'\ncool_down = nan", "cool_down: Must be a number of seconds, 0 or more."),
        ("cookie = 'a'\nper_hour = 1.5", "per_hour: Must be a whole number."),
        ("cookie = 'a'\nper_day = -1", "per_day: Must be a whole number, 0 or more;"),
        ("cookie = 'a'\njitter = false", "jitter: Must be a number of seconds, 0 or more."),
        ("cookie = 'a'\nconcurrency = 0", "concurrency: Must be a whole number, 1 or more."),
        ("cookie = 'a'\nbots = []", "bots: Must be a list of handles such as"),
        ("cookie = 'a'\nbots = 'GPT'", "bots: Must be a list of handles"),
        ("cookie = 'a'\nbots = ['GPT', 1]", "bots: Must be a list of handles"),
        ("cookie = 'a'\nbots = [' GPT']", "bots: Must be a list of handles"),
        ("cookie = 'a'\nrank = 1.0", "rank: Must be a whole number."),
        ("cookie = 'a'\nenabled = 1", "enabled: Must be true or false."),
        ("cookie = 'a'\ncolour = 1\nsize = 2", "colour, size: No account has such a field."),
        ("cookie = 'a'\nsk-poe-abc = 1", "?: No account has such a field."),
        ("cookie = 'a'\nlabel = 'sk-poe-abc'", "label: It looks like a key, and must be a name"),
        ("label = 'x'", "cookie, cookie_file, key, key_file: One of cookie, cookie_file, key,"),
        ("cookie = 'a'\nkey = 'k'", "cookie, key: One of cookie, cookie_file, key, key_file is"),
        ("cookie = 1", "cookie: Must be a text in quotes."),
        ("cookie = ' '", "cookie: Must be a text in quotes."),
        ("cookie = 'p-lat=a'", "cookie: There is no p-b cookie in it."),
        ("key = 'a b'", "key: Must be one key of printable ASCII."),
        ("key = 'schlüssel'", "key: Must be one key of printable ASCII."),
        ("cookie_file = 'none'", "cookie_file: The file cannot be read (No such file"),
        ("key_file = '.'", "key_file: The file cannot be read (Is a directory)."),
        ("key_file = 'latin'", "key_file: The file is not UTF-8 text."),
        ("key_file = 'two'", "key_file: Must be one key of printable ASCII."),
        ("cookie_file = 'empty'", "cookie_file: It must be a p-b cookie"),
        ("key_file = './none'", "key_file: ./none cannot be read (No such file"),
        ("cookie = 'sk-poe-x1'", "cookie: It looks like a key of Poe's official API,"),
        ("key = 'p-b=x'", "key: It looks like a cookie of poe.com"),
        ("key_file = 'cookie'", "key_file: It looks like a cookie of poe.com"),
        ("cookie = 'https://poe.com'", "cookie: It looks like an address"),
        ("key = 'your-key'", "key: It looks like a placeholder"),
    ],
)  # fmt: skip
def test_a_fault_is_explained(text: str, why: str, write: Write, tmp_path: Path) -> None:
    """By the account's place, the field, and what it must be."""
    (tmp_path / "latin").write_bytes(b"\xe4\n")
    (tmp_path / "two").write_text("one\ntwo\n")
    (tmp_path / "empty").touch()
    (tmp_path / "cookie").write_text("p-b=x\n")
    said = fault(write(NEXT + text))

    assert lines_of(said)[0].partition(", ")[2].startswith(why), said
    assert said.startswith("account 1"), said
    assert 1 == len(lines_of(said))


def lines_of(said: str) -> list[str]:
    return [line.strip() for line in said.splitlines()]


def test_every_fault_stands_in_one_message(write: Write) -> None:
    """Of each account, with its label, so that the file can be mended in one go."""
    said = fault(
        write(
            "[[account]]\nrate_limit = -1\ncool_down = 'x'\nlabel = 'anna'"
            "\n[[account]]\ncookie = 'a'"
            "\n[[account]]\nkey = 'k'\nrank = 'first'\nlabel = 'anna'"
        )
    )

    assert [
        "account 1 (anna), rate_limit",
        "account 1 (anna), cool_down",
        "account 1 (anna), cookie, cookie_file, key, key_file",
        "account 3 (anna), rank",
        "account 3 (anna), label",
    ] == [line.partition(": ")[0] for line in lines_of(said)]
    assert said.endswith("label: Another account is called that.")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[account]\n", "The file is not TOML (at line 1, column 10)."),
        ("a = 'secret'\na = 'secret'\n", "The file is not TOML (at line 2, column 13)."),
        ("[secret.x]\n[secret.x]\n", "The file is not TOML (at line 2, column 10)."),
        ("[[account]]\ncookie = '''", "The file is not TOML"),
        ("[account]\ncookie = 'a'", "account: Must be written [[account]], once for each account."),
        ("account = ['a']", "account: Must be written [[account]]"),
        ("[[accounts]]\ncookie = 'a'", "accounts: Only tables [[account]] are known here,"),
        ("sk-poe-abc = 'a'", "?: Only tables [[account]] are known here,"),
        ("cookie = 'a'", "cookie: Only tables [[account]] are known here,"),
    ],
)
def test_a_file_of_something_else_is_said_to_be_so(text: str, why: str, write: Write) -> None:
    """TOML that is none, with the place; and tables that are not known."""
    assert fault(write(text)).startswith(why)


def test_a_file_that_is_not_text_is_said_to_be_so(tmp_path: Path) -> None:
    """Whatever is in it, and if it is not there at all."""
    (tmp_path / "latin").write_bytes(b"# \xe4\n")

    assert "The file is not UTF-8 text." == fault(tmp_path / "latin")
    assert "The file cannot be read (Is a directory)." == fault(tmp_path)


def test_no_credential_is_shown_anywhere(write: Write, tmp_path: Path) -> None:
    """Neither in what is said about a fault, nor in the repr of an account."""
    (tmp_path / "file").write_text("secret-in-file; x")
    said = fault(
        write(
            NEXT + "cookie = 'p-b=secret-cookie; x'\nproxy = 'secret-proxy'\nrate_limit = 'secret'"
            f"{NEXT}key = 'secret key'{NEXT}cookie_file = 'file'{NEXT}key_file = 'secret-path'"
        )
    )
    text = "[[account]]\ncookie='p-b=secret; p-lat=secret'\nproxy='http://secret:secret@h'"

    assert "secret" not in said
    assert "secret" not in repr(read(write(text), api_keys=("secret",)))


# ---- all together


def test_a_client_s_key_is_none_of_poe_s(write: Write) -> None:
    """Whoever pastes a key of Poe's as AuthKey would give it to each client. It is not repeated."""
    path = write("[[account]]\ncookie = 'p-b=secret%3D%3D'\nlabel = 'anna'\n")
    given = Settings(
        auth_keys=("mine", "secret-key", "secret==", "secret%3D%3D", "p-b=secret%3D%3D"),
        api_keys=("key", "secret-key"),
        tokens_config=path,
    )

    (why,) = accounts.faults(given).values()

    assert [
        "item 2: It is the credential of key-2 (POE_API_KEYS) at Poe",
        *(f"item {n}: It is the credential of anna (TOKENS_CONFIG) at Poe" for n in (3, 4, 5)),
    ] == [one.partition(",")[0] for one in why]
    assert "secret" not in "".join(why)
    assert {} == accounts.faults(Settings(auth_keys=("mine",), api_keys=("key",)))


def test_a_file_without_an_account_in_use_is_a_fault(write: Write) -> None:
    """Of the file, if there is one; where nothing is set at all, that is said elsewhere."""
    path = write("[[account]]\ncookie = 'a'\nenabled = false\n")

    assert ["TOKENS_CONFIG"] == list(accounts.faults(settings(path)))
    assert {} == accounts.faults(settings())


def test_each_account_knows_where_it_is_listed(write: Write) -> None:
    """That is what the operator has to change; the file wins, as in all else."""
    path = write("[[account]]\ncookie = 'b'\n[[account]]\nkey = 'l'\n")

    assert {"a": "TOKENS", "b": "TOKENS_CONFIG", "k": "POE_API_KEYS", "l": "TOKENS_CONFIG"} == {
        one.secret: one.source for one in read(path, tokens=("a", "b"), api_keys=("k",))
    }


# ---- the file itself


def test_the_files_of_credentials_are_known(write: Write) -> None:
    """That of accounts, and those that it names: a relative path starts at its folder."""
    path = write("[[account]]\ncookie_file='a'\n[[account]]\nkey_file='/b'\n[[account]]\nkey='c'\n")

    assert [path, path.parent / "a", Path("/b")] == accounts.files(path)


@pytest.mark.parametrize("text", ["", "account = 1", "[[account]]\nkey_file=1\n", "]"])
def test_a_file_with_faults_is_a_file_of_credentials_too(text: str, write: Write) -> None:
    """What is wrong with it is said elsewhere."""
    path = write(text)

    assert [path] == accounts.files(path)


# ---- ids


def test_an_id_is_that_of_the_account() -> None:
    """The same in any spelling and beside any other cookie; another for another kind."""
    one, other, key = read(tokens=("p-b=a%3D; p-lat=1", "b"), api_keys=("a=",))
    again = read(tokens=("a=",))[0]

    assert one.id == again.id
    assert 3 == len({one.id, other.id, key.id})
    assert 16 == len(one.id)
