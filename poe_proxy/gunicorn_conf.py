"""How poe-proxy is served: gunicorn's settings and their reasons; no other file names gevent."""

import gc

# What is imported stays: to look for garbage in it again and again is a tenth of the start.
gc.disable()

# First of all, before anything that imports ssl or sockets: a module that is imported earlier
# keeps the blocking ones, and https then ends in a RecursionError.
from gevent import events, monkey

# By itself gevent looks for plugins in all packages that are installed, two dozen times.
events.notify_and_call_entry_points = events.notify
monkey.patch_all()

import os
import sys
from functools import partial
from pathlib import Path

import gevent
from gevent.server import StreamServer
from gunicorn import glogging, util
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker

# gunicorn reads this as a file, wherever it is started; the package may not be installed.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from poe_proxy import logs, startup
from poe_proxy.budget import processor
from poe_proxy.server import gunicorn as hooks
from poe_proxy.server import several
from poe_proxy.server.response import Joined, once_a_second
from poe_proxy.server.worker import Guarded
from poe_proxy.settings import BadSettings
from poe_proxy.startup import check_libraries, read_settings

# Nobody asks who began a greenlet, and where: 0.8 kB of each. What that is kept in is used again,
# and never given back: after a crowd of clients it lies all over the memory.
gevent.config.track_greenlet_tree = False

gc.freeze()
gc.enable()

try:
    check_libraries()
    _settings = read_settings()
except (BadSettings, ImportError) as bad:
    sys.exit(str(bad))  # one message, not a traceback from each worker that could not start

hooks.configured()
_folder = os.getcwd()
_against_several = several.against(_settings)
if "--check-config" in sys.argv:
    # The app is loaded, and serves nothing; another server may hold the file, and no pool is to
    # count on a worker that never begins. What is blank here hides a line of `.env`, but for one
    # that names a file with the value: that gives way only to another file.
    for name in ("STATE_FILE", "REDIS_URL"):
        os.environ |= {name: "", f"{name}_FILE": os.devnull}
    os.environ["LOG_LEVEL"] = "WARNING"
else:
    startup.begun_with = _settings

# A socket that systemd hands over (deploy/poe-proxy.socket) comes before this.
bind = hooks.address(_settings.host, _settings.port)
# X-Forwarded-Proto and the like count only from these addresses or networks: any other client
# could forge them. A proxy on the same machine needs no setting.
forwarded_allow_ips = hooks.networks(_settings.forwarded_allow_ips)


def _until_idle(seconds: float) -> None:
    with gevent.Timeout(seconds, False):
        gevent.idle()


def _round() -> int:
    iteration: int = gevent.get_hub().loop.iteration
    return iteration


# What computes for long gives way to all that does not.
processor.until_idle = _until_idle
processor.round = _round


class _Served(gevent.Greenlet):
    """Serves a connection as soon as it is accepted.

    By itself gevent begins behind all that can compute by then: while a hundred requests are at
    work, whoever only asks whether the server is healthy would wait for two rounds of them.
    """

    def start(self):
        if gevent.getcurrent() is gevent.get_hub():
            self.switch()
        else:
            super().start()


class Worker(Guarded, GeventWorker):
    """gunicorn's gevent worker, with limits for its connections."""

    def server_class(self, listener, *, spawn, application, log, handler_class, environ, **tls):
        """Return what accepts connections at *listener*; the pool *spawn* counts those that are
        served. gunicorn calls it; the rest is for servers that speak HTTP themselves."""
        spawn.greenlet_class = _Served
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=spawn, **tls)
        if not _against_several:
            # One worker must not take all that come at once, while others have nothing to do.
            server.max_accept = 1
        return server


class Response(Joined, wsgi.Response):
    """gunicorn's response, in fewer writes."""


class Log(glogging.Logger):
    """gunicorn's log, which repeats what is wrong with a request: written as ours."""

    def setup(self, cfg):
        super().setup(cfg)
        logs.adopt_gunicorn(_settings.log_format)


logger_class = Log
worker_class = Worker
# By itself gunicorn knows WEB_CONCURRENCY of the environment alone, and not of `.env`. What -w or
# GUNICORN_CMD_ARGS say wins over it. More than one are refused without REDIS_URL.
workers = _settings.workers
# Connections, not requests: idle ones count too. When nearly all are taken, those without a key
# make room. Fewer, if there are not enough descriptors for them.
worker_connections = 2500
timeout = 30  # a watchdog for a worker that is stuck, not a limit for a reply
# How long the end may take after SIGTERM. Replies under way may go on until eleven seconds before
# it: so long it may take until bots that are still at work are stopped at Poe. Whatever stops the
# process must wait longer: TimeoutStopSec, stop_grace_period, drainingSeconds are set to it.
graceful_timeout = 60
keepalive = 5  # also the time for sending a request's head, and never 0, which is for ever
max_requests = 0  # a recycled worker would break off the replies under way
accesslog = None  # poe_proxy logs a line of its own for each request
errorlog = "-"  # stderr, where containers and the journal look
loglevel = "info"  # where it listens, each start and stop: few lines, and no secrets
# Since 25.1 gunicorn opens a socket in the home folder, which nothing here uses.
control_socket_disable = True
# The heartbeat file must not wait for a disk; and here a read-only root does not matter.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _are_the_same() -> bool:
    try:
        return read_settings() == _settings
    except BadSettings:
        return False


def on_starting(server: hooks.Arbiter) -> None:
    hooks.check_folder(_folder, _are_the_same)
    hooks.check_worker(server, Worker)
    hooks.on_starting(server, against_several=_against_several)
    several.inherited.workers = server.cfg.workers
    is_shared = _settings.redis_url is not None
    if not is_shared:
        hooks.check_metrics_port(_settings.metrics_port)
    hooks.hold_state(_settings.state_file, shared=is_shared)
    if is_shared and _settings.has_metrics:
        several.inherited.make(metrics_port=_settings.metrics_port)


def nworkers_changed(server: hooks.Arbiter, new: int, old: int | None) -> None:
    hooks.nworkers_changed(server, new, old, against_several=_against_several)


def on_exit(server: hooks.Arbiter) -> None:
    several.inherited.remove()


when_ready = hooks.when_ready
pre_fork = hooks.pre_fork
post_fork = hooks.post_fork
post_worker_init = hooks.post_worker_init
worker_int = hooks.worker_int
worker_abort = hooks.worker_abort
child_exit = hooks.child_exit
worker_exit = hooks.worker_exit
# There is no setting for these.
util.write_error = hooks.write_error
util.http_date = once_a_second(util.http_date)
wsgi.Response = Response
