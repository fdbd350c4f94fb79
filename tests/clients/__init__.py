"""Clients that others wrote, against the real server on both upstreams."""
