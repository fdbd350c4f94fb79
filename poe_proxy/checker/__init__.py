"""Checks that others can make as costly as they like, in processes of their own that can be killed.

No limit within this process would hold: nothing interrupts a library that is written in C or Rust.
"""

from poe_proxy.checker.pool import Pool
from poe_proxy.checker.process import Outcome, Unavailable

__all__ = ["Outcome", "Pool", "Unavailable"]
