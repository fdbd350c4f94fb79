"""Calls in a bot's text: found while it comes, in whatever form the bot was trained to write them.

A bot that is taught one form may answer in that of its maker. `forms` says what a call may begin
with, and whether a text that is still coming may become that; a module for each family of bots
knows its forms and reads on from there to the end of a call; `parser` goes through the text, and
decides where a form is a call and where it is mentioned; `reading` makes name and arguments of
what a bot wrote.
"""

from __future__ import annotations

from poe_proxy.shaping.tool_calls.base import RawCall
from poe_proxy.shaping.tool_calls.parser import CallParser
from poe_proxy.shaping.tool_calls.reading import name_and_arguments

__all__ = ["CallParser", "RawCall", "name_and_arguments"]
