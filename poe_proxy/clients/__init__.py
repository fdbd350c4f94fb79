"""Keys for people: who may ask, for what, and how much of it each has."""

from poe_proxy.clients.client import NOBODY, Client, Limits, Permission
from poe_proxy.clients.known import Known
from poe_proxy.clients.registry import UNCOUNTED, Registry, Visit

__all__ = [
    "NOBODY",
    "UNCOUNTED",
    "Client",
    "Known",
    "Limits",
    "Permission",
    "Registry",
    "Visit",
]
