"""How poe-proxy is served; the only file that names gevent."""

# First of all, before anything that imports ssl or sockets: what is imported earlier keeps
# the blocking ones, and https then ends in a RecursionError.
from gevent import monkey

monkey.patch_all()

import errno  # noqa: E402  (patching comes first)
import os  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402

from poe_proxy.app import read_settings  # noqa: E402
from poe_proxy.settings import BadSettings  # noqa: E402

try:
    _settings = read_settings()
except BadSettings as bad:
    # One message in place of a traceback from each worker that could not start.
    sys.exit(str(bad))

bind = f"{os.environ.get('HOST', '0.0.0.0')}:{_settings.port}"
worker_class = "gevent"
# The rotator lives in the process: a second worker would spend every limit a second time.
workers = 1
# Connections, not requests: idle ones count too. Never the thing that says no.
worker_connections = 2500
# A watchdog for a worker that is stuck, not a limit for a reply.
timeout = 30
# How long replies that are under way may go on after SIGTERM.
graceful_timeout = 60
# Also the time for sending a request's head, and never 0, which is for ever.
keepalive = 5
# A recycled worker would cut the replies under way.
max_requests = 0
# views.py writes a line of its own for each request.
accesslog = None
errorlog = "-"
loglevel = "warning"
# Since 25.1 gunicorn opens a socket in the home folder that nobody here asks.
control_socket_disable = True
# The heartbeat file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None


def on_starting(server):
    """Say in one line that the port is taken; gunicorn would try five times first."""
    if "LISTEN_FDS" in os.environ or "GUNICORN_PID" in os.environ:
        return
    for host, port in (one for one in server.cfg.address if isinstance(one, tuple)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as bad:
                if bad.errno != errno.EADDRINUSE:
                    raise
                sys.exit(f"Port {port} is taken; stop what listens there, or set PORT to another.")
