"""The ledger in this process: which token may be lent, from its uses and its health."""

from poe_proxy.pool.memory.ledger import MemoryLedger

__all__ = ["MemoryLedger"]
