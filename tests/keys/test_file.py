"""The file of clients: what it says, and what is said of what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from poe_proxy.clients import Client, Limits, Permission
from poe_proxy.clients import file as clients
from poe_proxy.settings import BadSettings, Settings

#: Writes a file of clients, and returns its path.
Write: TypeAlias = Callable[[str], Path]

KEY = "sk-alice-123456"
ALICE = f'[clients.alice]\nkey = "{KEY}"\n'
#: A key without anything in front.
OPAQUE = "Zm9vYmFyYmF6cXV4cXV1eGNvcmdl7"
BOB = '[clients.bob]\nkey = "sk-bob-12345678"\n'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "clients.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def settings(path: Path | None, **given: Any) -> Settings:
    return Settings(**{"auth_keys": (), "clients": path, **given})


def fault(path: Path) -> str:
    """What is said about the file, the same by whichever way it is read."""
    with pytest.raises(ValueError, match=r"\A(clients|The file|[a-z?]+: )") as seen:
        clients.check(path)
    with pytest.raises(BadSettings) as raised:
        clients.read(settings(path))
    assert {"CLIENTS": [str(seen.value)]} == raised.value.problems
    assert KEY not in str(seen.value)
    assert OPAQUE not in str(seen.value)
    return str(seen.value)


def faults(path: Path, **given: Any) -> dict[str, list[str]]:
    secrets = {"poe-credential": "anna"}
    return clients.faults(settings(path, **given), labels={"anna", "ben"}, secrets=secrets)


def test_everything_can_be_said_of_a_client(write: Write) -> None:
    """Each field is that of the client; a date is the last day of its key."""
    path = write(
        ALICE + 'models = ["GPT-5*", "Claude-Sonnet-4.5"]\nnot_models = ["*pro*"]\n'
        "per_minute = 1\nat_a_time = 2\nper_day = 3\ntokens_per_day = 4\npoints_per_day = 5\n"
        "points_per_month = 6\npriority = 9\nuntil = 2026-12-31\naccounts = ['anna', 'ben']\n"
        "enabled = false\n"
    )

    assert Client(
        name="alice",
        limits=Limits(
            per_minute=1,
            at_a_time=2,
            per_day=3,
            tokens_per_day=4,
            points_per_day=5,
            points_per_month=6,
        ),
        permission=Permission(("gpt-5*", "claude-sonnet-4.5"), ("*pro*",)),
        accounts=frozenset({"anna", "ben"}),
        priority=9,
        until=datetime(2027, 1, 1, tzinfo=UTC).timestamp(),
        enabled=False,
    ) == clients.read(settings(path)).find(KEY.encode())


def test_a_key_may_be_given_by_its_digest(write: Write) -> None:
    """Then nobody who reads the file can use it."""
    path = write(f'[clients.alice]\nkey_sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"\n')

    assert Client(name="alice") == clients.read(settings(path)).find(KEY.encode())
    assert not clients.holds_keys(path)
    assert clients.holds_keys(write(ALICE))


def test_the_keys_of_auth_key_are_clients_by_number(write: Write) -> None:
    """Without limits, before those of the file."""
    known = clients.read(settings(write(ALICE + BOB), auth_keys=("one", "two")))

    assert ["key-1", "key-2", "alice", "bob"] == [client.name for client in known]
    assert Client(name="key-2") == known.find(b"two")
    assert known.find(b"three") is known.find(b"") is None


def test_a_moment_may_be_the_end_of_a_key(write: Write) -> None:
    """With its distance from UTC."""
    client = clients.read(settings(write(ALICE + "until = 2027-01-31T18:00:00+08:00\n"))).find(
        KEY.encode()
    )

    assert client is not None
    assert datetime(2027, 1, 31, 10, tzinfo=UTC).timestamp() == client.until


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("per_minut = 1", "per_minut: No client has such a field; is per_minute meant?"),
        ("colour = 1", "colour: No client has such a field."),
        ("per_minute = 0", "per_minute: Must be a whole number, 1 or more."),
        ("points_per_day = true", "points_per_day: Must be a whole number."),
        ("models = []", "models: Must be a list of names"),
        ("not_models = 'x'", "not_models: Must be a list of names"),
        ("priority = 10", "priority: Must be a whole number from 0 to 9"),
        ("until = '2026-12-31'", "until: Must be a date without quotes"),
        ("until = 2026-12-31T00:00:00", "until: Must be a date without quotes"),
        ("accounts = 'anna'", "accounts: Must be a list of labels"),
        ("enabled = 1", "enabled: Must be true or false."),
        ("key_sha256 = 'x'", "key, key_sha256: One of key and key_sha256 is needed."),
    ],
)
def test_what_is_wrong_is_said_by_client_and_field(write: Write, line: str, said: str) -> None:
    """As with accounts."""
    assert fault(write(f"{ALICE}{line}\n")).startswith(f"clients.alice, {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[clients.a]\n", "clients.a, key, key_sha256: One of"),
        ("[clients.a]\nkey = 'short'\n", "clients.a, key: Must have at least 12 characters."),
        ("[clients.a]\nkey = 'your-long-key'\n", "clients.a, key: It looks like a placeholder"),
        ("[clients.a]\nkey_sha256 = '12'\n", "clients.a, key_sha256: Must be the SHA-256"),
        ("[clients.key-1]\nkey = 'sk-12345678901'\n", "clients.key-1, name: The keys in AuthKey"),
        ("[clients.'a/b']\nkey = 'sk-12345678901'\n", "clients.?, name: Must be a name"),
        (ALICE + f"[clients.bob]\nkey = '{KEY}'\n", "clients.bob, key: It is that of alice, too."),
        (f"[clients.{KEY}]\nkey = 'sk-12345678901'\n", "clients.?, name: It looks like a key"),
        (f"{KEY} = 'alice'\n", "?: Only tables such as [clients.alice]"),
        (f"[clients.{OPAQUE}]\nfoo = 1\n", "clients.?, foo: No client has such a field"),
        (f"[clients.a]\n{OPAQUE} = 1\n", "clients.a, ?: No client has such a field"),
        (f"[clients.a]\n{KEY} = 1\n", "clients.a, ?: No client has such a field"),
        ("[client.a]\n", "client: Only tables such as [clients.alice]"),
        ("[[clients]]\n", "clients: Must be written [clients.alice]"),
        ("clients = 1\n", "clients: Must be written [clients.alice]"),
        ("[clients.a\n", "The file is not TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(write: Write, text: str, said: str) -> None:
    """In a sentence that repeats no key."""
    assert fault(write(text)).startswith(said)


def test_all_faults_are_named_at_once(write: Write) -> None:
    """A line for each."""
    said = fault(write(f"{ALICE}priority = -1\nfoo = 1\n{BOB}until = 1\n"))

    assert ["clients.alice", "clients.alice", "clients.bob"] == [
        line.strip().partition(",")[0] for line in said.splitlines()
    ]


@pytest.mark.parametrize(
    ("given", "setting", "said"),
    [
        ({"auth_keys": (KEY,)}, "CLIENTS", "clients.alice, key: It is item 1 of AuthKey, too."),
        ({"admin_key": KEY}, "ADMIN_KEY", "It is the key of alice in CLIENTS"),
        ({"admin_key": "poe-credential"}, "ADMIN_KEY", "It is the credential of anna at Poe."),
        (
            {"auth_keys": ("k", "the-owners-key"), "admin_key": "the-owners-key"},
            "ADMIN_KEY",
            "It is item 2 of AuthKey",
        ),
    ],
)
def test_one_key_is_one_client(
    write: Write, given: dict[str, Any], setting: str, said: str
) -> None:
    """Nor is it the owner's."""
    found = faults(write(ALICE), **given)

    assert [setting] == list(found)
    assert found[setting][0].startswith(said)


def test_a_credential_at_poe_is_no_key_for_clients(write: Write) -> None:
    """Whoever has the key would have the account, too."""
    found = faults(write("[clients.alice]\nkey = 'poe-credential'\n"))

    assert ["clients.alice, key: It is the credential of anna at Poe. Choose another one."] == (
        found["CLIENTS"]
    )


def test_accounts_are_labels_of_accounts(write: Write) -> None:
    """A slip is named, with what is meant."""
    path = write(ALICE + "accounts = ['anna', 'benn1', 'zoe']\n")

    assert ["clients.alice, accounts: No account is called benn1."
            "\n    clients.alice, accounts: No account is called zoe."] == [
        why.replace("; is ben meant?", ".") for why in faults(path)["CLIENTS"]
    ]  # fmt: skip
    assert {} == faults(write(ALICE + "accounts = ['anna']\n"))
