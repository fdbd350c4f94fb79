"""The ways out of this process, and what goes wrong on them.

`dialing` connects, `cutting` ends a wait on a socket, `background` makes a blocking call one that
can be waited for; `troubles` and `retry_after` read failures; `fetching` gets what a conversation
names; `filenames` is about the names of such files.
"""
