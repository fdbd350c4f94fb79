"""How the upstream of an account is made.

A module for each way to Poe, and for no other: with it, all is imported that leads there. So
neither is imported before the first account that goes its way.
"""
