"""What of the ledger outlives the process."""

from poe_proxy.pool.store.base import Forgetful, Note, Remembered, Renewals, Store

__all__ = ["Forgetful", "Note", "Remembered", "Renewals", "Store"]
