"""What gunicorn serves: `poe_proxy.wsgi:app`, or `wsgi:app` in a checkout."""

from poe_proxy.app import create_app
from poe_proxy.server.gunicorn import check_served

check_served()
app = create_app()
