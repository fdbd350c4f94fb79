"""How poe-proxy is served; the only file that names gevent."""

# First of all, before anything that imports ssl or sockets: what is imported earlier keeps
# the blocking ones, and https then ends in a RecursionError.
from gevent import monkey

monkey.patch_all()

import errno
import os
import secrets
import socket
import sys
import time

# This file is read again at SIGHUP, and new code counts from then on as new settings do.
for _name in [name for name in sys.modules if name.partition(".")[0] == "poe_proxy"]:
    del sys.modules[_name]

from gunicorn import util

from poe_proxy.apis.openai_error import error_body
from poe_proxy.app import read_settings
from poe_proxy.errors import InternalError, InvalidRequest
from poe_proxy.settings import BadSettings

try:
    _settings = read_settings()
except BadSettings as bad:
    # One message in place of a traceback from each worker that could not start.
    sys.exit(str(bad))


def _forms_of(network):
    """Return *network* in each form in which a socket may write it: IPv4 may come by IPv6."""
    if network == "*" or ":" in network:
        return [network]
    address, _, length = network.partition("/")
    return [network, f"::ffff:{address}/{96 + int(length or 32)}"]


# [::1] is how a URL writes ::1.
_host = _settings.host.strip("[]")

# ---- where

# A socket that systemd hands over (deploy/poe-proxy.socket) comes before this.
bind = f"[{_host}]:{_settings.port}" if ":" in _host else f"{_host}:{_settings.port}"
# X-Forwarded-Proto and its kind count only from these addresses or networks; anybody else
# could write into them what they like. A proxy on the same machine needs no setting.
forwarded_allow_ips = ",".join(
    form for one in _settings.forwarded_allow_ips for form in _forms_of(one)
)

# ---- how many

worker_class = "gevent"
# `workers` is what was asked for with WEB_CONCURRENCY, GUNICORN_CMD_ARGS or -w, else 1;
# on_starting refuses more, and says why.
# Connections, not requests: idle ones count too. Never the thing that says no.
worker_connections = 2500

# ---- how long

# A watchdog for a worker that is stuck, not a limit for a reply.
timeout = 30
# How long replies that are under way may go on after SIGTERM and SIGHUP. Whoever stops the
# process must wait longer: TimeoutStopSec, stop_grace_period, drainingSeconds are set to it.
graceful_timeout = 60
# Also the time for sending a request's head, and never 0, which is for ever.
keepalive = 5
# A recycled worker would cut the replies under way.
max_requests = 0

# ---- what is written

# views.py writes a line of its own for each request.
accesslog = None
# To stderr, which is where containers and the journal look.
errorlog = "-"
# Where it listens, and each start, reload and stop: a few lines a day, and no secrets.
loglevel = "info"
# Since 25.1 gunicorn opens a socket in the home folder that nobody here asks.
control_socket_disable = True
# The heartbeat file must not wait for a disk; and here a read-only root is no obstacle.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _write_error(sock, status, reason, message):
    """Answer what is no HTTP request, or too long for one, in the form of all other errors.

    Such a request never gets to the app. gunicorn's own answer is HTML, and it has no setting
    for that.
    """
    failure = (InvalidRequest if status < 500 else InternalError)(message[:200] or reason)
    body = error_body(failure)
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"x-request-id: req_{secrets.token_hex(12)}\r\n"
        "Access-Control-Allow-Origin: *\r\n"
        "\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


util.write_error = _write_error


def on_starting(server):
    """Refuse, in one line each, what would go wrong later."""
    if server.cfg.workers > 1:
        sys.exit(
            f"poe-proxy serves with one worker, and {server.cfg.workers} were asked for "
            "(-w, WEB_CONCURRENCY or GUNICORN_CMD_ARGS). The pool of accounts and its limits "
            "live in the process: each further worker would spend every limit again, and Poe "
            "would see it. One worker serves hundreds of streams; set WEB_CONCURRENCY=1."
        )
    if "LISTEN_FDS" in os.environ or "GUNICORN_PID" in os.environ:
        return  # the socket is open already
    for host, port in (one for one in server.cfg.address if isinstance(one, tuple)):
        if _is_taken(host, port):
            # gunicorn would try five times first.
            sys.exit(f"Port {port} is taken; stop what listens there, or set PORT to another.")


def when_ready(server):
    """Let SIGHUP look before it leaps: a slip in `.env` must not end a server that works."""
    reload = server.handle_hup

    def reload_if_sound():
        # As `gunicorn --check-config`: settings, code and this file in a process of its own,
        # which says on stderr what is wrong. Not by subprocess, which under gevent takes
        # SIGCHLD away from gunicorn.
        check = [sys.executable, "-m", "gunicorn", *sys.argv[1:], "--check-config"]
        environ = {**os.environ, "LOG_LEVEL": "WARNING"}
        status = os.waitpid(os.posix_spawn(check[0], check, environ), 0)[1]
        if status:
            server.log.error("Not reloaded, going on as before: see the lines above.")
        else:
            reload()

    server.handle_hup = reload_if_sound


def post_fork(server, worker):
    """Let the worker end what is still under way itself, before gunicorn kills it.

    Only so do clients hear that their reply broke off, and bots at Poe that they shall stop.
    Both count the same seconds, and gunicorn would be first. This is the worker's own copy.
    """
    worker.cfg.set("graceful_timeout", max(0, worker.cfg.graceful_timeout - 5))


def worker_int(worker):
    """Let Ctrl-C, too, end what is under way, in place of dropping it: see `post_fork`.

    gunicorn exits when this returns. Until then the worker does what it does at the end of the
    grace, of which there is none here; it takes two or three seconds.
    """
    worker.cfg.set("graceful_timeout", 0)
    time.sleep(8)


def nworkers_changed(server, new, old):
    """Leave SIGTTIN, which asks for one more worker, without effect."""
    if old is not None and new > 1:
        server.log.error("poe-proxy serves with one worker; SIGTTIN changes nothing.")
        server.num_workers = 1


def _is_taken(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as bad:
            if bad.errno != errno.EADDRINUSE:
                sys.exit(f"Cannot listen on HOST {host}, PORT {port}: {bad.strerror}.")
            return True
    return False
