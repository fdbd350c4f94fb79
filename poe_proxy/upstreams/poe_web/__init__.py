"""poe.com, as its own page speaks to it: cookies, GraphQL over HTTPS, a websocket per token."""

from poe_proxy.upstreams.poe_web.account import PoeWeb
from poe_proxy.upstreams.poe_web.attachments import Fetch, Fetched
from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.site import Site

__all__ = ["Credentials", "Fetch", "Fetched", "PoeWeb", "Site"]
