"""api.poe.com, Poe's official API: one key for each token, HTTPS and SSE.

`client` is the upstream; `asking`, `effort`, `answers` and `failures` are what is said, free of
I/O; `wire` has the connections; `catalogue` is what Poe offers, the same for all keys.
"""

from poe_proxy.upstreams.poe_api.catalogue import Catalogue
from poe_proxy.upstreams.poe_api.client import PoeApi

__all__ = ["Catalogue", "PoeApi"]
