"""What gunicorn serves: `gunicorn wsgi:app`."""

from poe_proxy.wsgi import app

__all__ = ["app"]
