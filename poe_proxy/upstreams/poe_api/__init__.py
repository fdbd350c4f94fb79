"""api.poe.com, Poe's official API: one key for each token, HTTPS and SSE.

`client` is the upstream; `asking`, `effort`, `answers` and `failures` are what is said, free of
I/O; `wire` has the connections.
"""

from poe_proxy.upstreams.poe_api.client import PoeApi, fetch_models

__all__ = ["PoeApi", "fetch_models"]
