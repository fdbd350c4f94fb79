"""What docs/scale.md says of Redis, nginx and HAProxy: each takes it, and does what it is for."""

from __future__ import annotations

import configparser
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from poe_proxy.errors import UpstreamUncertain

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
HAPROXY, NGINX = (shutil.which(name, path=_PATH) for name in ("haproxy", "nginx"))

#: Why a test is left out where its program is not installed: `make test` has to run anywhere.
_LEFT_OUT = "{} is not installed; .ci/run does that, and the other tests here read the same file"
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason=_LEFT_OUT.format("HAProxy"))
needs_nginx = pytest.mark.skipif(NGINX is None, reason=_LEFT_OUT.format("nginx"))


def marked(mark: str) -> str:
    """What stands in docs/scale.md below <!-- mark -->."""
    text = (ROOT / "docs/scale.md").read_text("utf-8")
    found = re.findall(rf"^<!-- {mark} -->\n```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert 1 == len(found)
    return str(found[0])


def haproxy() -> str:
    return (DEPLOY / "haproxy.cfg").read_text("utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key, one behind the other."""
    folder = tmp_path_factory.mktemp("certificate")
    key, both = folder / "key.pem", folder / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(both)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    both.write_text(both.read_text() + key.read_text())
    return both


# ---- HAProxy


class Host(ThreadingHTTPServer):
    """A host with poe-proxy, as a balancer sees it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), _Handler)
        self.is_ready = True
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.under_way = 0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def handle_error(self, *_: Any) -> None:
        """A client that left is none."""

    def end(self) -> None:
        """As if the machine were gone."""
        self.ends.set()
        if self.thread.is_alive():
            self.shutdown()
            self.thread.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Host

    def do_GET(self) -> None:
        if self.path == "/ready":
            self.answer(200 if self.server.is_ready else 503, b"{}")
            return
        self.server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        if self.path == "/stream":
            self.stream()
        elif self.path == "/held":
            self.server.under_way += 1
            self.server.ends.wait(20)
            self.answer(200, b"held")
        else:
            self.answer(200, str(self.server.server_port).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, {}))
        if self.path == "/lost":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.answer(200, b"posted")

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"4\r\none\n\r\n")
        # The second piece comes once the test has had the first.
        self.server.ends.wait(20)
        self.wfile.write(b"4\r\ntwo\n\r\n0\r\n\r\n")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Balanced:
    """The sample at work in front of two hosts, at ports of its own."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        self.hosts = [Host(), Host()]
        self.plain, self.tls, self.looks = free_port(), free_port(), free_port()
        text = haproxy()
        for there, here in (
            ("bind :80\n", f"bind 127.0.0.1:{self.plain}\n"),
            ("bind :443 ", f"bind 127.0.0.1:{self.tls} "),
            ("crt /etc/haproxy/poe-proxy.pem", f"crt {certificate}"),
            ("10.0.0.11:8080", f"127.0.0.1:{self.hosts[0].server_port}"),
            ("10.0.0.12:8080", f"127.0.0.1:{self.hosts[1].server_port}"),
            ("inter 2s", "inter 50ms"),
            ("log stdout ", f"stats socket {folder / 'socket'}\n    log stdout "),
        ):
            assert 1 == text.count(there), there
            text = text.replace(there, here)
        self.socket = folder / "socket"
        (folder / "haproxy.cfg").write_text(text)
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [str(HAPROXY), "-db", "-f", str(folder / "haproxy.cfg")],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.context = ssl.create_default_context(cafile=str(certificate))
        self.until_up(2)

    def stats(self) -> list[dict[str, str]]:
        """What HAProxy says of the two hosts."""
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(str(self.socket))
            except OSError:
                return []
            asked.sendall(b"show stat\n")
            said = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        head, *lines = said.splitlines()
        names = head.lstrip("# ").split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines if line]
        return [row for row in rows if row["svname"] in ("one", "two")]

    def up(self) -> int:
        """How many hosts it sends requests to; "UP 1/2" is one that the next look may take out."""
        return sum(row["status"].startswith("UP") for row in self.stats())

    def under_way(self) -> int:
        """How many requests the hosts have, as HAProxy counts."""
        return sum(int(row["scur"]) for row in self.stats())

    def until_up(self, hosts: int) -> None:
        self.until(lambda: self.up() == hosts)

    def until(self, is_so: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not is_so():
            self.log.seek(0)
            assert self.process.poll() is None, self.log.read()
            assert time.monotonic() < until
            time.sleep(0.02)

    def connect(self, *, tls: bool = True) -> http.client.HTTPConnection:
        if not tls:
            return http.client.HTTPConnection("127.0.0.1", self.plain, timeout=20)
        return http.client.HTTPSConnection("localhost", self.tls, timeout=20, context=self.context)

    def ask(
        self, path: str, *, post: bool = False, tls: bool = True, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect(tls=tls)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("POST" if post else "GET", path, b"{}" if post else None, names)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def close(self) -> None:
        self.process.terminate()
        for host in self.hosts:
            host.end()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()


@pytest.fixture
def balanced(tmp_path: Path, certificate: Path) -> Iterator[Balanced]:
    made = Balanced(tmp_path, certificate)
    try:
        yield made
    finally:
        made.close()


@needs_haproxy
def test_haproxy_takes_the_configuration_without_a_warning(
    tmp_path: Path, certificate: Path
) -> None:
    """`-dW` makes of each warning an error."""
    file = tmp_path / "haproxy.cfg"
    file.write_text(haproxy().replace("/etc/haproxy/poe-proxy.pem", str(certificate)))
    done = subprocess.run(
        [str(HAPROXY), "-c", "-dW", "-f", str(file)], capture_output=True, text=True, timeout=60
    )

    assert 0 == done.returncode, done.stdout + done.stderr


@needs_haproxy
def test_requests_go_where_fewest_are_under_way(balanced: Balanced) -> None:
    """Of two hosts, the one that holds a request gets no other while the other one has none."""
    held = balanced.connect()
    held.request("GET", "/held")
    balanced.until(lambda: any(host.under_way for host in balanced.hosts))
    busy, idle = sorted(balanced.hosts, key=lambda host: -host.under_way)

    answers = set()
    for _ in range(6):
        # A client has its answer a moment before HAProxy has counted that it ended.
        balanced.until(lambda: balanced.under_way() == 1)
        answers.add(balanced.ask("/v1/models")[2])
    busy.ends.set()

    assert {str(idle.server_port).encode()} == answers
    assert 200 == held.getresponse().status
    held.close()


@needs_haproxy
def test_a_host_that_is_not_ready_gets_no_request(balanced: Balanced) -> None:
    """And none of them: 503, which says when to try again."""
    one, two = balanced.hosts
    one.is_ready = False
    balanced.until_up(1)
    answers = {balanced.ask("/v1/models")[2] for _ in range(6)}
    two.is_ready = False
    balanced.until_up(0)
    status, headers, body = balanced.ask("/v1/models", post=True)

    assert {str(two.server_port).encode()} == answers
    assert (503, "5", "*") == (
        status,
        headers["retry-after"],
        headers["access-control-allow-origin"],
    )
    assert "service_unavailable" == json.loads(body)["error"]["code"]


@needs_haproxy
def test_a_host_that_is_gone_costs_no_request(balanced: Balanced) -> None:
    """Nothing was handed over, so the other one gets it."""
    one, two = balanced.hosts
    one.end()

    answers = {balanced.ask("/v1/chat/completions", post=True)[::2] for _ in range(6)}

    assert {(200, b"posted")} == answers
    assert 6 == len(two.asked)


@needs_haproxy
def test_a_request_that_was_handed_over_is_not_sent_again(balanced: Balanced) -> None:
    """It fails as one that the proxy lost, and clients do not repeat it by themselves."""
    status, headers, body = balanced.ask("/lost", post=True)
    error = json.loads(body)["error"]

    assert 1 == sum(len(host.asked) for host in balanced.hosts)
    assert (UpstreamUncertain.status, "false") == (status, headers["x-should-retry"])
    assert (UpstreamUncertain.type, UpstreamUncertain.code) == (error["type"], error["code"])


@needs_haproxy
def test_a_stream_is_not_held_back(balanced: Balanced) -> None:
    """Its first piece is here before the host has written the second."""
    connection = balanced.connect()
    connection.request("GET", "/stream")
    answer = connection.getresponse()

    assert b"one\n" == answer.readline()
    for host in balanced.hosts:
        host.ends.set()
    assert b"two\n" == answer.read()
    connection.close()


@needs_haproxy
def test_what_a_client_says_about_itself_is_not_handed_on(balanced: Balanced) -> None:
    """The real address and scheme are."""
    balanced.ask(
        "/v1/models",
        X_Forwarded_For="6.6.6.6",
        X_Forwarded_Proto="gopher",
        X_Real_IP="6.6.6.6",
        X_Forwarded_Host="evil.example",
        Forwarded="for=6.6.6.6",
    )
    ((_, headers),) = [one for host in balanced.hosts for one in host.asked]

    assert ("127.0.0.1", "127.0.0.1", "https") == tuple(
        headers[f"x-{name}"] for name in ("forwarded-for", "real-ip", "forwarded-proto")
    )
    assert not {"x-forwarded-host", "forwarded"} & headers.keys()


@needs_haproxy
@pytest.mark.parametrize("path", ["/health", "//health", "/ready/", "/%68ealth", "//ready//"])
def test_health_is_closed_to_the_outside(balanced: Balanced, path: str) -> None:
    status, _, body = balanced.ask(path)

    assert (404, "not_found") == (status, json.loads(body)["error"]["code"])
    assert not any(host.asked for host in balanced.hosts)


@needs_haproxy
def test_who_comes_without_tls_is_refused(balanced: Balanced) -> None:
    status, _, body = balanced.ask("/v1/models", tls=False)

    assert (403, "https_required") == (status, json.loads(body)["error"]["code"])


def test_haproxy_s_errors_have_the_shape_of_ours() -> None:
    """Every body of the configuration is an OpenAI error object."""
    bodies = re.findall(r"status (\d+) content-type application/json string '(.*?)'", haproxy())

    assert ["403", "404", "502", "504", "503"] == [status for status, _ in bodies]
    for _, body in bodies:
        assert ["message", "type", "param", "code"] == list(json.loads(body)["error"])


def test_what_the_page_says_of_haproxy_is_in_the_configuration() -> None:
    """Each line that it quotes."""
    text = (ROOT / "docs/scale.md").read_text("utf-8")
    quoted = re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    assert 1 == len(quoted)
    assert [] == [line for line in quoted[0].splitlines() if f"{line}\n" not in haproxy()]


# ---- nginx


def two_hosts() -> str:
    """nginx.conf with the `upstream` of the page."""
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    made, count = re.subn(
        r"^upstream poe_proxy \{\n.*?^\}\n", lambda _: marked("upstream"), text, flags=re.S | re.M
    )
    assert 1 == count
    return made


@needs_nginx
def test_nginx_takes_both_hosts(tmp_path: Path, certificate: Path) -> None:
    """The file of one host, with the page's `upstream` in place of its own, and no warning."""
    site = two_hosts()
    site = re.sub(r"(ssl_certificate(?:_key)? )\S+;", rf"\g<1>{certificate};", site)
    # Any port will do for a look at the file, and some users may not open those.
    site = re.sub(r"listen (\[::\]:)?(80|443)\b", r"listen \g<1>2\g<2>", site)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\nhttp {{ {site} }}\n"
    )
    done = subprocess.run(
        [str(NGINX), "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 0 == done.returncode, done.stderr
    assert not re.search(r"\[(warn|emerg)\]", done.stderr), done.stderr


def test_nginx_and_haproxy_have_the_same_hosts() -> None:
    """At least connections, both; and nginx sends nothing twice."""
    hosts = re.findall(r"^ +server (?:\w+ )?([\d.]+:\d+)", marked("upstream"), re.MULTILINE)

    assert hosts == re.findall(r"^ +server \w+ ([\d.]+:\d+) check$", haproxy(), re.MULTILINE)
    assert 2 == len(set(hosts))
    assert re.search(r"^ +least_conn;$", marked("upstream"), re.MULTILINE)
    assert "non_idempotent" not in two_hosts()
    assert "proxy_buffering off;" in two_hosts()


# ---- Redis on a machine of its own


def test_the_lines_for_redis_make_one_that_starts(tmp_path: Path) -> None:
    """Debian's configuration with what the lines add: it has the user, and writes all down."""
    at, port = tmp_path / "redis", free_port()
    at.mkdir()
    # As Debian's is: other values before ours, of which the last ones hold.
    (at / "redis.conf").write_text(
        f"bind 127.0.0.1 -::1\nport {port}\ndir {tmp_path}\nappendonly no\nsave 3600 1 300 100\n"
        f"unixsocket {tmp_path}/redis.sock\n"
    )
    for line in marked("redis").splitlines():
        if line.startswith(("apt ", "sysctl ", "systemctl ")):
            continue
        for there, here in (
            ("/etc/redis", str(at)),
            (" 10.0.0.10'", "'"),
        ):
            line = line.replace(there, here)
        subprocess.run(["bash", "-euc", line], cwd=ROOT, check=True, timeout=20)
    password = (at / "poe-proxy.password").read_text().strip()
    with subprocess.Popen(
        ["redis-server", str(at / "redis.conf")], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            said = asked(port, process, "AUTH", "poe", password) + asked_info(port, password)
        finally:
            process.kill()

    assert said.startswith("+OK")
    assert "aof_enabled:1" in said
    assert "maxmemory_policy:noeviction" in said


def asked(port: int, process: subprocess.Popen[str], *command: str) -> str:
    """What Redis says to a command, once it is there."""
    until = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall((" ".join(command) + "\r\n").encode())
                return connection.recv(1000).decode()
        except ConnectionRefusedError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)


def asked_info(port: int, password: str) -> str:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(f"AUTH poe {password}\r\nINFO\r\n".encode())
        said = ""
        while "# Keyspace" not in said:
            said += connection.recv(65536).decode()
    return said


# ---- systemd


def test_the_drop_in_reads_the_file_that_the_lines_make() -> None:
    """The credential's source, and where the service finds it."""
    drop_in = configparser.ConfigParser(strict=False, interpolation=None)
    drop_in.read(DEPLOY / "poe-proxy-redis.conf")
    text = (DEPLOY / "poe-proxy-redis.conf").read_text()
    name, _, source = drop_in["Service"]["LoadCredential"].partition(":")
    lines = marked("hosts")

    assert f"install -m 600 /dev/null {source}\n" in lines
    assert f"editor {source} " in lines
    assert f"Environment=REDIS_URL_FILE=%d/{name}\n" in text
    assert "cp deploy/poe-proxy-redis.conf /etc/systemd/system/poe-proxy.service.d/" in lines
