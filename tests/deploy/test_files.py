"""The files of deploy/ agree with the program, and with one another."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from poe_proxy.settings import Settings

ROOT = Path(__file__).parents[2]


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def number(name: str, pattern: str) -> int:
    """The one number that *pattern* finds in a file."""
    found = re.findall(pattern, text_of(name), re.MULTILINE)
    assert len(found) == 1, f"{name}: {pattern}"
    return int(found[0])


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("deploy/poe-proxy.service", r"^TimeoutStopSec=(\d+)$"),
        ("deploy/docker-compose.yaml", r"^ +stop_grace_period: (\d+)s$"),
        ("railway.json", r'"drainingSeconds": (\d+)'),
        ("Dockerfile", r"--stop-timeout (\d+)"),
    ],
)
def test_whoever_stops_the_server_waits_for_the_replies_under_way(name: str, pattern: str) -> None:
    """The time until SIGKILL is longer than what gunicorn gives the replies."""
    graceful = number("gunicorn.conf.py", r"^graceful_timeout = (\d+)$")

    assert number(name, pattern) > graceful


def test_nginx_and_the_proxy_have_the_same_limit_for_a_body() -> None:
    """What nginx lets through, the proxy takes."""
    limit = number("deploy/nginx.conf", r"^ +client_max_body_size (\d+);$")

    assert Settings(auth_keys=("k",)).max_body_mb * 1_000_000 == limit


def test_what_nginx_says_has_the_shape_of_our_errors() -> None:
    """Every body in nginx.conf is an OpenAI error object."""
    bodies = re.findall(r"return (\d+) '(.*)';$", text_of("deploy/nginx.conf"), re.MULTILINE)

    assert {"403", "404", "413", "429", "503"} == {status for status, _ in bodies}
    for _, body in bodies:
        assert ["message", "type", "param", "code"] == list(json.loads(body)["error"])


def test_the_container_gets_what_it_copies_and_nothing_else() -> None:
    """.dockerignore lets exactly those paths through that the Dockerfile copies."""
    copied = {
        path
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text_of("Dockerfile"), re.MULTILINE)
        for path in line.split()
    }
    let_through = set(re.findall(r"^!(.+)$", text_of(".dockerignore"), re.MULTILINE))

    assert let_through == copied
    assert text_of(".dockerignore").splitlines()[1] == "*"
    for path in copied:
        assert (ROOT / path).exists()


def test_railway_asks_for_the_route_that_answers_without_a_key() -> None:
    """railway.json is JSON, and numbers in it are numbers: as text, Railway refuses them."""
    deploy = json.loads(text_of("railway.json"))["deploy"]

    assert "/health" == deploy["healthcheckPath"]
    assert isinstance(deploy["drainingSeconds"], int)
    assert isinstance(deploy["overlapSeconds"], int)
