"""What gunicorn serves: `gunicorn wsgi:app`."""

from poe_proxy.app import create_app

app = create_app()
