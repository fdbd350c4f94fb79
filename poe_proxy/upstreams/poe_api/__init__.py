"""api.poe.com, Poe's official API: one key a token, HTTPS and SSE."""

from poe_proxy.upstreams.poe_api.catalogue import Catalogue
from poe_proxy.upstreams.poe_api.client import PoeApi
from poe_proxy.upstreams.poe_api.protocol import Learned

__all__ = ["Catalogue", "Learned", "PoeApi"]
