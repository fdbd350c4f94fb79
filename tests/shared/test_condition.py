"""What there is to say of a Redis server: real ones, set up well and less well."""

from __future__ import annotations

import pytest

from poe_proxy.shared import condition
from poe_proxy.shared.condition import Remark, look

from .redis_server import RedisServer, free_port


def marks(found: list[Remark]) -> list[str]:
    return [one.mark for one in found]


def texts(found: list[Remark]) -> str:
    return "\n".join(f"{one.text} {one.remedy}" for one in found)


def test_a_server_that_is_set_up_well_has_nothing_to_be_said_against_it() -> None:
    """Its version, its address without the password, the pool, and that it keeps what it knows."""
    with RedisServer(
        *("--requirepass", "open-sesame", "--appendonly", "yes"),
        *("--maxmemory", "100mb", "--maxmemory-policy", "noeviction"),
    ) as server:
        url = server.url.replace("://", "://:open-sesame@")
        found = [*look(url, "team")]
        version = server.client.info()["redis_version"]

    assert ["ok"] * 3 == marks(found)
    assert f"Redis {version} answers at 127.0.0.1:{server.port} in " in found[0].text
    assert found[0].text.endswith("pool team")
    assert "open-sesame" not in repr(found)


def test_what_would_be_forgotten_is_said() -> None:
    """Over a restart, and when the memory is full."""
    with RedisServer("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        found = [*look(server.url, "default")]

    assert ["ok", "note", "note"] == marks(found)
    assert "Set appendonly yes." in texts(found)
    assert "(maxmemory-policy allkeys-lru)" in texts(found)
    assert "Set maxmemory-policy noeviction." in texts(found)


@pytest.mark.parametrize("password", ["", ":open-says-me@"])
def test_a_wrong_password_is_said_and_not_repeated(password: str) -> None:
    """Nor the right one."""
    with RedisServer("--requirepass", "open-sesame") as server:
        found = [*look(server.url.replace("://", f"://{password}"), "default")]

    assert ["wrong"] == marks(found)
    assert "REDIS_URL" in found[0].remedy
    assert "open-s" not in repr(found)


def test_a_server_that_is_not_there_is_said_with_its_address() -> None:
    port = free_port()
    (found,) = look(f"redis://poe:open-sesame@127.0.0.1:{port}", "default")

    assert "wrong" == found.mark
    assert f"127.0.0.1:{port}" in found.text
    assert "open-sesame" not in repr(found)


def test_a_user_that_may_not_do_what_the_pool_needs_is_found_out() -> None:
    """And one that may do no more than that is told of as far as he may know."""
    rights = "on nopass resetkeys ~poe:* resetchannels &poe:* -@all +ping +set"
    script = "+evalsha +script|load +time +get +hget +zrange +zrangebyscore +zscore +exists +del"
    with RedisServer() as server:
        client = server.client
        url = server.url.replace("://", "://poe:x@")
        client.execute_command("ACL", "SETUSER", "poe", *rights.split())
        refused = [*look(url, "default")]
        client.execute_command("ACL", "SETUSER", "poe", *script.split())
        found = [*look(url, "default")]

    assert ["wrong"] == marks(refused)
    assert "NOPERM" in refused[0].text.upper() or "no permissions" in refused[0].text
    assert ["ok", "note"] == marks(found)
    assert "(INFO)" in found[1].text


def test_an_old_version_is_refused() -> None:
    """It lacks what the script uses."""
    said = {"redis_version": "6.0.16", "aof_enabled": "1", "maxmemory_policy": "noeviction"}
    old, *_ = condition._of_setup(said)

    assert ("wrong", "It is older than 6.2.") == (old.mark, old.text)
    for version in ("6.2.0", "7.0.15", "8.0.rc1", "unstable"):
        assert "wrong" not in marks([*condition._of_setup({**said, "redis_version": version})])


def test_an_address_that_is_none_is_said() -> None:
    """Without repeating it."""
    (found,) = look("redis://:open-sesame@redis:port", "default")

    assert "wrong" == found.mark
    assert "open-sesame" not in repr(found)
