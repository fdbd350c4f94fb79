"""poe-proxy: Poe accounts behind the APIs that programs speak."""

__version__ = "0.1.0"
