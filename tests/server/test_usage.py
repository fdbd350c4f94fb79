"""GET /v1/usage: a client sees its own, whoever runs the server all of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.chat import Done, Text, Usage

from ..fakes import Step
from .site import KEY, Site, error

ADMIN = "sk-the-owner-of-it"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes a site that records what is used."""
    sites: list[Site] = []

    def make(*script: Step, **options: Any) -> Site:
        sites.append(
            Site(
                *script,
                keys=(KEY, "sk-other"),
                admin_key=ADMIN,
                usage_file=tmp_path / "usage.sqlite3",
                **options,
            )
        )
        return sites[-1]

    yield make
    for site in sites:
        site.close()


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more}


def use(site: Site, key: str = KEY) -> None:
    """Ask a bot once."""
    body = b'{"model": "gpt-4", "messages": [{"role": "user", "content": "a secret question"}]}'
    answer = site.post(body, headers=bearer(key))
    answer.close()
    assert 200 == answer.status_code


def report(site: Site, key: str = ADMIN, query: str = "") -> Any:
    answer = site.get(f"/v1/usage{query}", headers=bearer(key))
    assert (200, "application/json") == (answer.status_code, answer.content_type)
    return answer.get_json()


def test_a_client_sees_its_own_and_the_owner_all(make: Callable[..., Site]) -> None:
    """By who has asked."""
    site = make(Text("Hi"), Usage(7, 3), Done())
    use(site)
    use(site)
    use(site, "sk-other")

    assert 3 == report(site)["total"]["requests"]
    assert [2, 1] == [one["requests"] for one in report(site, query="?group_by=client")["data"]]
    own = report(site, "sk-other", "?group_by=client")
    assert (1, 7, 3) == tuple(
        own["total"][name] for name in ("requests", "tokens_in", "tokens_out")
    )
    assert [1] == [one["requests"] for one in own["data"]]
    assert "charged" not in own


def test_what_is_told_is_who_asked_what(make: Callable[..., Site]) -> None:
    """The model as it was asked for, the bot as Poe calls it, and the account by its label."""
    site = make(Text("Hi"), Done())
    use(site)
    (row,) = report(site, query="?group_by=model,bot,account,kind")["data"]

    assert ("gpt-4", "cookie-1", "cookie") == (row["model"], row["account"], row["kind"])
    assert (1, 0) == (row["requests_uncounted"], row["failed"])


def test_both_headers_open_it(make: Callable[..., Site]) -> None:
    """As for clients."""
    site = make()

    assert 200 == site.get("/v1/usage", headers={"x-api-key": ADMIN}).status_code
    assert 200 == site.get("/usage", headers={"x-api-key": KEY}).status_code


def test_the_key_of_the_owner_opens_nothing_else(make: Callable[..., Site]) -> None:
    """It is no client's."""
    assert 401 == make().get("/v1/models", headers=bearer(ADMIN)).status_code


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"x-api-key": ADMIN[:-1]}])
def test_without_a_key_nothing_is_told(make: Callable[..., Site], headers: dict[str, str]) -> None:
    """Nor with a wrong one."""
    assert 401 == make().get("/v1/usage", headers=headers).status_code


def test_it_is_a_table_for_whoever_wants_one(make: Callable[..., Site]) -> None:
    """And JSON for everybody else."""
    site = make(Text("Hi"), Usage(7, 3), Done())
    use(site)
    path = "/v1/usage?group_by=model"
    answer = site.get(path, headers=bearer(ADMIN, Accept="text/csv"))
    (row,) = csv.DictReader(io.StringIO(answer.get_data(as_text=True)))

    assert "text/csv; charset=utf-8" == answer.content_type
    assert ("gpt-4", "7", "") == (row["model"], row["tokens_in"], row["points_exact"])
    for accept in ("*/*", "application/json", "text/html"):
        plain = site.get(path, headers=bearer(ADMIN, Accept=accept))
        assert "application/json" == plain.content_type


@pytest.mark.parametrize(
    ("query", "param"),
    [("from=monday", "from"), ("to=1", "to"), ("group_by=key", "group_by"), ("by=day", "by")],
)
def test_a_wrong_value_is_named(make: Callable[..., Site], query: str, param: str) -> None:
    """By its field."""
    answer = make().get(f"/v1/usage?{query}")

    assert 400 == answer.status_code
    assert param == error(answer)["param"]


def test_without_a_file_there_is_no_such_route() -> None:
    """It says what turns it on."""
    answer = Site().get("/v1/usage")

    assert 404 == answer.status_code
    assert "USAGE_FILE" in error(answer)["message"]


def test_a_file_that_cannot_be_read_is_no_bug(make: Callable[..., Site], tmp_path: Path) -> None:
    """Requests go on without it, and a report is for later."""
    (tmp_path / "usage.sqlite3").mkdir()
    site = make(Text("Hi"), Done())
    use(site)
    answer = site.get("/v1/usage")

    assert (503, "server_busy") == (answer.status_code, error(answer)["code"])
    assert str(tmp_path) not in answer.get_data(as_text=True)


def test_what_was_said_is_not_in_the_file(make: Callable[..., Site], tmp_path: Path) -> None:
    """Nor any key."""
    site = make(Text("a secret answer"), Done())
    use(site)
    report(site)
    written = b"".join(path.read_bytes() for path in tmp_path.glob("usage.sqlite3*"))

    assert b"gpt-4" in written
    for secret in (b"secret", b"sk-", ADMIN.encode(), KEY.encode()):
        assert secret not in written
