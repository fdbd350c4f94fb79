"""poe.com, as its own page speaks to it: cookies, GraphQL over HTTPS, a websocket per token.

`account` has the upstream. It is not imported here, for it brings two libraries along, and what is
needed to check the settings is here without any account of this kind.
"""

from poe_proxy.upstreams.poe_web.credentials import Credentials
from poe_proxy.upstreams.poe_web.site import Site

__all__ = ["Credentials", "Site"]
