"""What gunicorn serves: `gunicorn wsgi:app`."""

from poe_proxy import create_app

app = create_app()
