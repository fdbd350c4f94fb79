"""Who used what, in the terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from poe_proxy.command import asking, screen
from poe_proxy.usage.file import UsageFile
from poe_proxy.usage.rows import row

from ..usage.fixtures import record
from .canned import Canned

NUMBERS = {
    "requests": 1200, "failed": 2, "tokens_in": 3400, "tokens_out": 560, "requests_uncounted": 0,
    "points_estimated": 900, "points_exact": 800, "requests_exact": 1200, "points": 800,
    "seconds": 5400.0,
}  # fmt: skip
TOLD = {
    "object": "list",
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-11-30T00:00:00Z",
    "group_by": ["client"],
    "data": [
        {"client": "alice", **NUMBERS},
        {"client": "bob\x1b[31m", **NUMBERS, "points": None},
        {"client": "carol", **NUMBERS, "requests_exact": 3},
    ],
    "total": {**NUMBERS, "requests": 3600},
}


class Answering(Canned):
    """Answers whatever is asked of its usage."""

    def request(self, method: str, path: str, body: object = None) -> asking.Answer:
        self.asked.append((method, path, body))
        status, said = self._answers["usage"]
        return asking.Answer(status, [json.dumps(said).encode()])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """The server that runs."""
    made = Answering(usage=(200, TOLD))
    monkeypatch.setattr(asking, "admin", lambda url, key: made)
    return made


def test_it_is_a_table_with_a_sum(run: Callable[..., Result], server: Answering) -> None:
    """Estimates have a sign, what is not known another one, and strangers do not colour it."""
    result = run("usage")

    assert 0 == result.exit_code
    assert [
        "client       requests  failed  tokens in  tokens out  points  hours",
        "alice           1,200       2      3,400         560     800    1.5",
        "bob\\x1b[31m     1,200       2      3,400         560       ?    1.5",
        "carol           1,200       2      3,400         560    ~800    1.5",
        "total           3,600       2      3,400         560    ~800    1.5",
    ] == result.stdout.splitlines()
    assert "estimate" in result.stderr
    assert [("GET", "/v1/usage?group_by=client", None)] == server.asked


def test_what_is_wanted_is_passed_on(run: Callable[..., Result], server: Answering) -> None:
    """Days, and what is put together."""
    run("usage", "--from", "2026-11-01", "--to", "2026-11-02T09:00:00+08:00", "--by", "day,model")

    query = "from=2026-11-01&to=2026-11-02T09%3A00%3A00%2B08%3A00&group_by=day%2Cmodel"
    assert [("GET", f"/v1/usage?{query}", None)] == server.asked


def test_programs_get_json_or_csv(run: Callable[..., Result], server: Answering) -> None:
    """All that the server has said."""
    assert TOLD == json.loads(run("usage", "--json").stdout)
    rows = [*csv.DictReader(io.StringIO(run("usage", "--csv").stdout))]
    assert ["800", "", "800"] == [one["points"] for one in rows]


def test_a_name_does_not_command_the_terminal_in_a_table_for_spreadsheets(
    run: Callable[..., Result], server: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file it stands as it is."""
    assert "bob\x1b[31m" in run("usage", "--csv", color=True).stdout
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    shown = run("usage", "--csv", color=True).stdout
    assert "\x1b" not in shown
    assert "bob\\x1b[31m" in shown


def test_without_a_server_the_file_is_read(
    run: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is as it was."""
    file = UsageFile(folder / "usage.sqlite3")
    file.add([row(record("2026-11-02T00:00:00+00:00", points=12))])
    file.close()
    monkeypatch.setenv("USAGE_FILE", str(folder / "usage.sqlite3"))
    for name, value in (("AuthKey", "sk-something"), ("POE_API_KEYS", "k"), ("PORT", "9")):
        monkeypatch.setenv(name, value)
    result = run("usage", "--from", "2026-11-01", "--to", "2026-11-03")

    assert (0, "") == (result.exit_code, result.stderr)
    assert "alice  " in result.stdout
    assert "Nothing was used." in run("usage", "--from", "2026-11-05", "--to", "2026-11-06").stdout
    refused = run("usage", "--by", "colour")
    assert 1 == refused.exit_code
    assert "group_by: Must be one of" in refused.stderr


def test_without_either_it_says_so(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line."""
    for name, value in (("AuthKey", "sk-something"), ("POE_API_KEYS", "k"), ("PORT", "9")):
        monkeypatch.setenv(name, value)
    result = run("usage")

    assert 1 == result.exit_code
    assert "ADMIN_KEY is not set" in result.stderr
