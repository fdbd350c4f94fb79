"""The ways out of this process, and what goes wrong on them.

`dialing` connects; `cutting` ends a wait on a socket, and `connections` are pooled ones that can be
cut; `background` makes a blocking call one that can be waited for; `troubles` and `retry_after`
read failures; `fetching` gets what a conversation names, and `filenames` tidies the names of such
files.
"""
