"""poe-proxy: Poe accounts behind the OpenAI API."""

from poe_proxy.app import create_app

__all__ = ["create_app"]
__version__ = "0.1.0"
