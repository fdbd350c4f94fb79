"""The files of deploy/ agree with the program, and with one another."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from poe_proxy.errors import UpstreamUncertain
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
        (
            "deploy/docker-compose.yaml",
            r"image: poe-proxy\n(?: .*\n)*? +stop_grace_period: (\d+)s$",
        ),
        ("railway.json", r'"drainingSeconds": (\d+)'),
        ("Dockerfile", r"--stop-timeout (\d+)"),
    ],
)
def test_what_stops_the_server_waits_for_the_replies_under_way(name: str, pattern: str) -> None:
    """The time until SIGKILL is longer than what gunicorn gives the replies."""
    graceful = number("poe_proxy/gunicorn_conf.py", r"^graceful_timeout = (\d+)$")

    assert number(name, pattern) > graceful


def test_the_service_keeps_its_state_where_it_may_write() -> None:
    """The unit's STATE_FILE is in its StateDirectory, and systemd names the boot."""
    unit = text_of("deploy/poe-proxy.service")
    folder = re.search(r"^StateDirectory=(.+)$", unit, re.MULTILINE)

    assert folder is not None
    assert re.search(
        rf"^Environment=STATE_FILE=/var/lib/{folder[1]}/[\w.]+ BOOT_ID=%b$", unit, re.MULTILINE
    )


def test_the_container_keeps_its_state_in_a_volume() -> None:
    """STATE_FILE is in the folder that Compose mounts, which is the user's of the image."""
    compose, dockerfile = text_of("deploy/docker-compose.yaml"), text_of("Dockerfile")
    volume = re.search(r"^      - state:(\S+)$", compose, re.MULTILINE)
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)

    assert volume is not None
    assert user is not None
    assert re.search(rf"^      STATE_FILE: {volume[1]}/[\w.]+$", compose, re.MULTILINE)
    assert re.search(r"^volumes:\n(?:  \w+:\n)*  state:$", compose, re.MULTILINE)
    assert f"RUN install -d -m 700 -o {user[1]} -g {user[2]} {volume[1]}\n" in dockerfile


def test_nginx_and_the_proxy_have_the_same_limit_for_a_body() -> None:
    """What nginx lets through, the proxy takes."""
    limit = number("deploy/nginx.conf", r"^ +client_max_body_size (\d+);$")

    assert Settings(auth_keys=("k",)).max_body_mb * 1_000_000 == limit


def test_nginx_waits_longer_than_the_proxy_does() -> None:
    """A reply that hangs is ended by the proxy, which says why."""
    hours = number("deploy/nginx.conf", r"^ +proxy_read_timeout (\d+)h;$")
    settings = Settings(auth_keys=("k",))

    assert hours * 3600 > settings.queue_timeout + settings.timeout


def test_an_error_of_nginx_has_the_shape_of_ours() -> None:
    """Every body in nginx.conf is an OpenAI error object."""
    bodies = re.findall(r"return (\d+) '(.*)';$", text_of("deploy/nginx.conf"), re.MULTILINE)

    assert {"403", "404", "413", "429", "502", "503"} == {status for status, _ in bodies}
    for _, body in bodies:
        assert ["message", "type", "param", "code"] == list(json.loads(body)["error"])


def test_a_request_that_nginx_lost_fails_as_one_that_the_proxy_lost() -> None:
    """Handed over and not answered, it has the status, type and code of `UpstreamUncertain`."""
    found = re.search(
        r"@uncertain \{.*?return (\d+) '(.*?)';$", text_of("deploy/nginx.conf"), re.S | re.M
    )

    assert found is not None
    error = json.loads(found[2])["error"]
    assert UpstreamUncertain.status == int(found[1])
    assert (UpstreamUncertain.type, UpstreamUncertain.code) == (error["type"], error["code"])


def test_no_container_of_compose_fills_the_disk_with_its_log() -> None:
    """Each service has the logging that drops old lines."""
    compose = text_of("deploy/docker-compose.yaml")
    services = compose.partition("\nservices:\n")[2].partition("\nnetworks:\n")[0]
    names = re.findall(r"^  ([\w-]+):$", services, re.MULTILINE)

    assert ["poe-proxy", "nginx", "redis"] == names
    assert len(names) == services.count("\n    logging: *logging\n")
    assert re.search(r"^x-logging: &logging\n(  .*\n)*    max-size: 10m\n", compose, re.MULTILINE)


def test_certbot_reloads_the_container_that_compose_makes() -> None:
    """The hook that reloads nginx after a renewal names the project and the service."""
    project = re.findall(r"^name: (\S+)$", text_of("deploy/docker-compose.yaml"), re.MULTILINE)

    assert 1 == len(project)
    assert f'--deploy-hook "docker exec {project[0]}-nginx-1 ' in text_of("deploy/README.md")


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


def stages() -> dict[str, str]:
    """The stages of the Dockerfile, each with its lines; the last one is what a build makes."""
    found = re.findall(
        r"^FROM (\S+)(?: AS (\S+))?\n((?:(?!FROM ).*\n)*)", text_of("Dockerfile"), re.MULTILINE
    )
    return {name or "": f"FROM {base}\n{lines}" for base, name, lines in found}


def test_what_goes_into_the_image_is_pinned() -> None:
    """The base to a version of Python and a release of Debian; packages by hash. What is pinned in
    the files is told by `test_requirements.py`."""
    dockerfile = text_of("Dockerfile")
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))

    assert re.search(r"^ARG BASE=python:3\.\d+-slim-[a-z]+$", dockerfile, re.MULTILINE)
    assert {"${BASE}"} == bases - stages().keys()
    assert dockerfile.count(" install --no-cache-dir") == dockerfile.count(" --require-hashes ") > 0


def test_the_stand_in_is_in_the_demo_s_image_alone() -> None:
    """What is built by default has not its code."""
    made = stages()
    image = "".join(made[name] for name in ("packages", "server", ""))

    assert made[""].startswith("FROM server\n")
    assert not re.search(r"^COPY .*(?:poe_sim|demo)", image, re.MULTILINE)
    assert "COPY poe_sim poe_sim" in made["demo"]
    assert "COPY --from=packages /opt/venv" in made["server"]


def test_with_compose_the_proxy_believes_nginx_and_nginx_finds_the_proxy() -> None:
    """Each of the two is given the other's address."""
    compose = text_of("deploy/docker-compose.yaml")
    proxy, nginx, _ = re.findall(r"ipv4_address: (\S+)", compose)
    upstream = re.search(r'"s/(.*)/(.*):8080/"', compose)

    assert [nginx] == re.findall(r"FORWARDED_ALLOW_IPS: (\S+)", compose)
    assert upstream is not None
    assert proxy == upstream[2]
    assert [upstream[1].replace("\\", "")] == re.findall(
        r"server ([\d.:]+);", text_of("deploy/nginx.conf")
    )


def test_the_variables_for_one_click_hosts_are_settings() -> None:
    """Each name in the table is one of .env.example."""
    table = text_of("deploy/README.md").partition("| Variable |")[2].partition("\n\n")[0]
    names = {
        name
        for line in table.splitlines()
        for name in re.findall("`(.*?)`", line[: line.find("|", 1)])
    }
    known = set(re.findall(r"^#?(\w+)=", text_of(".env.example"), re.MULTILINE))

    assert {"AuthKey", "TOKENS", "PORT"} <= names
    assert names <= known


def test_railway_checks_the_route_that_answers_without_a_key() -> None:
    """The numbers in railway.json are numbers: Railway refuses them as text."""
    deploy = json.loads(text_of("railway.json"))["deploy"]

    assert "/health" == deploy["healthcheckPath"]
    assert isinstance(deploy["drainingSeconds"], int)
    assert isinstance(deploy["overlapSeconds"], int)
