"""api.poe.com, Poe's official API: one key for each token, HTTPS and SSE.

`client` is the upstream. What is said is free of I/O: `asking` and `effort` there; `receiving`,
`plain`, `answers`, `native` and `failures` back. `silence` says how long nothing may be said, and
`wire` what a failed exchange means.
"""

from poe_proxy.upstreams.poe_api.client import PoeApi, fetch_models

__all__ = ["PoeApi", "fetch_models"]
