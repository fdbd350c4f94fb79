"""Checks that others can make as costly as they like, in processes of their own that can be killed.

No limit within this process would hold: nothing interrupts a library that is written in C or Rust.
Nothing is imported here: those processes import this package too, and start sooner without.
"""
