"""What `gunicorn wsgi:app` reads in this folder: it is all in poe_proxy/gunicorn_conf.py."""

import sys
from pathlib import Path

# It may be started anywhere (`gunicorn -c .../gunicorn.conf.py wsgi:app`).
sys.path.append(str(Path(__file__).resolve().parent))

# gunicorn takes each name for a setting.
from poe_proxy.gunicorn_conf import *
