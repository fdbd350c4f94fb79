"""api.poe.com, Poe's official API: one key a token, HTTPS and SSE.

`client` is the upstream; `protocol` and `failures` are what is said, free of I/O; `wire` has the
sockets; `catalogue` and `learned` are what the keys know together.
"""

from poe_proxy.upstreams.poe_api.catalogue import Catalogue
from poe_proxy.upstreams.poe_api.client import PoeApi
from poe_proxy.upstreams.poe_api.learned import Learned

__all__ = ["Catalogue", "Learned", "PoeApi"]
