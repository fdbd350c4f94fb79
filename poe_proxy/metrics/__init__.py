"""Metrics for Prometheus: counted at the end of each request, and read off the pool at a scrape.

Imported only where the settings ask for metrics, as the library takes some megabytes.
"""

from poe_proxy.metrics.collected import Looks
from poe_proxy.metrics.listener import Listener
from poe_proxy.metrics.metrics import Metrics
from poe_proxy.metrics.together import Together

__all__ = ["Listener", "Looks", "Metrics", "Together"]
